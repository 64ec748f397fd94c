#!/bin/sh
# Builds the smallest possible resizer in imgproxy's manner (Go, libvips, no cache), for machines where imgproxy
# itself cannot be had. Needs the Go toolchain, a C compiler and libvips:
#   apt-get install -y gcc pkg-config libvips-dev
set -eu
cd "$(dirname "$0")"
mkdir -p bin
go build -o bin/libvips-resizer ./libvips/main.go
