# make demo   sample models -> filters -> shift matrices -> report, from a bare clone
# make test   the test suite
# make lint   formatting, linting, types
# make notebook   execute notebooks/ again      make results   numbers and pictures of docs/results.md again
# Each makes .venv and installs what it needs; a second run starts at once.

VENV := .venv
BIN := $(VENV)/bin
# The first of these that is Python 3.11 or newer; choose another with: make PYTHON=/path/to/python demo
PYTHON ?= $(shell for p in python3 python3.13 python3.12 python3.11; do \
	$$p -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null && echo $$p && break; done)
PIP := $(BIN)/python -m pip --disable-pip-version-check --quiet

.PHONY: demo test test-slow lint format notebook results clean

demo: $(VENV)/.stamp-run
	$(BIN)/python launch/extract.py store.uri=data/demo
	$(BIN)/python -m analysis.shift store.uri=data/demo 'axes=[task,visual_category,depth]' out=data/demo-shift
	$(BIN)/python -m analysis.report store.uri=data/demo 'axes=[task,visual_category,depth]' out=data/demo-report figures=false

# Two workers: what needs a Ray begins first in each (tests/conftest.py).
test: $(VENV)/.stamp-test
	$(BIN)/python -m pytest -n 2

test-slow: $(VENV)/.stamp-test
	$(BIN)/python -m pytest -m slow

lint: $(VENV)/.stamp-dev
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports

format: $(VENV)/.stamp-dev
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

notebook: $(VENV)/.stamp-test
	$(BIN)/python -m notebooks.execute

results: $(VENV)/.stamp-test
	$(BIN)/python docs/make_results.py

clean:
	rm -rf $(VENV) data outputs

$(BIN)/python:
	@test -n "$(PYTHON)" || { echo "Python 3.11 or newer is needed: make PYTHON=/path/to/python …"; exit 1; }
	$(PYTHON) -m venv $(VENV)

$(VENV)/.stamp-run: pyproject.toml | $(BIN)/python
	@echo "installing into $(VENV) (the first time: several GB, some minutes) …"
	$(PIP) install --editable .
	@touch $@

$(VENV)/.stamp-test: pyproject.toml | $(BIN)/python
	@echo "installing into $(VENV) with the test extra (the first time: several GB, some minutes) …"
	$(PIP) install --editable '.[test]'
	@touch $@ $(VENV)/.stamp-run

$(VENV)/.stamp-dev: pyproject.toml | $(BIN)/python
	@echo "installing into $(VENV) with the dev extra (the first time: several GB, some minutes) …"
	$(PIP) install --editable '.[dev]'
	@touch $@ $(VENV)/.stamp-run $(VENV)/.stamp-test
