# Thin targets; `make` alone lists them. What they do stands in the scripts and commands they call.
SHELL := /bin/bash
.DEFAULT_GOAL := help
PYTHON ?= $(shell command -v python3.11 || command -v python3)
BIN := .venv/bin
STAMP := .venv/.installed

.PHONY: help
help: ## list the targets
	@awk -F':.*## ' '/^[a-z-]+:.*## /{printf "  make %-20s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

$(STAMP): pyproject.toml requirements.lock
	@scripts/setup "$(PYTHON)"

.PHONY: setup
setup: $(STAMP) ## create .venv with everything at the locked versions

.PHONY: demo
demo: $(STAMP) ## the whole story on real servers; ONCE=1 ends it with a verdict
	@$(BIN)/healer demo $(if $(ONCE),--once)

.PHONY: check
check: $(STAMP) ## format, lint (docstrings too), types, layers, stale bundle
	@scripts/check

.PHONY: test
test: $(STAMP) ## everything that has to hold, with real servers
	@scripts/test

.PHONY: test-worlds
test-worlds: $(STAMP) ## the rules in 2,100 generated worlds and of 40 hostile truths, of which `make test` has 150 and 10; WORLDS=
	@HEALER_TEST_WORLDS="$(or $(WORLDS),2100)" HEALER_TEST_TRUTHS=40 $(BIN)/python -m pytest --numprocesses 3 --quiet \
	  tests/bundle/test_differential.py tests/bundle/test_hostile.py tests/bundle/test_model.py

.PHONY: test-browser
test-browser: $(STAMP) ## the pages in a real Chromium, which has to be installed
	@HEALER_CHROMIUM="$(HEALER_CHROMIUM)" scripts/test-browser

.PHONY: test-compose
test-compose: $(STAMP) ## docker-compose.yml on a Docker engine, through a death and a return
	@scripts/test-compose

.PHONY: mutants
mutants: $(STAMP) ## faults put into the rules, each of which a test must catch
	@scripts/mutants

.PHONY: test-autoheal-kills
test-autoheal-kills: $(STAMP) ## autoheal killed at 50 random points
	@AUTOHEAL_KILLS=50 $(BIN)/python -m pytest --quiet tests/autoheal/test_kills.py

.PHONY: test-long
test-long: $(STAMP) ## two of everything, each killed; endpoints that fail in every way: minutes of it
	@$(BIN)/python -m pytest -m long --numprocesses 2 --quiet tests

.PHONY: test-faults
test-faults: $(STAMP) ## a bus in every kind of trouble, with real Redis and the real rules: four minutes
	@$(BIN)/python -m pytest -m faults --numprocesses 2 --quiet tests

.PHONY: test-chaos
test-chaos: $(STAMP) ## 200 random kills, pauses and restarts over two of everything, beside a ledger: half an hour; STEPS=, SEED=
	@HEALER_CHAOS_STEPS="$(or $(STEPS),200)" HEALER_CHAOS_SEED="$(or $(SEED),1)" $(BIN)/python -m pytest -m chaos --quiet -rP tests/chaos

.PHONY: test-autoheal-long
test-autoheal-long: $(STAMP) ## an action that takes a minute, delivered by a real Alertmanager
	@AUTOHEAL_LONG_SECONDS=60 $(BIN)/python -m pytest --quiet tests/autoheal/test_pair.py

.PHONY: test-systemd
test-systemd: $(STAMP) ## the units, and autoheal's commands, under a real systemd of its own; as root
	@$(BIN)/python -m pytest --quiet tests/systemd

.PHONY: test-host
test-host: $(STAMP) ## a host with a real node_exporter, and all that can go wrong with it; as root, five minutes
	@$(BIN)/python -m pytest -m host --quiet tests/machine

.PHONY: bench
bench: $(STAMP) ## what the hot paths cost, beside what one would take without them: into bench/results.json and docs/scaling.md
	@PYTHONPATH=. $(BIN)/python -m bench.exporter

.PHONY: bench-rules
bench-rules: $(STAMP) ## what the rules cost at 100 to 10,000 services, on a real Prometheus
	@$(BIN)/python bench/rules.py --sizes 100 1000 10000

.PHONY: bench-count
bench-count: $(STAMP) ## ten million beats under scrapes, each counted; milliseconds from publish to board: two minutes
	@PYTHONPATH=. $(BIN)/python -m bench.count

.PHONY: bench-shards
bench-shards: $(STAMP) ## what shards and a Redis Cluster make cheaper: two minutes
	@PYTHONPATH=. $(BIN)/python -m bench.shards

.PHONY: soak
soak: $(STAMP) ## the exporter at 50,000 beats/s with a fault every minute, beside a ledger: an hour; MINUTES=, RATE=
	@PYTHONPATH=. $(BIN)/python -m bench.soak --minutes $(or $(MINUTES),60) --rate $(or $(RATE),50000)

.PHONY: fuzz
fuzz: $(STAMP) ## the beat decoder and the reader of replies under atheris: five minutes; SECONDS_TO_FUZZ=
	@scripts/fuzz

.PHONY: bench-latency
bench-latency: $(STAMP) ## seconds from a death and a return to the events, beside a loop written by hand: six minutes
	@$(BIN)/python bench/latency.py

.PHONY: dashboards
dashboards: $(STAMP) ## write the bundle's templates for Grafana from dashboards/
	@$(BIN)/python -m dashboards

.PHONY: bundle
bundle: $(STAMP) ## render truth.json into rules/, promtool-tests/, prometheus/, alertmanager/, grafana/
	@$(BIN)/healer bundle --truth truth.json --output .

.PHONY: lock
lock: $(STAMP) ## resolve the dependencies anew into requirements.lock
	@scripts/lock

.PHONY: clean
clean: ## remove what was built here; the servers' cache stays
	rm -rf .venv build dist .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache
