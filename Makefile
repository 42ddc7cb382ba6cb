# The two commands a newcomer needs are `make run` and `make test`.
SHELL := /bin/bash
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
PIP_ENVIRONMENT := PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_NO_INPUT=1

# One more than the processors: some tests wait, and each worker reads all tests before it begins.
TEST_WORKERS ?= $(shell echo $$(($$(nproc) + 1)))
# Without byte code kept, each worker compiles everything again, which takes longer than many tests.
unexport PYTHONDONTWRITEBYTECODE

# Debian's, for the tests that talk to a broker, to a browser and to a PKCS#11 token.
TEST_PACKAGES := mosquitto chromium chromium-driver fonts-dejavu-core xmlsec1 softhsm2

.PHONY: run test test-packages interruptions reference-model bench lint docs check-docs changelog lock clean help

help:  ## Show the targets.
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/'

$(VENV)/run.stamp: requirements.lock pyproject.toml firmware-stubs/pyproject.toml
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	@echo "installing the locked dependencies …"
	@$(PIP_ENVIRONMENT) $(BIN)/python -m pip install --quiet --require-hashes --requirement requirements.lock
	@$(PIP_ENVIRONMENT) $(BIN)/python -m pip install --quiet --no-deps --no-build-isolation --editable . --editable firmware-stubs
	@touch $@

$(VENV)/dev.stamp: requirements-dev.lock $(VENV)/run.stamp
	@echo "installing what the tests need …"
	@$(PIP_ENVIRONMENT) $(BIN)/python -m pip install --quiet --require-hashes --requirement requirements-dev.lock
	@touch $@

export KEYRIG_HOME ?= $(CURDIR)/build/home

run: $(VENV)/run.stamp  ## Carry out every duty on the emulated home and show it.
	@$(BIN)/keyrig run

lint: $(VENV)/dev.stamp  ## Check style, types, and the order of the rooms.
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports --no-cache
	@$(BIN)/towncrier build --draft --version next >/dev/null

test-packages:  ## Install Debian's packages for the tests, where root may and apt-get is there.
	@missing=; for package in $(TEST_PACKAGES); do \
		dpkg-query --show --showformat '$${Status}' $$package 2>/dev/null | grep -q ' installed$$' \
		|| missing="$$missing $$package"; done; \
	if [ -n "$$missing" ] && [ "$$(id -u)" = 0 ] && command -v apt-get >/dev/null; then \
		echo "installing$$missing …"; \
		{ apt-get -qq update && DEBIAN_FRONTEND=noninteractive \
			apt-get -qq install --no-install-recommends $$missing; } >/dev/null 2>&1 \
		|| echo "not installed:$$missing; the tests that need them skip"; fi

# The key store that DCC Boxed's public clients ship: somebody else's, so it is read and not kept.
PUBLIC_KEYSTORE := build/public-keystore
PUBLIC_KEYSTORE_PACKAGE := @smartdcc/dccboxed-keystore@0.4.2
PUBLIC_KEYSTORE_SHA256 := 9cbe3fa3f3ae077c74cb3e584bf0590e069120ac7a49f1dba8d24645b2ffd8a6

$(PUBLIC_KEYSTORE)/keystore.json:
	@mkdir -p $(@D)
	@if command -v npm >/dev/null; then \
		echo "fetching $(PUBLIC_KEYSTORE_PACKAGE) …"; \
		{ cd $(@D) && npm pack --silent $(PUBLIC_KEYSTORE_PACKAGE) >name \
			&& echo "$(PUBLIC_KEYSTORE_SHA256)  $$(cat name)" | sha256sum --check --quiet \
			&& tar -xzf "$$(cat name)" --strip-components=1 package/keystore.json; } >/dev/null 2>&1 \
		|| echo "not fetched; the test that needs it skips"; fi

test: test-packages $(PUBLIC_KEYSTORE)/keystore.json lint  ## Run every gate: style, types, tests, coverage.
	rm -f .coverage .coverage.*
	$(BIN)/coverage run -m pytest -q -n $(TEST_WORKERS)
	$(BIN)/coverage combine --quiet
	$(BIN)/coverage report --format=total --fail-under=90

interruptions: $(VENV)/dev.stamp  ## Interrupt the six-device run everywhere; takes about half an hour.
	$(BIN)/python tests/campaigns/interruptions.py

reference-model: $(VENV)/dev.stamp  ## Compare a thousand long histories with the naive statement of the duties.
	KEYRIG_LONG=1 $(BIN)/pytest -q --timeout=0 tests/agent/duties/test_against_reference_model.py

bench: $(VENV)/dev.stamp  ## Measure, and write build/bench.json.
	$(BIN)/python benchmarks/bench.py

docs: $(VENV)/dev.stamp  ## Write what the documents have from the code: API, schemas, commands.
	@$(BIN)/python tests/docs/captures.py

check-docs: $(VENV)/dev.stamp  ## Say what the documents show that is not so any more.
	@$(BIN)/python tests/docs/captures.py --check

changelog: $(VENV)/dev.stamp  ## Show what the fragments in changelog.d make together.
	@$(BIN)/towncrier build --draft --version next

# All but pkcs11, which has to be compiled. The extras name each other: keyrig is no requirement
# of its own.
RUN_EXTRAS := dcc run serve upstream verify zigbee

lock: $(VENV)/dev.stamp  ## Make the lock files anew from pyproject.toml.
	$(BIN)/pip-compile --quiet --strip-extras --generate-hashes --no-emit-index-url --no-emit-find-links --unsafe-package keyrig --output-file requirements.lock --extra build $(RUN_EXTRAS:%=--extra %) pyproject.toml
	$(BIN)/pip-compile --quiet --strip-extras --generate-hashes --no-emit-index-url --no-emit-find-links --unsafe-package keyrig --output-file requirements-dev.lock --extra build --extra dev --extra pkcs11 $(RUN_EXTRAS:%=--extra %) pyproject.toml

clean:  ## Remove what was made here.
	rm -rf $(VENV) build dist .mypy_cache .pytest_cache .ruff_cache .hypothesis .coverage*
