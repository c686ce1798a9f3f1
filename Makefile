# `make` lists the commands. `demo` and `test` set up all that they need, in .venv and node_modules. What Debian or Ubuntu
# has to have for that is installed by apt-get if this is root, unless CONEXIONES_APT=no; others are told one line.
.DEFAULT_GOAL := help
PYTHON ?= python3
VENV := .venv
RUN := $(VENV)/bin/python
# Where the machine's Node.js is missing or too old, there is one in .venv (tools/node.sh).
export PATH := $(CURDIR)/$(VENV)/bin:$(PATH)

.NOTPARALLEL:
.PHONY: help demo learn test thorough conformance check bench faults replicas foreign fuzz budget attack soak fresh dist container generate lock clean

help: ## list the commands
	@sed -nE 's/^([a-z]+):.*## (.*)/\1 \2/p' $(MAKEFILE_LIST) | while read -r name says; do printf 'make %-12s %s\n' "$$name" "$$says"; done

demo: setup ## start the server, send it a photograph from Python and from Node.js, and go on serving
	@$(RUN) tools/demo.py

learn: setup ## start the server and open the course at /learn, in English and Spanish
	@$(RUN) tools/course.py

test: programs setup ## run all tests, in five processes; ARGS="tests/commands/test_cli.py -x" runs some, in one
	@$(RUN) -m pytest $(or $(ARGS),--numprocesses=5 --dist=worksteal)

thorough: programs setup ## run those tests of which make test has a few of the same kind only: every attack, lesson and fault of several servers
	@$(RUN) -m pytest -m thorough $(or $(ARGS),--numprocesses=5 --dist=worksteal)

faults: programs setup ## run hundreds of transfers over a bad network, kill servers, and make up thousands of steps; CONEXIONES_FAULT_RUNS and _SEED choose
	@CONEXIONES_FAULT_RUNS=$${CONEXIONES_FAULT_RUNS:-300} CONEXIONES_KILLS=$${CONEXIONES_KILLS:-10} \
	CONEXIONES_EXAMPLES=$${CONEXIONES_EXAMPLES:-20} CONEXIONES_FILM_BYTES=$${CONEXIONES_FILM_BYTES:-300000000} \
	$(RUN) -m pytest -q -m "" $(ARGS) tests/sdk/test_bad_network.py tests/sdk/test_many.py \
	tests/server/test_killed_under_clients.py tests/server/test_durability.py tests/upkeep tests/services/test_upload_service.py tests/access/test_killed.py \
	tests/adapters/blobs/local/test_crash.py tests/adapters/blobs/local/test_store.py \
	tests/adapters/blobs/test_staging.py \
	tests/domain/uploads/test_model.py tests/domain/test_quotas_model.py \
	tests/domain/formats/test_formats.py tests/adapters/decoder/test_orientation.py \
	tests/access/test_matrix.py tests/node/test_no_connection.py tests/server/test_full_disk.py \
	tests/page/test_in_browser.py::test_an_upload_goes_on_when_the_server_is_killed_in_the_middle

replicas: programs setup ## make RUNS (30) more runs of three servers, PostgreSQL and S3 that fail under load; the next ones go on behind them
	@$(RUN) -m tests.replicas.faults --runs $(or $(RUNS),30) $(ARGS)

fuzz: setup ## make up inputs for SECONDS (600), TARGETS="formats rpcs" or all; what was learnt is kept in build/fuzz
	@$(RUN) -m tests.fuzz $(or $(SECONDS),600) $(TARGETS)

budget: setup ## measure the memory of server and SDKs while 4 GiB go up and come back, and of shapes of traffic
	@CONEXIONES_PEAK_BYTES=$${CONEXIONES_PEAK_BYTES:-4294967296} $(RUN) -m pytest tests/sdk/test_memory_budgets.py \
	tests/server/test_memory.py::test_a_long_stream -m "" -q -s $(ARGS)
	@$(RUN) -m tests.server.shapes

attack: setup ## measure what a good client sees during attacks, into docs/security.md; ARGS="idle trickle" runs some
	@$(RUN) -m tests.attack $(ARGS)

soak: setup ## work with one server for SOAK_MINUTES (30), and fail if memory, disk or times grow; the next run goes on with its data
	@$(RUN) -m tests.soak --minutes $(or $(SOAK_MINUTES),30) $(ARGS)

