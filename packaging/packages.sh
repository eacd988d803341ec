# Debian 12 packages, by need. Sourced by bootstrap.sh and tests/run; debian/control names the same.
viking_build="build-essential cmake ninja-build pkg-config debhelper dpkg-dev fakeroot libcurl4-openssl-dev
	libevent-dev libgit2-dev libjansson-dev libmicrohttpd-dev libseccomp-dev libnftables-dev libsodium-dev libsqlite3-dev
	libssh-dev libssl-dev libyaml-dev libcrypt-dev"
viking_run="git haproxy docker.io docker-registry openssh-client adduser curl ca-certificates iptables
	debootstrap fakeroot uacme"
# Docker's own packages conflict with Debian's.
if dpkg-query -W -f '${Status}' docker-ce 2>/dev/null | grep -q 'ok installed'; then
	viking_run=${viking_run/docker.io /}
fi
viking_demo="busybox-static"
viking_test="libcriterion-dev nghttp2-client nghttp2-server clang clang-format libclang-rt-14-dev busybox-static openssh-server
	dropbear-bin python3 python3-paramiko python3-yaml wrk apache2-utils jq lintian man-db universal-ctags systemd iproute2 nftables
	procps strace sqlite3 socat etcd-server etcd-client pebble"

# Installs what of its arguments is missing; says so first.
viking_install() {
	missing=""
	for package in "$@"; do
		dpkg-query -W -f '${Status}' "$package" 2>/dev/null | grep -q 'ok installed' || missing="$missing $package"
	done
	[ -z "$missing" ] && return 0
	echo "-----> Installing$missing"
	export DEBIAN_FRONTEND=noninteractive
	# Debian's packages start their own haproxy and registry, which would take our ports.
	policy=/usr/sbin/policy-rc.d
	if [ ! -e $policy ]; then
		printf '#!/bin/sh\n[ "$1" = docker ] || exit 101\n' > $policy && chmod 755 $policy
		trap 'rm -f /usr/sbin/policy-rc.d' EXIT
	fi
	apt-get update -qq && apt-get install -y -qq --no-install-recommends $missing >/tmp/viking-apt.log 2>&1 || {
		tail -5 /tmp/viking-apt.log >&2
		echo " !     apt-get could not install:$missing" >&2
		return 1
	}
	rm -f $policy
}

# Starts a Docker Engine if none answers at $1; $2 is a directory of ours for a private one.
viking_engine() {
	engine_answers() { curl -sf -m 2 --unix-socket "$1" http://docker/_ping >/dev/null 2>&1; }
	engine_answers "$1" && return 0
	if [ -d /run/systemd/system ] && [ "$1" = /var/run/docker.sock ]; then
		systemctl start docker
	else
		echo "-----> Starting a Docker Engine (no systemd here)"
		mkdir -p "$2"
		setsid nohup dockerd -H "unix://$1" --live-restore --pidfile "$2/docker.pid" </dev/null >"$2/dockerd.log" 2>&1 &
	fi
	for _ in $(seq 300); do
		engine_answers "$1" && return 0
		read -r -t 0.1 _ <> <(:) || :
	done
	echo " !     the Docker Engine does not answer at $1; see $2/dockerd.log" >&2
	return 1
}
