#!/usr/bin/env bash
# Builds the image of the Dockerfile with buildah, and runs it as its user on a read-only root file system.
# There it uploads an image with the command that the first start prints, as in the README, and fetches it.
# Needs root, buildah and curl. Without BUILD_IMAGE and RUN_IMAGE, base-images.sh makes the base images.
#
# Usage: tools/deploy/try-image.sh
set -euo pipefail
cd "$(dirname "$0")/../.."
export BUILDAH_ISOLATION=chroot STORAGE_DRIVER=vfs
folder=$(mktemp -d)
pid=
container=
cleanup() {
  [ -z "$pid" ] || kill -KILL "$pid" 2>/dev/null || true
  [ -z "$container" ] || buildah rm "$container" >/dev/null
  rm -rf "$folder"
}
trap cleanup EXIT

if [ -z "${BUILD_IMAGE:-}" ] || [ -z "${RUN_IMAGE:-}" ]; then
  tools/deploy/base-images.sh
  BUILD_IMAGE=localhost/vitrine-build RUN_IMAGE=localhost/vitrine-run
fi
# The format of Docker has HEALTHCHECK.
buildah bud --quiet --format docker --build-arg "BUILD_IMAGE=$BUILD_IMAGE" \
  --build-arg "RUN_IMAGE=$RUN_IMAGE" --tag localhost/vitrine . >/dev/null
container=$(buildah from --pull-never localhost/vitrine)
root=$(buildah mount "$container")
config() { buildah inspect --type image --format "$1" localhost/vitrine; }
echo "image: $(du -sm --apparent-size "$root" | cut -f1) MB on disk," \
  "$(tar -C "$root" -cz . | wc -c | awk '{ printf "%d", $1 / 1000000 }') MB compressed"
test "$(config '{{.Docker.Config.User}}')" = 10001:10001
test "$(config '{{.Docker.Config.StopSignal}}')" = SIGTERM
config '{{.Docker.Config.Healthcheck.Test}}' | grep -q health.mjs

# What a container runtime does: a read-only root, a writable /data, /dev and /proc, the user, no privileges.
config '{{range .Docker.Config.Env}}{{println .}}{{end}}' | grep = >"$folder/variables"
mkdir "$folder/data"
chown 10001:10001 "$folder/data"
cat >"$folder/enter.py" <<'PYTHON'
import os, sys
root, variables, *command = sys.argv[1:]
environment = dict(line.rstrip("\n").split("=", 1) for line in open(variables))
os.chroot(root)
os.chdir("/data")
os.setgroups([])
os.setgid(10001)
os.setuid(10001)
os.execve(command[0], command, environment)
PYTHON
cat >"$folder/enter.sh" <<'BASH'
set -euo pipefail
root=$1 folder=$2
shift 2
mount --bind "$root" "$root"
mount -o remount,bind,ro "$root"
mount --bind "$folder/data" "$root/data"
mount --rbind /dev "$root/dev"
mount --rbind /proc "$root/proc"
exec setpriv --no-new-privs python3 "$folder/enter.py" "$root" "$folder/variables" "$@"
BASH
# Every step replaces its process, so that a signal reaches the server.
enter=(unshare --mount bash "$folder/enter.sh" "$root" "$folder")
"${enter[@]}" /usr/local/bin/node -e '
  const { writeFileSync } = require("node:fs");
  try { writeFileSync("/etc/x", ""); process.exit(1); } catch (error) { if (error.code !== "EROFS") throw error; }
  if (process.getuid() !== 10001) throw new Error("not user 10001");
  writeFileSync("/data/x", "");
'
"${enter[@]}" /usr/local/bin/node /usr/local/bin/vitrine --version
"${enter[@]}" /usr/local/bin/node /usr/local/bin/vitrine serve >"$folder/log" 2>&1 &
pid=$!
for _ in $(seq 600); do
  grep -q '/docs/api' "$folder/log" && break
  kill -0 "$pid" 2>/dev/null || { cat "$folder/log" >&2; exit 1; }
  sleep 0.1
done
"${enter[@]}" /usr/local/bin/node /opt/vitrine/health.mjs
"${enter[@]}" /usr/local/bin/node /opt/vitrine/health.mjs /readyz

# The command of the README, as the server prints it.
cp docs/photo.jpg "$folder/" 2>/dev/null || node -e '
  require("sharp")({ create: { width: 1200, height: 900, channels: 3, background: "teal" } })
    .jpeg().toFile(process.argv[1]);
' "$folder/photo.jpg"
command=$(sed -n 's/^ *\(curl -u .* -F image=@photo\.jpg .*\)$/\1/p' "$folder/log" | sed 's/0\.0\.0\.0/127.0.0.1/')
test -n "$command"
link=$(cd "$folder" && bash -c "$command -sSf" | sed 's/.*"link":"\([^"]*\)".*/\1/' | sed 's/0\.0\.0\.0/127.0.0.1/')
echo "uploaded: $link"
curl -sSf -H 'Accept: image/webp' -D "$folder/headers" -o "$folder/picture" "$link?size=300x200"
grep -i '^content-type: image/webp' "$folder/headers"
test "$(head -c 4 "$folder/picture")" = RIFF

kill -TERM "$pid"
code=0
wait "$pid" || code=$?
pid=
test "$code" = 0
echo 'the image works: upload, rendition, health, stop'
