# All commands for learners, teachers and contributors; `make` on its own lists them. Works with GNU make 3.81 (macOS) or newer.
# tools/setup_venv.py creates .venv and installs what a command needs the first time it is used. Settings:
#:  PYTHON=...      the Python to create .venv with (3.11 or newer)
#:  PIP_FLAGS=...   for pip: on Linux without a GPU, the --extra-index-url of PyTorch's CPU
#:                  builds (its install page gives it) saves 3 GB
#:  EXTRAS=...      with install: extras of pyproject.toml, for example EXTRAS=dev,site,hub
#:  OFFLINE=1       install without a network, from the wheels that 'make wheelhouse' collected
#:                  (TEACHING.md); WHEELHOUSE=... names their folder
#:  LAB_FLAGS=...   for JupyterLab, for example LAB_FLAGS=--no-browser
#:  PROJECTOR=1     with lab: larger text and figures; REVEAL=off hides the solutions (TEACHING.md)
#:  TEST_FLAGS=...  for pytest, for example TEST_FLAGS='-x -k loss'
#:  WORKERS=3       with test: the number of processes; each test file runs in one process
#:  NB=03           with test-notebook, notebooks and record: only this notebook
#:  FRESH=1         with notebooks: also renew the outputs that differ from run to run

PY      := .venv/bin/python
WORKERS ?= 3
START   := $(firstword $(wildcard notebooks/01_*.ipynb) notebooks)
NB_FILE  = $(filter %.ipynb,$(if $(NB),$(wildcard $(NB) notebooks/$(NB) notebooks/$(NB).ipynb notebooks/$(NB)_*.ipynb)))
$(if $(NB)$(filter test-notebook,$(MAKECMDGOALS)),$(if $(filter 1,$(words $(NB_FILE))),,$(error NB: expected the name of one notebook, for example NB=03)))
PYTHONS  = $(if $(PYTHON),"$(PYTHON)",python3 python3.13 python3.12 python3.11)
SETUP    = for python in $(PYTHONS); do "$$python" -S -c pass 2>/dev/null && exec "$$python" tools/setup_venv.py $(1); done; \
           echo 'Python 3.11 or newer is required but was not found. Tried: $(PYTHONS). Name one: make PYTHON=...' >&2; exit 1

# The extras of pyproject.toml that the given targets need: `make test` installs all of them with one call of pip.
needed_by = $(if $(filter $(1),$(MAKECMDGOALS)),$(2))
NEEDED    = $(call needed_by,test test-% prove-strict lint notebooks record screenshots bench bench-%,dev) \
            $(call needed_by,test site slides,site) $(call needed_by,test bench-classroom,hub) $(call needed_by,bench bench-gpu,bench)

# Tests and saved outputs must not depend on this machine: no progress file, no Hub, no network, CPU only, no IPython settings.
# Threads wait without spinning: on a busy machine, spinning costs ten times as much as their work.
SEALED   = PYTHONDONTWRITEBYTECODE= OMP_WAIT_POLICY=passive DPO_TEACH_PROGRESS=off DPO_TEACH_PROJECTOR=off HF_HUB_OFFLINE=1 \
           TOKENIZERS_PARALLELISM=false PYTHONPATH="$(CURDIR)/tests/offline"
KERNEL   = CUDA_VISIBLE_DEVICES= IPYTHONDIR="$(CURDIR)/.venv/ipython"
PYTEST   = $(SEALED) $(PY) -m pytest
NBVAL    = $(KERNEL) $(PYTEST) -p notebook_guard --nbval --nbval-current-env --nbval-cell-timeout=600
PARALLEL = -n $(WORKERS) --dist loadfile
# Each worker computes on one thread: the threads of two workers on two cores would mostly wait for each other.
ALONE    = OMP_NUM_THREADS=1

# JupyterLab in a classroom: no news, no check for updates. While it starts, Python compiles the modules that notebooks import.
LARGE    = $(CURDIR)/build/projector
ENLARGED = DPO_TEACH_PROJECTOR="$(PROJECTOR)" JUPYTERLAB_SETTINGS_DIR="$(LARGE)" JUPYTER_CONFIG_DIR="$(LARGE)"
TEACHER  = $(if $(PROJECTOR),$(ENLARGED)) $(if $(REVEAL),DPO_TEACH_REVEAL="$(REVEAL)")
LAB_ENV  = $(TEACHER) PYTHONDONTWRITEBYTECODE= OMP_WAIT_POLICY=passive JUPYTER_PREFER_ENV_PATH=1 \
           JUPYTER_CONFIG_PATH="$(CURDIR)/deploy/jupyterlab$(if $(JUPYTER_CONFIG_PATH),:$(JUPYTER_CONFIG_PATH))"
LAB_ARGS = --LabApp.news_url=None --LabApp.check_for_updates_class=jupyterlab.handlers.announcements.NeverCheckForUpdate \
           $(if $(PROJECTOR),--custom-css) $(if $(filter 0,$(shell id -u)),--allow-root) $(LAB_FLAGS)
WARM_UP  = PYTHONDONTWRITEBYTECODE= $(PY) -c 'import matplotlib.pyplot, dpo_teach.widgets, dpo_teach.sampling; \
           from dpo_teach.models import load_model; load_model("reviews-gpt2")'

.DEFAULT_GOAL := help
.PHONY: $(shell sed -n 's/^\([a-z][a-z -]*\):.*/\1/p' Makefile)

