# The same steps as scripts/setup and scripts/build, so that the image cannot drift from them.
FROM debian:bookworm-slim AS build
WORKDIR /src
COPY package.json package-lock.json ./
COPY scripts scripts
RUN scripts/setup --run
COPY . .
RUN scripts/build release

FROM debian:bookworm-slim
RUN apt-get update \
 && apt-get install -y --no-install-recommends ca-certificates curl tzdata libluajit-5.1-2 libuv1 libh2o0.13 libwslay1 \
    libsqlite3-0 libpq5 libhiredis0.14 librdkafka1 libcurl4 libssl3 libsodium23 \
 && rm -rf /var/lib/apt/lists/* \
 && useradd --system --uid 10001 --home-dir /var/lib/maru --create-home maru
COPY --from=build /src/build/release/maru /opt/maru/build/release/maru
COPY --from=build /src/build/lib /opt/maru/build/lib
COPY --from=build /src/build/public /opt/maru/build/public
COPY --from=build /src/public /opt/maru/public
COPY --from=build /src/plugins /opt/maru/plugins
COPY --from=build /src/etc /opt/maru/etc
USER maru
WORKDIR /opt/maru
ENV MARU_STATE_DIR=/var/lib/maru/state MARU_HTTP_LISTEN=0.0.0.0:8080 MARU_HTTPS_LISTEN=0.0.0.0:8443
VOLUME /var/lib/maru
EXPOSE 8080 8443
HEALTHCHECK --interval=10s --timeout=3s CMD curl -fsS --unix-socket "$MARU_STATE_DIR/admin.sock" http://maru/healthz || exit 1
ENTRYPOINT ["/opt/maru/build/release/maru", "serve"]
