#!/usr/bin/env bash
# Builds versitygw, the S3 server of the tests. A second run does nothing.
#
# Usage: tools/s3/install.sh
set -euo pipefail
exec "$(dirname "$0")/../go/install.sh" github.com/versity/versitygw/cmd/versitygw v1.8.0 go1.25.5
