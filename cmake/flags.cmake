# Compiler and linker flags, each probed, for every target of the project.
include(CheckCCompilerFlag)
include(CheckLinkerFlag)

set(CMAKE_C_FLAGS_RELWITHDEBINFO "-O2 -g") # no NDEBUG: asserts stay in what runs
set(CMAKE_C_STANDARD 17)
set(CMAKE_C_EXTENSIONS ON)
set(CMAKE_C_STANDARD_REQUIRED ON)
set(CMAKE_POSITION_INDEPENDENT_CODE ON)
set(CMAKE_EXPORT_COMPILE_COMMANDS ON)

function(viking_flag flag)
	string(MAKE_C_IDENTIFIER "have${flag}" var)
	check_c_compiler_flag(${flag} ${var})
	if(${var})
		add_compile_options(${flag})
	endif()
endfunction()

foreach(flag -Wall -Wextra -Wshadow -Wstrict-prototypes -Wmissing-prototypes -Wpointer-arith
	-Wwrite-strings -Wcast-qual -Wformat=2 -Wvla -Wundef -Wnull-dereference -Wimplicit-fallthrough
	-fno-common -fstack-protector-strong -fstack-clash-protection -fcf-protection
	-ftrivial-auto-var-init=zero)
	viking_flag(${flag})
endforeach()
if(VIKING_WERROR)
	add_compile_options(-Werror)
endif()
add_compile_definitions(_GNU_SOURCE VIKING_VERSION="${PROJECT_VERSION}"
	VIKING_LIBEXEC_DIR="${CMAKE_INSTALL_FULL_LIBEXECDIR}/viking")
add_compile_options(-include ${CMAKE_SOURCE_DIR}/include/viking/banned.h)
include_directories(${CMAKE_SOURCE_DIR}/include)

if(VIKING_SANITIZE)
	# gcc takes the null checks that the sanitizers add for calls with a null format
	add_compile_options(-fsanitize=${VIKING_SANITIZE} -fno-omit-frame-pointer -Wno-format-truncation)
	add_link_options(-fsanitize=${VIKING_SANITIZE})
elseif(NOT CMAKE_BUILD_TYPE STREQUAL "Debug" AND NOT VIKING_COVERAGE AND NOT VIKING_FUZZERS)
	add_compile_options(-U_FORTIFY_SOURCE -D_FORTIFY_SOURCE=3)
endif()
if(VIKING_FUZZERS)
	add_compile_options(-fsanitize=fuzzer-no-link,address,undefined)
	add_link_options(-fsanitize=address,undefined)
endif()
if(VIKING_COVERAGE)
	add_compile_options(--coverage -O0)
	add_link_options(--coverage)
endif()
add_link_options(-pie -Wl,-z,relro -Wl,-z,now -Wl,--as-needed)
