# One command per job, the same by hand and in CI. Everything lives in .venv, which the first command makes.

PYTHON ?= $(shell for name in python3.13 python3.12 python3.11 python3 python3.14; do \
	command -v $$name >/dev/null 2>&1 && $$name -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null \
	&& { echo $$name; break; }; done)
VENV := .venv
BIN := $(VENV)/bin
READY := $(VENV)/.ready

.PHONY: help demo test e2e check format fuzz bench bench-quick bench-counts soak image-test docs picture clean

help:  ## what can be made; the default
	@awk -F ':.*## ' '/^[a-z0-9-]+:.*## / { printf "make %-15s %s\n", $$1, $$2 }' $(firstword $(MAKEFILE_LIST))

demo: $(READY)  ## the proxy, a fake LLM behind it and a page that shows it stream
	$(BIN)/streamsafe demo

test: $(READY)  ## all tests, on uvloop and on asyncio's loop; core at 100 % branch coverage
	sh tests/run

e2e: $(READY)  ## real clients, a browser and dev servers, with the proxy between them; installs what they need
	sh tests/e2e/setup
	$(BIN)/python -m pytest tests/e2e

check: $(READY)  ## formatting, lint, types
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy

format: $(READY)  ## what `make check` can mend by itself
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

fuzz: $(READY)  ## random conversations for ten minutes, or STREAMSAFE_FUZZ_SECONDS; a finding prints how to play it again
	STREAMSAFE_FUZZ_SECONDS=$${STREAMSAFE_FUZZ_SECONDS:-600} $(BIN)/python -m pytest tests/fuzz --timeout 0 -s -q

bench: $(READY)  ## what it costs, beside nginx and others; writes docs/performance.md, in about twelve minutes
	sh tests/bench/setup
	$(BIN)/python -m tests.bench --docs

bench-quick: $(READY)  ## the main figures once, in less than two minutes; writes nothing
	sh tests/bench/setup
	$(BIN)/python -m tests.bench --quick

bench-counts: $(READY)  ## Python and system calls per event and per request, which `make test` holds to bounds
	$(BIN)/python -m tests.cost

soak: $(READY)  ## thousands of streams, resets, reloads and killed workers for ten minutes, or STREAMSAFE_SOAK_SECONDS
	$(BIN)/python -m tests.soak

image-test: $(READY)  ## builds the Dockerfile without an engine, runs the image, validates what is in deploy/; needs root
	sh tests/image/setup
	$(BIN)/python -m pytest tests/image/checks.py tests/deploy --verbose

docs: $(READY)  ## what is generated from the configuration's model
	$(BIN)/python -m proxy.config.reference docs > docs/configuration.md
	$(BIN)/python -m proxy.config.reference example > config.example.yaml

picture: $(READY)  ## the README's picture of the inspector, made by Chromium
	$(BIN)/python -m tests.edge.inspector_picture docs/images/inspector.png

clean:  ## all that was made here, .venv too
	rm -rf $(VENV) tests/e2e/node/node_modules tests/bench/node/node_modules build dist .mypy_cache .pytest_cache .ruff_cache .hypothesis

# Debian ships Python without venv's parts; root may add them, others are told.
$(READY): pyproject.toml
	@test -n "$(PYTHON)" || { echo "streamsafe needs Python 3.11 or later on the PATH." >&2; exit 1; }
	@$(PYTHON) -c 'import ensurepip, venv' 2>/dev/null || sh .ci/install-venv "$(PYTHON)"
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --editable '.[dev]'
	@touch $(READY)
