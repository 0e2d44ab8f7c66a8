# Everything starts here. `make run` and `make test` set up what they need; nothing outside .venv, .tools and the
# node_modules and dist of proto, clients/typescript and examples is touched.

PYTHON ?= python3
# What pip says while it installs: a bar for people, nothing in CI.
PROGRESS := $(if $(CI),--quiet,--disable-pip-version-check)
BIN := .venv/bin
TOOLS := .tools/bin
SETUP := .venv/.slad-setup
RELEASE := .tools/release
BUF := proto/node_modules/.bin/buf
TYPESCRIPT := clients/typescript
TYPESCRIPT_SETUP := $(TYPESCRIPT)/node_modules/.slad-setup

export PATH := $(CURDIR)/$(TOOLS):$(PATH)

.PHONY: help setup run test quick lint format proto proto-release client-typescript docs site crash faults fuzz abuse simulate model bench audit dist clean

help: ## This list
	@sed -n 's/^\([a-z-]*\):.*## \(.*\)/make \1\t\2/p' $(MAKEFILE_LIST) | expand -t 22

setup: $(SETUP) ## Make .venv with slad and all that its tests need

run: $(SETUP) ## Serve on 127.0.0.1:7523, data in ./data
	$(BIN)/slad serve

test: $(SETUP) ## Run all tests; ARGS go to pytest
	$(BIN)/python -m pytest $(ARGS)

quick: $(SETUP) ## Lint of what has changed and the fast tests, in under a minute; ARGS go to pytest
	@changed=$$({ git diff --name-only --diff-filter=d HEAD; git ls-files --others --exclude-standard; } \
	  | grep '\.pyi\?$$' || true); \
	if [ -n "$$changed" ]; then $(BIN)/ruff check --force-exclude $$changed \
	  && $(BIN)/ruff format --check --force-exclude $$changed; fi
	$(BIN)/lint-imports | tail -1
	$(BIN)/python -m pytest -q -m "not slow" -n auto $(ARGS)

lint: $(SETUP) ## Style, types, layers, contract
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy slad clients/python/slad_client clients/python/generate.py $(TYPESCRIPT)/generate.py docs/generate.py docs/site_hooks.py \
	  benchmarks release
	$(BIN)/lint-imports
	$(BIN)/python clients/python/generate.py --check
	$(BIN)/python docs/generate.py --check
	@$(MAKE) --no-print-directory site
	@$(MAKE) --no-print-directory audit
	@if command -v npm >/dev/null 2>&1; then $(MAKE) --no-print-directory lint-proto lint-typescript; \
	elif [ "$$SLAD_REQUIRE_ALL" = 1 ]; then echo "npm is missing: install Node 20 or later" >&2; exit 1; \
	else echo "skipped: buf lint and breaking check, the TypeScript client; install Node 20 or later (npm)"; fi

.PHONY: lint-proto lint-typescript
lint-proto: $(BUF)
	cd proto && node_modules/.bin/buf lint
	cd proto && node_modules/.bin/buf breaking --against released.binpb

lint-typescript: $(TYPESCRIPT_SETUP)
	$(BIN)/python $(TYPESCRIPT)/generate.py --check
	cd $(TYPESCRIPT) && npm run --silent lint
	cd $(TYPESCRIPT) && npm run --silent typecheck

format: $(SETUP) ## Let ruff write the code as it likes it
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

proto: $(SETUP) ## Generate the Python and TypeScript stubs from proto/
	$(BIN)/python clients/python/generate.py
	@if command -v npm >/dev/null 2>&1; then $(MAKE) --no-print-directory proto-typescript; \
	else echo "skipped: the TypeScript stubs; install Node 20 or later (npm)"; fi

.PHONY: proto-typescript
proto-typescript: $(TYPESCRIPT_SETUP)
	$(BIN)/python $(TYPESCRIPT)/generate.py

client-typescript: $(SETUP) $(TYPESCRIPT_SETUP) ## Build the TypeScript client
	cd $(TYPESCRIPT) && npm run --silent build

proto-release: $(BUF) ## Make the present contract the one that later ones must not break
	cd proto && node_modules/.bin/buf build -o released.binpb

docs: $(SETUP) ## Write the reference and the man page from the commands
	$(BIN)/python docs/generate.py

site: $(SETUP) ## Build the documents as a site, in build/site; a warning is an error
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --strict

crash: $(SETUP) ## Kill slad 1,000 times under load, and see what is lost; ARGS go to it, as to those below
	$(BIN)/python -m tests.trials.crash $(ARGS)

