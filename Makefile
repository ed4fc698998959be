# Two commands: `make course` and `make test`. Everything else is for when you need it.
#   PROFILE=smoke|laptop|full   DATASET=name   SEED=n   LESSON=01   PLAN=plan.yml   PYTHON=python3.12

SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help

PYTHON ?= python3
PROFILE ?= smoke
VENV := .venv
BIN := $(VENV)/bin
READY := $(VENV)/.ready
FINGERPRINT := $(BIN)/python -c 'import hashlib, sys; print(hashlib.sha256(open("pyproject.toml", "rb").read()).hexdigest(), *sys.version_info[:2])'
VERSION := -c 'import sys; print("Python %d.%d" % sys.version_info[:2])'
PIP_NEWS := '^ *((Downloading|Using cached) .*[0-9]{2}\.[0-9] [MG]B|Building wheel|Installing collected|Successfully)'
quoted = '$(subst ','\'',$(1))'
LESSONS = $(foreach lesson,$(LESSON),$(call quoted,$(lesson)))
CHOICES = --profile $(call quoted,$(PROFILE)) \
  $(if $(DATASET),--dataset $(call quoted,$(DATASET))) $(if $(SEED),--seed $(call quoted,$(SEED)))

# Notebooks run in other directories than make does.
ifneq ($(strip $(value COURSE_DATA_ROOT)),)
ifeq ($(filter /% ~%,$(firstword $(value COURSE_DATA_ROOT))),)
override export COURSE_DATA_ROOT := $(CURDIR)/$(value COURSE_DATA_ROOT)
endif
endif

# A PYTHON that somebody asked for; the default one gives way to what .venv/ was made with.
ASKED := $(if $(filter file,$(origin PYTHON)),,$(PYTHON))
AGAIN := $(if $(ASKED),again,$(shell $(BIN)/python -c 'import pip' 2>/dev/null || echo again))

# Two processes of one thread each are faster than one of two: most tests are no tensor work.
SHARED := OMP_NUM_THREADS=1 $(BIN)/pytest -q -n 2 --dist worksteal

.PHONY: help
help: ## list the targets
	@echo "Finding surface defects in images: a course"
	@echo
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  make %-12s %s\n", $$1, $$2}' Makefile
	@echo
	@echo "  PROFILE=smoke|laptop|full  DATASET=name  SEED=n  LESSON=01  PLAN=plan.yml  PYTHON=python3.12"

.PHONY: course
course: $(READY) ## run the lessons and write their pages to build/course/
	@$(BIN)/course run $(LESSONS) $(CHOICES) --out build/course

.PHONY: lab
lab: $(READY) ## open the lessons in JupyterLab
	@$(BIN)/jupyter lab --notebook-dir=notebooks --LabApp.default_url=/lab/tree/00_start_here.ipynb \
	  --ContentsManager.hide_globs="['*.py', 'source', 'tolerances', '__pycache__']"

.PHONY: batch
batch: $(READY) ## execute a plan of many runs (PLAN=plan.yml)
	@test -n $(call quoted,$(PLAN)) || { echo "make batch PLAN=plan.yml: which plan?" >&2; exit 2; }
	@$(BIN)/course batch $(call quoted,$(PLAN))

.PHONY: doctor
doctor: $(READY) ## check this machine
	@$(BIN)/course doctor

.PHONY: test
test: $(READY) ## unit tests, faults, nbval and papermill over every lesson
	@status=0; \
	echo "== unit tests"; $(SHARED) || status=1; \
	echo "== faults"; $(BIN)/pytest -q tests/faults || status=1; \
	echo "== lessons"; $(SHARED) tests/notebooks || status=1; \
	exit $$status

.PHONY: test-unit
test-unit: $(READY) ## the unit tests alone
	@$(SHARED)

.PHONY: faults-long
faults-long: $(READY) ## batches that are killed, hang and eat memory; all executors, a class (an hour)
	@$(BIN)/pytest -q tests/faults_long

