# Both images from one file: `make image`, or `docker build --target sidecar .` and `--target controller`.
# docs/deploy.md says what the build arguments do; `make image-check` builds both without an engine and looks inside.

# Debian 12 with Python 3.11 or newer as `python3`. A tag and no digest: each build takes Debian's latest security fixes,
# and the same file builds for every architecture. To pin it: --build-arg BASE_IMAGE=python@sha256:….
ARG BASE_IMAGE=docker.io/library/python:3.11-slim-bookworm

# ── what both images stand on: Python, an init, a user ────────────────────────────────────────────────────────────
FROM ${BASE_IMAGE} AS runtime
# tini reaps: a worker that dies leaves its children to process 1, and Python would let them pile up as zombies.
# pip and ensurepip go (of python:slim; Debian's Python has none), as do set-user-ID bits: nobody here needs them.
# The name in passwd is for libraries that ask who they are; some fail without an answer.
RUN apt-get update -qq \
 && DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends ca-certificates tini >/dev/null \
 && apt-get clean \
 && rm -rf /var/lib/apt/lists/* /var/cache/apt/* /var/cache/debconf/* /var/cache/ldconfig/* /var/log/* \
      /usr/local/bin/pip* /usr/local/lib/python3*/ensurepip /usr/local/lib/python3*/site-packages/* \
 && echo 'ocr:x:65532:65532:ocr:/tmp:/usr/sbin/nologin' >> /etc/passwd \
 && echo 'ocr:x:65532:' >> /etc/group \
 && find / -xdev -perm /6000 -type f -exec chmod a-s {} + \
 && python3 -m compileall -q --invalidation-mode unchecked-hash \
      -x '/(test|tests|idlelib|lib2to3|tkinter|turtledemo)/' "$(python3 -c 'import sysconfig; print(sysconfig.get_path("stdlib"))')"
# Nothing writes bytecode at run time, the root is read-only: all is compiled here. By hash and unchecked (PEP 552), so
# that it holds whatever times the files get on their way.
ENV PATH=/opt/venv/bin:/usr/local/bin:/usr/bin:/bin \
    LANG=C.UTF-8 \
    HOME=/tmp \
    PYTHONPATH=/app \
    PYTHONDONTWRITEBYTECODE=1 \
    PYTHONUNBUFFERED=1
WORKDIR /app

# ── pip, in an environment of its own beside the one it fills: that one gets no pip ───────────────────────────────
FROM ${BASE_IMAGE} AS build
RUN python3 -c 'import ensurepip' 2>/dev/null \
 || { apt-get update -qq && DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends python3-venv >/dev/null; }
RUN python3 -m venv /opt/pip && python3 -m venv --without-pip /opt/venv
ENV PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_NO_CACHE_DIR=1 PIP_ROOT_USER_ACTION=ignore
WORKDIR /build

# What to install, out of pyproject.toml: the sidecar is the plain install, the controller its extra and nothing else.
# A stage of its own: the layers below are made anew only if these lists change, not with every word in that file.
FROM build AS requirements
COPY pyproject.toml ./
RUN python3 -c "import tomllib; \
    project = tomllib.load(open('pyproject.toml', 'rb'))['project']; \
    lists = project['optional-dependencies'] | {'sidecar': project['dependencies']}; \
    [open(name + '.txt', 'w').write('\n'.join(wanted)) for name, wanted in lists.items()]"
# With what picks their hashes, and prints the bill of materials.
COPY tools/__init__.py ./tools/
COPY tools/lock ./tools/lock

# ── Tesseract's language data, without its program: tesserocr brings the library ──────────────────────────────────
FROM ${BASE_IMAGE} AS tessdata
WORKDIR /data
RUN apt-get update -qq \
 && apt-get download -qq tesseract-ocr-eng tesseract-ocr-tha tesseract-ocr-osd \
 && for package in *.deb; do dpkg-deb --extract "$package" .; done

# ── the sidecar's packages ────────────────────────────────────────────────────────────────────────────────────────
FROM build AS sidecar-packages
# TORCH names a build of torch (cpu, cu129, …) in PyTorch's index. TORCH_INDEX= (nothing) takes torch from pip's own.
ARG TORCH=cpu
ARG TORCH_INDEX=https://download.pytorch.org/whl/${TORCH}
COPY requirements.lock hashes.lock ./
# First and alone, without what it depends on: that index has copies of other packages, which are not the locked ones.
RUN --mount=type=secret,id=pip,target=/etc/pip.conf \
    /opt/pip/bin/pip --python /opt/venv/bin/python install --quiet --no-compile --no-deps \
      ${TORCH_INDEX:+--index-url "${TORCH_INDEX}"} "$(grep '^torch==' requirements.lock)"
COPY --from=requirements /build/sidecar.txt /build/rapidocr.txt /build/retrieval.txt /build/jobs.txt ./
COPY --from=requirements /build/tools ./tools
# pip chooses, of the locked versions, what this image needs; then it installs that and nothing else, by its hashes.
# `|| true`: torch holds a file for Python 3.12 alone, which cannot be compiled.
RUN --mount=type=secret,id=pip,target=/etc/pip.conf \
    /opt/pip/bin/pip --python /opt/venv/bin/python install --quiet --dry-run --only-binary :all: --report report.json \
      --constraint requirements.lock --requirement sidecar.txt --requirement rapidocr.txt \
      --requirement retrieval.txt --requirement jobs.txt \
 && python3 -m tools.lock.chosen report.json > chosen.txt \
 && /opt/pip/bin/pip --python /opt/venv/bin/python install --quiet --no-compile --no-deps --only-binary :all: \
      --require-hashes --requirement chosen.txt \
 && { /opt/venv/bin/python -m compileall -f -q -j 0 --invalidation-mode unchecked-hash /opt/venv/lib || true; }
ARG VERSION=0.1.0
RUN python3 -m tools.lock.sbom ocr-sidecar "${VERSION}" /opt/venv/lib/python3*/site-packages > /opt/venv/sbom.cdx.json

