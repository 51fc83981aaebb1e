# SPDX-License-Identifier: Apache-2.0
# The appliance as an image: docker build -t hft-fast-path:latest . (or make image, with or without Docker).
# How to run it, its privileges and its drivers: docs/container.md
# Nothing in here needs BuildKit.

FROM debian:bookworm-slim AS build
COPY scripts/deps.sh /src/scripts/deps.sh
RUN /src/scripts/deps.sh build image-build && rm -rf /var/lib/apt/lists/*
COPY . /src
WORKDIR /src
ARG VERSION=
RUN version=${VERSION:-$(git describe --tags --always 2>/dev/null || echo unversioned)} \
    && make -j"$(nproc)" VERSION="$version" install-programs DESTDIR=/out PREFIX=/usr \
    && strip --strip-debug /out/usr/bin/* \
    && cp /usr/bin/dpdk-dumpcap /out/usr/bin/

FROM debian:bookworm-slim
COPY scripts/deps.sh /tmp/deps.sh
RUN /tmp/deps.sh image && rm -rf /tmp/deps.sh /var/lib/apt/lists/* /var/cache/apt/* /var/log/*
COPY --from=build /out/usr/bin/ /usr/bin/
COPY LICENSE /usr/share/doc/fastpath/copyright
COPY config/container.ini /etc/fastpath/fastpath.ini
ENV FAST_PATH_CONFIG=/etc/fastpath/fastpath.ini \
    HTTP_LISTEN=0.0.0.0:8080 \
    JOURNAL_DIR=/var/lib/fastpath/journal \
    NIC0_DEVICE=net_af_packet0,iface=eth0,framecnt=16384
WORKDIR /var/lib/fastpath
VOLUME /var/lib/fastpath
EXPOSE 8080
# ready: ports up, recovery done, ownership known. A long recovery is not an illness
HEALTHCHECK --interval=5s --timeout=3s --start-period=60s --retries=3 \
    CMD curl -fsS -o /dev/null "http://127.0.0.1:${HTTP_LISTEN##*:}/health/ready"
STOPSIGNAL SIGTERM
ENTRYPOINT ["fastpath"]
ARG VERSION=
ARG REVISION=
LABEL org.opencontainers.image.title="hft-fast-path" \
      org.opencontainers.image.description="Fast Path: from the NIC to a journal and to Kafka, every packet accounted for" \
      org.opencontainers.image.licenses="Apache-2.0" \
      org.opencontainers.image.version="$VERSION" \
      org.opencontainers.image.revision="$REVISION"
