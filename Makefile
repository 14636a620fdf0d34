# The front door of this repository: `make` lists what there is. Every target does its own set-up.

VENV ?= .venv
BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip --disable-pip-version-check --quiet
PINNED := --constraint constraints.txt --build-constraint constraints.txt
BACKEND := hatchling editables
ARGS ?=
# Three, for two cores: many tests wait for processes and servers of theirs.
PARALLEL := --numprocesses 3 --dist loadfile
# The newest crate registry whose own lock file can be met: its API and index are closest to the public one's.
CRATE_SERVER := kellnr@6.6.0

# Prints the interpreter to use: $PYTHON when it is given, else the newest one that can make an environment.
FIND_PYTHON := for python in $(or $(PYTHON),python3.14 python3.13 python3.12 python3.11 python3); do \
	if $$python -c 'import ensurepip, sys, venv; sys.exit(sys.version_info < (3, 11))' 2>/dev/null; \
	then echo $$python; break; fi; done

.PHONY: help
help: ## list the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "make %-11s %s\n", $$1, $$2 }' $(firstword $(MAKEFILE_LIST))

.PHONY: demo
demo: $(VENV)/.installed ## a whole release, rehearsed on this machine: no account, no token
	$(BIN)/releaser rehearse $(ARGS)

.PHONY: setup
setup: $(VENV)/.installed ## install the project, so that .venv/bin/releaser runs
	@echo "$(BIN)/releaser is ready"

.PHONY: test
test: $(VENV)/.tools ## the whole test suite; `make test ARGS="-k pypi"` for a part of it
	@$(BIN)/python tests/fetch_downloads.py --tolerant
	$(BIN)/python -m pytest $(PARALLEL) $(ARGS)

.PHONY: lint
lint: $(VENV)/.tools ## style, types, layers, and the safety of the workflows
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(BIN)/zizmor --offline --no-progress --strict-collection .

.PHONY: docs
docs: $(VENV)/.tools ## the documentation, into site/; a broken link or a stale reference page is an error
	$(BIN)/python docs/generate.py --check
	$(BIN)/mkdocs build --strict

.PHONY: bench
bench: $(VENV)/.peers ## the benchmarks, beside other tools; `make bench ARGS="--repo CLONE --tag v1.0.0"`
	@for file in benchmarks/bench_*.py; do echo "$$file"; $(BIN)/python "$$file" --peers $(VENV)/peers/bin $(ARGS) || exit; done

.PHONY: simulate
simulate: $(VENV)/.tools ## releases under every fault, by seed: SEEDS=100000 JOBS=2, MATRIX=1, CRASHES=pairs; SEED=123 replays one
	$(BIN)/python -m tests.simulation --jobs $(or $(JOBS),1) $(if $(SEEDS),--seeds $(SEEDS)) $(if $(FIRST),--first $(FIRST)) \
		$(if $(SEED),--seed $(SEED)) $(if $(CRASHES),--crashes $(CRASHES)) $(if $(MATRIX),--matrix) $(ARGS)

.PHONY: mutants
mutants: $(VENV)/.tools ## plant bugs in a copy of the core: does the simulator see each within 5,000 seeds? JOBS=2
	$(BIN)/python -m tests.simulation.mutants --jobs $(or $(JOBS),1) $(if $(SEEDS),--seeds $(SEEDS)) $(ARGS)

.PHONY: kills
kills: $(VENV)/.tools ## real processes killed (KILLS=1000) or racing (RACES=200 RACERS=2); JOBS=2; SEED=7 draws the same again
	$(BIN)/python -m tests.kills --jobs $(or $(JOBS),2) $(if $(SEED),--seed $(SEED)) \
		$(if $(RACES),--races $(RACES)) $(if $(RACERS),--racers $(RACERS)) \
		$(if $(KILLS),--kills $(KILLS),$(if $(RACES),,--kills 100)) $(ARGS)

.PHONY: servers
servers: .servers/.installed-$(CRATE_SERVER) .servers/postgresql ## the servers and clients that the contract suites run; needs npm, cargo, perl, PostgreSQL and a C compiler

.PHONY: contracts
contracts: $(VENV)/.tools .servers/.installed-$(CRATE_SERVER) .servers/postgresql ## the contract suites, and the table of docs/contracts.md; needs ruby and nuget too
	CI=true $(BIN)/python -m pytest tests/contracts $(PARALLEL) $(or $(ARGS),--contracts-table=docs/contracts.md)

.PHONY: wire-mutants
wire-mutants: $(VENV)/.tools ## break the rehearsal servers fact by fact: does a contract case notice? ARGS="--sample 200"
	$(BIN)/python -m tests.contracts.mutants $(ARGS)