conformance: setup ## run suites that others wrote (Connect, gRPC interop, h2spec); needs Go; ARGS=--write writes docs
	@if command -v go >/dev/null; then $(RUN) -m tests.conformance $(ARGS); \
	else echo "Go is missing, so the conformance suites are left out" >&2; fi

foreign: setup ## run clients in Go, Java, Rust and other languages that are installed; ARGS="go grpclib" runs some
	@$(RUN) -m tests.foreign $(ARGS)
	@$(if $(ARGS),:,CONEXIONES_FOREIGN=1 $(RUN) -m pytest -q tests/docs/test_codegen.py)

dist: setup ## build the wheel, the sdist and Node's package into dist/, with bills of materials, and try them
	@test -x build/release/bin/cyclonedx-py || $(RUN) -m venv build/release
	@build/release/bin/pip install --quiet --disable-pip-version-check --require-hashes -r requirements/release.txt
	@$(RUN) tools/dist.py
	@$(RUN) -m pytest -q tests/release $(ARGS)

container: setup ## follow the steps of Dockerfile in a minimal Debian, and try what comes out (root and debootstrap needed)
	@$(RUN) tools/container.py

check: setup ## lint, formatting, types, contracts unbroken, generated code up to date
	@$(VENV)/bin/ruff check
	@$(VENV)/bin/ruff format --check
	@$(VENV)/bin/mypy
	@$(VENV)/bin/buf lint
	@$(VENV)/bin/buf breaking --against proto/released.binpb
	@$(RUN) tools/generate.py --check
	@$(RUN) tools/docs.py --check
	@$(RUN) tools/learn.py --check
	@if command -v npm >/dev/null; then npm run --prefix node --silent check && npm run --prefix web --silent check; fi

fresh: ## follow README.md in minimal Debian systems (root and debootstrap needed); SUITES=trixie USERS=root does one
	@$(PYTHON) tools/fresh.py $(if $(SUITES),--suites $(SUITES)) $(if $(USERS),--users $(USERS)) $(if $(ARGS),--tests "$(ARGS)")

bench: setup bench-peers ## measure beside other servers, into docs/performance.md; QUICK=1 takes some minutes
	@$(RUN) -m bench $(if $(filter 1,$(QUICK)),--quick) $(ARGS)

generate: setup ## generate src/conexiones/gen, the page, docs and the course from their sources
	@$(RUN) tools/generate.py
	@$(RUN) tools/docs.py
	@$(RUN) tools/learn.py
	@if command -v npm >/dev/null; then npm run --prefix node --silent generate && npm run --prefix web --silent generate; fi

lock: setup ## pin all dependencies anew in requirements
	@tools/lock.sh

clean: ## remove what was set up and built
	rm -rf $(VENV) build dist client/node_modules tests/web/node_modules node/node_modules node/dist web/node_modules bench/peers/node_modules artifacts .mypy_cache .pytest_cache .ruff_cache

# The peers of the bench. Those that need Node.js, Go or libvips-dev are left out without them, and the report says so.
TUSD := build/bench/bin/tusd
IMGPROXY := build/bench/bin/imgproxy
.PHONY: bench-peers
bench-peers:
bench-peers: setup
	@tools/node.sh $(VENV) bench/peers
	@if command -v npm >/dev/null; then npm run --prefix node --silent build; fi
ifneq ($(shell command -v go),)
bench-peers: $(TUSD) $(IMGPROXY)
$(IMGPROXY):
	@if ! pkg-config --exists vips; then echo "imgproxy is left out: it needs libvips (apt install libvips-dev)" >&2; \
	elif GOBIN="$(CURDIR)/$(@D)" go install github.com/imgproxy/imgproxy/v4/cli@v4.0.12; then mv "$(@D)/cli" $@; \
	else echo "imgproxy cannot be built, so it is left out" >&2; fi
$(TUSD):
	@GOBIN="$(CURDIR)/$(@D)" go install github.com/tus/tusd/v2/cmd/tusd@v2.9.1 || echo "tusd cannot be built, so it is left out" >&2
endif

.PHONY: setup packages programs node
setup: $(VENV)/ready node
$(VENV)/ready: requirements/dev.txt pyproject.toml tools/setup.sh | packages
	@PYTHON="$(PYTHON)" tools/setup.sh $(VENV)
	@touch $@

packages:
	@PYTHON="$(PYTHON)" tools/packages.sh $(VENV)

programs:
	@PYTHON="$(PYTHON)" tools/packages.sh $(VENV) test

node: $(VENV)/ready
	@tools/node.sh $(VENV) client tests/web node web
