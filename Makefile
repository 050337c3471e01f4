# Everything a person or CI does here. `make run` and `make test` need only Python 3.11+, git and make.
PYTHON ?= python3
BIN := .venv/bin
QUIET := --quiet --disable-pip-version-check --no-compile

.PHONY: run test test-fast test-slow check install

run: install ## install, fetch the default sources, run the lifecycle
	$(BIN)/stemma ingest
	$(BIN)/stemma run

test: install ## everything but the long trials
	$(BIN)/pytest -m "not slow"

test-fast: install ## nothing that waits, about a minute
	$(BIN)/pytest --numprocesses=2 -m "not slow and not e2e"

test-slow: install ## everything, long trials included
	$(BIN)/pytest

check: install ## linters and types
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

install: .venv/installed

.venv/installed: requirements.lock pyproject.toml stemma.py
	$(PYTHON) -m venv .venv
	xargs -P 2 -n 32 $(BIN)/pip install $(QUIET) --no-deps < requirements.lock # two at once: unpacking is what takes the time
	$(BIN)/pip install $(QUIET) -r requirements.lock # and what this kind of machine needs besides
	$(BIN)/pip install $(QUIET) --no-deps --no-build-isolation .
	$(BIN)/python -m compileall -qq -j 0 -x '/tests/' .venv/lib || true # on all cores, as pip does not; some files are for other Pythons
	touch .venv/installed