help:  ## list the commands
	@awk 'BEGIN { FS = ":.*## " } /^[a-z -]+:.*## / { printf "  make %-18s %s\n", $$1, $$2 }' Makefile
	@echo; sed -n 's/^#://p' Makefile

lab: install  ## open the notebooks in JupyterLab, or START=... (the first time, this also installs everything)
	@echo "Opening $(START) in JupyterLab. Press Ctrl-C twice to stop it."
	@$(if $(PROJECTOR),$(TEACHER) $(PY) -c 'from dpo_teach.projector import write_lab_settings as w; w("$(LARGE)")')
	@$(WARM_UP) >/dev/null 2>&1 & $(LAB_ENV) $(PY) -m jupyterlab --LabApp.default_url="/lab/tree/$(notdir $(filter %.ipynb,$(START)))" $(LAB_ARGS) "$(START)"
test: lint  ## check everything: style, tests, the site, and every cell of every notebook
	@$(ALONE) $(PYTEST) $(PARALLEL) --doctest-modules tests dpo_teach tools $(TEST_FLAGS)
	@echo "Running every notebook and comparing each output with the committed one."
	@$(ALONE) $(NBVAL) $(PARALLEL) notebooks
	@echo "All good."
test-fast: install  ## test the package in one to two minutes, without notebooks and browser
	@$(ALONE) $(PYTEST) $(PARALLEL) -q -m "not slow and not browser" --durations=5 --durations-min=1 tests $(TEST_FLAGS)
test-notebook: install  ## run one notebook and compare its outputs with the saved ones: NB=03
	@$(NBVAL) $(NB_FILE) $(TEST_FLAGS)
test-random-order: install  ## run the fast tests ten times with different hash seeds, threads and orders
	@$(SEALED) $(PY) tests/fast_tests_in_random_order.py $(ORDER_FLAGS)
prove-strict: install  ## plant faults in copies of the notebooks, one at a time, and count how many the checks find
	@$(SEALED) $(PY) tests/prove_strict.py $(FAULT_FLAGS)
lint: install  ## check style (ruff), layers (import-linter) and types (mypy)
	@$(PY) -m ruff check
	@$(PY) -m ruff format --check
	@$(PY) -c 'from importlinter.cli import lint_imports_command; lint_imports_command()'
	@$(PY) -m mypy
notebooks: install  ## re-execute the notebooks and write them back in normal form
	@$(KERNEL) $(SEALED) $(PY) -m tools.notebooks $(if $(FRESH),--fresh) $(or $(NB_FILE),notebooks/*.ipynb)
record: notebooks  ## after you have reviewed a change: renew outputs, recorded claims and screenshots
	@$(SEALED) $(PY) tests/prove_strict.py --record
	@$(SEALED) $(PY) -m tools.screenshots --if-changed
screenshots: install  ## take the screenshots of the explorers for README and notebooks (needs chromium)
	@$(SEALED) $(PY) -m tools.screenshots
install:  ## set up .venv only
	@$(call SETUP,install $(NEEDED))
wheelhouse: install  ## collect wheels in wheelhouse/ for laptops without a network (TEACHING.md)
	@$(call SETUP,wheelhouse)
constraints:  ## renew constraints.txt: the newest versions that pyproject.toml allows (needs a network)
	@$(call SETUP,constraints)
playground: install  ## build one HTML file of six explorers that opens from disk: build/playground.html
	@$(PY) -m tools.playground
site: install  ## build web pages of the notebooks that open from disk: build/site/index.html
	@$(SEALED) $(PY) docs/build.py
slides: install  ## build slides from the notebooks, one file each, that open from disk: build/slides
	@$(SEALED) $(PY) docs/slides/build.py
handout: install  ## write copies of the notebooks without outputs and therefore without solutions: build/handout
	@$(PY) -m nbconvert --log-level=WARN --to notebook --ClearOutputPreprocessor.enabled=True \
	    --output-dir build/handout notebooks/*.ipynb

base-model preferences policy example-runs snapshots sweeps: install  ## rebuild a bundled asset (sweeps: hours; it resumes)
	@$(PY) -m tools.make_assets $@
bench: install  ## time the trainer against TRL's (half an hour on two cores); CASES=reviews runs one case
	@HF_HUB_OFFLINE=1 $(PY) -m benchmarks $(CASES) $(BENCH_FLAGS)
bench-gpu: install  ## measure everything that needs a GPU, in eight minutes (without one: a rehearsal with tiny sizes)
	@HF_HUB_OFFLINE=1 $(PY) -m benchmarks.gpu $(BENCH_FLAGS)
bench-widgets: install  ## time the explorers in a real browser, from key press or pointer move to the change on the page
	@$(SEALED) $(PY) -m benchmarks.widgets $(BENCH_FLAGS)
bench-classroom: install  ## load-test a JupyterHub on this machine, and report what a class of thirty needs
	@$(SEALED) $(PY) -m benchmarks.classroom $(BENCH_FLAGS)
bench-start: install  ## time a newcomer's start in a fresh clone, from git clone to the first slider moved
	@PYTHONDONTWRITEBYTECODE= $(PY) -m benchmarks.first_slider

clean:  ## remove build results and caches (not .venv, not runs/)
	@rm -rf build dist .pytest_cache .mypy_cache .ruff_cache .import_linter_cache .hypothesis
	@find . -name .venv -prune -o \( -name __pycache__ -o -name .ipynb_checkpoints \) -type d -prune -exec rm -rf {} +
