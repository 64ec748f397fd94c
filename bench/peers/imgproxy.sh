#!/bin/sh
# Builds imgproxy, a peer of the bench, into bench/peers/bin. Needs the Go toolchain, a C compiler and libvips:
#   apt-get install -y gcc pkg-config libvips-dev
# Then: IMGPROXY=$PWD/bench/peers/bin/imgproxy npm run bench
# A version may be named: bench/peers/imgproxy.sh 3.30.1. Without one it is the newest 3 that the module proxy gives,
# and where it gives none, 2.17.0. The rows of the bench say which one it was.
set -eu
bin=$(cd "$(dirname "$0")" && pwd)/bin
source=$(mktemp -d)
trap 'rm -rf "$source"' EXIT

# "go install" refuses modules whose go.mod replaces others, which imgproxy's do: so it is fetched, copied and built.
fetch() {
  go mod download -json "github.com/imgproxy/imgproxy/v${1%%.*}@$2" | sed -n 's/^\t"Dir": "\(.*\)",\{0,1\}$/\1/p'
}
cd "$source"
if [ $# -gt 0 ]; then
  module=$(fetch "$1" "v$1")
else
  module=$(fetch 3 latest)
  [ -n "$module" ] || module=$(fetch 2 v2.17.0)
fi
[ -n "$module" ] || { echo "the module proxy gives no imgproxy" >&2; exit 1; }
cp -r "$module" imgproxy
chmod -R u+w imgproxy
mkdir -p "$bin"
cd imgproxy
CGO_ENABLED=1 CGO_LDFLAGS_ALLOW='-s|-w' go build -mod=mod -o "$bin/imgproxy" .
"$bin/imgproxy" version
