#!/bin/bash
# sanitized.sh SOURCE BUILD [LAUNCHER]: builds the unit tests with the sanitizers of addresses, leaks and undefined
# behaviour, proves on a planted leak that they see, and runs all. What is up to date is not built again.
set -eu
source=$1 build=$2 launcher=${3:-}
export ASAN_OPTIONS=detect_leaks=1:detect_stack_use_after_return=1
export UBSAN_OPTIONS=print_stacktrace=1:halt_on_error=1
mkdir -p "$build"
cmake -S "$source" -B "$build" -G Ninja -DCMAKE_BUILD_TYPE=Debug -DCMAKE_C_FLAGS_DEBUG="-O1 -g1" \
	-DCMAKE_C_COMPILER_LAUNCHER="$launcher" -DVIKING_SANITIZE=address,undefined -DVIKING_WERROR=OFF >"$build/cmake.log" 2>&1 || {
	tail -20 "$build/cmake.log"; exit 1; }
ninja -C "$build" -j 2 unit_tests >"$build/ninja.log" 2>&1 || { tail -40 "$build/ninja.log"; exit 1; }
if ! VIKING_PLANTED_LEAK=1 "$build"/tests/unit_base --filter 'sanitizers/*' 2>&1 | grep -q LeakSanitizer; then
	echo "sanitized.sh: a planted leak was not seen" >&2
	exit 1
fi
ctest --test-dir "$build" -L '^unit$' -j 2 --output-on-failure --no-tests=error
