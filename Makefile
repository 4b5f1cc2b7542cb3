# Everything a newcomer, a teacher or a contributor types. `make` alone says what there is.
# Works with GNU make 3.81 (macOS) and later. Nothing has to be installed by hand but Python 3.11 or newer.

PYTHONS  := $(if $(PYTHON),$(PYTHON),python3 python3.13 python3.12 python3.11)
PY       := .venv/bin/python
WORKERS  ?= 2
START    := $(firstword $(wildcard notebooks/01_*.ipynb) notebooks)
PYTEST    = $(SEALED) $(PY) -m pytest

# Tests and committed outputs: nobody's progress card, the Hub switched off, no way out of this machine, the CPU, nobody's IPython settings,
# and threads that wait without spinning, which on a busy machine would cost ten times their work.
SEALED    = $(KEEP_COMPILED) OMP_WAIT_POLICY=passive DPO_TEACH_PROGRESS=off DPO_TEACH_PROJECTOR=off HF_HUB_OFFLINE=1 TOKENIZERS_PARALLELISM=false PYTHONPATH="$(CURDIR)/tests/offline"
KERNEL    = CUDA_VISIBLE_DEVICES= IPYTHONDIR="$(CURDIR)/.venv/ipython"
NBVAL     = $(KERNEL) $(PYTEST) -p notebook_guard --nbval --nbval-current-env --nbval-cell-timeout=600
SIDE_BY_SIDE = -n $(WORKERS) --dist loadfile
NB_FILE   = $(if $(NB),$(filter %.ipynb,$(wildcard $(NB) notebooks/$(NB) notebooks/$(NB).ipynb notebooks/$(NB)_*.ipynb)))

# A class room has no network: JupyterLab neither fetches its news, nor asks whether it may, nor asks for a newer version of itself.
LAB_QUIET := --LabApp.news_url=None \
             --LabApp.check_for_updates_class=jupyterlab.handlers.announcements.NeverCheckForUpdate
LAB_MORE  := JUPYTER_CONFIG_PATH="$(CURDIR)/deploy/jupyterlab$(if $(JUPYTER_CONFIG_PATH),:$(JUPYTER_CONFIG_PATH))"
LAB_ROOT  := $(if $(filter 0,$(shell id -u)),--allow-root)

# For a teacher: PROJECTOR=1 enlarges everything, JupyterLab's own text too; REVEAL=off keeps solutions back.
LARGE    := $(CURDIR)/build/projector
TEACHER   = $(if $(PROJECTOR),DPO_TEACH_PROJECTOR="$(PROJECTOR)" JUPYTERLAB_SETTINGS_DIR="$(LARGE)" JUPYTER_CONFIG_DIR="$(LARGE)") $(if $(REVEAL),DPO_TEACH_REVEAL="$(REVEAL)")

# Python compiles what it imports, and keeps it: pip would compile all of it first, and take three times as long.
KEEP_COMPILED = PYTHONDONTWRITEBYTECODE=

# While JupyterLab starts, Python compiles and reads what the notebooks' first cells import.
WARM_UP = $(PY) -c 'import matplotlib.pyplot, dpo_teach.widgets, dpo_teach.sampling, dpo_teach.models as m; m.load_model("reviews-gpt2")'

# A room without a network: OFFLINE=1 installs from the wheels of `make wheelhouse` and asks nobody else, whatever pip's settings say.
WHEELHOUSE ?= wheelhouse
WHEELS_AT   = $(if $(filter /%,$(WHEELHOUSE)),,$(CURDIR)/)$(WHEELHOUSE)
NO_SETTINGS = PIP_CONFIG_FILE=/dev/null PIP_FIND_LINKS=
ONLY_WHEELS = --no-index --find-links "$(WHEELHOUSE)"
PIP_INSTALL = $(if $(OFFLINE),$(NO_SETTINGS)) $(PY) -m pip install --no-compile --disable-pip-version-check $(PIP_FLAGS) \
	  $(if $(OFFLINE),$(ONLY_WHEELS)) -c constraints.txt
KIND        = import sysconfig as s; print(s.get_platform(), "with Python", s.get_python_version())
OTHER_KIND  = The wheels must be for $$($(PY) -c '$(KIND)'): 'make wheelhouse' adds them, on a machine of this kind with the network.
NEW_PIP     = 'pip>=25'  # installs in two thirds of the time that the one of Python 3.11 takes, which does as well
BUILD_NEEDS = 'hatchling>=1.25' editables  # what pip builds this folder with: the first is in pyproject.toml, and asks for the second

