# Two commands do all the set-up on a fresh machine: `make demo` and `make test`. Both may be repeated.
PYTHON ?= python3
BIN := .venv/bin
PIP := $(BIN)/python -m pip --disable-pip-version-check install --quiet --constraint constraints.txt

.PHONY: demo test lint types contracts check clean

demo: .venv/.installed
	$(BIN)/facegate demo

test: .venv/.developing
	$(BIN)/python -m pytest --numprocesses 2 --dist loadfile

check: lint types contracts test

lint: .venv/.developing
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

types: .venv/.developing
	$(BIN)/mypy

contracts: .venv/.developing
	$(BIN)/lint-imports

clean:
	rm -rf .venv

.venv/bin/python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "facegate needs Python 3.11 or newer; name one: make PYTHON=python3.12 $(MAKECMDGOALS)")'
	$(PYTHON) -m venv .venv

.venv/.installed: pyproject.toml constraints.txt | .venv/bin/python
	$(PIP) --editable .
	@touch $@

.venv/.developing: pyproject.toml constraints.txt | .venv/bin/python
	$(PIP) --editable '.[development,postgresql]'
	@touch $@ .venv/.installed
