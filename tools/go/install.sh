#!/usr/bin/env bash
# Builds a program with the Go toolchain, for tests and checks. It goes into the folder .tools, which `npm ci`
# leaves alone. A second run does nothing. Go checks each module against its checksum database.
#
# Usage: tools/go/install.sh PACKAGE VERSION TOOLCHAIN
#   The file is .tools/NAME-VERSION, where NAME is the end of PACKAGE. TOOLCHAIN: the Go that it needs.
set -euo pipefail
cd "$(dirname "$0")/../.."

package=$1 version=$2 toolchain=$3
name=${package##*/}
folder=$PWD/.tools
[ -x "$folder/$name-$version" ] && exit

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
GOBIN=$build "$go" install -ldflags='-s -w' "$package@$version"
mkdir -p "$folder"
mv "$name" "$folder/$name-$version"
