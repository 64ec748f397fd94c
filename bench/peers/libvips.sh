#!/bin/sh
# Builds a minimal resizer like imgproxy (Go, libvips, no cache), for machines without imgproxy.
#
# It needs the Go toolchain, a C compiler and libvips: apt-get install -y gcc pkg-config libvips-dev
set -eu
cd "$(dirname "$0")"
mkdir -p bin
go build -o bin/libvips-resizer ./libvips/main.go
