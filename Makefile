# eqflow: every target sets up what it needs. `make help` lists them.
.DEFAULT_GOAL := help
SHELL := /bin/sh

PYTHON      ?= python3
TORCH       ?= torch==2.13.0
TORCH_INDEX ?=
ESCNN       := escnn==1.0.11

# The environment: the active conda environment (base excepted), else .venv here.
ifneq ($(CONDA_PREFIX),)
ifneq ($(CONDA_DEFAULT_ENV),base)
CONDA := $(CONDA_PREFIX)
endif
endif
ENV   := $(or $(CONDA),.venv)
PY    := $(ENV)/bin/python
SPACE := $(subst ,, )
# Make splits names at spaces: those of a path to conda are escaped; .venv is relative for that reason too.
STAMP := $(subst $(SPACE),\ ,$(ENV))/.eqflow-installed
SITE  := $(subst $(SPACE),\ ,$(ENV))/.eqflow-site-installed
SITETEST := $(subst $(SPACE),\ ,$(ENV))/.eqflow-site-test-installed
RUN   := "$(PY)" -m eqflow.study

# A relative EQFLOW_DATA means relative to here, wherever a notebook runs.
ifneq ($(EQFLOW_DATA),)
override EQFLOW_DATA := $(if $(filter /% ~%,$(firstword $(EQFLOW_DATA))),,$(CURDIR)/)$(EQFLOW_DATA)
export EQFLOW_DATA
endif

# A variable that nothing reads, such as SEED=3 or PROFIL=quick, would be passed over in silence.
KNOWN   := PROFILE NB HOURS BUDGET DATA DEVICE MODEL FRESH ENGINE WORKERS PYTHON TORCH TORCH_INDEX
KNOWN   += REPOSITORY EQFLOW_DATA EQFLOW_CACHE EQFLOW_PUBLISHED EQFLOW_SHARD_GB CONDA_PREFIX CONDA_DEFAULT_ENV
KNOWN   += SUBMISSIONS COHORT SECONDS MEMORY_MB OUT BUILD EQFLOW_COHORT
GIVEN   := $(foreach v,$(.VARIABLES),$(if $(filter command,$(origin $(v))),$(v)))
UNKNOWN := $(filter-out $(KNOWN),$(GIVEN))
ifneq ($(UNKNOWN),)
$(error unknown variable $(UNKNOWN); the known ones are: $(KNOWN))
endif

OPTIONS := $(foreach o,PROFILE HOURS BUDGET DATA DEVICE ENGINE WORKERS,$(if $($(o)),--$(shell echo $(o) | tr A-Z a-z) "$($(o))")) \
           $(foreach m,$(MODEL),--model "$(m)") $(if $(NB),--nb "$(NB)") $(if $(filter-out 0,$(FRESH)),--fresh)

.PHONY: help
help: ## this list
	@grep -E '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | awk -F ':.*## ' '{printf "  make %-14s %s\n", $$1, $$2}'
	@echo
	@echo "  Options: PROFILE=smoke|quick|night|paper  NB=12 or NB=11,12  DATA=auto|embedded|real"
	@echo "           HOURS=24 (the most telling runs first)  BUDGET=0.1 (of every run's steps)"
	@echo "           DEVICE=auto|cpu|cuda  FRESH=1  ENGINE=processes|submitit|dask  WORKERS=4"
	@echo "           PYTHON=python3.12  TORCH_INDEX=<index of CPU builds>"

.PHONY: reproduce
reproduce: $(STAMP) ## train, run all notebooks, write figures, tables and verdicts into results/
	@$(RUN) reproduce $(OPTIONS)

.PHONY: test
test: $(STAMP) ## lint and test everything, all notebooks at the smoke profile included
	"$(PY)" -m ruff check .
	"$(PY)" -m ruff format --check .
	"$(PY)" -m pytest -n auto --maxprocesses 8 --dist loadfile

.PHONY: plan
plan: $(STAMP) ## what `make reproduce` would cost here: minutes and memory per notebook
	@$(RUN) plan $(OPTIONS)

.PHONY: train
train: $(STAMP) ## train a notebook's runs without Jupyter: make train NB=12 (MODEL=grnn: only its runs)
	@$(RUN) train $(OPTIONS)

.PHONY: why
why: $(STAMP) ## why each run is found, resumed or trained: make why NB=12
	@$(RUN) why $(OPTIONS)

.PHONY: doctor
doctor: $(STAMP) ## versions, device, memory, disk, data; what is missing and how to get it
	@$(RUN) doctor

.PHONY: bench
bench: $(STAMP) ## speed and memory against a plain reference, interleaved in one process
	@"$(PY)" -m benchmarks

.PHONY: gpu
gpu: $(STAMP) ## the first hours on a GPU: its tests, benchmarks, calibration, telling runs (HOURS=1 BUDGET=0.02)
	@"$(PY)" -m eqflow.study.gpu $(if $(HOURS),--hours $(HOURS)) $(if $(BUDGET),--budget $(BUDGET))

