#!/usr/bin/env bash
# Builds versitygw, the S3 server of the tests, with the Go toolchain. It goes into node_modules/.cache, where
# the tests look for it. A second run does nothing. `npm ci` removes it.
#
# Usage: tools/s3/install.sh
set -euo pipefail
cd "$(dirname "$0")/../.."

version=v1.8.0
folder=$PWD/node_modules/.cache/vitrine-tools
[ -x "$folder/versitygw-$version" ] && exit

go=$(command -v go || echo /usr/local/go/bin/go)
build=$(mktemp -d)
trap 'rm -rf "$build"' EXIT
# The newer toolchain that the module asks for comes as a module too.
GOBIN=$build GOTOOLCHAIN=auto GOFLAGS=-mod=mod CGO_ENABLED=0 \
  "$go" install -ldflags='-s -w' "github.com/versity/versitygw/cmd/versitygw@$version"
mkdir -p "$folder"
mv "$build/versitygw" "$folder/versitygw-$version"
