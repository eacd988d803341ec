#!/bin/bash
# sudo packaging/bootstrap.sh          installs what is missing, builds, installs and starts viking
# sudo packaging/bootstrap.sh --demo   the same, then deploys the demo by a real git push
# Runs again without harm; works with and without systemd.
set -eu
src=$(cd "$(dirname "$0")/.." && pwd)
demo=false
for word in "$@"; do
	case $word in
	--demo) demo=true ;;
	*) sed -n '2,4s/^# //p' "$0" >&2; exit 2 ;;
	esac
done
if [ "$(id -u)" != 0 ]; then
	echo " !     needs root: sudo packaging/bootstrap.sh $*" >&2
	exit 4
fi
if ! command -v apt-get >/dev/null; then
	echo " !     this is not Debian: viking is built with apt-get's packages" >&2
	exit 6
fi
. "$src/packaging/packages.sh"
run_dir=/var/lib/viking-bootstrap
mkdir -p $run_dir

setting() { # NAME DEFAULT: the effective value
	viking config 2>/dev/null | awk -v n="$1:" '$1 == n {print $2; exit}'
}
with_systemd() { [ -d /run/systemd/system ]; }
# The API answers before the last process serves; vikingd's table knows of all.
answers() { viking stacks:list >/dev/null 2>&1 && ! grep -q '"ready":false' /run/viking/processes.json; }

sources() { # all that the package is built from, as a tar
	tar -C "$src" --exclude=./.git --exclude=./build --exclude='./build-*' --exclude=__pycache__ "$@" -cf - .
}

build_package() {
	stamp=$(sources --sort=name --mtime=@0 --owner=0 --group=0 --numeric-owner | sha256sum | cut -c1-16)
	if [ -e "$run_dir/built-$stamp" ] && dpkg-query -W -f '${Status}' viking 2>/dev/null | grep -q 'ok installed'; then
		echo "-----> viking is built and installed"
		return
	fi
	echo "-----> Building the Debian package (a minute or two)"
	work=$(mktemp -d /var/tmp/viking-build.XXXXXX)
	mkdir "$work/viking"
	sources | tar -C "$work/viking" -xf -
	cp -r "$work/viking/packaging/debian" "$work/viking/debian"
	(cd "$work/viking" && dpkg-buildpackage -b -us -uc) >"$run_dir/build.log" 2>&1 || {
		tail -30 "$run_dir/build.log" >&2
		echo " !     the build failed; all of it is in $run_dir/build.log" >&2
		exit 1
	}
	echo "-----> Installing"
	VIKING_NO_START=1 apt-get install -y -qq --allow-downgrades --reinstall "$work"/viking_*.deb >"$run_dir/install.log" 2>&1 || {
		tail -20 "$run_dir/install.log" >&2
		exit 1
	}
	cp "$work"/viking_*.deb "$run_dir/"
	rm -rf "$work" "$run_dir"/built-*
	touch "$run_dir/built-$stamp"
	restart=true
}

start_viking() {
	if with_systemd; then
		systemctl enable -q viking
		if $restart; then systemctl restart viking; else systemctl start viking; fi
	else
		if ! $restart && answers; then return 0; fi
		pid=$(cat /run/viking/vikingd.pid 2>/dev/null || echo)
		case $(readlink "/proc/${pid:-none}/exe" 2>/dev/null) in
		*/vikingd*) kill "$pid" && tail --pid="$pid" -f /dev/null ;;
		esac
		mkdir -p /var/log/viking
		setsid nohup /usr/sbin/vikingd </dev/null >>/var/log/viking/vikingd.log 2>&1 &
	fi
	for _ in $(seq 300); do
		answers && return 0
		read -r -t 0.1 _ <> <(:) || :
	done
	echo " !     viking does not answer; its log: journalctl -u viking, or /var/log/viking/vikingd.log" >&2
	exit 6
}

# The person's own key gets in as admin; without one, a key is made for the demo.
person=${SUDO_USER:-root}
home=$(getent passwd "$person" | cut -d: -f6)
admit() { # NAME KEY.pub; state that an earlier installation left may have another key of that name
	keys=$(viking keys:list --json) name=$1 n=1
	grep -qF "$(ssh-keygen -lf "$2" | cut -d' ' -f2)" <<<"$keys" && return
	while grep -qE "\"name\": ?\"$name\"" <<<"$keys"; do
		n=$((n + 1)) name=$1-$n
	done
	viking keys:add "$name" --role admin <"$2"
}
find_key() {
	for key in "$home/.ssh/id_ed25519" "$home/.ssh/id_ecdsa" "$home/.ssh/id_rsa" "$run_dir/id_ed25519"; do
		[ -e "$key" ] && [ -e "$key.pub" ] && return
	done
	ssh-keygen -q -t ed25519 -N '' -C "viking on $(hostname)" -f "$run_dir/id_ed25519"
	key=$run_dir/id_ed25519
}

