# `make demo` and `make test` do all their own set-up. Everything else is for developers.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.ready

.PHONY: demo test setup lint format lock clean

demo: $(STAMP)  ## three representations on FetchReach pixels, then the board
	$(BIN)/fetchbench run demo

test: $(STAMP)  ## style, types and tests
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/python -m pytest -n 2

setup: $(STAMP)  ## the virtual environment and the system's packages alone

lint: $(STAMP)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

format: $(STAMP)
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

lock: $(STAMP)  ## resolve the newest dependencies anew
	$(BIN)/uv pip compile --quiet --universal --python-version 3.11 --extra bench --extra ray --extra slurm --extra dev --no-annotate --no-header \
	    --upgrade pyproject.toml --output-file requirements.lock

clean:
	rm -rf $(VENV) build dist .mypy_cache .ruff_cache .pytest_cache

$(STAMP): requirements.lock pyproject.toml .ci/setup
	PYTHON="$(PYTHON)" sh .ci/setup $(VENV)
	touch $@