.PHONY: mutants
mutants: $(READY) ## broken lessons must leave their tolerances (some minutes)
	@$(BIN)/pytest -q tests/mutants

.PHONY: notebooks
notebooks: $(READY) ## execute notebooks/source/*.py into the notebooks (LESSON=01 for one)
	@$(BIN)/python notebooks/build.py $(LESSONS)

.PHONY: tolerances
tolerances: $(READY) ## measure how far a lesson's metrics vary (LESSON=01)
	@test -n $(call quoted,$(LESSON)) || { echo "make tolerances LESSON=01: which lesson?" >&2; exit 2; }
	@$(BIN)/python notebooks/tolerances.py $(LESSONS)

.PHONY: lint
lint: $(READY) ## ruff, mypy, the order of the packages
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check .
	@$(BIN)/lint-imports --no-cache
	@$(BIN)/mypy

.PHONY: clean
clean: ## remove build/ and .venv/, unless build/ holds notebooks that you edited
	@edited=$$(find build -name '*.edited-*.ipynb' 2>/dev/null || true); \
	if [ -n "$$edited" ]; then \
	  echo "these were edited by you; move them away first:" >&2; echo "$$edited" >&2; exit 1; \
	fi
	rm -rf build $(VENV)

.PHONY: again
again:

# The environment. It is built again when pyproject.toml changes (in content, not in date), or
# when its own Python was changed or broken.
# torch and torchvision stand in one command, so that pip resolves them as a pair.
$(READY): pyproject.toml $(AGAIN)
	@command -v "$(PYTHON)" >/dev/null || { \
	  echo "$(PYTHON) was not found. Install Python 3.11 or newer, or name one:" >&2; \
	  echo "  make course PYTHON=/path/to/python3.12" >&2; exit 1; }
	@"$(PYTHON)" -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { \
	  echo "Python 3.11 or newer is needed; $(PYTHON) is $$("$(PYTHON)" -V 2>&1)." >&2; \
	  echo "  make course PYTHON=/path/to/python3.12" >&2; exit 1; }
	@made=$$($(BIN)/python $(VERSION) 2>/dev/null || true); wanted=$$("$(PYTHON)" $(VERSION)); \
	if [ -n "$(ASKED)" -a -n "$$made" -a "$$made" != "$$wanted" ]; then \
	  echo "$(VENV) was made with $$made, and $(PYTHON) is $$wanted. To make it anew:" >&2; \
	  echo "  rm -rf $(VENV), then the same command again" >&2; exit 1; \
	fi; \
	$(BIN)/python -c 'import pip' 2>/dev/null \
	|| "$(PYTHON)" -m venv $$([ -n "$$made" ] || echo --clear) $(VENV) || { \
	  rm -rf $(VENV); echo "The environment could not be made. On Debian or Ubuntu:" >&2; \
	  echo "  sudo apt-get install python3-venv" >&2; exit 1; }
	@if [ "$$($(FINGERPRINT))" != "$$(cat $@ 2>/dev/null)" ]; then set -o pipefail; \
	  echo "Installing into $(VENV): some minutes and up to 6 GB of disk the first time."; \
	  $(BIN)/python -m pip install --disable-pip-version-check --progress-bar off \
	    torch torchvision -e '.[dev]' \
	    | { grep --line-buffered -E $(PIP_NEWS) || true; } | cut -c1-130 || { \
	    echo "The installation failed; pip says why above." >&2; \
	    echo "If a compiler or Python.h was missing (package noise), on Debian or Ubuntu:" >&2; \
	    echo "  sudo apt-get install gcc python3-dev" >&2; exit 1; }; \
	fi
	@$(BIN)/python -c 'import cv2' || { \
	  echo "OpenCV does not load. If a library is missing, on Debian or Ubuntu:" >&2; \
	  echo "  sudo apt-get install libgl1 libglib2.0-0" >&2; exit 1; }
	@$(FINGERPRINT) > $@
