#!/bin/bash
# build.sh [--check] [--force] [--cache DIR]
#   Makes viking-stack:build and viking-stack:run in the local engine, from Debian packages alone.
#   --check  only says by its exit status (0, 1) whether they are there and current
#   --cache  keeps downloaded packages in DIR, for the next time
# Takes http_proxy, https_proxy, no_proxy from the environment, and with a mirror by https the authorities that the host trusts
# and those in the file VIKING_EXTRA_CA.
# As root, or as a member of group docker: then fakeroot unpacks the first packages, and the rest
# happens inside a container. Nothing to do when both images carry this version's labels.
set -eu -o pipefail
here=$(cd "$(dirname "$0")" && pwd)
version=$(cat "$here/VERSION")
packs=$here/../packs
[ -d "$packs" ] || packs=$here/../../builder/packs
suite=bookworm

check=false force=false cache="" extra_ca=${VIKING_EXTRA_CA:-}
while [ $# -gt 0 ]; do
	case $1 in
	--check) check=true ;;
	--force) force=true ;;
	--cache) cache=${2:?--cache takes a directory} && shift ;;
	*) sed -n '2,4s/^# *//p' "$0" >&2 && exit 2 ;;
	esac
	shift
done

step() { echo "-----> $*"; }
body() { echo "       $*"; }
fail() { # MESSAGE HINT; where progress goes, for the person who waits
	printf ' !     %s\n' "$@"
	exit 1
}

# The images are two layers deep: packages, which change with VERSION, and our scripts on top.
scripts() {
	tar -C "$1" --exclude=README.md --sort=name --mtime=@0 --owner=0 --group=0 --numeric-owner --mode=u+rwX,go+rX,go-w \
		--transform="s,^\.,opt/viking/$2," -cf - .
}
hash=$({ scripts "$here/bin" bin; scripts "$packs" packs; } | sha256sum | cut -c1-16)
label() { docker image inspect -f "{{index .Config.Labels \"$2\"}}" "$1" 2>/dev/null || :; }
current() { # TAG
	[ "$(label "viking-stack:$1" viking.stack-image)" = "$version" ] &&
		[ "$(label "viking-stack:$1" viking.stack-scripts)" = "$hash" ]
}
have() { docker image inspect "$1" >/dev/null 2>&1; }

command -v docker >/dev/null || fail "the stack image needs the program docker" "apt-get install docker.io"
docker version >/dev/null 2>&1 ||
	fail "the Docker Engine does not answer $(id -un)" "is it running, and is $(id -un) in group docker?"
if $check; then
	current build && current run
	exit
fi
# A job may ask while bootstrap.sh builds: one builds, the other waits and finds it done.
exec 9>>"${VIKING_STACK_LOCK:-${TMPDIR:-/tmp}/viking-stack.$(id -u).lock}"
flock -n 9 || { body "another build of the stack image is running: waiting for it" && flock 9; }
if ! $force && current build && current run; then
	body "viking-stack $version is there"
	exit 0
fi