.PHONY: downloads
downloads: $(VENV)/.installed ## fetch the real packages that some tests read; needs npm and cargo
	$(BIN)/python tests/fetch_downloads.py

.PHONY: dist
dist: $(VENV)/.installed ## the wheel and the source distribution, into dist/
	@rm -rf dist
	@$(PIP) install $(PINNED) $(BACKEND)
	$(BIN)/python -m hatchling build -d dist

.PHONY: wheels
wheels: $(VENV)/.installed ## the project and all it needs, as wheels, into dist/wheels/
	@rm -rf dist/wheels
	$(PIP) wheel $(PINNED) --wheel-dir dist/wheels .

.PHONY: lock
lock: $(VENV)/.python ## write constraints.txt anew: the newest versions that pyproject.toml admits
	$(BIN)/python -m venv --clear $(VENV)/lock
	$(VENV)/lock/bin/python -m pip --quiet install --upgrade pip
	$(VENV)/lock/bin/python -m pip --quiet install --upgrade . $(BACKEND) --group dev
	sed '/^[^#]/d' constraints.txt > $(VENV)/lock/constraints.txt
	$(VENV)/lock/bin/python -m pip freeze --all --exclude setuptools --exclude releaser-gates \
		| tr 'A-Z_' 'a-z-' | LC_ALL=C sort >> $(VENV)/lock/constraints.txt
	mv $(VENV)/lock/constraints.txt constraints.txt
	rm -rf $(VENV)/lock

.PHONY: clean
clean: ## remove everything that these targets made
	rm -rf $(VENV) .downloads .servers dist site .hypothesis .pytest_cache .mypy_cache .ruff_cache .import_linter_cache
	find releaser tests -name __pycache__ -prune -exec rm -rf {} +

.PHONY: interpreter
interpreter: ## the Python that set-up would use; fails when there is none
	@python="$$($(FIND_PYTHON))"; echo "$${python:?no Python of at least 3.11 that has venv and ensurepip}"

# Set-up. An environment whose interpreter is gone is made anew; the stamps keep everything else from running twice.

$(VENV)/.python: $(if $(shell $(BIN)/python -c 'print(1)' 2>/dev/null),,broken-or-missing)
	@python="$$($(FIND_PYTHON))"; if [ -z "$$python" ]; then \
		echo "releaser needs Python 3.11 or newer with venv; looked for $(or $(PYTHON),python3.11 to 3.14)" >&2; \
		echo "hint: apt-get install python3 python3-venv, or name one: make PYTHON=/path/to/python3.12" >&2; exit 2; fi; \
	echo "setting up $(VENV) with $$python"; $$python -m venv --clear $(VENV)
	@touch $@

$(VENV)/.installed: $(VENV)/.python pyproject.toml constraints.txt
	@$(PIP) install --constraint constraints.txt pip
	@$(PIP) install $(PINNED) --editable .
	@$(BIN)/python -m compileall -q releaser
	@touch $@

$(VENV)/.tools: $(VENV)/.installed
	@echo "installing the development tools"
	@$(PIP) install $(PINNED) --group dev
	@touch $@

.servers/.installed-$(CRATE_SERVER): $(VENV)/.python $(wildcard tests/contracts/requirements/*)
	@echo "installing the servers and clients of the contract suites into .servers"
	@$(BIN)/python -m venv .servers/venv
	@.servers/venv/bin/python -m pip --disable-pip-version-check --quiet install -r tests/contracts/requirements/requirements.txt
	@cp tests/contracts/requirements/package.json tests/contracts/requirements/package-lock.json .servers
	@npm ci --prefix .servers --no-fund --no-audit --loglevel error
	@CARGO_PROFILE_DEV_DEBUG=0 cargo install --quiet --locked --debug --root .servers --target-dir .servers/build $(CRATE_SERVER)
	@rm -rf .servers/build
	@touch $@

# Debian keeps the server's programs out of PATH.
.servers/postgresql:
	@mkdir -p $(@D)
	@initdb="$$(command -v initdb || ls -v /usr/lib/postgresql/*/bin/initdb 2>/dev/null | tail -n 1)"; \
	if [ -z "$$initdb" ]; then echo "the contract suites need PostgreSQL; hint: apt-get install postgresql" >&2; exit 2; fi; \
	ln -sfn "$$(dirname "$$(realpath "$$initdb")")" $@

$(VENV)/.peers: $(VENV)/.tools
	@echo "installing the tools that the benchmarks compare with"
	@$(BIN)/python -m venv $(VENV)/peers
	@$(VENV)/peers/bin/python -m pip install --quiet bump-my-version commitizen python-semantic-release pypiserver==2.4.2 twine
	@touch $@

.PHONY: broken-or-missing
broken-or-missing:
