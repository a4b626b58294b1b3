# What CI runs, and what people run. Nothing has to be installed first but Python (3.11 or newer) and make.

SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
.DELETE_ON_ERROR:
MAKEFLAGS += --no-print-directory

PYTHON ?= python3
VENV := .venv
RUN := $(VENV)/bin
PACKAGES := metering gateway ingest api simulators deploy

.PHONY: chaos-cluster help demo test check bench bench-leaks chaos fmt lock clean

help:
	@echo "make demo    the platform with a simulated town, in a browser within two minutes"
	@echo "make test    all tests (PYTEST='-k word' to choose)"
	@echo "make check   ruff, mypy, import rules"
	@echo "make bench   the benchmarks, about an hour and a half; writes build/bench.json, build/bench.md and curves"
	@echo "             (BENCH='--only custody', BENCH=--quick, BENCH='--compare OLD.json')"
	@echo "make bench-leaks  leak detection against known faults (LEAKS='--leakbench DIR')"
	@echo "make chaos   faults under load, then every report accounted for (CHAOS='--seed 7 --minutes 10'); build/chaos.log"
	@echo "make chaos-cluster  three NATS nodes, two gateways, two workers: faults under load (root)"
	@echo "make fmt     format the code"
	@echo "make lock    resolve the dependencies anew into requirements*.lock"
	@echo "make clean   remove what was built; var/ (data) stays"

# The runtime alone is enough for the demo and quicker to install.
$(VENV)/.runtime: requirements.runtime.lock pyproject.toml | $(VENV)/.uv
	@echo "installing what runs"
	@umask 022 && $(RUN)/uv pip install --quiet --python $(RUN)/python --require-hashes -r requirements.runtime.lock
	@umask 022 && $(RUN)/uv pip install --quiet --python $(RUN)/python --no-deps --editable .
	@touch $@

$(VENV)/.development: requirements.lock $(VENV)/.runtime
	@echo "installing what development needs"
	@umask 022 && $(RUN)/uv pip install --quiet --python $(RUN)/python --require-hashes -r requirements.lock
	@touch $@

$(VENV)/.uv:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' \
	  || { echo "nbwater needs Python 3.11 or newer; name one with make PYTHON=python3.12" >&2; exit 1; }
	@echo "making the environment in $(VENV) (once)"
	@umask 022 && $(PYTHON) -m venv $(VENV) \
	  || { echo "python3 cannot make environments: on Debian and Ubuntu apt install python3-venv" >&2; exit 1; }
	@umask 022 && $(RUN)/python -m pip install --quiet --disable-pip-version-check uv
	@touch $@

demo: $(VENV)/.runtime
	@exec $(RUN)/nbwater demo

check: $(VENV)/.development
	$(RUN)/ruff check .
	$(RUN)/ruff format --check .
	$(RUN)/mypy
	$(RUN)/lint-imports

fmt: $(VENV)/.development
	$(RUN)/ruff check --fix .
	$(RUN)/ruff format .

test: $(VENV)/.development
	@deploy/test_tools.sh
	$(RUN)/pytest --numprocesses 2 --dist loadfile $(PYTEST)

bench: $(VENV)/.development
	@deploy/test_tools.sh
	$(RUN)/python -m tests.bench $(BENCH)

bench-leaks: $(VENV)/.development
	$(RUN)/python -m tests.bench.leaks $(LEAKS)

chaos: $(VENV)/.runtime
	@exec $(RUN)/nbwater simulate chaos --log build/chaos.log $(CHAOS)

# Needs root and iproute2: each host is a network namespace.
chaos-cluster: $(VENV)/.development
	@mkdir -p build
	$(RUN)/nbwater cluster rehearse --json build/chaos-cluster.json

lock: $(VENV)/.uv
	$(RUN)/uv pip compile --quiet --universal --python-version 3.11 --extra dev --generate-hashes \
	  --no-emit-index-url --no-emit-find-links --no-header pyproject.toml -o requirements.lock
	$(RUN)/uv pip compile --quiet --universal --python-version 3.11 --constraint requirements.lock --generate-hashes \
	  --no-emit-index-url --no-emit-find-links --no-header pyproject.toml -o requirements.runtime.lock

clean:
	rm -rf build .mypy_cache .pytest_cache .ruff_cache .import_linter_cache .hypothesis *.egg-info
	find $(PACKAGES) tests -name __pycache__ -type d -prune -exec rm -rf {} +
