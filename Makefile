# Gatehouse: every command a person runs. `make` alone lists them.
SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help

# Slow products live outside the clone, so that a second run and a second clone are fast.
export GATEHOUSE_CACHE ?= $(HOME)/.cache/gatehouse
export CARGO_TARGET_DIR ?= $(GATEHOUSE_CACHE)/target
BIN := $(CARGO_TARGET_DIR)/debug

.PHONY: help
help: ## List these targets
	@awk 'BEGIN {FS = ":.*## "} /^[a-z-]+:.*## / {printf "  make %-10s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

.PHONY: build
build: ## Build every binary (one profile for all)
	cargo build --workspace --bins

.PHONY: unit
unit: ## Run the tests that need no cluster and no root
	cargo test --workspace

.PHONY: check
check: ## Formatting, clippy without warnings
	cargo fmt --all --check
	cargo clippy --workspace --all-targets -- -D warnings

.PHONY: test
test: ## Everything but the slow and rare
	$(MAKE) unit

.PHONY: clean
clean: ## Remove the cache of built things
	rm -rf $(GATEHOUSE_CACHE)