# What a command needs beyond a learner's packages, by the names of pyproject.toml: installed when it is first wanted, and then kept.
# EXTRAS=dev,hub asks for more.
NEEDS_test            := dev site hub
NEEDS_test-fast       := dev
NEEDS_test-notebook   := dev
NEEDS_prove-strict    := dev
NEEDS_flakes          := dev
NEEDS_lint            := dev
NEEDS_notebooks       := dev
NEEDS_photographs     := dev
NEEDS_bench           := dev bench
NEEDS_bench-widgets   := dev
NEEDS_bench-classroom := dev hub
NEEDS_bench-start     := dev
NEEDS_site            := site
NEEDS_slides          := site

ifneq ($(filter test-notebook,$(MAKECMDGOALS)),)
ifneq ($(words $(NB_FILE)),1)
$(error Which notebook? Say its number or its file, as in: make test-notebook NB=03)
endif
endif

.DEFAULT_GOAL := help
.PHONY: help lab test test-fast test-notebook prove-strict flakes install wheelhouse notebooks lint base-model preferences policy curves frontier bench bench-widgets bench-classroom bench-start playground photographs site slides handout constraints clean force

help:  ## say what there is
	@awk 'BEGIN { FS = ":.*## " } /^[a-z-]+:.*## / { printf "  make %-12s %s\n", $$1, $$2 }' Makefile
	@echo
	@echo "  PYTHON=...     the Python to build .venv with (3.11 or newer)"
	@echo "  PIP_FLAGS=...  for pip: on Linux without a GPU, the --extra-index-url of PyTorch's"
	@echo "                 CPU builds (its install page names it) saves 3 GB"
	@echo "  EXTRAS=...     with install: what tests, site and a class's server need as well, as EXTRAS=dev,site,hub"
	@echo "  OFFLINE=1      install from the wheels of 'make wheelhouse', without a network (TEACHING.md)"
	@echo "  LAB_FLAGS=...  for JupyterLab, as LAB_FLAGS=--no-browser"
	@echo "  TEST_FLAGS=... for pytest, as TEST_FLAGS='-x -k loss'"
	@echo "  WORKERS=2      with test: how many processes share the tests; a file of tests stays with one"
	@echo "  PROJECTOR=1    with lab: large lettering; REVEAL=off keeps the solutions back (TEACHING.md)"
	@echo "  FRESH=1        with notebooks: renew also the outputs that differ from run to run"

lab: install  ## open the notebooks in JupyterLab (the first time sets everything up)
	@echo "Opening $(START) in JupyterLab. Stop it with Ctrl-C, twice."
	@$(if $(PROJECTOR),$(TEACHER) $(PY) -c 'from dpo_teach.projector import write_lab_settings as w; w("$(LARGE)")')
	@$(KEEP_COMPILED) $(WARM_UP) >/dev/null 2>&1 & \
	  $(TEACHER) $(KEEP_COMPILED) OMP_WAIT_POLICY=passive JUPYTER_PREFER_ENV_PATH=1 $(LAB_MORE) $(PY) -m jupyterlab $(LAB_QUIET) $(if $(PROJECTOR),--custom-css) $(LAB_ROOT) $(LAB_FLAGS) "$(START)"

test: lint  ## check everything: style, tests, the site, and every cell of every notebook
	@echo "Testing the package, and the examples in its docstrings."
	@$(PYTEST) $(SIDE_BY_SIDE) --doctest-modules tests dpo_teach $(TEST_FLAGS)
	@echo "Running every notebook and comparing each output with the one that is committed."
	@$(NBVAL) $(SIDE_BY_SIDE) notebooks
	@echo "All good."

test-fast: install  ## check the package in under a minute: no notebook is run, no browser started
	@$(PYTEST) $(SIDE_BY_SIDE) -q -m "not slow and not browser" --durations=5 --durations-min=1 tests $(TEST_FLAGS)

test-notebook: install  ## run one notebook and compare its outputs with those that are saved: NB=03
	@$(NBVAL) $(NB_FILE) $(TEST_FLAGS)

prove-strict: install  ## plant faults in copies of the notebooks, each alone, and count those that are found
	@$(SEALED) $(PY) tests/faults.py $(FAULT_FLAGS)

flakes: install  ## run the fast tests ten times: other hashes, other threads, another order
	@$(SEALED) $(PY) tests/flakes.py $(FLAKE_FLAGS)

install: .venv/.installed  ## set up .venv, and nothing else
	@$(if $(filter install,$(MAKECMDGOALS)),echo "dpo_teach is installed in .venv.",:)

