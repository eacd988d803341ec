#!/bin/bash
# A FAKE of the lifecycle's creator, for builder images of the tests: it checks how a platform has to call it (platform
# specification 0.7 to 0.14), "builds" one kind of application (www/ or an app.txt), and has the engine make an image that
# has the launcher, the processes and the label of real ones. $RUN: the run image; $API: what we expect to be negotiated.
set -eu
say() { echo "[fake creator] $*"; }
[ "$*" = "-daemon -app /workspace -cache-dir /cache -launch-cache /launch-cache -run-image $RUN ${!#}" ] || { say "flags: $*"; exit 3; }
[ "$CNB_PLATFORM_API" = "$API" ] && [ "$CNB_NO_COLOR" = true ] || { say "api $CNB_PLATFORM_API"; exit 11; }
[ -f /workspace/app.txt ] || { say "nothing detected"; exit 20; }
[ "$(stat -c %u:%g /workspace/app.txt)" = 1001:1001 ] || { say "owner"; exit 1; }
[ ! -e /platform/env/TOKEN ] || [ "$(cat /platform/env/TOKEN)" = value ] || { say "platform env"; exit 1; }
[ ! -e /platform/env/CNB_USER_ID ] || { say "platform env"; exit 1; }
[ -S /var/run/docker.sock ] || { say "no engine"; exit 1; }
say "cache $(cat /cache/x 2>/dev/null || echo empty), launch cache $(cat /launch-cache/x 2>/dev/null || echo empty)"
if [ -e /platform/bindings/site ]; then
	say "binding $(cat /platform/bindings/site/type), $(grep -c BEGIN /platform/bindings/site/ca.crt) authority, proxy ${SITE_PROXY:-none}"
fi
for d in /cache /launch-cache; do echo kept >$d/x; done
grep -q fail /workspace/app.txt && { say "buildpack says no"; exit 51; }

root=$(mktemp -d)
mkdir -p "$root/cnb/process" "$root/cnb/lifecycle"
cp -r /workspace "$root/workspace"
printf '#!/bin/sh\nexec httpd -f -p "$PORT" -h /workspace/www\n' >"$root/cnb/process/web"
printf '#!/bin/sh\necho works; exec sleep 3600\n' >"$root/cnb/process/worker"
printf '#!/bin/sh\nexec "$@"\n' >"$root/cnb/lifecycle/launcher"
chmod -R a+rX "$root" && chmod 755 "$root"/cnb/process/* "$root/cnb/lifecycle/launcher"
call() { # METHOD PATH TYPE, body on stdin
	curl -sf --unix-socket /var/run/docker.sock -X "$1" -H "Content-Type: application/$3" --data-binary @- "http://engine/v1.41$2"
}
id=$(jq -nc --arg i "$RUN" '{Image: $i, Cmd: ["x"]}' | call POST /containers/create json | jq -r .Id)
tar -C "$root" -cf - cnb workspace | call PUT "/containers/$id/archive?path=/" x-tar
label='{"processes":[{"type":"web","command":["node","server.js"],"args":["-p"]},{"type":"worker","command":"work"},{"type":"bad name","command":"x"}]}'
repo=${!#}
jq -nc --arg l "$label" '{Labels: {"io.buildpacks.build.metadata": $l}, Entrypoint: ["/cnb/process/web"], User: "1001:1001", WorkingDir: "/workspace"}' |
	call POST "/commit?container=$id&repo=${repo%:*}&tag=${repo##*:}" json >/dev/null
call DELETE "/containers/$id" json </dev/null >/dev/null
say "image made"
