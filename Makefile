# Every target does its own set-up, in .venv; a second call finds the stamp and goes on at once.
SHELL := /bin/bash
.DELETE_ON_ERROR:
.PHONY: install demo test test-minimum bench docs docs-check clean

PYTHON ?= python3
BIN := .venv/bin
# One line per download and one at the end, instead of pip's hundreds.
PIP_INSTALL = $(BIN)/python -m pip install --progress-bar off --disable-pip-version-check
BRIEF := | { grep --line-buffered -E '^ *Downloading .*\.whl |^Installing|^Successfully' || true; } | cut -c -100

install: .venv/.installed-dev

.venv/bin/python:
	$(PYTHON) -m venv .venv

.venv/.installed-%: pyproject.toml | .venv/bin/python
	@echo "Installing sklearn_kmfeat[$*] into .venv (PyTorch is large: the first time takes minutes)"
	@set -o pipefail; $(PIP_INSTALL) --editable '.[$*]' $(BRIEF)
	@touch $@

demo: install
	$(BIN)/python examples/demo.py

# One thread a worker: the workers are the parallelism. Where a test takes more, they do not spin.
PYTEST = OMP_NUM_THREADS=1 OMP_WAIT_POLICY=passive MPLBACKEND=agg $(BIN)/python -m pytest \
	--numprocesses auto --maxprocesses 4 --dist worksteal

test: install
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/codespell
	$(PYTEST)

# The lowest versions that pyproject.toml declares, in an environment of their own. The warnings of
# these old packages are ignored one by one; those about this one are errors as ever.
test-minimum .venv-minimum/.installed-test: BIN := .venv-minimum/bin
test-minimum: .venv-minimum/.installed-test
	$(PYTEST) @tests/minimum_warnings.txt

.venv-minimum/.installed-test: pyproject.toml tools/minimum_versions.py
	$(PYTHON) -m venv --clear .venv-minimum
	$(PYTHON) tools/minimum_versions.py test > .venv-minimum/constraints.txt
	@echo "Installing the lowest versions into .venv-minimum (PyTorch is large: this takes minutes)"
	@set -o pipefail; $(PIP_INSTALL) --constraint .venv-minimum/constraints.txt --editable '.[test]' $(BRIEF)
	@touch $@

bench: install
	$(BIN)/python benchmarks/speed.py
	$(BIN)/python benchmarks/accuracy.py --quick

docs: .venv/.installed-docs
	$(BIN)/python -m sphinx -W --keep-going -q docs docs/_build/html
	@echo "The pages: docs/_build/html/index.html"

# Every page in headless Chromium, which comes from the system. Builds what has changed before.
docs-check: docs
	$(BIN)/python tools/check_pages.py docs/_build/html

# What was built, not the environments, which cost minutes: `rm -rf .venv*` if they should go.
clean:
	rm -rf build dist .pytest_cache .ruff_cache
	rm -rf docs/_build docs/auto_examples docs/generated docs/sg_execution_times.rst
	find . -path './.venv*' -prune -o -name __pycache__ -type d -prune -exec rm -rf {} +