wheelhouse: install  ## gather the wheels for a room without a network: wheelhouse/, or WHEELHOUSE=... (TEACHING.md)
	@rm -rf build/gather
	@"$(or $(PYTHON),$(PY))" -m venv build/gather
	@echo "Gathering wheels in $(WHEELS_AT)."
	@build/gather/bin/python -m pip wheel --disable-pip-version-check --quiet $(PIP_FLAGS) -w "$(WHEELHOUSE)" $(NEW_PIP) 2>/dev/null || :
	@build/gather/bin/python -m pip wheel --disable-pip-version-check $(PIP_FLAGS) -c constraints.txt -w "$(WHEELHOUSE)" \
	    $(BUILD_NEEDS) '.[dev,site,hub]' && \
	  rm -f "$(WHEELHOUSE)"/dpo_teach-*.whl && \
	  $(NO_SETTINGS) build/gather/bin/python -m pip install --disable-pip-version-check --quiet --dry-run $(ONLY_WHEELS) \
	    -c constraints.txt -e '.[dev,site,hub]' || { \
	  echo "Not all wheels are in $(WHEELS_AT): pip's reason is above. Once that is mended, the same command goes on from here." >&2; \
	  exit 1; \
	}
	@echo "All there, for $$(build/gather/bin/python -c '$(KIND)'):" \
	  "$$(ls "$(WHEELHOUSE)" | wc -l | tr -d ' ') files, $$(du -sh "$(WHEELHOUSE)" | cut -f 1) in $(WHEELS_AT)."
	@echo "On a laptop of that kind, with this folder and those wheels: make lab OFFLINE=1"
	@rm -rf build/gather

notebooks: install  ## run every notebook again and write it back normalised
	@$(KERNEL) $(SEALED) $(PY) -m dpo_teach.notebooks $(if $(FRESH),--fresh) notebooks/*.ipynb

lint: install  ## check style (ruff), the floors of DESIGN (import-linter) and types (mypy)
	@echo "Checking style, floors and types."
	@$(PY) -m ruff check
	@$(PY) -m ruff format --check
	@$(PY) -c 'from importlinter.cli import lint_imports_command; lint_imports_command()'
	@$(PY) -m mypy

base-model: install  ## train the bundled small GPT-2 again (about 12 minutes on two cores)
	@$(PY) -m dpo_teach.bundle model

preferences: install  ## sample and label the bundled preference pairs again
	@$(PY) -m dpo_teach.bundle pairs

curves: install  ## record the five runs of notebook 04's last exercise again
	@$(PY) -m dpo_teach.bundle runs

frontier: install  ## measure the frontier of notebook 02 again (an hour or two; goes on where it was stopped)
	@.venv/bin/dpo-teach frontier --output runs/frontier/results.json
	@cp runs/frontier/results.json dpo_teach/assets/frontier/results.json

policy: install  ## train the bundled DPO policy again
	@$(PY) -m dpo_teach.bundle policy

bench: install  ## time the trainer against TRL's, in one run (half an hour on two cores); CASES=reviews for one of them
	@HF_HUB_OFFLINE=1 $(PY) -m benchmarks $(CASES) $(BENCH_FLAGS)

bench-widgets: install  ## time the explorers in a real browser: from the key or pointer to what it changes
	@$(SEALED) $(PY) -m benchmarks.widgets $(BENCH_FLAGS)

bench-classroom: install  ## load a JupyterHub on this machine with learners, and say what a class of thirty needs
	@$(SEALED) $(PY) -m benchmarks.classroom $(BENCH_FLAGS)

bench-start: install  ## time a newcomer's way, in a clone of its own: from git clone to the first slider moved
	@$(KEEP_COMPILED) $(PY) -m benchmarks.first_slider

playground: install  ## write the four explorers into one file that opens from disk: build/playground.html
	@$(PY) -m dpo_teach.widgets.playground

site: install  ## build the notebooks into web pages that open from disk: build/site/index.html
	@$(SEALED) $(PY) docs/build.py

slides: install  ## write slides of the notebooks, one file for each, which opens from disk: build/slides
	@$(SEALED) $(PY) docs/slides/build.py

handout: install  ## copy the notebooks without their saved outputs, which tell solutions and answers: build/handout
	@$(PY) -m dpo_teach.notebooks.handout notebooks/*.ipynb

photographs: install  ## photograph the explorers again, for README and notebooks (needs chromium)
	@$(SEALED) $(PY) -m dpo_teach.widgets.studio

constraints:  ## renew constraints.txt: the newest versions that pyproject.toml allows (needs the network)
	@rm -rf build/constraints
	@$(or $(PYTHON),python3) -m venv build/constraints
	@build/constraints/bin/python -m pip install $(PIP_FLAGS) '.[dev,bench,site,hub]'
	@{ sed -n '/^#/p' constraints.txt; \
	   build/constraints/bin/python -m pip freeze --all --exclude pip --exclude dpo_teach \
	     | sed 's/+.*//' | grep -v -i -E '^(nvidia|cuda|triton)|@' | LC_ALL=C sort -f; } > build/constraints.txt
	@mv build/constraints.txt constraints.txt
	@rm -rf build/constraints

