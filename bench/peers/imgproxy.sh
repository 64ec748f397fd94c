#!/bin/sh
# Builds imgproxy, a peer of the bench, into bench/peers/bin.
#
# It needs the Go toolchain, a C compiler and libvips: apt-get install -y gcc pkg-config libvips-dev
#
# Run the bench with it: IMGPROXY=$PWD/bench/peers/bin/imgproxy npm run bench
#
# The optional argument is a version: bench/peers/imgproxy.sh 3.30.1
#
# Without it the script builds the newest version 3 of the Go module proxy, or 2.17.0 if the proxy has none.
# The rows of the bench show the version.
set -eu
bin=$(cd "$(dirname "$0")" && pwd)/bin
source=$(mktemp -d)
trap 'rm -rf "$source"' EXIT

# "go install" rejects modules with replace directives, and imgproxy has some.
# So the script downloads, copies and builds the module.
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
[ -n "$module" ] || { echo "the Go module proxy has no such version of imgproxy" >&2; exit 1; }
cp -r "$module" imgproxy
chmod -R u+w imgproxy
mkdir -p "$bin"
cd imgproxy
CGO_ENABLED=1 CGO_LDFLAGS_ALLOW='-s|-w' go build -mod=mod -o "$bin/imgproxy" .
"$bin/imgproxy" version
