# The container of bedrock-tap: the program, the libraries it loads, the certificates it trusts, and nothing else.
#
#   docker build -t bedrock-tap .
#
# One file for amd64 and arm64. Each is built on its own kind of machine (a builder per platform, joined by
# `docker buildx build --platform linux/amd64,linux/arm64`): an emulated build works, but linking with LTO takes hours.

# The compiler on Debian. Another image with cargo, a C compiler and Debian's package data does as well, such as a mirror's.
ARG RUST_IMAGE=rust:1.95-slim-bookworm

FROM ${RUST_IMAGE} AS build
WORKDIR /build

# The dependencies alone, with empty sources in the place of ours: this layer is built again only when the manifest or
# the lock file changes. Every target that the manifest names must exist.
COPY Cargo.toml Cargo.lock ./
ARG PROFILE=dist
RUN set -eux; \
    mkdir -p src tests benches; \
    touch src/lib.rs tests/integration.rs; \
    sed -n '/^\[\[bench\]\]/{n;s/name = "\(.*\)"/benches\/\1.rs/p}' Cargo.toml | xargs touch; \
    echo 'fn main() {}' | tee build.rs > src/main.rs; \
    cargo build --profile "$PROFILE" --no-default-features --locked --bin bedrock-tap; \
    rm src/*.rs build.rs

# The program. Files keep their times when they are copied, and those may be older than what the layer above has built
# from empty sources: they are made new, or cargo would take the empty program for this one.
# There is no repository in here to ask for the commit.
ARG REVISION=unknown
COPY build.rs ./
COPY src ./src
COPY config/rules ./config/rules
RUN set -eux; \
    find build.rs src config -type f -exec touch {} +; \
    export BEDROCK_TAP_COMMIT="$REVISION"; \
    cargo build --profile "$PROFILE" --no-default-features --locked --bin bedrock-tap; \
    case "$PROFILE" in dev) built=debug;; *) built="$PROFILE";; esac; \
    mv "target/$built/bedrock-tap" program; \
    test -n "$(./program --version)"

# The final file system. It begins empty rather than with a distribution's smallest image: the program needs the C
# library, the compiler's runtime and the certificates, so that is what there is to patch. A static program would need
# less, but its C library's allocator is much slower with many threads. No shell, no package manager; what Debian's
# packages say of themselves is kept, so that scanners know what they look at.
COPY LICENSE deploy/container.toml ./
RUN set -eux; \
    root=/rootfs; \
    install -D -m 0755 program "$root/usr/local/bin/bedrock-tap"; \
    install -D -m 0644 container.toml "$root/etc/bedrock-tap/config.toml"; \
    install -D -m 0644 LICENSE "$root/usr/share/doc/bedrock-tap/LICENSE"; \
    install -D -m 0644 src/enrich/cost/LICENSE-litellm "$root/usr/share/doc/bedrock-tap/LICENSE-litellm"; \
    libraries="$(ldd program)"; \
    for library in $libraries; do \
        case "$library" in /*) install -D -m 0755 "$(readlink -f "$library")" "$root$library";; esac; \
    done; \
    install -D -m 0644 /etc/ssl/certs/ca-certificates.crt "$root/etc/ssl/certs/ca-certificates.crt"; \
    install -D -m 0644 /etc/os-release "$root/etc/os-release"; \
    mkdir -p "$root/var/lib/dpkg/status.d"; \
    for package in libc6 libgcc-s1 ca-certificates; do \
        dpkg-query --status "$package" > "$root/var/lib/dpkg/status.d/$package"; \
        install -D -m 0644 "/usr/share/doc/$package/copyright" "$root/usr/share/doc/$package/copyright"; \
    done; \
    echo 'bedrock-tap:x:65532:65532:bedrock-tap:/var/lib/bedrock-tap:/nonexistent' > "$root/etc/passwd"; \
    echo 'bedrock-tap:x:65532:' > "$root/etc/group"; \
    echo 'hosts: files dns' > "$root/etc/nsswitch.conf"; \
    install -d -m 0700 -o 65532 -g 65532 "$root/var/lib/bedrock-tap"; \
    test -n "$(chroot "$root" /usr/local/bin/bedrock-tap --version)"

FROM scratch
COPY --from=build /rootfs/ /

ARG VERSION=0.1.0
ARG REVISION=unknown
ARG CREATED=unknown
LABEL org.opencontainers.image.title="bedrock-tap" \
      org.opencontainers.image.description="Reads Amazon Bedrock model invocation logs from Kinesis and delivers them without losing one" \
      org.opencontainers.image.licenses="Apache-2.0" \
      org.opencontainers.image.version="${VERSION}" \
      org.opencontainers.image.revision="${REVISION}" \
      org.opencontainers.image.created="${CREATED}"

# By number, so that an orchestrator can tell that it is not root.
USER 65532:65532

# Metrics, health and status are answered to whoever reaches the port; publish it to nobody else. The health check needs no
# other program: there is none.
ENV BEDROCK_TAP__HTTP__LISTEN=0.0.0.0:9464
EXPOSE 9464
HEALTHCHECK --interval=30s --timeout=5s --start-period=10s CMD ["/usr/local/bin/bedrock-tap", "health"]

# The only place that is written to: positions, and rejects if no other place is configured. The root file system may be
# read-only. A volume that is not named is lost with the container, so name one.
VOLUME ["/var/lib/bedrock-tap"]

# SIGTERM drains: nothing more is read, and what was read is delivered and committed. It takes 25 seconds at most unless
# `drain_timeout` says otherwise; leave the container longer than that before it is killed.
STOPSIGNAL SIGTERM

ENTRYPOINT ["/usr/local/bin/bedrock-tap"]
CMD ["run", "--config", "/etc/bedrock-tap/config.toml"]
