# GNU make ≥ 3.81 (the one on macOS). Everything is installed into .venv, and only when pyproject.toml or constraints.txt changed.

PYTHON ?= python3
VENV := .venv
BENCH := .venv-bench
RUN := $(VENV)/bin/python
PIP := $(RUN) -m pip --disable-pip-version-check --no-input install --quiet --constraint constraints.txt
REQUIREMENTS := pyproject.toml constraints.txt
DEMO := runs/demo

# Real data sets for tests and benchmarks, if they lie beside the checkout; tests that need them skip otherwise.
ifndef ELBOX_DATA
ifneq ($(wildcard ../shared/data/.),)
export ELBOX_DATA := $(CURDIR)/../shared/data
endif
endif

.PHONY: help demo test test-slow lint bench docs clean
.DEFAULT_GOAL := help

help:
	@echo "make demo       install elbox, fit a VAE to the digits, print its numbers and where the report is"
	@echo "make test       the tests that take seconds"
	@echo "make test-slow  all tests"
	@echo "make lint       style, types, architecture"
	@echo "make bench      speed against Pythae, JAX and plain PyTorch (ARGS=growth, ARGS=nats for the rest)"
	@echo "make docs       the documentation, into docs/_build/html"
	@echo "make clean      remove what the above made, but not runs/"

demo: $(VENV)/.base
	@if [ -f $(DEMO)/run.json ]; then rm -r $(DEMO); fi
	$(VENV)/bin/elbox fit digits --out $(DEMO)

test: $(VENV)/.test
	OMP_NUM_THREADS=1 $(RUN) -m pytest -n 2 -m "not slow" $(ARGS)

test-slow: $(VENV)/.test
	OMP_NUM_THREADS=1 $(RUN) -m pytest -n 2 $(ARGS)

lint: $(VENV)/.lint
	$(RUN) -m ruff check
	$(RUN) -m ruff format --check
	$(RUN) -m mypy
	$(VENV)/bin/lint-imports --no-logo

bench: $(BENCH)/.bench
	$(BENCH)/bin/python -m benchmarks $(if $(ARGS),$(ARGS),speed)

docs: $(VENV)/.docs
	$(RUN) -m sphinx -W --keep-going -q -b html docs docs/_build/html
	@echo "docs/_build/html/index.html"

clean:
	rm -rf $(VENV) $(BENCH) build dist docs/_build docs/api docs/recipes.rst
	rm -rf .pytest_cache .mypy_cache .ruff_cache .import_linter_cache .hypothesis
	find elbox tests docs benchmarks reproduce -name __pycache__ -type d -prune -exec rm -rf {} +

# ── installation: one stamp for each set of extras ───────────────────────────────────────────────────────────────────

$(RUN):
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 10))' || \
	  { echo "elbox needs Python 3.10 or newer; name one: make $(MAKECMDGOALS) PYTHON=python3.12" >&2; exit 1; }
	$(PYTHON) -m venv $(VENV)

$(VENV)/.base: $(REQUIREMENTS) | $(RUN)
	@echo "installing elbox into $(VENV) (a minute or a few, most of it PyTorch)"
	$(PIP) --editable .
	@touch $@

$(VENV)/.test $(VENV)/.lint $(VENV)/.docs: $(VENV)/.%: $(VENV)/.base $(REQUIREMENTS)
	$(PIP) --editable ".[$*]"
	@touch $@

# Peers are installed apart: what they need must not decide what elbox is tested with.
$(BENCH)/.bench: $(REQUIREMENTS)
	$(PYTHON) -m venv $(BENCH)
	$(BENCH)/bin/python -m pip --disable-pip-version-check --no-input install --quiet --constraint constraints.txt --editable ".[bench]"
	@touch $@
