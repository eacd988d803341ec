# check NAME COMMAND...: the assertion NAME holds when COMMAND succeeds; else the script that makes it fails. The name in
# the file `invert` beside us (or in $INVERT, at run time) is negated: the driver does that with each, and must see red.
invert=${INVERT:-$(cat "${pack:-.}/invert" 2>/dev/null)}
check() {
	local name=$1 holds=true
	shift
	"$@" || holds=false
	if [ "$name" = "$invert" ]; then
		if $holds; then holds=false; else holds=true; fi
	fi
	if ! $holds; then
		echo "assertion $name does not hold: $*" >&2
		exit 1
	fi
	echo "assertion $name holds" >&2
}
is() { [ "$1" = "$2" ]; }
not() { ! "$@"; }
unset_var() { [ -z "${!1+x}" ]; }
empty_dir() { [ -d "$1" ] && [ -z "$(ls -A "$1")" ]; }
owned_dir() { [ -d "$1" ] && [ -w "$1" ] && [ "$(stat -c %u:%g "$1")" = 1000:1000 ]; }
