# Every target a person needs; `make help` lists them.
SHELL := /bin/bash
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
SECONDS_ARG := $(if $(filter command line,$(origin SECONDS)),--seconds $(SECONDS),)

.DEFAULT_GOAL := help

help: ## list every target
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 14

setup: $(VENV)/.ready ## build .venv with sluice in it

COMPILED := models/risk/compiled.json
SCORING := $(shell sed -n 's|^    "\(models/.*\.py\)",$$|\1|p' setup.py)

$(COMPILED): ; # made with .ready, which is made again where it is gone

$(VENV)/.ready: pyproject.toml constraints.txt setup.py $(SCORING) $(if $(shell command -v cc),$(COMPILED))
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "Sluice needs Python 3.11 or newer")'
	@echo "building $(VENV): packages come from PyPI, which takes about a minute"
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[dev]'
	@touch $@

demo: setup ## everything on this machine, closed loop (SECONDS=60 ends by itself; ARGS='--workers 2': see sluice up -h)
	$(BIN)/sluice up $(SECONDS_ARG) $(ARGS)

test: setup check ## every check, then every test but those of soak
	$(BIN)/pytest -m "not soak" --durations=20 --durations-min=5

soak: setup ## run the bench once through as a person calls it (long)
	$(BIN)/pytest -m soak -o timeout=5400 -o faulthandler_timeout=5460

check: setup ## linters, types, import rules
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

format: setup ## put the code into the house's form
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

kafka: setup ## a real Apache Kafka on Java 17, without Docker, until Ctrl-C (ARGS='--port 9092')
	$(BIN)/sluice broker --kind kafka $(ARGS)

bench: setup ## measure throughput and latency on this machine (ARGS='--parts scorer')
	$(BIN)/sluice bench $(ARGS)

clean: ## remove what the targets above made
	find models -name "*.so" -delete
	rm -rf $(VENV) .run build models/risk/compiled.json *.egg-info .pytest_cache .mypy_cache .ruff_cache .hypothesis .import_linter_cache

.PHONY: help setup demo test soak check format kafka bench clean
