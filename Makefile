# Two commands: `make demo` and `make test`. Both set up .venv first if it is not there or out of date.
SHELL := /bin/bash
PYTHON ?= python3
BIN := .venv/bin

.PHONY: demo test lint fuzz bench clean

demo: .venv/.installed
	rm -rf out/demo
	$(BIN)/gristmill run configs/demo.yaml

# two files of tests at a time: 7 to 9 minutes on two cores, 14 one after another
WORKERS ?= 2
test: .venv/.installed-dev lint
	$(BIN)/python -m pytest -n $(WORKERS) --dist loadfile

lint: .venv/.installed-dev
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

.venv/.installed: pyproject.toml constraints.txt
	$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "gristmill needs Python 3.11 or newer; set PYTHON=python3.x")'
	$(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e .
	touch $@

.venv/.installed-dev: .venv/.installed
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[dev]'
	touch $@

# damaged and hostile files through readers and steps; another seed: make fuzz SEED=2
SEED ?= 1
fuzz: .venv/.installed-dev
	$(BIN)/python tests/fuzz.py --cases 100000 --seed $(SEED)

bench: .venv/.installed-bench
	$(BIN)/python benchmarks/run.py

.venv/.installed-bench: .venv/.installed-dev benchmarks/requirements.txt benchmarks/requirements-no-deps.txt
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -r benchmarks/requirements.txt
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps -r benchmarks/requirements-no-deps.txt
	touch $@

clean:
	rm -rf .venv out
