# The list of commands: `make help` prints it.
.DEFAULT_GOAL := help
SHELL := /bin/bash
BIN := .venv/bin
LOCKED := .venv/.locked
READY := .venv/.ready
# The first Python on the PATH that is new and old enough; `make PYTHON=...` overrides it.
PYTHON ?= $(shell for p in python3 python3.13 python3.12 python3.11; do \
	$$p -c 'import sys; sys.exit(not (3, 11) <= sys.version_info[:2] <= (3, 13))' 2>/dev/null \
	&& echo $$p && break; done)

# Not exported: the Python that makes .venv must not be the one in it.
RUN := PATH="$(CURDIR)/$(BIN):$$PATH"
LOCK := $(BIN)/uv pip compile --python-version 3.11 --generate-hashes --no-emit-index-url \
	--no-emit-find-links --no-annotate --no-header --quiet --upgrade
export DVC_NO_ANALYTICS := true
export MLFLOW_DISABLE_TELEMETRY := true

.PHONY: help env repro test nightly lint notebooks ui verify bench bench-env bench-lock lock clean

help: ## print this list
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/:[^#]*## /\t/' | expand -t 12

env: $(READY) ## make .venv with every version from requirements.lock

$(LOCKED): requirements.lock
	@command -v git >/dev/null || { echo "git is missing: DVC and the run records need it. Install git, then call make again." >&2; exit 1; }
	@test -n "$(PYTHON)" || { echo "No Python 3.11, 3.12 or 3.13 on the PATH. Install one, or name it: make PYTHON=/path/to/python3.12" >&2; exit 1; }
	@$(PYTHON) -c 'import sys; v = sys.version_info[:2]; sys.exit(0 if (3, 11) <= v <= (3, 13) else "Python %d.%d found; 3.11, 3.12 or 3.13 is needed: make PYTHON=/path/to/python3.12" % v)'
	@$(PYTHON) -c 'import ensurepip, venv' 2>/dev/null || { echo "$(PYTHON) has no venv module. On Debian and Ubuntu: apt-get install python3-venv" >&2; exit 1; }
	rm -rf .venv
	$(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-compile --no-deps --require-hashes -r requirements.lock
	@echo "Compiling packages once, so that every later start is quick"
	@# Some packages ship sources for other Python versions; those fail to compile and are never imported.
	@env -u PYTHONDONTWRITEBYTECODE $(BIN)/python -W ignore -m compileall -qq -j 0 .venv/lib || true
	@touch $@

$(READY): $(LOCKED) pyproject.toml
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation --editable .
	@touch $@

lock: $(READY) ## resolve the dependencies of pyproject.toml anew into requirements.lock
	$(BIN)/python -m pip install --quiet --disable-pip-version-check uv
	$(LOCK) pyproject.toml --extra experiments --group data --group dev --universal \
		--fork-strategy fewest -o requirements.lock
	$(BIN)/python -m tests.environment > environment.yml

repro: $(READY) ## run the main job: all stages that have changed, then reports/index.html (JOBS=n: n at a time)
	@$(RUN) lstm-states repro $(if $(JOBS),--jobs '$(JOBS)')
	@echo "Reports: reports/index.html   Runs: make ui   Notebooks: make notebooks"

test: lint ## run the checks and all tests
	$(RUN) python -m pytest --numprocesses auto --maxprocesses 4 --no-loadscope-reorder

nightly: $(READY) ## trace thousands of random models and compare, kill the pipeline at 30 moments: hours
	$(RUN) LSTM_STATES_KILLS=30 python -m pytest tests/pipeline/test_interrupted.py
	$(RUN) python -m pytest tests/traces/test_properties.py --hypothesis-profile=nightly

lint: $(READY) ## style, types, layers, and notebooks free of outputs
	$(RUN) ruff check .
	$(RUN) ruff format --check .
	$(RUN) mypy
	$(RUN) lint-imports
	$(RUN) nbstripout --keep-id --verify notebooks/*.ipynb

notebooks: $(READY) ## open the notebooks in JupyterLab, on this machine only
	$(RUN) jupyter lab --ip 127.0.0.1 --notebook-dir . notebooks

ui: $(READY) ## compare the runs in the MLflow UI, on this machine only
	@case "$$MLFLOW_TRACKING_URI" in \
	http*) echo "The runs are on the server $$MLFLOW_TRACKING_URI" ;; \
	*) $(RUN) mlflow ui --backend-store-uri "$${MLFLOW_TRACKING_URI:-sqlite:///$(CURDIR)/mlflow.db}" --host 127.0.0.1 ;; \
	esac

verify: $(READY) ## run everything again from nothing in a temporary clone and compare every byte (NAME=stacked: that alone)
	$(RUN) lstm-states verify $(NAME)

bench: $(READY) ## time record_traces and accelerate beside the other ways: bench/results.html (QUICK=1: tiny shapes, build/bench)
	$(RUN) python -m bench $(if $(QUICK),--quick)
	$(if $(QUICK),,$(RUN) python -m bench.overhead)

bench-env: $(READY) ## install what the benchmark compares with, if it can be had: PyTorch, keract, see-rnn
	@for name in torch inspectors; do \
		rm -rf bench/.env/$$name; \
		$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --require-hashes \
			--target bench/.env/$$name -r bench/$$name.lock \
		|| { rm -rf bench/.env/$$name; echo "bench/$$name.lock can't be installed here: the benchmark goes without, and says so" >&2; }; \
	done

# The CPU build of PyTorch: pip, and PIP_FIND_LINKS for uv, must know a place that has it. What keract and
# see-rnn stand on is the project's own.
bench-lock: $(READY) ## resolve what the benchmark compares with anew into bench/*.lock
	$(BIN)/python -m pip install --quiet --disable-pip-version-check uv
	$(LOCK) bench/torch.in -o bench/torch.lock $${PIP_FIND_LINKS:+--find-links "$$PIP_FIND_LINKS"}
	$(LOCK) bench/inspectors.in -o bench/inspectors.lock --no-deps

clean: ## remove .venv, bench/.env and what checks leave behind; data, reports and runs stay
	rm -rf .venv build bench/.env .pytest_cache .ruff_cache .mypy_cache .import_linter_cache .hypothesis