.PHONY: check-results
check-results: $(STAMP) ## fail if a published result is older than what made it
	@$(RUN) check-results $(OPTIONS)

.PHONY: times
times: $(STAMP) ## write the published minutes into the notebooks' title cells (for maintainers)
	@$(RUN) times
	@"$(PY)" -m eqflow.course minutes

.PHONY: course
course: $(STAMP) ## build the notebooks for readers, students and teachers, and the slides, into build/course
	@"$(PY)" -m eqflow.course build $(if $(NB),--nb "$(NB)")

.PHONY: grade
grade: $(STAMP) ## mark a folder of students' notebooks: make grade SUBMISSIONS=folder (docs/teaching.md)
	@$(if $(SUBMISSIONS),,echo "say which folder: make grade SUBMISSIONS=folder"; exit 2;) \
		$(if $(COHORT),EQFLOW_COHORT="$(COHORT)") "$(PY)" -m eqflow.course grade "$(SUBMISSIONS)" \
		$(foreach o,SECONDS MEMORY_MB WORKERS OUT,$(if $($(o)),--$(shell echo $(o) | tr A-Z_ a-z-) "$($(o))"))

.PHONY: site
site: $(SITE) ## the book on the web, from the published results, into build/site (PROFILE=quick)
	@"$(PY)" site/build.py $(if $(PROFILE),--profile "$(PROFILE)") $(if $(REPOSITORY),--repository "$(REPOSITORY)") \
		$(if $(filter-out 0,$(FRESH)),--fresh)

# What the site needs beside the default: on its first call only.
$(SITE): site/requirements.lock $(STAMP)
	@echo "eqflow: installing what the site needs into $(ENV) (once)"
	@"$(PY)" -m pip install --quiet -r site/requirements.lock
	@touch "$(ENV)/.eqflow-site-installed"

# The site in a real browser. Without one (Debian: chromium; or EQFLOW_BROWSER) its tests are skipped, aloud.
.PHONY: test-site
test-site: site $(SITETEST) ## the site in a browser: every page, players, explorables, search, keyboard, print
	@EQFLOW_SITE="$(CURDIR)/build/site" "$(PY)" -m pytest tests/site -q

$(SITETEST): pyproject.toml $(SITE)
	@"$(PY)" -m pip install --quiet "playwright>=1.50"
	@touch "$(ENV)/.eqflow-site-test-installed"

.PHONY: lab
lab: $(STAMP) ## open the notebooks in JupyterLab (BUILD=student: that build of the course)
	@$(if $(COHORT),EQFLOW_COHORT="$(COHORT)") "$(ENV)/bin/jupyter" lab $(if $(BUILD),build/course/$(BUILD),notebooks)

.PHONY: env
env: $(STAMP) ## only set up the environment

# escnn's metadata asks for a Fortran compiler and numpy 1, which planar groups never use: hence --no-deps.
# torch goes first and alone, so that the choice of its build (CPU, CUDA) stays the user's.
$(STAMP): requirements.lock pyproject.toml
	@[ -n "$(CONDA)" ] || "$(PYTHON)" -c 'import sys; v = sys.version_info[:2]; sys.exit(0 if (3, 10) <= v <= (3, 13) else \
		"eqflow needs Python 3.10 to 3.13; $(PYTHON) is %d.%d: choose another with make PYTHON=python3.11" % v)'
	@[ -n "$(CONDA)" ] || [ -x "$(PY)" ] || "$(PYTHON)" -m venv "$(ENV)" || { rm -rf "$(ENV)"; exit 1; }
	@echo "eqflow: installing into $(ENV) (once)"
	@"$(PY)" -m pip install --quiet $(if $(TORCH_INDEX),--index-url "$(TORCH_INDEX)") "$(TORCH)"
	@"$(PY)" -m pip install --quiet -r requirements.lock
	@"$(PY)" -m pip install --quiet --no-deps "$(ESCNN)"
	@"$(PY)" -m pip install --quiet --no-deps --editable .
	@touch "$(ENV)/.eqflow-installed"

.PHONY: lock
lock: $(STAMP) ## renew requirements.lock from pyproject.toml (for maintainers; uses uv)
	@"$(PY)" -m pip install --quiet uv
	@"$(PY)" -m uv pip compile --quiet --universal --python-version 3.10 --extra dev --no-annotate --no-header \
		--upgrade pyproject.toml -o requirements.lock
	@"$(PY)" -m uv pip compile --quiet --universal --python-version 3.10 --extra site --no-annotate --no-header \
		--upgrade --constraint requirements.lock pyproject.toml -o site/requirements.lock

.PHONY: clean
clean: ## remove the environment and the work in progress; results/ stays
	rm -rf .venv .cache build *.egg-info
