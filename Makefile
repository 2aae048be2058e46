# One command each; `make help` lists them. The environment is made on the first use and again when the lock changes.
# The interpreter behind `python3`, also where that is an environment's own: .venv is made from it and has no pip.
PYTHON ?= $(shell python3 -c 'import sys; print(sys._base_executable)')
VENV := .venv
READY := $(VENV)/.ready
# The environment's own programs first: DVC runs every stage with the `python` that it finds on PATH.
export PATH := $(CURDIR)/$(VENV)/bin:$(PATH)
export DVC_NO_ANALYTICS := 1
export DO_NOT_TRACK := true
export HF_HUB_DISABLE_TELEMETRY := 1
export MLFLOW_DISABLE_TELEMETRY := true
# Bytecode that is made at once, on all cores; Python makes the rest where it is imported. All of it takes a minute.
COMPILED := torch transformers sympy scipy sklearn pandas numpy mlflow sqlalchemy matplotlib
NOT_COMPILED := /tests/|transformers/models/(?!auto/|xlm_roberta/)
UV := $(shell command -v uv 2>/dev/null || echo .tools/bin/uv)

.PHONY: help run env node test test-slow test-faults audit lint types docs check format runs report mlflow publish lock clean-scratch

help:  ## this list
	@grep -hE '^[a-z-]+:.*##' Makefile | sed -E 's/:.*## /\t/' | expand -t 16

run: env  ## the whole pipeline on params.yaml; ends with the result
	DISTIL_RESULT=later dvc repro
	@python -m distil report

env: $(READY)  ## .venv with every package at its locked version

$(READY): requirements.lock
	@command -v "$(UV)" >/dev/null || "$(PYTHON)" -m pip install --quiet --disable-pip-version-check --target .tools uv
	"$(UV)" venv --quiet --clear --python "$(PYTHON)" --no-python-downloads $(VENV)
	"$(UV)" pip sync --quiet --python $(VENV)/bin/python --require-hashes requirements.lock
	@cd $(VENV)/lib/python*/site-packages && ../../../bin/python -m compileall -qq -j 0 -x '$(NOT_COMPILED)' $(COMPILED) || true
	@printf '%s\n' '#!/bin/sh' 'exec "$${0%/*}/python" -m distil "$$@"' > $(VENV)/bin/distil && chmod +x $(VENV)/bin/distil
	@touch $(READY)

test: env  ## the tests, at most ten minutes on two cores
	OMP_NUM_THREADS=1 python -m pytest -q -n 2 --dist loadfile

test-slow: env  ## the long tests: whole pipelines, experiments, queues
	python -m pytest -q -m "slow and not faults"

test-faults: env  ## faults by the hundred: kills, damage, full disks, bad input; ends with the counts
	python -m pytest -q -m faults

audit: env  ## known vulnerabilities of the locked packages; asks the advisory service, so it needs the network
	@said=$$("$(UV)" tool run pip-audit --strict --require-hashes --disable-pip --requirement requirements.lock 2>&1) \
	  && { echo "$$said"; exit 0; }; \
	case "$$said" in \
	  *Found*known\ vulnerabilit*) echo "$$said"; echo "audit: renew the packages named above (\`make lock\`)" >&2;; \
	  *) echo "$$said" | tail -n 1; \
	    echo "audit: not done: the advisory service cannot be reached or does not know every locked package" >&2;; \
	esac; exit 1

node:  ## the npm packages of the tests in JavaScript, with Node.js; without them those tests are skipped
	mkdir -p .tools/npm && cp tests/web/package.json tests/web/package-lock.json .tools/npm/
	npm ci --silent --ignore-scripts --no-audit --no-fund --prefix .tools/npm

lint: env  ## style
	ruff check .
	ruff format --check .

types: env  ## types
	mypy

docs: env  ## the docs as a site in .site, links checked; `mkdocs serve` shows it while you write
	mkdocs build --strict --quiet --site-dir .site

check: lint types test docs  ## what a commit must pass

format: env  ## put the code into the house style
	ruff check --fix .
	ruff format .

runs: env  ## the table of experiments, the best first: ARGS=-A for those of all commits
	@python -m distil runs $(ARGS)

report: env  ## the result of the last run in a few lines: ARGS=--open for the whole report in a browser
	@python -m distil report $(ARGS)

mlflow: env  ## the runs in a browser; prints the address of the table of runs
	@python -c 'from distil.tracking.view import find_view_address; print("runs:", find_view_address())'
	MLFLOW_SERVER_ENABLE_JOB_EXECUTION=false mlflow server --workers 1 --host 127.0.0.1 --port 5000 \
	  --backend-store-uri "sqlite:///$(CURDIR)/mlflow.db" --artifacts-destination "$(CURDIR)/mlartifacts"

publish: env  ## a folder and its card on the Hugging Face Hub: HUB_ID=me/model [MODEL=models/student] [ARGS=--dry-run]
	python -m distil.publish "$(HUB_ID)" --model "$(or $(MODEL),models/student)" $(ARGS)

lock: env  ## requirements.lock from pyproject.toml, every package at its newest
	"$(UV)" pip compile --quiet --universal --python-version 3.11 --all-extras --group dev --generate-hashes \
	  --no-emit-index-url \
	  --no-header --upgrade --output-file requirements.lock pyproject.toml

clean-scratch:  ## forget unfinished work and finished cache shards
	rm -rf .scratch
