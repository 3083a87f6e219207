# Gatehouse: every command a person runs. `make` alone lists them.
SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help
MAKEFLAGS += --no-print-directory

# Slow products live outside the clone, so that a second run and a second clone are fast. Cargo keeps its own account
# of what is stale, so its folder is keyed by the toolchain; the Kubernetes kit is keyed by its go.sum (e2e/platform).
export GATEHOUSE_CACHE ?= $(HOME)/.cache/gatehouse
TOOLCHAIN := $(shell sed -n 's/^channel = "\(.*\)"/\1/p' rust-toolchain.toml)
export CARGO_TARGET_DIR ?= $(GATEHOUSE_CACHE)/target-$(TOOLCHAIN)
BIN := $(CARGO_TARGET_DIR)/debug
FOLLOW := $(shell ./hack/clone "$(CARGO_TARGET_DIR)")
VENV := $(GATEHOUSE_CACHE)/venv-$(shell sha256sum e2e/awsim/conformance/requirements.txt | cut -c1-12)

.PHONY: help
help: ## List these targets
	@awk 'BEGIN {FS = ":.*## "} /^[a-z-]+:.*## / {printf "  make %-10s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

.PHONY: demo
demo: needs-root build ## Show the whole job on real parts; ONCE=1 ends after the last fact
	@$(BIN)/demo

.PHONY: test
test: needs-root build ## Every test but the slow and rare: units, AWS conformance, cluster, wire faults, demo
	@./hack/step "unit tests, fault matrix, real nginx"  cargo test --workspace --quiet
	@./hack/step "charts, kustomize, health, alerts"     ./hack/charts test
	@./hack/step "a sample for each feature"             ./hack/samples $(BIN)/gatehouse
	@./hack/step "charts on a real API server"           ./hack/charts apply $(BIN)/platform
	@./hack/step "AWS simulator against boto3"           $(MAKE) conformance
	@./hack/step "local platform, real kubelet"          env GATEHOUSE_PLATFORM=1 cargo test --workspace --quiet --test real -- --test-threads=1
	@./hack/step "operator on the wire, faults, kills"   env GATEHOUSE_PLATFORM=1 cargo test --workspace --quiet --test operator -- --test-threads=1
	@./hack/step "commands of the platform team"         env GATEHOUSE_PLATFORM=1 cargo test --workspace --quiet --test commands -- --test-threads=1
	@./hack/step "admission on a real API server"        env GATEHOUSE_PLATFORM=1 cargo test --workspace --quiet --test admission -- --test-threads=1
	@./hack/step "real edges, rolled under load"         env GATEHOUSE_PLATFORM=1 cargo test --workspace --quiet --test edges
	@./hack/step "external-dns beside us"                env GATEHOUSE_PLATFORM=1 cargo test --workspace --quiet --test external_dns
	@./hack/step "the demo, once"                        env ONCE=1 DEMO_NAME=test $(BIN)/demo

.PHONY: test-long
test-long: test ## Also what is slow and rare: pairs of faults, 10,000 histories, the exhaustive search further
	@./hack/step "pairs of faults" env GATEHOUSE_LONG=1 cargo test --workspace --quiet --test converge -- pairs --nocapture
	@./hack/step "every order of a few calls" env GATEHOUSE_LONG=1 cargo test --quiet -p gatehouse-core --test exhaustive -- --nocapture
	@./hack/step "10,000 histories" env HISTORIES=10000 FROM=100000 cargo test --quiet -p gatehouse-core --test histories

.PHONY: soak
soak: ## Random histories for hours, new ones every day: HISTORIES=1000000 FROM=<seed>; two faults and a new leader, searched
	@./hack/step "histories" env HISTORIES=$${HISTORIES:-1000000} FROM=$${FROM:-$$(date +%Y%m%d0000000)} cargo test --quiet -p gatehouse-core --test histories
	@./hack/step "every order, two faults and a new leader" env FAULTS=2 LEADERS=1 cargo test --quiet -p gatehouse-core --test exhaustive -- --nocapture

.PHONY: unit
unit: ## Tests that need neither root nor a cluster
	cargo test --workspace --quiet

.PHONY: conformance
conformance: build $(VENV)/ready ## 600 checks of the AWS simulator by boto3, an independent client
	@./hack/conformance $(BIN)/awsim $(VENV)/bin/python

.PHONY: check
check: ## Formatting, clippy without warnings, generated files up to date, dependency rules
	@./hack/step "format"                cargo fmt --all --check
	@./hack/step "clippy"                cargo clippy --workspace --all-targets --quiet -- -D warnings
	@./hack/step "generated files"       ./hack/generated --check
	@./hack/step "dependency rules"      ./hack/dependencies

.PHONY: gen
gen: ## Write the generated files anew: CRDs, charts, what config/ and docs have of them
	./hack/generated

.PHONY: bench
bench: needs-root ## The design's figures on release builds: a table, JSON and docs/benchmarks.md; PART=engine,quota for some of them
	@./hack/step "build for the bench" cargo build --release --workspace --quiet --bin gatehouse-operator --bin awsim --bin platform --bin bench
	@./hack/step "build the engine's figures" cargo build --release -p gatehouse-core --quiet --example bench --example crowd --example idle
	@./hack/step "build the edge's figures" cargo build --release -p gatehouse-edge --quiet --bin gatehouse-edge --example edge
	@$(CARGO_TARGET_DIR)/release/bench

.PHONY: build
build: ## Build every binary (one profile for all)
	@./hack/step "build" cargo build --workspace --bins --quiet

.PHONY: clean
clean: ## Take down what runs and remove the cache of built things
	@if [ -x $(BIN)/platform ]; then $(BIN)/platform down --all; fi
	rm -rf $(GATEHOUSE_CACHE)

.PHONY: needs-root
needs-root:
	@./hack/needs

$(VENV)/ready: e2e/awsim/conformance/requirements.txt
	python3 -m venv $(VENV)
	$(VENV)/bin/pip install --quiet --disable-pip-version-check -r $<
	touch $@
