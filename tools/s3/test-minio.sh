#!/usr/bin/env bash
# Runs the tests of S3 against MinIO instead of versitygw. Builds MinIO with Go, which takes minutes the first
# time, into the folder .tools.
#
# Usage: tools/s3/test-minio.sh
set -euo pipefail
cd "$(dirname "$0")/../.."

folder=$PWD/.tools
if [ ! -x "$folder/minio" ]; then
  go=$(command -v go || echo /usr/local/go/bin/go)
  GOBIN=$folder CGO_ENABLED=0 GOFLAGS=-mod=mod "$go" install -ldflags='-s -w' github.com/minio/minio@v0.0.0-20260212201848-7aac2a2c5b7c
fi
cd packages/server
export PATH=$PWD/../../node_modules/node/bin:$PATH TEST_S3_SERVER=minio
node --conditions=vitrine-source --test --test-timeout=180000 \
  test/blobs/s3.test.ts test/blobs/s3-outage.test.ts test/blobs/s3-server.test.ts
