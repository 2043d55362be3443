# Two commands do everything on a fresh machine: `make demo` and `make test`.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin

.PHONY: demo test slow check docs bench clean

# The main job on the built-in data set: to a trained model, its accuracy and a report.
demo: $(VENV)/ready
	$(BIN)/googlenet table
	$(BIN)/googlenet train digits --size 48 --epochs 15 --views 1,10,144 \
		--set crop_scale=0.6,1 --set crop_ratio=0.8,1.25

test: $(VENV)/ready
	$(BIN)/python -m pytest --numprocesses auto

# Also what runs other people's programs, in environments of their own.
slow: $(VENV)/ready
	bash tests/oracles/environment.sh
	$(BIN)/python -m pytest -m slow --numprocesses auto

# Side by side with other ways to do the same.
bench: $(VENV)/ready
	$(BIN)/googlenet bench input
	$(BIN)/googlenet bench training
	$(BIN)/googlenet bench inference
	$(BIN)/python benchmarks/lrn.py

check: $(VENV)/ready
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

# The documentation as a site, site/index.html; any broken link is an error.
docs: $(VENV)/ready
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --strict --quiet

clean:
	rm -rf $(VENV) .venv-oracles site .mypy_cache .pytest_cache .ruff_cache

# The environment: everything that the tests use, at the versions of constraints.txt.
$(VENV)/ready: pyproject.toml constraints.txt
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --constraint constraints.txt --editable '.[dev]'
	touch $@
