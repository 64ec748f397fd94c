#!/usr/bin/env bash
# Runs the linters of all files for deployment: Dockerfile, compose, chart, units, nginx, HAProxy and Varnish.
# The linters are pinned, and go into .tools. Needs python3-venv, systemd, nginx, haproxy, varnish and
# varnish-modules. Helm is built with Go, which takes minutes of CPU once.
#
# Usage: npm run check:deploy [-- --quick]
#   --quick: without the chart, so without Helm
set -euo pipefail
cd "$(dirname "$0")/../.."
export PATH=$PATH:/usr/sbin
quick=no
[ "${1:-}" != --quick ] || quick=yes

requirements=tools/deploy/requirements.txt
python=$PWD/.tools/deploy-$(sha256sum "$requirements" | cut -c1-12)
if [ ! -e "$python/complete" ]; then
  python3 -m venv --clear "$python"
  "$python/bin/pip" install --quiet --require-hashes --only-binary=:all: -r "$requirements"
  touch "$python/complete"
fi
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT

check() {
  echo "deploy: $1"
  shift
  "$@" >"$folder/output" 2>&1 || { cat "$folder/output" >&2; exit 1; }
}

check Dockerfile "$python/bin/hadolint" Dockerfile
check compose "$python/bin/check-jsonschema" --builtin-schema vendor.compose-spec ops/compose/compose.yaml

# The units name the Node of a machine, which may be elsewhere here.
mkdir "$folder/units"
for unit in vitrine.service vitrine-gc.service vitrine-gc.timer; do
  sed "s#^ExecStart=/usr/bin/node#ExecStart=$(command -v node)#" "ops/systemd/$unit" >"$folder/units/$unit"
done
check systemd systemd-analyze verify "$folder"/units/*
# 1.4 of 10, where 0 is the tightest sandbox.
check 'the sandbox of systemd' systemd-analyze security --offline=yes --threshold=14 \
  "$folder/units/vitrine.service"

# The names of nodes cannot be resolved here.
sed -E 's/\bnode[0-9]:4100\b/127.0.0.1:4100/' ops/haproxy/haproxy.cfg >"$folder/haproxy.cfg"
check HAProxy haproxy -c -f "$folder/haproxy.cfg"
sed -E "s/\bnode[0-9]:4100\b/127.0.0.1:4100/; s#/var/cache/nginx#$folder#" ops/nginx/vitrine.conf \
  >"$folder/vitrine.conf"
printf 'pid %s;\nerror_log stderr;\nevents {}\nhttp { access_log off; include %s; }\n' \
  "$folder/pid" "$folder/vitrine.conf" >"$folder/nginx.conf"
check nginx nginx -t -p "$folder" -c "$folder/nginx.conf"
sed -E 's/\.host = "node[0-9]"/.host = "127.0.0.1"/' ops/varnish/vitrine.vcl >"$folder/vitrine.vcl"
check Varnish varnishd -C -j none -n "$folder/varnish" -f "$folder/vitrine.vcl"

[ "$quick" = no ] || exit 0

version=v3.22.0
tools/go/install.sh helm.sh/helm/v3/cmd/helm "$version" go1.26.0
helm=$PWD/.tools/helm-$version
chart=ops/helm/vitrine
# The newest version that kubernetes-validate knows.
render() { "$helm" template demo "$chart" --namespace pictures --kube-version 1.37.0 "$@"; }
for values in "$chart"/ci/*-values.yaml; do
  name=$(basename "$values" -values.yaml)
  check "chart, $name: helm lint" "$helm" lint --strict "$chart" --values "$values"
  check "chart, $name: helm template" render --values "$values" --output-dir "$folder/$name"
  # Other parties define this one, so there is no schema.
  rm -f "$folder/$name/vitrine/templates/servicemonitor.yaml"
  check "chart, $name: Kubernetes" "$python/bin/kubernetes-validate" --strict \
    "$folder/$name"/vitrine/templates/*.yaml
  [ -e "$folder/$name/vitrine/templates/router.yaml" ] || continue
  "$python/bin/python" - "$folder/$name/vitrine/templates/router.yaml" "$folder/router.cfg" <<'PYTHON'
import sys, yaml
maps = [each for each in yaml.safe_load_all(open(sys.argv[1])) if each["kind"] == "ConfigMap"]
open(sys.argv[2], "w").write(maps[0]["data"]["haproxy.cfg"])
PYTHON
  check "chart, $name: HAProxy" haproxy -c -f "$folder/router.cfg"
done
# What the schema of the values must refuse.
for wrong in existingSecret= publicURL=images.example.com blobs=file:/data replicas=0 unknown=1; do
  if render --values "$chart/ci/default-values.yaml" --set "$wrong" >/dev/null 2>&1; then
    echo "deploy: the chart accepts $wrong" >&2
    exit 1
  fi
done
