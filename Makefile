# The commands of this project: CI, the pre-commit hooks and the README use these and no others.

SHELL := /bin/bash
BIN := .venv/bin

# The interpreter that .venv is made from; empty takes the first that fits (scripts/setup.sh).
PYTHON ?=
# `make serve`: a checkpoint by name or local path (empty: what the configuration says), and the port.
MODEL ?=
PORT ?= 8000
# `make monitoring`: where Prometheus and Grafana listen, on loopback.
PROMETHEUS_PORT ?= 9090
GRAFANA_PORT ?= 3000

.DEFAULT_GOAL := help
.PHONY: help install format lint test audit chaos serve demo-adapter monitoring clean

help: ## Show this list
	@awk -F ':.*## ' '/^[a-z]+:.*## / {printf "make %-12s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

install: ## Make .venv with the pinned dependencies [PYTHON=python3.12]
	@PYTHON='$(PYTHON)' scripts/setup.sh

format: install ## Rewrite the code in the one format, and fix what can be fixed
	@$(BIN)/ruff check --fix-only --quiet .
	@$(BIN)/ruff format .

lint: install ## Check style, types, security and the direction of imports
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(BIN)/bandit -q -ll -c pyproject.toml -r configs deployments monitoring pipelines train

test: lint ## Install, lint, then run every test
	$(BIN)/python -m pytest

audit: install ## Look for known vulnerabilities in the pinned dependencies; asks a service on the network
	$(BIN)/python -m pip install -q --only-binary=:all: --constraint constraints.txt pip-audit
	$(BIN)/pip-audit --strict --disable-pip --no-deps -r constraints.txt

chaos: install ## Kill processes, nodes and Redis under load, on the demo model [CHAOS_TABLE=file]
	CHAOS_ENGINE=inflight $(BIN)/python -m pytest -s -m '' tests/chaos

serve: install ## Start the service on this machine [MODEL=name-or-path] [PORT=8000]
	@$(if $(MODEL),NLLB__MODEL__NAME='$(MODEL)') PORT='$(PORT)' exec $(BIN)/python -m deployments.local

demo-adapter: install ## Teach the running demo model a domain and see it served [PORT=8000]
	@PORT='$(PORT)' $(BIN)/python -m train.demo_adapter

monitoring: install ## Start Prometheus and Grafana beside the service [PROMETHEUS_PORT=9090] [GRAFANA_PORT=3000]
	@PROMETHEUS_PORT='$(PROMETHEUS_PORT)' GRAFANA_PORT='$(GRAFANA_PORT)' exec $(BIN)/python -m monitoring.local

clean: ## Remove what these commands made: .venv, the demo model, caches
	rm -rf .venv models/demo build *.egg-info .pytest_cache .mypy_cache .ruff_cache .import_linter_cache .hypothesis
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