# ── the controller's packages ─────────────────────────────────────────────────────────────────────────────────────
FROM build AS controller-packages
COPY requirements.lock hashes.lock ./
COPY --from=requirements /build/controller.txt ./
COPY --from=requirements /build/tools ./tools
RUN --mount=type=secret,id=pip,target=/etc/pip.conf \
    /opt/pip/bin/pip --python /opt/venv/bin/python install --quiet --dry-run --only-binary :all: --report report.json \
      --constraint requirements.lock --requirement controller.txt \
 && python3 -m tools.lock.chosen report.json > chosen.txt \
 && /opt/pip/bin/pip --python /opt/venv/bin/python install --quiet --no-compile --no-deps --only-binary :all: \
      --require-hashes --requirement chosen.txt \
 && /opt/venv/bin/python -m compileall -f -q -j 0 --invalidation-mode unchecked-hash /opt/venv/lib
ARG VERSION=0.1.0
RUN python3 -m tools.lock.sbom ocr-controller "${VERSION}" /opt/venv/lib/python3*/site-packages > /opt/venv/sbom.cdx.json

# ── the code, compiled; whatever umask it was checked out with ────────────────────────────────────────────────────
FROM build AS sidecar-code
COPY LICENSE /app/
COPY sidecar /app/sidecar
RUN python3 -m compileall -q --invalidation-mode unchecked-hash /app && chmod -R u=rwX,go=rX /app

# The controller knows of the sidecar what both share, and nothing else.
FROM build AS controller-code
COPY LICENSE /app/
COPY sidecar/__init__.py sidecar/environment.py sidecar/validation.py /app/sidecar/
COPY sidecar/profiles/__init__.py sidecar/profiles/payload.py /app/sidecar/profiles/
COPY controller /app/controller
RUN python3 -m compileall -q --invalidation-mode unchecked-hash /app && chmod -R u=rwX,go=rX /app

# ── the images; code last ─────────────────────────────────────────────────────────────────────────────────────────
FROM runtime AS controller
COPY --from=controller-packages /opt/venv /opt/venv
# Where compose.yaml mounts the folder that a mirror writes; a fresh Docker volume takes its owner from here.
RUN install -d -o 65532 -g 65532 /profiles
COPY --from=controller-code /app /app
ENV CONTROLLER_HOST=0.0.0.0
USER 65532:65532
EXPOSE 8080
ENTRYPOINT ["tini", "--", "python", "-m", "controller"]
CMD ["run"]
HEALTHCHECK --interval=30s --timeout=5s --start-period=30s CMD ["python", "-c", "import os, urllib.request; urllib.request.urlopen(f\"http://127.0.0.1:{os.environ.get('CONTROLLER_OPS_PORT') or 8080}/livez\", timeout=4)"]
ARG VERSION=0.1.0
ARG REVISION=unknown
LABEL org.opencontainers.image.title="ocr-controller" \
      org.opencontainers.image.description="Publishes OcrProfile resources to the OCR sidecars" \
      org.opencontainers.image.licenses="Apache-2.0" \
      org.opencontainers.image.version="${VERSION}" \
      org.opencontainers.image.revision="${REVISION}"

FROM runtime AS sidecar
COPY --from=tessdata /data/usr/share/tesseract-ocr /usr/share/tesseract-ocr
COPY --from=sidecar-packages /opt/venv /opt/venv
# Where the volumes of compose.yaml are mounted; a fresh Docker volume takes its owner from here.
RUN install -d -o 65532 -g 65532 /models /profiles /spool /state
COPY --from=sidecar-code /app /app
ENV OCR_HOST=0.0.0.0 \
    HF_HOME=/models/huggingface
USER 65532:65532
EXPOSE 8765 9090
ENTRYPOINT ["tini", "--", "python", "-m", "sidecar"]
CMD ["serve"]
HEALTHCHECK --interval=30s --timeout=5s --start-period=30s CMD ["python", "-c", "import os, urllib.request; urllib.request.urlopen(f\"http://127.0.0.1:{os.environ.get('OCR_OPS_PORT') or 9090}/livez\", timeout=4)"]
ARG VERSION=0.1.0
ARG REVISION=unknown
LABEL org.opencontainers.image.title="ocr-sidecar" \
      org.opencontainers.image.description="OCR, embedding and reranking beside an LLM on one GPU" \
      org.opencontainers.image.licenses="Apache-2.0" \
      org.opencontainers.image.version="${VERSION}" \
      org.opencontainers.image.revision="${REVISION}"
