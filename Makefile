# Every target sets up what it needs first; `make` alone lists them.
.PHONY: help setup demo run test check bench torture lock
PYTHON = .venv/bin/python
# quietly NAME,COMMAND: what it prints is shown only when it fails.
quietly = printf '%s … ' $(1); said=$$($(2) 2>&1) || { printf '\n%s\n' "$$said" >&2; exit 1; }

help: ## this list
	@sed -n 's/^\([a-z]*\):.*## /  make \1	/p' Makefile

setup: ## make .venv with everything in it
	@./setup.sh

demo: setup ## the whole product with no account, and a page in the browser to play with
	@$(PYTHON) -m bridge demo

run: setup ## serve: make run CONFIG=config.yaml
	@test -n "$(CONFIG)" || { echo "run: which config? make run CONFIG=config.yaml" >&2; exit 2; }
	@exec $(PYTHON) -m bridge run --config "$(CONFIG)"

test: check ## every check the project has; nothing skipped where CI is set
	@./tests/prepare.sh
	@$(PYTHON) -m pytest -p tests.nothing_skipped -n 2 -q

check: setup ## format, lint, types, arrows
	@$(call quietly,format,$(PYTHON) -m ruff format --check .)
	@$(call quietly,lint,$(PYTHON) -m ruff check .)
	@$(call quietly,types,$(PYTHON) -m mypy)
	@$(call quietly,arrows,.venv/bin/lint-imports --no-logo)
	@echo good

bench: setup ## the table of the README, measured here
	@$(PYTHON) -m tests.bench.bench
	@$(PYTHON) -m tests.bench.texts $(or $(RULES),examples/rules.yml)

torture: setup ## the long fault runs and the long fuzzing; hours, not minutes
	@./tests/prepare.sh
	@SMS_BRIDGE_TORTURE=long $(PYTHON) -m pytest tests/faults tests/fuzz -n 2 -q

lock: setup ## find newer versions of what pyproject.toml names
	@uv=$$(command -v uv || echo .venv/bin/uv); \
	compile() { $$uv pip compile --quiet --universal --python-version 3.11 --generate-hashes \
	    --custom-compile-command "make lock" pyproject.toml "$$@"; }; \
	compile --upgrade --group dev -o requirements.lock && \
	compile --constraint requirements.lock -o requirements-run.lock
