# Every target sets up what it needs; `make demo` and `make test` work on a fresh machine.
# PYTHON picks the interpreter (3.11 or later), VENV where its environment goes.

PYTHON ?= $(shell command -v python3.11 || command -v python3)
NEWEST ?= $(shell .ci/find-python 3.13)
VENV ?= .venv
BIN := $(VENV)/bin
WORKERS ?= 2

.PHONY: demo test test-fast test-newest lint types docs bench bench-quick clean

demo: $(VENV)/.installed
	$(BIN)/tauax demo

test: $(VENV)/.installed
	$(BIN)/python -m pytest -n $(WORKERS)

test-fast: $(VENV)/.installed
	$(BIN)/python -m pytest -n $(WORKERS) -m "not slow"

# The newest jax on Python 3.13, in an environment of its own.
test-newest:
	@test -n "$(NEWEST)" || { echo "no Python 3.13 found: make test-newest NEWEST=/path/to/python3.13"; exit 1; }
	$(MAKE) test PYTHON=$(NEWEST) VENV=.venv-newest

lint: $(VENV)/.installed
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

types: $(VENV)/.installed
	$(BIN)/pyright

docs: $(VENV)/.installed
	$(BIN)/sphinx-build -W -b html $(DOCS_OPTIONS) docs docs/_build/html

# Every workload, rival and study: a quarter of an hour, or a little more.
bench: $(VENV)/.rivals
	$(BIN)/python -m benchmarks

# A minute, and a failure where a ratio has fallen below its bound.
bench-quick: $(VENV)/.installed
	$(BIN)/tauax bench --gate

clean:
	rm -rf $(VENV) .venv-newest docs/_build

$(VENV)/.rivals: $(VENV)/.installed
	$(BIN)/pip install --quiet --disable-pip-version-check --group bench
	touch $@

$(VENV)/.installed: pyproject.toml
	$(PYTHON) -c 'import sys; assert sys.version_info >= (3, 11), "tauax needs Python 3.11 or later; try make PYTHON=/path/to/python3.11"'
	$(PYTHON) -m venv $(VENV)
	$(BIN)/pip install --quiet --disable-pip-version-check --upgrade "pip>=25.1"
	$(BIN)/pip install --quiet --disable-pip-version-check --editable ".[cli,plot,xarray,data,fit]" --group test --group lint --group docs
	touch $@
