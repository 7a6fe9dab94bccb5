# Each target does all it needs on a machine that has Python 3.11 to 3.13 and make.

PYTHON ?= python3
VENV   := .venv
BIN    := $(VENV)/bin

.PHONY: help install torch extras examples reproduce smoke nulls quick test test-extras test-slow test-report test-pythons field fuzz coverage check bench bench-startup bench-large bench-coverage bench-truth docs clean

help:
	@echo "make reproduce  repeat the whole experiment into results/"
	@echo "make smoke      the same on tiny sizes, in seconds, into results-smoke/"
	@echo "make nulls      the null models and placebos of docs/nulls.md, printed"
	@echo "make quick      the tests of the numbers, in a minute"
	@echo "make test       the tests;  make test-slow  those over ten seconds (installs the extras)"
	@echo "make test-extras  the tests that need torch, safetensors or dask (installs them)"
	@echo "make test-report  opens a report in headless Chromium (installs Debian's)"
	@echo "make test-pythons  install, smoke and test on each Python 3.11 to 3.13 found here"
	@echo "make examples   examples/ at smoke size, sweeps on Dask (installs the extras)"
	@echo "make torch      installs PyTorch: modular addition, the recorder, their tests"
	@echo "make field      inputs from public bug reports, if ../shared/field is there"
	@echo "make fuzz       a search for what damaged files can do, half an hour (installs torch)"
	@echo "make check      types, style, direction of imports (installs torch)"
	@echo "make coverage   coverage of the tests, kernels uncompiled"
	@echo "make bench      cascade, training, fits, bootstrap against what else there is (installs torch)"
	@echo "make bench-startup  what each command loads, and how long beside its bare imports"
	@echo "make bench-large  cascades of 1e8 and 1e9 entries, with time and memory"
	@echo "make bench-truth  estimators on systems with known exponents; writes docs/truth.md (an hour)"
	@echo "make bench-coverage  how often the intervals hold the truth (half an hour and more)"
	@echo "make docs       write the generated pages and the outputs shown in the README again"
	@echo "make clean      remove the virtual environment and what was made"

install: $(VENV)/installed
torch: $(VENV)/installed-torch
extras: $(VENV)/installed-extras
check bench: $(VENV)/installed-dev $(VENV)/installed-torch

$(VENV)/bin/python:
	@$(PYTHON) -c 'import sys; sys.exit(not (3, 11) <= sys.version_info[:2] <= (3, 13))' || \
	  { echo "grokcrit needs Python 3.11 to 3.13; name one: make PYTHON=python3.12" >&2; exit 1; }
	$(PYTHON) -m venv $(VENV)

$(VENV)/installed: pyproject.toml | $(VENV)/bin/python
	$(BIN)/python -m pip install --quiet --editable ".[test]"
	@touch $@

$(VENV)/installed-dev: $(VENV)/installed
	$(BIN)/python -m pip install --quiet --editable ".[test,dev]"
	@touch $@

# Modular addition, the recorder and .pt files need it.
$(VENV)/installed-torch: $(VENV)/installed
	$(BIN)/python -m pip install --quiet torch==2.13.0 "safetensors>=0.4"
	@touch $@

$(VENV)/installed-extras: $(VENV)/installed-torch
	$(BIN)/python -m pip install --quiet --editable \
	  ".[dask,hub,huggingface,lightning,tensorboard,wandb,mlflow,signals]"
	@touch $@

reproduce: install
	$(BIN)/grokcrit reproduce -o results

smoke: install
	$(BIN)/grokcrit reproduce --scale smoke -o results-smoke

nulls: install
	mkdir -p results-nulls
	cd results-nulls && ../$(BIN)/grokcrit train --quiet && \
	  ../$(BIN)/grokcrit avalanche train.parquet --surrogate all --quiet && \
	  ../$(BIN)/grokcrit diagnose avalanche.parquet --only nulls,placebos --observable size,excess

# The numbers: kernels, estimators and tables, without real processes.
quick: install
	$(BIN)/python -m pytest -m "not slow and not browser and not extra" tests/kernels tests/unit \
	  --ignore tests/unit/test_plot.py --ignore tests/unit/test_report.py

# PYTEST_ADDOPTS reaches pytest in each of these. Tests that need an extra which is not installed
# are skipped, and the reason says which.
test: install
	$(BIN)/python -m pytest

test-extras: extras
	$(BIN)/python -m pytest -m "extra and not slow and not browser"

# The examples at smoke size, the longer pages of docs/, modular addition through all stages, Dask.
examples: extras
	$(BIN)/python -m pytest -m slow tests/pipeline/test_examples.py \
	  tests/pipeline/test_nanogpt.py tests/pipeline/test_live_examples.py \
	  tests/pipeline/test_early_warning.py \
	  tests/pipeline/test_docs.py tests/cli/test_modadd.py tests/sweeps

test-slow: extras
	$(BIN)/python -m pytest -m slow

# Without Chromium and without the right to install it the tests are skipped, and say so.
test-report: install
	@$(BIN)/python -m tests.browser.chromium || tests/browser/install || \
	  echo "chromium could not be installed: its tests are skipped" >&2
	$(BIN)/python -m pytest -rs -n 0 -m browser tests/browser

test-pythons:
	tests/pythons

# Inputs from public bug reports, where they lie beside the checkout.
field: extras
	tests/field ../shared/field $(abspath $(BIN))/python

# docs/reliability.md says what is tried.
fuzz: torch
	$(BIN)/python -m tests.badinput.mutate --mutants 100000
	$(BIN)/python -m tests.badinput.saved --mutants 5000

check:
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

coverage: $(VENV)/installed-dev
	NUMBA_DISABLE_JIT=1 $(BIN)/python -m pytest tests/kernels tests/unit \
	  --cov=grokcrit --cov-report=term-missing

# torch is named with its version: later ones bring several gigabytes of GPU libraries.
bench:
	$(BIN)/python benchmarks/bench.py --out results-bench

bench-startup: install
	$(BIN)/python benchmarks/startup.py

# Half a minute to make the graph of 1e8 nodes, a minute each; 8 GB of disk and of memory.
bench-large: install
	$(BIN)/python benchmarks/large.py ba 100000000
	$(BIN)/python benchmarks/large.py affine 1000000000

bench-truth: install
	$(BIN)/python benchmarks/truth.py

bench-coverage: install
	$(BIN)/python benchmarks/interval_coverage.py
	$(BIN)/python benchmarks/collapse_coverage.py
	$(BIN)/python benchmarks/times_coverage.py
	$(BIN)/python benchmarks/graph_coverage.py
	$(BIN)/python benchmarks/controls_coverage.py

docs: install
	$(BIN)/python docs/refresh.py

clean:
	rm -rf $(VENV) results results-smoke build *.egg-info