deploy_demo() {
	work=$home/viking-demo
	[ -d "$work" ] || {
		cp -r "$src/packaging/demo" "$work"
		cp /bin/busybox "$work/busybox"
		git -C "$work" init -q -b master
		git -C "$work" add -A
		git -C "$work" -c user.name=viking -c user.email=viking@localhost commit -q -m "the demo"
		chown -R "$person": "$work"
	}
	port=$(setting ssh.port)
	git -C "$work" -c safe.directory='*' remote remove deploy 2>/dev/null || :
	git -C "$work" -c safe.directory='*' remote add deploy "ssh://viking@127.0.0.1:$port/demo"
	# We are on the host: its key is read, not believed, and the person's known_hosts stays as it is.
	echo "[127.0.0.1]:$port $(ssh-keygen -y -f /var/lib/viking/ssh/host_ed25519)" >"$work/.git/known_hosts"
	git -C "$work" -c safe.directory='*' config core.sshCommand \
		"ssh -i $key -o IdentitiesOnly=yes -o UserKnownHostsFile=$work/.git/known_hosts"
	chown -R "$person": "$work/.git"
	echo "-----> git push deploy master"
	git -C "$work" -c safe.directory='*' push deploy master
	http=$(setting http.port)
	url="http://demo.localhost$([ "$http" = 80 ] || echo ":$http")/"
	for _ in $(seq 100); do
		curl -sf -m 2 -o /dev/null -H 'Host: demo.localhost' "http://127.0.0.1:$http/" && break
		read -r -t 0.1 _ <> <(:) || :
	done
	curl -sf -m 5 -H 'Host: demo.localhost' "http://127.0.0.1:$http/" | grep -q 'It sails' || {
		echo " !     the demo does not answer at $url; try: viking doctor" >&2
		exit 1
	}
	cat <<TXT

=====> The demo is served: $url
       (elsewhere: curl -H 'Host: demo.localhost' http://$(hostname):$http/)
       Three things to try:
         cd $work && \$EDITOR www/index.html && git commit -am 'mine' && git push deploy master
         viking rollback demo          # back to the release before, without a build
         viking logs demo -f           # and: viking help
TXT
}

# Buildpacks need the stack image: minutes, once. The demo has a Dockerfile and does not wait for it. It is made as
# the user whose jobs would make it on first need: they find each other's lock and images. The builder, told by SIGHUP,
# puts it into the registry, so that the first push does not wait for that either.
stack_image() {
	build=/usr/libexec/viking/stack/build.sh
	site=(VIKING_EXTRA_CA="$(setting builder.extra_ca)")
	env=$(setting builder.build_env)
	[ ! -r "$env" ] || mapfile -t -O 1 site < <(sed -nE 's/^(https?|no)(_proxy)=/\L\1\2=/Ip' "$env")
	as=(setpriv --reuid viking-build --regid viking-build --init-groups env -C / HOME=/nonexistent "${site[@]}" nice)
	"${as[@]}" $build --check && return 0
	build="$build && pid=\$(sed -n 's/.*\"builder\":{[^}]*\"pid\":\([0-9]*\).*/\1/p' /run/viking/processes.json) && kill -HUP \$pid"
	as+=(bash -c)
	if $demo; then
		setsid nohup "${as[@]}" "$build" </dev/null >"$run_dir/stack.log" 2>&1 &
		echo "       The stack image of buildpacks is being made in the background: tail -f $run_dir/stack.log"
	else
		"${as[@]}" "$build" || echo " !     the stack image is not made; the first push that needs it tries again"
	fi
}

restart=false
viking_install $viking_build $viking_run $($demo && echo $viking_demo)
viking_engine /var/run/docker.sock $run_dir
build_package
start_viking
find_key
admit "$person" "$key.pub"
echo "=====> viking is installed - type 'viking help' to get help"
if $demo; then deploy_demo; fi
stack_image
