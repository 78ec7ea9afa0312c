# ocr-sidecar: `make help` lists the targets.
.DEFAULT_GOAL := help
.PHONY: help setup packages system-packages demo run run-fake check test bench lock clean

PYTHON ?= python3
VENV := .venv
LOCK_VENV := .venv-lock
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed
FAKE_PORT ?= 11434
TESSERACT_PACKAGES := tesseract-ocr-eng tesseract-ocr-tha tesseract-ocr-osd
# Debian's mariadb-server, less the service that would start with it: the tests start a private one.
MARIADB_PACKAGES := mariadb-server-core mariadb-client-core
# For the tests that send real packets past the NetworkPolicies. They need root as well.
NETWORK_PACKAGES := iproute2 nftables

help:  ## List the targets
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 10

setup: packages  ## Make .venv with the locked packages; install Tesseract's data where that is possible
	@$(BIN)/python -m sidecar doctor || true

packages: $(STAMP)

$(STAMP): pyproject.toml requirements.lock | system-packages
	$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "Python 3.11 or newer is needed")'
	$(PYTHON) -m venv $(VENV)
	$(BIN)/pip install --quiet --disable-pip-version-check --constraint requirements.lock --editable '.[sidecar,retrieval,controller,dev]'
	@touch $@

# Tesseract's language data, and what Debian splits off Python. Elsewhere `make setup` ends with what to install.
system-packages:
	@want="$(TESSERACT_PACKAGES)"; \
	$(PYTHON) -c 'import ensurepip' 2>/dev/null || want="$$want python3-venv"; \
	if ! command -v apt-get >/dev/null; then \
	  echo "not Debian or Ubuntu: install Tesseract's data for English, Thai and orientation (eng, tha, osd) yourself"; \
	elif dpkg -s $$want >/dev/null 2>&1; then :; \
	elif [ "$$(id -u)" = 0 ]; then \
	  apt-get update -qq && DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends $$want >/dev/null; \
	else echo "please run: sudo apt-get install $$want"; fi
	@if [ -x /usr/sbin/mariadbd ] || ! command -v apt-get >/dev/null; then :; \
	elif [ "$$(id -u)" = 0 ]; then \
	  { apt-get update -qq && DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends \
	    $(MARIADB_PACKAGES) >/dev/null; } || echo "MariaDB cannot be installed here: its tests are skipped"; \
	else echo "for the tests on a real database, please run: sudo apt-get install $(MARIADB_PACKAGES)"; fi
	@if dpkg -s $(NETWORK_PACKAGES) >/dev/null 2>&1 || ! command -v apt-get >/dev/null || [ "$$(id -u)" != 0 ]; then :; \
	else { apt-get update -qq && DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends \
	    $(NETWORK_PACKAGES) >/dev/null; } || echo "nftables cannot be installed here: tests of packets are skipped"; fi

demo: setup  ## Read a scanned Thai/English PDF through the HTTP service and print its text
	@$(BIN)/python -m bench.demo tests/data/scan-thai-english.pdf

run: packages  ## Run the service on this machine; docs/configuration.md lists what the environment may set
	@$(BIN)/python -m sidecar serve

# The one that ends first ends the other; Ctrl-C ends both.
run-fake: packages  ## Run the service beside a stand-in for Ollama; FAKE="--latency 0.5" and the like are its arguments
	@$(BIN)/python -m tests.fakes.ollama --port $(FAKE_PORT) $(FAKE) & fake=$$!; \
	OLLAMA_API_URL=http://127.0.0.1:$(FAKE_PORT) OCR_AUTH_MODE=$${OCR_AUTH_MODE:-network} \
	OCR_VRAM_SOURCE=$${OCR_VRAM_SOURCE:-ollama} $(BIN)/python -m sidecar serve & service=$$!; \
	trap 'asked=0' INT; trap 'asked=0; kill $$fake $$service 2>/dev/null' TERM; \
	while kill -0 $$fake 2>/dev/null && kill -0 $$service 2>/dev/null; do sleep 1; done; \
	kill $$fake $$service 2>/dev/null; \
	wait $$fake; failed=$$?; wait $$service || failed=$$?; exit $${asked:-$$failed}

check: packages  ## Lint, types, layers
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports --no-cache

test: packages  ## Run all tests
	$(BIN)/pytest

bench: packages  ## Measure, and print ratios; ONLY=name runs one benchmark
	@$(BIN)/python -m bench $(ONLY)

lock:  ## Resolve the newest versions that fit pyproject.toml and write requirements.lock
	rm -rf $(LOCK_VENV) && $(PYTHON) -m venv $(LOCK_VENV)
	$(LOCK_VENV)/bin/pip install --quiet torch==2.13.0
	$(LOCK_VENV)/bin/pip install --quiet '.[sidecar,retrieval,controller,dev]'
	$(LOCK_VENV)/bin/pip freeze --exclude ocr-sidecar | sed "s/+cpu//" > requirements.lock
	rm -rf $(LOCK_VENV) build

clean:  ## Remove what make made
	rm -rf $(VENV) $(LOCK_VENV) build *.egg-info .mypy_cache .ruff_cache .pytest_cache .hypothesis
