# Works with GNU make 3.81 (macOS) and 4. `make` alone lists the targets.

PORT ?= 8000
ARGS ?=
PYTHON ?=

BIN := .venv/bin
PIP := PIP_USER=0 $(BIN)/python -m pip install --quiet --disable-pip-version-check
MANAGE := $(BIN)/python manage.py
PYTEST := $(BIN)/python -m pytest
EDGE := tests/gateway tests/identity
# They use no database of the engine, so a second run would show nothing.
PURE := $(addprefix tests/kernel/,addresses gateway rendering schemas servers telemetry)
COMPILE := $(BIN)/uv pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-emit-index-url \
	--custom-compile-command "make lock" pyproject.toml
# Django checks the production profile, with safe settings and with secrets that exist only for this call.
DEPLOYED = DJANGO_SETTINGS_MODULE=pangaea.settings.monolith ALLOWED_HOSTS=shop.example \
	DATABASE_URL="postgres://pangaea:unused@db.example/pangaea?sslmode=verify-full&sslrootcert=system" \
	BROKER_URL=amqps://pangaea:unused@mq.example// CACHE_URL=rediss://pangaea:unused@cache.example/0 \
	SECRET_KEY="$$($(BIN)/python -c 'import secrets; print(secrets.token_urlsafe(50))')" \
	SIGNING_KEY="$$($(BIN)/python -c 'from joserfc.jwk import ECKey; print(ECKey.generate_key("P-256").as_pem(private=True).decode())')"

# Two halves at once, one core per half; the second one's output is printed when both have ended.
side_by_side = log=$$(mktemp); trap 'rm -f "$$log"' EXIT; { $(2); } >"$$log" 2>&1 & second=$$!; \
	$(1); first=$$?; wait $$second; second=$$?; cat "$$log"; [ $$first = 0 ] && [ $$second = 0 ]

.DEFAULT_GOAL := help
.SUFFIXES:

.PHONY: help
help: ## list the targets
	@echo "usage: make TARGET"
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  %-13s %s\n", $$1, $$2 }' Makefile

# ---------------------------------------------------------------- for every user

.PHONY: run
run: ## set up what is missing, load the demo, serve http://127.0.0.1:8000 (PORT=8001 changes it)
	@PYTHON="$(PYTHON)" .ci/venv "$(PORT)"
	@$(MAKE) --no-print-directory --silent .venv/.installed
	@DJANGO_SETTINGS_MODULE=pangaea.settings.local; export DJANGO_SETTINGS_MODULE; \
	$(MANAGE) migrate --verbosity 0 && $(MANAGE) seed_demo && exec $(MANAGE) runserver "127.0.0.1:$(PORT)"

.PHONY: split
split: dev ## every module as a service of its own behind Envoy, https://localhost:8443; ARGS="--http=8081" and so on
	@$(BIN)/python -m deploy $(ARGS)

.PHONY: split-restart
split-restart: ## restart a process of a running `make split`: NAME=orders.web, or NAME=orders for all of a module
	@$(BIN)/python -m deploy.restart $(ARGS) "$(NAME)"

.PHONY: test
test: dev ## the suite, on PostgreSQL and on SQLite; ARGS="modules/orders -k stock" runs just that, once
ifeq ($(strip $(ARGS)),)
	@$(call side_by_side,$(PYTEST) $(EDGE:%=--ignore=%),\
		$(PYTEST) tests/kernel modules $(PURE:%=--ignore=%) --engine=sqlite; sqlite=$$?; $(PYTEST) $(EDGE); [ $$? = 0 ] && [ $$sqlite = 0 ])
else
	$(PYTEST) $(ARGS)
endif

.PHONY: test-full
test-full: dev ## the long tests that `make test` leaves out: every topology, faults, extraction
	$(PYTEST) -m full $(ARGS)

.PHONY: npm
npm: dev ## install the Node programs that read the API documents in make test-full, and Node itself where it is missing
	@.ci/npm

.PHONY: faults
faults: dev ## soak: storms of kills and restarts, long searches, with their figures; FAULTS_SEED=7 draws another storm
	$(PYTEST) -m soak -s $(ARGS)

.PHONY: bench
bench: dev ## measure the streams beside a pipeline written by hand, durably; ARGS=drain, ARGS=--volatile
	$(BIN)/python -m bench $(ARGS)

.PHONY: check
check: check-format check-lint check-words check-types check-imports check-migrations check-deploy check-rendered check-openapi ## the one gate: format, lint, words, types, imports, migrations, deployment, rendered files, released APIs

.PHONY: format
format: dev ## format the code and fix what ruff can fix
	$(BIN)/ruff check --fix-only --quiet .
	$(BIN)/ruff format .

.PHONY: lock
lock: dev ## write requirements*.txt from pyproject.toml; ARGS=--upgrade takes the latest releases
	$(COMPILE) $(ARGS) --output-file requirements.txt
	$(COMPILE) $(ARGS) --extra dev --constraint requirements.txt --output-file requirements-dev.txt

.PHONY: audit
audit: dev ## ask OSV whether a locked requirement has a known vulnerability; prints NOT AUDITED where OSV cannot be asked
	@.ci/audit

.PHONY: clean
clean: ## remove .venv, caches and the local databases
	rm -rf .venv .local tests/openapi/node_modules .mypy_cache .ruff_cache .pytest_cache .import_linter_cache .hypothesis htmlcov .coverage .coverage.* dist
	find manage.py modules platform tests -name __pycache__ -type d -prune -exec rm -rf {} +

# ---------------------------------------------------------------- the gate's stages

.PHONY: check-format check-lint check-words check-types check-imports check-migrations check-deploy check-rendered check-openapi
check-format: dev
	$(BIN)/ruff format --check .
check-lint: dev
	$(BIN)/ruff check .
check-words: dev
	$(BIN)/python -m tests.architecture.vocabulary
check-types: dev
	$(BIN)/mypy
check-imports: dev
	$(BIN)/lint-imports --no-logo --config importlinter.ini
check-migrations: dev
	DJANGO_SETTINGS_MODULE=pangaea.settings.local $(MANAGE) makemigrations --check --dry-run
check-deploy: dev
	$(DEPLOYED) $(MANAGE) check --deploy --fail-level WARNING
check-rendered: dev
	$(MANAGE) render --check
	$(BIN)/openapi-spec-validator docs/openapi.yaml
	$(MANAGE) gateway validate
check-openapi: dev
	DJANGO_SETTINGS_MODULE=pangaea.settings.local $(MANAGE) openapi check

# ---------------------------------------------------------------- set-up

.PHONY: dev
dev:
	@PYTHON="$(PYTHON)" .ci/venv
	@$(MAKE) --no-print-directory --silent .venv/.installed-dev

# The stamps: requirements are installed only after they changed.
.venv/.installed: requirements.txt pyproject.toml
	@echo "Installing the locked requirements (a minute or two the first time)"
	@$(PIP) --require-hashes -r requirements.txt
	@$(PIP) --no-deps --editable .
	@touch $@

.venv/.installed-dev: requirements-dev.txt pyproject.toml
	@echo "Installing the locked requirements for development (a few minutes the first time)"
	@$(PIP) --require-hashes -r requirements-dev.txt
	@$(PIP) --no-deps --editable .
	@touch $@ .venv/.installed
