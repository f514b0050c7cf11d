# syntax=docker/dockerfile:1
# The controller's image: one program, no shell, no package manager, not root.
#
#   docker build --tag tenant-controller:dev .

# As in rust-toolchain.toml.
ARG RUST_VERSION=1.95.0

FROM rust:${RUST_VERSION}-slim-bookworm AS build
WORKDIR /src
COPY . .
# Registry and target folder outlive the layer, so that a change compiles only what it touches. The program is copied out,
# because a cache is not part of the image. --locked: exactly the versions that were tested.
RUN --mount=type=cache,target=/usr/local/cargo/registry,sharing=locked \
    --mount=type=cache,target=/src/target,sharing=locked \
    cargo build --release --locked -p tenant-controller --bin tenant-controller \
    && cp target/release/tenant-controller /tenant-controller

# glibc, libgcc and the public certificate authorities; the program needs nothing else. The Debian release is that of the
# build stage: a program must not meet an older glibc than the one it was linked with.
FROM gcr.io/distroless/cc-debian12:nonroot
LABEL org.opencontainers.image.title="tenant-controller" \
      org.opencontainers.image.description="Gives every Tenant a Postgres database of its own on Neon" \
      org.opencontainers.image.source="https://github.com/db-per-tenant/db-per-tenant" \
      org.opencontainers.image.licenses="Apache-2.0"
COPY --from=build /tenant-controller /usr/local/bin/tenant-controller
# By number: the kubelet can only tell that a user is not root if it is one.
USER 65532:65532
EXPOSE 8080
ENTRYPOINT ["/usr/local/bin/tenant-controller"]
