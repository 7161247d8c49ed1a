# The list of commands: `make help` prints it.
.DEFAULT_GOAL := help
SHELL := /bin/bash
BIN := .venv/bin
LOCKED := .venv/.locked
READY := .venv/.ready
PIP := $(BIN)/python -m pip install --disable-pip-version-check
PIP_LOG := .venv/pip.log
INSTALLED = $$(ls -d .venv/lib/python*/site-packages/*.dist-info | grep -vcE '/(pip|setuptools)-') of $$(grep -c '^[^ ].*==' requirements.lock) packages are installed; pip: $$(tail -n 1 $(PIP_LOG) | cut -c 1-70)
COMPILED = $$(find .venv/lib -name '*.pyc' | wc -l) of $$(find .venv/lib -name '*.py' | wc -l) files are compiled
# The first Python on the PATH that is new and old enough; `make PYTHON=...` overrides it.
PYTHON ?= $(shell for p in python3 python3.13 python3.12 python3.11; do \
	$$p -c 'import sys; sys.exit(not (3, 11) <= sys.version_info[:2] <= (3, 13))' 2>/dev/null \
	&& echo $$p && break; done)

# Scripts in .venv hold the path of its Python: one of a checkout that was renamed or copied, or whose
# Python is gone, is made again, as is one that wasn't finished.
WHOLE := $(shell test "$$(cat $(LOCKED) 2>/dev/null)" = "$$(pwd -P)" && $(BIN)/python -c 'import pip' 2>/dev/null && echo yes)

# Seconds between two words of what takes minutes.
TICK := 20
# $(call telling,WORDS,COMMAND): run the command, and say the words at each tick.
telling = while sleep $(TICK) >/dev/null 2>&1; do kill -0 $$$$ 2>/dev/null || exit; echo "  $(1)"; done & \
	trap "kill $$!" EXIT; $(2)

# Not exported: the Python that makes .venv must not be the one in it.
RUN := PATH="$(CURDIR)/$(BIN):$$PATH"
LOCK := $(BIN)/uv pip compile --python-version 3.11 --generate-hashes --no-emit-index-url \
	--no-emit-find-links --no-annotate --no-header --quiet --upgrade
# Where `make ui` listens; MLflow's own variable counts too.
PORT := $(or $(MLFLOW_PORT),5000)
# The path of mlflow.db as MLflow has to be told it, odd signs quoted.
STORE := from pathlib import Path; from notebook_pipeline import mlflow_runs; print(mlflow_runs.store_uri(Path.cwd()))
export DVC_NO_ANALYTICS := true
export MLFLOW_DISABLE_TELEMETRY := true

.PHONY: FORCE help env repro test check nightly lint explorer notebooks ui verify bench bench-env bench-lock lock clean

help: ## print this list
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/:[^#]*## /\t/' | expand -t 12

env: $(READY) ## create .venv with every version from requirements.lock

$(LOCKED): requirements.lock $(if $(WHOLE),,FORCE)
	@command -v git >/dev/null || { echo "git is missing: DVC and the run records need it. Install git, then run make again." >&2; exit 1; }
	@test -n "$(PYTHON)" || { echo "No Python 3.11, 3.12 or 3.13 on the PATH. Install one, or name it: make PYTHON=/path/to/python3.12" >&2; exit 1; }
	@"$(PYTHON)" -c 'import sys; v = sys.version_info[:2]; sys.exit(0 if (3, 11) <= v <= (3, 13) else "Python %d.%d found; 3.11, 3.12 or 3.13 is needed: make PYTHON=/path/to/python3.12" % v)'
	@"$(PYTHON)" -c 'import ensurepip, venv' 2>/dev/null || { echo "$(PYTHON) has no venv module. On Debian and Ubuntu: apt-get install python3-venv" >&2; exit 1; }
	@git rev-parse --quiet --verify HEAD >/dev/null || { echo "DVC and the run records need a git repository with a commit. Where there is none, as in an unpacked zip: git init && git add --all && git commit --message start" >&2; exit 1; }
	@test ! -e .venv || echo "The packages in .venv were installed elsewhere, for another lock, or in part: installing them again"
	rm -rf .venv
	"$(PYTHON)" -m venv .venv
	@echo "Installing the packages of requirements.lock into .venv: 3.5 GB, some minutes"
	@$(call telling,$(INSTALLED),$(PIP) --no-compile --no-deps --require-hashes -r requirements.lock >$(PIP_LOG))
	@echo "Compiling packages once, so that every later start is quick"
	@# Some packages ship sources for other Python versions; those fail to compile and are never imported.
	@$(call telling,$(COMPILED),env -u PYTHONDONTWRITEBYTECODE $(BIN)/python -W ignore -m compileall -qq -j 0 .venv/lib || true)
	@pwd -P >$@

FORCE:

$(READY): $(LOCKED) pyproject.toml src/pyproject.toml
	$(PIP) --quiet --no-deps --no-build-isolation --editable .
	$(PIP) --quiet --no-deps --no-build-isolation --editable ./src
	@touch $@

lock: $(READY) ## resolve the dependencies of pyproject.toml again into requirements.lock
	$(PIP) --quiet uv
	$(LOCK) pyproject.toml --extra experiments --group data --group dev --universal \
		--fork-strategy fewest -o requirements.lock
	$(BIN)/python -m tests.environment > environment.yml

repro: $(READY) ## run all stages that have changed, then write reports/index.html (JOBS=n: n at a time; CLUSTER=file: on a cluster)
	@$(RUN) lstm-states repro $(if $(JOBS),--jobs '$(JOBS)') $(if $(CLUSTER),--cluster '$(CLUSTER)')
	@echo "Reports: reports/index.html   Runs: make ui   Notebooks: make notebooks"

test: lint ## run the checks and all tests
	$(RUN) python -m pytest --numprocesses auto --maxprocesses 4 --no-loadscope-reorder

check: lint ## run the checks and the quick tests of what has changed; use it before each commit
	@tests="$$($(BIN)/python -m tests.changed)"; test -z "$$tests" || \
		$(RUN) $(BIN)/python -m pytest --quiet -m 'not slow' --numprocesses auto --maxprocesses 2 $$tests || test $$? = 5

nightly: $(READY) ## test a thousand random models and edits, kill the pipeline at random moments, and run it on SLURM where that is; takes about two hours
	$(RUN) python -m pytest -m nightly
	$(RUN) python -m pytest --hypothesis-profile=nightly \
		tests/lstm_states/traces/test_properties.py tests/lstm_states/traces/test_edits.py

lint: $(READY) ## check style, types, imports, names of measures, and that notebooks have no outputs
	$(RUN) ruff check .
	$(RUN) ruff format --check .
	$(RUN) mypy
	$(RUN) lint-imports
	$(RUN) python -m experiments.claims.measures
	$(RUN) nbstripout --keep-id --verify notebooks/*.ipynb

explorer: ## build the explorer's page from its TypeScript, check and test it; needs Node 20 and npm
	@command -v npm >/dev/null || { echo "npm is missing: install Node 20 or later. Only who changes src/explorer needs it" >&2; exit 1; }
	cd src/explorer && npm ci && npm run check && npm test && npm run build

notebooks: $(READY) ## open the notebooks in JupyterLab, on this machine only (ARGS=--allow-root: as root)
	$(RUN) jupyter lab --ip 127.0.0.1 --notebook-dir . $(ARGS) notebooks

ui: $(READY) ## compare the runs in the MLflow UI, on this machine only (PORT=5001: another port)
	@case "$$MLFLOW_TRACKING_URI" in \
	http*) echo "The runs are on the server $$MLFLOW_TRACKING_URI" ;; \
	*) case "$(CURDIR)" in *%*) echo "MLflow's server can't run below a folder with a % in its name, as $(CURDIR) has: rename it, then run make ui again" >&2; exit 1 ;; esac; \
		(: </dev/tcp/127.0.0.1/$(PORT)) 2>/dev/null \
		&& { echo "Port $(PORT) is taken, by another \`make ui\` or another program; choose one: make ui PORT=$$(($(PORT) + 1))" >&2; exit 1; }; \
		$(RUN) MLFLOW_SERVER_ENABLE_JOB_EXECUTION=false mlflow ui --port $(PORT) --workers 1 --backend-store-uri "$$($(BIN)/python -c "$(STORE)")" --host 127.0.0.1 ;; \
	esac

verify: $(READY) ## run everything from scratch in a temporary clone and compare (NAME=stacked: only that and its inputs)
	$(RUN) lstm-states verify $(NAME)

bench: $(READY) ## compare record_traces and accelerate with alternatives: bench/results.html (QUICK=1: tiny shapes, build/bench)
	$(RUN) python -m bench $(if $(QUICK),--quick)
	$(if $(QUICK),,$(RUN) python -m bench.overhead)

bench-env: $(READY) ## install the alternatives for the benchmark, if available: PyTorch, keract, see-rnn
	@for name in torch inspectors; do \
		rm -rf bench/.env/$$name; \
		$(PIP) --no-deps --require-hashes \
			--target bench/.env/$$name -r bench/$$name.lock \
		|| { rm -rf bench/.env/$$name; echo "bench/$$name.lock can't be installed here: the benchmark runs without it and says so" >&2; }; \
	done

# The CPU build of PyTorch: pip, and PIP_FIND_LINKS for uv, must know a place that has it. What keract and
# see-rnn stand on is the project's own.
bench-lock: $(READY) ## resolve the dependencies of the benchmark again into bench/*.lock
	$(PIP) --quiet uv
	$(LOCK) bench/torch.in -o bench/torch.lock $${PIP_FIND_LINKS:+--find-links "$$PIP_FIND_LINKS"}
	$(LOCK) bench/inspectors.in -o bench/inspectors.lock --no-deps

clean: ## remove .venv, bench/.env and caches; data, reports and runs stay
	rm -rf .venv build bench/.env src/explorer/node_modules src/explorer/build .pytest_cache .ruff_cache .mypy_cache .import_linter_cache .hypothesis
