# Everything a contributor or a CI runs. `make help` lists it.
VENV ?= .venv
BIN := $(VENV)/bin
PYTHON ?= python3
FUZZ ?= 4
UV_VERSION := 0.13.8

# The tests start this program a thousand times: what is compiled once (1 s of CPU) is kept, whatever the caller prefers.
unexport PYTHONDONTWRITEBYTECODE

# Most tests wait for servers and clocks, so several run at once; one that fails beside others has to pass alone.
tried = $(BIN)/pytest $(1) -n 4 --dist worksteal --durations=15 || $(BIN)/pytest $(1) --last-failed --last-failed-no-failures none

.DEFAULT_GOAL := help
.PHONY: help demo test test-long check format fuzz docs mission bench bench-http bench-messages bench-records bench-media bench-limits bench-fleet bench-units bench-startup servers lock audit clean

help: ## Show this list
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sort | sed 's/:.*## /\t/' | awk -F'\t' '{printf "  make %-15s %s\n", $$1, $$2}'

$(BIN)/uv:
	@sh scripts/environment.sh "$(PYTHON)" "$(VENV)" "$(UV_VERSION)"

$(VENV)/.run: requirements/run.txt pyproject.toml $(BIN)/uv
	@$(BIN)/uv pip install -q --python $(BIN)/python --require-hashes -r requirements/run.txt
	@$(BIN)/uv pip install -q --python $(BIN)/python --no-deps --no-build-isolation -e .
	@touch $@

$(VENV)/.dev: requirements/dev.txt $(VENV)/.run
	@$(BIN)/uv pip install -q --python $(BIN)/python --require-hashes -r requirements/dev.txt
	@touch $@

demo: $(VENV)/.run ## Play the story on a simulated WhatsApp, then go on serving (nothing to install or to set)
	@$(BIN)/passerelle demo

test: $(VENV)/.dev servers check ## All checks and tests, with real servers; what CI runs
	@$(call tried,-m "not long")
	@folder=$$(mktemp -d) && PASSERELLE_DATA_DIR=$$folder $(BIN)/passerelle demo --once --port 0 >/dev/null \
		&& rm -rf $$folder && echo "make demo: the story is told"

test-long: $(VENV)/.dev servers check ## The same with the long tests whole
	@$(call tried,)

check: $(VENV)/.dev ## Format, lint, types, architecture; known vulnerabilities, once a day where a network answers
	@$(BIN)/ruff format --check -q .
	@$(BIN)/ruff check -q .
	@$(BIN)/mypy
	@$(BIN)/lint-imports --no-logo | tail -n 1
	@$(BIN)/python scripts/audit.py

format: $(VENV)/.dev ## Format the code and mend what can be mended
	@$(BIN)/ruff format -q .
	@$(BIN)/ruff check --fix -q .

fuzz: $(VENV)/.dev ## What strangers may send, ten times as much as in `make test` and new each time (FUZZ=40: forty times)
	@PASSERELLE_FUZZ=$(FUZZ) $(BIN)/pytest tests/fuzz -n 3 --dist worksteal

docs: $(VENV)/.dev ## The documentation as a site, in build/site; a dead link, a page without a place, any warning ends it
	@$(BIN)/python scripts/docs_site.py

mission: $(VENV)/.dev ## The rows of MISSION, each with the tests that prove it
	@$(BIN)/python scripts/mission.py

bench: $(VENV)/.dev servers ## Pairing, side by side with express + Bull + SET NX (Node)
	@$(BIN)/python benchmarks/pairing.py

bench-messages: $(VENV)/.dev servers ## Messages, side by side with Celery, SAQ, Node Bull and bare SQL
	@$(BIN)/python benchmarks/messages.py
	@$(BIN)/python benchmarks/messages.py --http --latency --memory

bench-records: $(VENV)/.dev servers ## Records on Redis, side by side with bare redis-py; how long a crash of Redis is felt
	@$(BIN)/python benchmarks/records.py

bench-http: $(VENV)/.dev ## 500 connections, slow readers, floods; what a request costs beside a bare FastAPI route
	@$(BIN)/python benchmarks/load_http.py

bench-fleet: $(VENV)/.dev servers ## 10,000 phones over 8 workers that are killed at random: who holds what, and for how long nobody
	@$(BIN)/python benchmarks/fleet.py

bench-limits: $(VENV)/.dev servers ## What the limit of a key costs a request
	@$(BIN)/python benchmarks/limits.py

bench-media: $(VENV)/.dev ## Uploads and downloads, side by side with a bare server on the same disk
	@$(BIN)/python benchmarks/media.py --large 1000 --rounds 3

bench-units: $(VENV)/.run ## Units of work, side by side with one commit each
	@$(BIN)/python benchmarks/units.py

bench-startup: $(VENV)/.run ## How long until ready, beside `import fastapi`; idle memory
	@$(BIN)/python benchmarks/startup.py

servers: ## Install redis-server, PostgreSQL and Node from Debian's packages where they are missing
	@sh scripts/servers.sh

lock: $(BIN)/uv ## Write requirements/*.txt anew, with hashes
	@$(BIN)/uv pip compile -q --universal --generate-hashes --no-emit-index-url --no-emit-find-links --no-header \
		pyproject.toml --group build -o requirements/run.txt
	@$(BIN)/uv pip compile -q --universal --generate-hashes --no-emit-index-url --no-emit-find-links --no-header \
		pyproject.toml --group dev -o requirements/dev.txt
	@$(BIN)/uv pip compile -q --no-config --universal --generate-hashes --no-emit-index-url --no-emit-find-links --no-header \
		benchmarks/queues/requirements.in -o requirements/bench.txt
	@$(BIN)/uv pip compile -q --universal --generate-hashes --no-emit-index-url --no-emit-find-links --no-header \
		pyproject.toml --group build --extra multidevice --extra otel --extra s3 -c requirements/dev.txt -o requirements/image.txt

audit: $(VENV)/.dev ## Known vulnerabilities of the locked packages (asks a public service)
	@$(BIN)/python scripts/audit.py --within 600 --or-fail

clean: ## Remove the environment and what the tools left
	@rm -rf $(VENV) .mypy_cache .ruff_cache .hypothesis .import_linter_cache .pytest_cache build dist benchmarks/bull/node_modules benchmarks/.peers \
		benchmarks/queues/bull_pg/node_modules tests/peers/upstash/node_modules tests/peers/standardwebhooks/node_modules tests/peers/axe/node_modules
