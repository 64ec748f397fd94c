#!/bin/sh
# Builds imgproxy, a peer of the bench, into bench/peers/bin. Needs the Go toolchain, a C compiler and libvips:
#   apt-get install -y gcc pkg-config libvips-dev
# Then: IMGPROXY=$PWD/bench/peers/bin/imgproxy npm run bench
set -eu
version=${1:-latest}
bin=$(cd "$(dirname "$0")" && pwd)/bin
mkdir -p "$bin"
CGO_ENABLED=1 CGO_LDFLAGS_ALLOW='-s|-w' GOBIN="$bin" go install "github.com/imgproxy/imgproxy/v3@$version"
