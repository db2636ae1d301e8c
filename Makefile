# Everything a person types. `make up` needs only Python >= 3.11 and make.
PYTHON ?= python3
SPEED ?= 4320
DAYS ?= 14
ALGORITHM ?= flight_delay
export UV_PYTHON_DOWNLOADS = never
BIN := .venv/bin
PARALLEL := -n auto

.PHONY: help up demo test test-all check format lock bench-features bench-streams bench-host bench-ab clean
help: ## this list
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | awk -F ':.*## ' '{printf "  make %-14s %s\n", $$1, $$2}'

.venv/.ready: requirements.lock pyproject.toml serving/client/pyproject.toml
	@sh .ci/install $(PYTHON)

up: .venv/.ready ## the whole system on live (replayed) traffic; Ctrl-C stops it; ALGORITHM=, SPEED=event seconds a second
	@$(BIN)/saima up $(ALGORITHM) --speed $(SPEED)

demo: .venv/.ready ## 14 replayed days, headless, with kills, that proves itself; FAULT=parity|leak|journal must fail
	@$(BIN)/saima demo $(ALGORITHM) --days $(DAYS) $(if $(FAULT),--fault $(FAULT))

test: .venv/.ready ## the tests, long ones as a sample
	@$(BIN)/pytest $(PARALLEL) -m "not full and not e2e"
	@$(BIN)/pytest -m "e2e and not full"

test-all: .venv/.ready ## the tests in full counts
	@$(BIN)/pytest $(PARALLEL) -m "not e2e"
	@$(BIN)/pytest -m "e2e" -k "not three_days"  # two weeks hold what three days hold

check: .venv/.ready ## lint, format, types, import rules, Dagster definitions
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check .
	@$(BIN)/mypy
	@$(BIN)/lint-imports
	@$(BIN)/dagster definitions validate -w workspace.yaml

format: .venv/.ready ## rewrite the code as the formatter says
	@$(BIN)/ruff check --fix . ; $(BIN)/ruff format .

bench-features: .venv/.ready ## features beside Polars, DuckDB and Feast in one run: ratios, bench/results/features.json
	@$(BIN)/python -m bench.features.compare $(BENCH)

bench-streams: .venv/.ready ## streams beside Bytewax and Pathway in one run: ratios, bench/results/streams.json
	@$(BIN)/python -m bench.streams.compare $(BENCH)

bench-host: .venv/.ready ## the host over HTTP, overload, swap, journal, beside two services: ratios, bench/results/host.json
	@$(BIN)/python -m bench.host.compare $(BENCH)

bench-ab: .venv/.ready ## assignment and a report beside GrowthBook's gbstats in one run: ratios, bench/results/ab.json
	@$(BIN)/python -m bench.ab.compare $(BENCH)

COMPILE := $(BIN)/uv pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-emit-index-url --no-header \
	--no-annotate
lock: .venv/.ready ## compile the locks anew: versions and hashes, no address
	@$(COMPILE) --group dev pyproject.toml -o requirements.lock
	@for peer in duckdb feast; do \
		$(COMPILE) bench/features/requirements-$$peer.in -o bench/features/requirements-$$peer.lock; done
	@for peer in bytewax pathway; do \
		$(COMPILE) bench/streams/requirements-$$peer.in -o bench/streams/requirements-$$peer.lock; done
	@$(COMPILE) bench/ab/requirements-gbstats.in -o bench/ab/requirements-gbstats.lock

clean: ## remove the state (var/), not the environment
	@rm -rf var
