#!/usr/bin/env bash
# Builds versitygw, the S3 server of the tests, with the Go toolchain. It goes into the folder .tools, where
# the tests look for it. `npm ci` does not remove it there. A second run does nothing.
#
# Usage: tools/s3/install.sh
set -euo pipefail
cd "$(dirname "$0")/../.."

version=v1.8.0
# The Go that versitygw needs. Its module is checked against Go's checksum database, like every other.
toolchain=go1.25.5
folder=$PWD/.tools
[ -x "$folder/versitygw-$version" ] && exit

build=$(mktemp -d)
trap 'rm -rf "$build"' EXIT
cd "$build"

go=$(command -v go || echo /usr/local/go/bin/go)
export GOTOOLCHAIN=auto GOFLAGS=-mod=mod CGO_ENABLED=0
read -r major minor < <("$go" env GOVERSION | sed -E 's/^go([0-9]+)\.([0-9]+).*/\1 \2/')
if [ "$major" -eq 1 ] && [ "$minor" -lt 21 ]; then
  # Debian 12 has Go 1.19, which does not fetch a newer toolchain by itself.
  module=golang.org/toolchain@v0.0.1-$toolchain.$("$go" env GOOS)-$("$go" env GOARCH)
  root=$("$go" mod download -json "$module" | sed -n 's/^\t"Dir": "\(.*\)",$/\1/p')
  chmod -R u+wx "$root/bin" "$root/pkg/tool"
  go=$root/bin/go
  export GOTOOLCHAIN=local
fi
GOBIN=$build "$go" install -ldflags='-s -w' "github.com/versity/versitygw/cmd/versitygw@$version"
mkdir -p "$folder"
mv versitygw "$folder/versitygw-$version"
