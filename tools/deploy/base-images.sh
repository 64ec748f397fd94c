#!/usr/bin/env bash
# Builds the two base images of the Dockerfile from Debian packages, for machines that reach no registry of
# images. They are named localhost/vitrine-build and localhost/vitrine-run, like the defaults of try-image.sh.
# Needs root, buildah, debootstrap and the Node of this checkout (npm ci). A second run does nothing.
#
# Usage: tools/deploy/base-images.sh
set -euo pipefail
cd "$(dirname "$0")/../.."
export BUILDAH_ISOLATION=chroot STORAGE_DRIVER=vfs

if buildah inspect --type image localhost/vitrine-build >/dev/null 2>&1 \
  && buildah inspect --type image localhost/vitrine-run >/dev/null 2>&1; then
  exit
fi
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
mirror=${DEBIAN_MIRROR:-http://deb.debian.org/debian}
debootstrap --variant=minbase bookworm "$folder/build" "$mirror" >"$folder/log" \
  || { cat "$folder/log" >&2; exit 1; }

# The image to run in has only the C and C++ libraries, like distroless/cc.
for name in base-files libc6 libgcc-s1 libstdc++6; do
  dpkg-deb -x "$folder/build/var/cache/apt/archives/$name"_*.deb "$folder/run"
done
rm -rf "$folder/run/usr/share/doc" "$folder/run/usr/share/lintian" "$folder/run/usr/share/gcc" \
  "$folder/run/usr/share/gdb"

# The image to build in has Node, npm, and the certificates of this machine.
cp node_modules/node/bin/node "$folder/build/usr/local/bin/node"
npm install --silent --global --prefix "$folder/build/usr/local" npm@11.6.2
mkdir -p "$folder/build/etc/ssl/certs"
if [ -e /etc/ssl/certs/ca-certificates.crt ]; then
  cp /etc/ssl/certs/ca-certificates.crt "$folder/build/etc/ssl/certs/"
fi
rm -rf "$folder/build/var/cache/apt/archives/"*.deb

for name in build run; do
  container=$(buildah from scratch)
  buildah add --quiet "$container" "$folder/$name" / >/dev/null
  [ "$name" = run ] || buildah config \
    --env NODE_EXTRA_CA_CERTS=/etc/ssl/certs/ca-certificates.crt "$container"
  buildah commit --quiet --rm "$container" "localhost/vitrine-$name" >/dev/null
done