work=$(mktemp -d "${TMPDIR:-/var/tmp}/viking-stack.XXXXXX")
containers=()
clean_up() {
	[ ${#containers[@]} = 0 ] || docker rm -f "${containers[@]}" >/dev/null 2>&1 || :
	docker image rm viking-stack:unpacked-$$ >/dev/null 2>&1 || :
	chmod -R u+rwX "$work" 2>/dev/null || :
	rm -rf "$work"
}
trap clean_up EXIT
trap 'exit 130' INT TERM

mirror() { # the host's own, so that a site's mirror is used here as well
	awk '/^URIs:/ {uri = $2} /^Suites:/ && $2 == s {print uri; exit}
		$1 == "deb" && $2 ~ /^http/ && $3 == s {print $2; exit}' s=$suite \
		/etc/apt/sources.list.d/debian.sources /etc/apt/sources.list 2>/dev/null || :
}
mirror=$(mirror)
mirror=${mirror:-http://deb.debian.org/debian}
security=${mirror%/debian}/debian-security

# One tick every few seconds, for who waits; output goes to a log that is shown on failure.
run() { # LABEL COMMAND...
	local label=$1 log=$work/log pid t0=$SECONDS shown=$SECONDS
	shift
	"$@" >"$log" 2>&1 </dev/null &
	pid=$!
	while kill -0 $pid 2>/dev/null; do
		timeout 1 tail --pid=$pid -f /dev/null || :
		[ $((SECONDS - shown)) -lt 15 ] || { shown=$SECONDS && body "$label: $((SECONDS - t0)) s"; }
	done
	wait $pid || {
		tail -n 15 "$log" | sed 's/^/       /'
		fail "$label failed" "is $mirror reachable? proxies are taken from http_proxy"
	}
	body "$label: done in $((SECONDS - t0)) s"
}

unpack() { # to a tar at $1: Debian's smallest set, not yet configured
	local tool=() options=(--foreign --variant=minbase)
	[ "$(id -u)" = 0 ] || tool=(fakeroot --)
	[ -z "$cache" ] || { mkdir -p "$cache/base" "$cache/more/partial" && options+=("--cache-dir=$(realpath "$cache/base")"); }
	PATH=$PATH:/usr/sbin:/sbin "${tool[@]}" bash -eu -c '
		root=$1 tar=$2; shift 2
		debootstrap "${@:4}" "$1" "$root" "$2" "${3:-}"
		tar -C "$root" --numeric-owner --exclude="./dev/*" -cf "$tar" .' - \
		"$work/root" "$1" $suite "$mirror" "" "${options[@]}"
}

site() { # as text of a script, so that it does not stay in an image's configuration; /tmp is emptied
	local name
	for name in http_proxy https_proxy no_proxy; do
		[ -z "${!name:-}" ] || printf 'export %s=%q\n' $name "${!name}"
	done
	[[ $mirror == https:* ]] || return 0
	printf 'cat >/tmp/site-ca.crt <<CA\n%s\nCA\n' "$(cat /etc/ssl/certs/ca-certificates.crt ${extra_ca:+"$extra_ca"})"
	echo "export APT_CONFIG=/tmp/site-apt; echo 'Acquire::https::CAInfo \"/tmp/site-ca.crt\";' >/tmp/site-apt"
}
install_script() { # KIND: bash text that installs the packages of KIND and leaves nothing of apt
	site
	cat <<TXT
set -eu
export DEBIAN_FRONTEND=noninteractive
apt-get update -qq
apt-get install -y -qq --no-install-recommends -o DPkg::Options::=--force-unsafe-io \
	$([ -z "$cache" ] || echo "-o Dir::Cache::archives=/var/cache/site -o APT::Keep-Downloaded-Packages=true") \
	$(awk -v k="$1" '$1 == k {printf "%s ", $2}' "$here/packages")
rm -rf /var/lib/apt/lists/* /var/cache/debconf/*-old /var/cache/apt/*.bin /var/log/* /var/lib/dpkg/*-old /tmp/*
apt-get clean
TXT
}
first_script() {
	cat <<TXT
set -eu
export container=lxc
cat >/etc/dpkg/dpkg.cfg.d/viking <<CFG
path-exclude=/usr/share/doc/*
path-exclude=/usr/share/man/*
path-exclude=/usr/share/info/*
path-exclude=/usr/share/locale/*
path-exclude=/usr/share/go-*/test/*
path-include=/usr/share/doc/*/copyright
CFG
printf '#!/bin/sh\nexit 101\n' >/usr/sbin/policy-rc.d && chmod 755 /usr/sbin/policy-rc.d
/debootstrap/debootstrap --second-stage
rm -rf /debootstrap /var/cache/apt/archives/*.deb
find /usr/share/doc /usr/share/man /usr/share/info /usr/share/locale -type f ! -name copyright -delete
cat >/etc/apt/sources.list <<LIST
deb $mirror $suite main
deb $mirror $suite-updates main
deb $security $suite-security main
LIST
groupadd -g 1000 app && useradd -u 1000 -g 1000 -d /app -M -s /bin/bash app
install -d -o app -g app /app /cache /tmp/build /tmp/env /viking-result
TXT
	install_script run
}
second_script() {
	install_script build
	echo "git config --system --add safe.directory '*'; git config --system advice.detachedHead false"
	echo 'install -d -o app -g app /tmp/build /tmp/env'
}

in_container() { # NAME IMAGE: runs the script on stdin as root there
	local options=(--name "$1")
	[ -z "$cache" ] || options+=(-v "$(realpath "$cache/more"):/var/cache/site")
	cat >"$work/script"
	containers+=("$1")
	run "${1%-*}" bash -c 'docker run -i "${@:2}" bash <"$1"' - "$work/script" "${options[@]}" "$2"
}

path=PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin
with_scripts() { # BASE KIND CHANGE...: the image's last layer, our scripts
	local id kind=$2 base=$1 changes=() change
	shift 2
	for change in "$@" "LABEL viking.stack-image=$version" "LABEL viking.stack-scripts=$hash"; do
		changes+=(--change "$change")
	done
	id=$(docker create "$base" true)
	containers+=("$id")
	scripts "$here/bin" bin | docker cp - "$id:/"
	scripts "$packs" packs | docker cp - "$id:/"
	docker commit "${changes[@]}" "$id" "viking-stack:$kind-$version" >/dev/null
	docker tag "viking-stack:$kind-$version" "viking-stack:$kind"
	docker rm -f "$id" >/dev/null
}

packages=$(sha256sum "$here/packages" | cut -c1-12)
base_run=viking-stack:packages-run-$version-$packages
base_build=viking-stack:packages-build-$version-$packages
if $force || ! have "$base_run"; then
	step "Building the stack image $version from Debian packages (a few minutes, once)"
	for tool in debootstrap $([ "$(id -u)" = 0 ] || echo fakeroot); do
		PATH=$PATH:/usr/sbin command -v $tool >/dev/null || fail "the stack image needs $tool" "apt-get install $tool"
	done
	run "Debian's base" unpack "$work/base.tar"
	docker import "$work/base.tar" viking-stack:unpacked-$$ >/dev/null
	rm -rf "$work/base.tar" "$work/root"
	in_container "packages-to-run-$$" viking-stack:unpacked-$$ < <(first_script)
	docker export "packages-to-run-$$" | docker import --change "ENV $path LANG=C.UTF-8 HOME=/app STACK=heroku-24" \
		--change "LABEL viking.stack-packages=$version" - "$base_run" >/dev/null
fi
if $force || ! have "$base_build"; then
	in_container "packages-to-build-$$" "$base_run" < <(second_script)
	docker commit --change 'CMD ["bash"]' "packages-to-build-$$" "$base_build" >/dev/null
fi
step "Adding our packs to the stack image"
with_scripts "$base_run" run 'USER app' 'WORKDIR /app' 'ENTRYPOINT ["/opt/viking/bin/exec"]' 'CMD []'
with_scripts "$base_build" build 'USER app' 'WORKDIR /app' 'CMD ["/opt/viking/bin/run-packs"]'
body "viking-stack:build $(docker image inspect -f '{{.Size}}' viking-stack:build | numfmt --to=si)B," \
	"viking-stack:run $(docker image inspect -f '{{.Size}}' viking-stack:run | numfmt --to=si)B"
