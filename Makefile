# The tasks of this project; `make help` lists them. Each target installs what it lacks into one
# cache per user, and needs no root.

SHELL := /bin/bash
.SHELLFLAGS := -eu -o pipefail -c
.DEFAULT_GOAL := help
MAKEFLAGS += --no-builtin-rules --no-print-directory
.NOTPARALLEL:

CARGO ?= cargo
# Respects CARGO_TARGET_DIR and cargo's configuration.
TARGET = $(shell $(CARGO) metadata --format-version 1 --no-deps | sed 's/.*"target_directory":"\([^"]*\)".*/\1/')
# Installs servers; see `cargo run -p xtask -- --help`.
XTASK = $(TARGET)/debug/xtask
DEMO = $(TARGET)/debug/demo
CACHE = $(or $(XDG_CACHE_HOME),$(HOME)/.cache)/db-per-tenant
# Exports the paths of the installed programs (NEON_EMULATOR_PG_BIN, KUBECTL, HELM, PSQL, VERSITYGW,
# CHROMIUM, ...).
WITH_SERVERS = servers=$$($(XTASK) env) && eval "$$servers" &&
# Selects the end-to-end tests by name in the whole workspace. With `-p tests`, cargo would enable
# fewer features of the dependencies and compile them again.
E2E = $(addprefix --test ,$(basename $(notdir $(wildcard tests/tests/*))))
# Set ONCE to test the demo and stop it.
ONCE ?=
# Arguments for `make retrieval`, such as `--tuning`.
RETRIEVAL ?=
# Arguments for the test runner, such as `make test-unit TEST=allowed_ips`.
TEST ?=
CARGO_SHEAR_VERSION = 1.11.0
CARGO_SHEAR = $(CACHE)/cargo-shear-$(CARGO_SHEAR_VERSION)/bin/cargo-shear

.PHONY: help
help: ## List the tasks
	@grep -hE '^[a-z0-9-]+:.*## ' $(MAKEFILE_LIST) | awk -F ':.*## ' '{printf "  \033[1m%-12s\033[0m %s\n", $$1, $$2}'
	@echo
	@echo "  make demo ONCE=1   test the demo and stop it, as CI does"
	@echo "  make test TEST=x   run only the tests whose names contain x"
	@echo
	@echo "  Your own servers take precedence over installed ones: KUBECONFIG (for the demo), DATABASE_URL, S3_ENDPOINT, REDIS_URL,"
	@echo "  and programs from KUBEBUILDER_ASSETS or setup-envtest, KUBECTL, HELM, PSQL, VERSITYGW, REDIS_SERVER, CHROMIUM,"
	@echo "  LOCAL_MODEL_DIR, BROWSER_MODULES, MANUALS_DIR. Without etcd and kube-apiserver, the first run compiles them, which"
	@echo "  takes about 9 minutes on 2 cores."

.PHONY: demo
demo: xtask ## Create three Tenants, open their databases with psql, and start the chat app; stop it with Ctrl-C
	@CARGO=$(CARGO) $(XTASK) demo-setup
	@$(DEMO) run $(if $(ONCE),--once)

.PHONY: demo-rollout
demo-rollout: xtask ## Roll schemas out to 30 Tenants: a good change, one that the canary stops, and its correction
	@CARGO=$(CARGO) $(XTASK) demo-setup
	@$(DEMO) rollout $(if $(ONCE),--once)

.PHONY: demo-down
demo-down: ## Stop a running demo, and remove what a killed one left
	@$(CARGO) build --quiet -p demo
	@$(DEMO) down

.PHONY: test
test: servers ## Run all tests in half an hour: unit, documentation and short end-to-end tests
	$(WITH_SERVERS) $(CARGO) test --workspace --no-fail-fast -- $(TEST)

.PHONY: test-unit
test-unit: servers ## Run the tests of each crate, including documentation tests
	$(WITH_SERVERS) $(CARGO) test --workspace --exclude tests -- $(TEST)

.PHONY: test-e2e
test-e2e: servers ## Run the short end-to-end tests on real servers
	$(WITH_SERVERS) $(CARGO) test --workspace $(E2E) -- $(TEST)

.PHONY: test-long
test-long: servers deny ## Run the long end-to-end tests, also on the Free plan and with Neon's latencies, long simulations, the PDF corpus and a 4 GiB archive, and check licenses
	$(WITH_SERVERS) TEST_LONG=1 $(CARGO) test --workspace $(E2E) --test corpus --test convergence -- --include-ignored $(TEST)
	$(WITH_SERVERS) TEST_LONG=1 $(CARGO) test --workspace --lib -- rollout::tests::simulation
	$(WITH_SERVERS) EMULATED_PLAN=free $(CARGO) test --workspace $(E2E) -- $(TEST)
	$(WITH_SERVERS) EMULATED_LATENCY=neon $(CARGO) test --workspace $(E2E) -- $(TEST)
	$(WITH_SERVERS) $(CARGO) test -p app --lib -- --ignored more_than_4_gib

.PHONY: test-live
test-live: servers ## Check assumptions about Neon on real projects (NEON_API_KEY), see target/live/report.md; skipped without the key
	$(WITH_SERVERS) $(CARGO) test -p neon-emulator --test live -- --nocapture

.PHONY: lint
lint: programs $(CARGO_SHEAR) ## Check formatting, clippy, unused dependencies, documentation, charts and Go; changes nothing
	$(CARGO) fmt --all -- --check
	$(CARGO) clippy --workspace --all-targets -- -D warnings
	RUSTDOCFLAGS="-D warnings" $(CARGO) doc --workspace --no-deps --quiet
	$(CARGO_SHEAR)
	@$(WITH_SERVERS) for chart in charts/*/; do echo "$${chart}tests/run.sh"; env -u KUBECONFIG "$${chart}tests/run.sh"; done
	@$(XTASK) install --only control-plane
	cd tests/control-plane && go vet -mod=readonly -trimpath . && go vet -mod=readonly -trimpath -tags=controller_manager_only .
	cd tests/gitops && go vet -mod=readonly ./... && go test -mod=readonly ./...
	@if $(CARGO) deny --version >/dev/null 2>&1; then $(CARGO) deny check licenses bans sources; \
	else echo "cargo-deny is not installed: make test-long checks licenses and duplicate dependencies"; fi

$(CARGO_SHEAR):
	@echo "Installing cargo-shear $(CARGO_SHEAR_VERSION) (once; compiles for a few minutes)"
	$(CARGO) install --locked --quiet --version $(CARGO_SHEAR_VERSION) --root $(CACHE)/cargo-shear-$(CARGO_SHEAR_VERSION) cargo-shear

.PHONY: deny
deny:
	@$(CARGO) deny --version >/dev/null 2>&1 || { \
		echo "Installing cargo-deny (once; compiles for a few minutes)"; $(CARGO) install --locked --quiet cargo-deny; }
	$(CARGO) deny check licenses bans sources

.PHONY: audit
audit: deny ## Check dependencies for known vulnerabilities; downloads the advisory database
	$(CARGO) deny check advisories

.PHONY: fmt
fmt: ## Format the sources
	$(CARGO) fmt --all

.PHONY: generate
generate: ## Write the files generated from the sources: the CRDs, the schema of the charts' `config` value, and states for GitOps tests
	$(CARGO) build --quiet --workspace --bin crdgen
	$(TARGET)/debug/crdgen crds charts/tenant-controller/crds
	UPDATE_CHART_SCHEMAS=1 $(CARGO) test --quiet --workspace --lib the_charts_schema
	mkdir -p tests/gitops/testdata
	UPDATE_GITOPS_STATES=1 $(CARGO) test --quiet --workspace --lib the_states_for_the_tests_of_gitops_tools

.PHONY: bench
bench: servers ## Run the benchmarks; writes target/bench/results.json and docs/benchmarks.md
	$(CARGO) build --release --workspace --bin bench --bin tenant-controller --bin neon-emulator --bin chat-app
	$(WITH_SERVERS) $(TARGET)/release/bench

.PHONY: retrieval
retrieval: servers ## Measure how often questions find the page that answers them; writes docs/retrieval.md
	$(CARGO) build --workspace --bin retrieval
	$(WITH_SERVERS) $(TARGET)/debug/retrieval $(or $(RETRIEVAL),--large)

.PHONY: doc
doc: ## Generate the crates' documentation as HTML
	$(CARGO) doc --workspace --no-deps

# Values of the app's chart for `make kind`, with your database, bucket and OpenID provider
# (charts/chat-app/README.md).
CHAT_VALUES ?=

.PHONY: kind
kind: programs ## Create a cluster in Docker and install the charts; needs docker and kind, and CHAT_VALUES=file for the app
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
		echo "The app's image is loaded. Create its Secrets in the namespace chat (see charts/chat-app/README.md), then run:"; \
		echo "  helm install chat-app charts/chat-app -n chat --set image.repository=chat-app --set image.tag=dev -f your-values.yaml"; \
	else \
		$(WITH_SERVERS) "$$HELM" upgrade --install chat-app charts/chat-app --namespace chat \
			--set image.repository=chat-app --set image.tag=dev --values "$(CHAT_VALUES)"; \
	fi

.PHONY: clean
clean: demo-down ## Remove the build and what killed runs left; keeps the installed servers
	$(CARGO) clean

# --- prerequisites of the tasks above ---

# Installs servers while the other programs compile, so it is built first; it has few dependencies.
.PHONY: xtask
xtask:
	@$(CARGO) build --quiet -p xtask

# The programs that the tests start.
.PHONY: programs
programs: xtask
	$(CARGO) build -p controller -p neon-emulator -p app

.PHONY: servers
servers: programs
	@$(XTASK) install
