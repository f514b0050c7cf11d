# Every task by one name; `make help` lists them. Each target installs what it lacks (into one cache per user), says what
# it does, and needs no root.

SHELL := /bin/bash
.SHELLFLAGS := -eu -o pipefail -c
.DEFAULT_GOAL := help
MAKEFLAGS += --no-builtin-rules --no-print-directory
.NOTPARALLEL:

CARGO ?= cargo
# CARGO_TARGET_DIR and cargo's own configuration are honoured.
TARGET = $(shell $(CARGO) metadata --format-version 1 --no-deps | sed 's/.*"target_directory":"\([^"]*\)".*/\1/')
# Installs and starts servers; see `cargo run -p xtask -- --help`.
XTASK = $(TARGET)/debug/xtask
# The installed programs, as variables of the environment (NEON_EMULATOR_PG_BIN, KUBECTL, HELM, PSQL, VERSITYGW, CHROMIUM, ...).
WITH_SERVERS = servers=$$($(XTASK) env) && eval "$$servers" &&
# The end-to-end tests by name, and not by crate: a crate alone would be built with fewer features of its dependencies,
# and these compiled once more.
E2E = $(addprefix --test ,$(basename $(notdir $(wildcard tests/tests/*))))
# Set to anything to take the demo down as soon as it has proved itself.
ONCE ?=
# Arguments for the test runner, as in `make test-unit TEST=allowed_ips`.
TEST ?=

.PHONY: help
help: ## List the tasks
	@grep -hE '^[a-z0-9-]+:.*## ' $(MAKEFILE_LIST) | awk -F ':.*## ' '{printf "  \033[1m%-12s\033[0m %s\n", $$1, $$2}'
	@echo
	@echo "  make demo ONCE=1   proves the demo and takes it down: what CI runs"
	@echo "  make test TEST=x   only the tests whose name holds x"
	@echo
	@echo "  Your own servers win over the installed ones: KUBECONFIG (demo), DATABASE_URL, S3_ENDPOINT, REDIS_URL, and programs"
	@echo "  by KUBEBUILDER_ASSETS, KUBECTL, HELM, PSQL, VERSITYGW, REDIS_SERVER, CHROMIUM, LOCAL_MODEL_DIR, BROWSER_MODULES,"
	@echo "  MANUALS_DIR. The first run compiles a Kubernetes API server, which takes about 8 minutes."

.PHONY: demo
demo: programs ## Three tenants on this machine, from nothing to psql, and the chat app's URL; ends with Ctrl-C
	@$(XTASK) demo $(if $(ONCE),--once)

.PHONY: demo-down
demo-down: programs ## Stop a demo that runs elsewhere, and remove what a killed one left
	@$(XTASK) down

.PHONY: test
test: servers ## All tests that fit into half an hour: units, documentation, end to end in their short form
	$(WITH_SERVERS) $(CARGO) test --workspace -- $(TEST)

.PHONY: test-unit
test-unit: servers ## Tests of each crate, with documentation tests
	$(WITH_SERVERS) $(CARGO) test --workspace --exclude tests -- $(TEST)

.PHONY: test-e2e
test-e2e: servers ## End-to-end tests against real servers, in their short form
	$(WITH_SERVERS) $(CARGO) test --workspace $(E2E) -- $(TEST)

.PHONY: test-long
test-long: servers deny ## End-to-end tests in their full form, the corpus of PDFs, an archive of 4 GiB, and the licences of dependencies
	$(WITH_SERVERS) TEST_LONG=1 $(CARGO) test --workspace $(E2E) --test corpus -- --include-ignored $(TEST)
	$(WITH_SERVERS) $(CARGO) test -p app --lib -- --ignored more_than_4_gib

.PHONY: test-live
test-live: servers ## One real project with NEON_API_KEY: made, compared with the emulator's, removed; skipped without the key
	$(WITH_SERVERS) $(CARGO) test -p neon-emulator --test live -- --nocapture

.PHONY: lint
lint: programs ## Formatting, clippy, documentation, chart, Go; nothing is changed
	$(CARGO) fmt --all -- --check
	$(CARGO) clippy --workspace --all-targets -- -D warnings
	RUSTDOCFLAGS="-D warnings" $(CARGO) doc --workspace --no-deps --quiet
	@$(WITH_SERVERS) for chart in charts/*/; do echo "$${chart}tests/run.sh"; env -u KUBECONFIG "$${chart}tests/run.sh"; done
	@$(XTASK) install --only control-plane
	cd tests/control-plane && go vet -mod=readonly -trimpath .
	@if $(CARGO) deny --version >/dev/null 2>&1; then $(CARGO) deny check licenses bans sources; \
	else echo "cargo-deny is not installed: licences and duplicates are checked by make test-long"; fi

.PHONY: deny
deny:
	@$(CARGO) deny --version >/dev/null 2>&1 || { \
		echo "Installing cargo-deny (compiles for some minutes, once)"; $(CARGO) install --locked --quiet cargo-deny; }
	$(CARGO) deny check licenses bans sources

.PHONY: audit
audit: deny ## Known vulnerabilities of dependencies (reads the advisory database from the network)
	$(CARGO) deny check advisories

.PHONY: fmt
fmt: ## Format the sources
	$(CARGO) fmt --all

.PHONY: generate
generate: ## Write what is made from the sources: crds/*.yaml
	$(CARGO) build --quiet --workspace --bin crdgen
	$(TARGET)/debug/crdgen crds charts/tenant-controller/crds

.PHONY: bench
bench: servers ## Measure; writes target/bench/results.json and docs/benchmarks.md
	$(CARGO) build --release --workspace --bin bench --bin tenant-controller --bin neon-emulator --bin chat-app
	$(WITH_SERVERS) $(TARGET)/release/bench

.PHONY: doc
doc: ## The crates' documentation, as HTML
	$(CARGO) doc --workspace --no-deps

# Values of the app's chart for `make kind`: its database, bucket and OpenID provider are yours to name (charts/chat-app/README.md).
CHAT_VALUES ?=

.PHONY: kind
kind: programs ## A cluster in Docker with the charts installed (needs docker and kind; the app with CHAT_VALUES=file)
	@command -v docker >/dev/null || { echo "make kind needs Docker; make demo does not"; exit 1; }
	@command -v kind >/dev/null || { echo "make kind needs kind: go install sigs.k8s.io/kind@latest"; exit 1; }
	kind create cluster --config kind-config.yaml
	docker build --target tenant-controller --tag tenant-controller:dev .
	docker build --target chat-app-local-model --tag chat-app:dev .
	kind load docker-image tenant-controller:dev chat-app:dev --name db-per-tenant
	@$(WITH_SERVERS) "$$HELM" upgrade --install tenant-controller charts/tenant-controller \
		--namespace tenant-system --create-namespace --set image.repository=tenant-controller --set image.tag=dev --wait
	@$(WITH_SERVERS) for name in chat tenants; do "$$KUBECTL" create namespace $$name; done
	@if [ -z "$(CHAT_VALUES)" ]; then \
		echo "The app's image is loaded. Make its Secrets in the namespace chat as charts/chat-app/README.md says, then:"; \
		echo "  helm install chat-app charts/chat-app -n chat --set image.repository=chat-app --set image.tag=dev -f your-values.yaml"; \
	else \
		$(WITH_SERVERS) "$$HELM" upgrade --install chat-app charts/chat-app --namespace chat \
			--set image.repository=chat-app --set image.tag=dev --values "$(CHAT_VALUES)"; \
	fi

.PHONY: clean
clean: demo-down ## Remove the build and what dead runs left; the installed servers stay
	$(CARGO) clean

# --- what the tasks above lack ---

# The programs that the demo and the tests run; cargo's own words show the progress of a first build.
.PHONY: programs
programs:
	$(CARGO) build -p xtask -p controller -p neon-emulator -p app

.PHONY: servers
servers: programs
	@$(XTASK) install