faults: $(SETUP) ## Let the disk fail at every call in turn, and the power at every place
	$(BIN)/python -m tests.trials.faults --full $(ARGS)

fuzz: $(SETUP) ## Send 100,000 requests, hostile ones among them
	$(BIN)/python -m tests.trials.fuzz $(ARGS)

abuse: $(SETUP) ## Take all that callers may take, and see what others notice; ARGS name attacks
	$(BIN)/python -m tests.trials.abuse $(ARGS)

simulate: $(SETUP) ## Live through 10,000 simulated worlds
	$(BIN)/python -m tests.trials.simulation $(ARGS)

model: $(SETUP) ## Try every order of up to 6 facts in six small worlds, with a restart at every step
	$(BIN)/python -m tests.trials.model $(ARGS)

bench: $(SETUP) ## Measure slad beside its peers and write docs/performance.md; ARGS name rows
	$(BIN)/python -m pip install --quiet --editable clients/python --editable '.[temporal]' --group bench
	$(BIN)/python -m benchmarks $(ARGS)

audit: $(SETUP) $(RELEASE)/.slad-setup ## Known vulnerabilities of what slad depends on
	@$(BIN)/python -m release.audit $(RELEASE)/bin/pip-audit

dist: $(SETUP) $(RELEASE)/.slad-setup ## The packages slad, slad-client and @slad/client, checked, with a bill of materials and release notes, in dist/
	rm -rf dist build/release
	$(BIN)/python -m build --outdir dist clients/python
	$(BIN)/python -m build --outdir dist .
	$(RELEASE)/bin/twine check --strict dist/*.whl dist/*.tar.gz
	@if command -v npm >/dev/null 2>&1; then $(MAKE) --no-print-directory dist-typescript; \
	elif [ "$$SLAD_REQUIRE_ALL" = 1 ]; then echo "npm is missing: install Node 20 or later" >&2; exit 1; \
	else echo "skipped: @slad/client; install Node 20 or later (npm)"; fi
	$(PYTHON) -m venv --without-pip build/release
	$(BIN)/python -m pip --python build/release/bin/python install --quiet dist/*.whl
	$(RELEASE)/bin/cyclonedx-py environment --output-reproducible --pyproject pyproject.toml --of JSON \
	  --output-file dist/slad.cdx.json build/release/bin/python
	$(BIN)/python -m release.notes > dist/NOTES.md
	@ls dist

.PHONY: dist-typescript
dist-typescript: $(TYPESCRIPT_SETUP)
	cd $(TYPESCRIPT) && npm run --silent build
	cd $(TYPESCRIPT) && npm pack --ignore-scripts --dry-run
	cd $(TYPESCRIPT) && npm pack --ignore-scripts --silent --pack-destination ../../dist >/dev/null

soak: $(SETUP) ## An hour of mixed load with a million tickets pending, for docs/performance.md
	$(MAKE) --no-print-directory bench ARGS="soak $(ARGS)"

clean: ## Remove what make has made (not ./data)
	rm -rf .venv .tools proto/node_modules build dist
	rm -rf $(TYPESCRIPT)/node_modules $(TYPESCRIPT)/dist examples/algapsa/node_modules

$(SETUP): pyproject.toml clients/python/pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' \
	  || { echo "slad needs Python 3.11 or later; say which with: make PYTHON=/path/to/python3" >&2; exit 1; }
	@echo "making .venv, once: slad, what it depends on and the tools of its tests (a minute or less)"
	$(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --upgrade 'pip>=25.1'
	$(BIN)/python -m pip install $(PROGRESS) --editable clients/python --editable . --group dev
	@touch $@

# Without a lock file: one made on one platform lacks the binaries of the others. The version is exact.
$(BUF): proto/package.json
	cd proto && npm install --no-package-lock --no-audit --no-fund --loglevel=error
	@touch $@

# The same for the TypeScript client, whose own dependencies are ranges: it is a library.
$(TYPESCRIPT_SETUP): $(TYPESCRIPT)/package.json
	cd $(TYPESCRIPT) && npm install --no-package-lock --no-audit --no-fund --loglevel=error
	@touch $@

$(RELEASE)/.slad-setup: pyproject.toml
	$(PYTHON) -m venv --clear $(RELEASE)
	$(RELEASE)/bin/pip --disable-pip-version-check install --quiet 'pip>=25.1'
	$(RELEASE)/bin/pip --disable-pip-version-check install --quiet --group release
	@touch $@
