# The server and the `vitrine` command, as user 10001, on a root file system that may be read-only.
#
#   docker build -t vitrine .
#   docker run --read-only --cap-drop ALL -p 4100:4100 -v vitrine:/data vitrine
#   docker run --rm -v vitrine:/data vitrine doctor
#
# Only /data is written. docs/deploying.md has the settings.

# Any image with Node 24, npm and apt. Both images must have the same C library, glibc.
ARG BUILD_IMAGE=docker.io/library/node:24.21.0-bookworm-slim
# Any image with glibc and libstdc++. This one has no shell and no package manager.
ARG RUN_IMAGE=gcr.io/distroless/cc-debian12:latest

FROM ${BUILD_IMAGE} AS build
# hadolint ignore=DL3008
RUN apt-get update \
 && apt-get install --yes --no-install-recommends binutils \
 && rm -rf /var/lib/apt/lists/*

WORKDIR /source
COPY package.json package-lock.json .npmrc ./
COPY packages/client/package.json packages/client/
COPY packages/dashboard/package.json packages/dashboard/
COPY packages/server/package.json packages/server/
# The packages that the server needs, in the versions of the lockfile.
RUN npm ci --omit=dev --ignore-scripts && mkdir /app && mv node_modules /app/ \
 && if [ -d packages/server/node_modules ]; then mv packages/server/node_modules /server-modules; \
    else mkdir /server-modules; fi
# The packages that the build needs.
RUN npm ci --ignore-scripts
COPY . .
# Packs the three packages, and puts them where npm would install them.
RUN mkdir /packed && npm pack --workspaces --pack-destination /packed \
 && rm -rf /app/node_modules/@vitrine /app/node_modules/.bin /app/node_modules/@img/sharp-wasm32 \
      /app/node_modules/@emnapi \
 && for name in client dashboard server; do \
      mkdir -p "/app/node_modules/@vitrine/$name" \
      && tar -xzf "/packed/vitrine-$name"-*.tgz -C "/app/node_modules/@vitrine/$name" --strip-components=1 \
      || exit 1; \
    done \
 && mv /server-modules /app/node_modules/@vitrine/server/node_modules
# No program reads types, maps and documents. Licences stay.
RUN find /app/node_modules -type d \( -name dist-types -o -name '.github' -o -name test -o -name tests \) \
      -prune -exec rm -rf {} + \
 && find /app/node_modules -type f \( -name '*.d.ts' -o -name '*.d.mts' -o -name '*.d.cts' -o -name '*.map' \
      -o -name '*.ts' -o -iname 'readme*' -o -iname 'changelog*' -o -name '*.tsbuildinfo' \) -delete \
 && mkdir -p /root-files/usr/local/bin /root-files/opt /root-files/data \
 && strip -o /root-files/usr/local/bin/node "$(command -v node)" \
 && mv /app /root-files/opt/vitrine \
 && cp ops/docker/health.mjs /root-files/opt/vitrine/ \
 && ln -s /opt/vitrine/node_modules/@vitrine/server/vitrine.mjs /root-files/usr/local/bin/vitrine \
 && chown 10001:10001 /root-files/data

FROM ${RUN_IMAGE}
LABEL org.opencontainers.image.title="Vitrine" \
      org.opencontainers.image.description="An image library server" \
      org.opencontainers.image.licenses="Apache-2.0"
COPY --from=build /root-files/ /
# A volume at /data gets the owner of this folder. There is no VOLUME: it would hide a forgotten mount.
COPY --from=build --chown=10001:10001 /root-files/data /data
# glibc with two arenas needed the least memory: docs/adr/0065 has the figures.
ENV MALLOC_ARENA_MAX=2 \
    NODE_OPTIONS=--max-semi-space-size=8 \
    VITRINE_HOST=0.0.0.0 \
    VITRINE_PORT=4100 \
    VITRINE_DATA=/data
USER 10001:10001
WORKDIR /data
EXPOSE 4100
STOPSIGNAL SIGTERM
# Alive, not ready: a restart repairs no database.
HEALTHCHECK --interval=10s --timeout=5s --start-period=30s --retries=3 \
    CMD ["/usr/local/bin/node", "/opt/vitrine/health.mjs"]
ENTRYPOINT ["/usr/local/bin/node", "/usr/local/bin/vitrine"]
CMD ["serve"]
