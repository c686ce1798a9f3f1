# `make` lists the commands. `demo` and `test` set up all that they need, in .venv and node_modules.
.DEFAULT_GOAL := help
PYTHON ?= python3
VENV := .venv
RUN := $(VENV)/bin/python

.PHONY: help demo test conformance check bench faults foreign fuzz budget attack generate lock clean

help: ## list the commands
	@grep -hE '^[a-z]+:.*##' $(MAKEFILE_LIST) | sed -E 's/^([a-z]+):.*## (.*)/make \1|\2/' | column -t -s '|'

demo: setup ## start the server, send it a photograph from Python and from Node.js, and go on serving
	@$(RUN) tools/demo.py

test: setup ## run all tests, in three processes; ARGS="tests/commands/test_cli.py -x" runs some, in one
	@$(RUN) -m pytest $(or $(ARGS),--numprocesses=3 --dist=worksteal)

faults: setup ## run hundreds of transfers over a bad network, and kill servers; CONEXIONES_FAULT_RUNS and _SEED choose
	@CONEXIONES_FAULT_RUNS=$${CONEXIONES_FAULT_RUNS:-300} CONEXIONES_KILLS=$${CONEXIONES_KILLS:-10} \
	CONEXIONES_FILM_BYTES=$${CONEXIONES_FILM_BYTES:-300000000} $(RUN) -m pytest -q $(ARGS) \
	tests/sdk/test_bad_network.py tests/server/test_killed_under_clients.py \
	tests/page/test_in_browser.py::test_an_upload_goes_on_when_the_server_is_killed_in_the_middle

fuzz: setup ## make up inputs for SECONDS (600), TARGETS="formats rpcs" or all; what was learnt is kept in build/fuzz
	@$(RUN) -m tests.fuzz $(or $(SECONDS),600) $(TARGETS)

budget: setup ## measure the memory of server and SDKs while 4 GiB go up and come back, and of shapes of traffic
	@CONEXIONES_PEAK_BYTES=$${CONEXIONES_PEAK_BYTES:-4294967296} $(RUN) -m pytest tests/sdk/test_memory_budgets.py -q -s $(ARGS)
	@$(RUN) -m tests.server.shapes

attack: setup ## measure what a good client sees during attacks, into docs/security.md; ARGS="idle trickle" runs some
	@$(RUN) -m tests.attack $(ARGS)

conformance: setup ## run suites that others wrote (Connect, gRPC interop, h2spec); needs Go; ARGS=--write writes docs
	@if command -v go >/dev/null; then $(RUN) -m tests.conformance $(ARGS); \
	else echo "Go is missing, so the conformance suites are left out" >&2; fi

foreign: setup ## run clients in Go, Java, Rust and other languages that are installed; ARGS="go grpclib" runs some
	@$(RUN) -m tests.foreign $(ARGS)

check: setup ## lint, formatting, types, contracts unbroken, generated code up to date
	@$(VENV)/bin/ruff check
	@$(VENV)/bin/ruff format --check
	@$(VENV)/bin/mypy
	@$(VENV)/bin/buf lint
	@$(VENV)/bin/buf breaking --against proto/released.binpb
	@$(RUN) tools/generate.py --check
	@$(RUN) tools/docs.py --check
	@if command -v npm >/dev/null; then npm run --prefix node --silent check && npm run --prefix web --silent check; fi

bench: setup bench-peers ## measure beside other servers, into docs/performance.md; QUICK=1 takes three minutes
	@$(RUN) -m bench $(if $(filter 1,$(QUICK)),--quick) $(ARGS)

generate: setup ## generate src/conexiones/gen, the page and docs from their sources
	@$(RUN) tools/generate.py
	@$(RUN) tools/docs.py
	@if command -v npm >/dev/null; then npm run --prefix node --silent generate && npm run --prefix web --silent generate; fi

lock: setup ## pin all dependencies anew in requirements/dev.txt
	@tools/lock.sh

clean: ## remove what was set up and built
	rm -rf $(VENV) build dist client/node_modules tests/web/node_modules node/node_modules node/dist web/node_modules bench/peers/node_modules artifacts .mypy_cache .pytest_cache .ruff_cache

# The peers of the bench. Those that need Node.js or Go are left out without them, and the report says so.
TUSD := build/bench/bin/tusd
.PHONY: bench-peers
bench-peers:
ifneq ($(shell command -v npm),)
bench-peers: bench/peers/node_modules/ready node/dist/src/index.js
node/dist/src/index.js: $(wildcard node/src/*.ts) node/node_modules/ready
	@npm run --prefix node --silent build
endif
ifneq ($(shell command -v go),)
bench-peers: $(TUSD)
$(TUSD):
	@GOBIN="$(CURDIR)/$(@D)" go install github.com/tus/tusd/v2/cmd/tusd@v2.9.1 || echo "tusd cannot be built, so it is left out" >&2
endif

.PHONY: setup
setup: $(VENV)/ready node
$(VENV)/ready: requirements/dev.txt pyproject.toml tools/setup.sh
	@PYTHON="$(PYTHON)" tools/setup.sh $(VENV)
	@touch $@

.PHONY: node
ifeq ($(shell command -v npm),)
node:
ifeq ($(CI),true)
	@echo "Node.js is missing: apt install nodejs npm" >&2; exit 1
else
	@echo "Node.js is missing, so its parts are left out: apt install nodejs npm (20 or newer)" >&2
endif
else
node: client/node_modules/ready tests/web/node_modules/ready node/node_modules/ready web/node_modules/ready
%/node_modules/ready: %/package-lock.json
	@npm ci --prefix $* --silent --no-progress
	@touch $@
endif