clean:  ## remove what tools leave behind (not .venv, not runs/)
	@rm -rf build dist .pytest_cache .mypy_cache .ruff_cache .import_linter_cache .hypothesis
	@find . -name .venv -prune -o \( -name __pycache__ -o -name .ipynb_checkpoints \) -type d -prune -exec rm -rf {} +
	@echo "Clean. The environment is still in .venv; 'rm -rf .venv' removes that as well."

# The set-up. It runs again if pyproject.toml or constraints.txt change, if this folder has been moved, or if something is wanted
# that is not there. .venv/.installed notes the state of the first three, and the extras that are there.
NOTED  := $(shell cat .venv/.installed 2>/dev/null)
STATE  := $(shell { pwd -P; cat pyproject.toml constraints.txt; } | cksum | tr ' ' '-')
THERE  := $(filter dev site hub bench,$(NOTED))
WANTED := $(foreach goal,$(MAKECMDGOALS),$(NEEDS_$(goal))) $(shell echo $(EXTRAS) | tr ',' ' ')
ALL    := $(sort $(THERE) $(WANTED))
ifneq ($(filter-out dev site hub bench,$(ALL)),)
$(error EXTRAS: there is no $(filter-out dev site hub bench,$(ALL)), wanted dev, site, hub or bench)
endif
COURSE := .$(if $(ALL),[$(shell echo $(ALL) | tr ' ' ',')])
ifneq ($(STATE) $(ALL),$(firstword $(NOTED)) $(THERE))
.venv/.installed: force
endif

NEW_ENOUGH := import sys; sys.exit(sys.version_info < (3, 11))

.venv/.installed:
	@[ -z "$(OFFLINE)" ] || ls "$(WHEELHOUSE)"/*.whl >/dev/null 2>&1 || { \
	  echo "No wheels in $(WHEELS_AT). Run 'make wheelhouse' on a machine with the network and bring that folder here, or name it: make WHEELHOUSE=/path/to/wheelhouse" >&2; \
	  exit 1; \
	}
	@if ! $(PY) -c '$(NEW_ENOUGH)' >/dev/null 2>&1; then \
	  new=; found=; for python in $(if $(PYTHON),"$(PYTHON)",$(PYTHONS)); do \
	    "$$python" -c '$(NEW_ENOUGH)' >/dev/null 2>&1 || continue; \
	    new="$$python"; \
	    "$$python" -c 'import ensurepip, venv' >/dev/null 2>&1 && found="$$python" && break; \
	  done; \
	  if [ -z "$$new" ]; then \
	    echo "Python 3.11 or newer is wanted and not found as: $(PYTHONS). Install one, or name it: make PYTHON=/path/to/python3" >&2; \
	    exit 1; \
	  elif [ -z "$$found" ]; then \
	    echo "$$new cannot make a virtual environment. On Debian and Ubuntu: sudo apt install python3-venv" >&2; \
	    exit 1; \
	  fi; \
	  echo "Making a virtual environment in .venv with $$("$$found" --version)."; \
	  "$$found" -m venv --clear .venv || { \
	    rm -rf .venv; \
	    echo "$$found could not make a virtual environment in .venv: its reason is above." >&2; \
	    exit 1; \
	  }; \
	fi
	@echo "Installing dpo_teach and what $(if $(ALL),it and its tools stand,it stands) on into .venv: once, some minutes, $(if $(OFFLINE),from $(WHEELS_AT),and the network is needed)."
	@$(PIP_INSTALL) --quiet --retries 0 $(NEW_PIP) 2>/dev/null || :
	@$(PIP_INSTALL) -e '$(COURSE)' || { \
	  echo "pip could not install: its reason is above. $(if $(OFFLINE),$(OTHER_KIND),Once that is mended, the same command goes on from here.)" >&2; \
	  exit 1; \
	}
	@echo $(STATE) $(ALL) > $@
	@echo "Set up. From now on this step is skipped."
