"""What an install brings is what the code imports: the plain one reads a document, and no image gets the other's."""

import ast
import os
import re
import subprocess
import sys
import tomllib
from importlib.metadata import PackageNotFoundError, packages_distributions, requires
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from sidecar.cli.commands import missing
from tests.unit.test_dockerfile import only

ROOT = Path(__file__).parents[2]
DATA = ROOT / "tests" / "data"
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
BROUGHT = packages_distributions()
"""Distributions by the names that are imported."""


def names(wanted: list[str]) -> set[str]:
    return {canonicalize_name(Requirement(one).name) for one in wanted}


def lists(tmp_path: Path) -> dict[str, list[str]]:
    """What the Dockerfile makes of pyproject.toml, by the name of the file."""
    (tmp_path / "pyproject.toml").write_bytes((ROOT / "pyproject.toml").read_bytes())
    code = re.search(r'python3 -c "(.+)"', only("requirements", "RUN"), re.DOTALL)[1].replace("\\\n", "")
    subprocess.run([sys.executable, "-c", code.replace("\\n", r"\n")], cwd=tmp_path, check=True, timeout=60)
    return {path.stem: path.read_text().split("\n") for path in tmp_path.glob("*.txt")}


def imported(*parts: str) -> set[str]:
    """Distributions that files of ours import, wherever in them."""
    found: set[str] = set()
    for path in (one for part in parts for one in (ROOT / part).rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            match node:
                case ast.Import(names=aliases):
                    found |= {alias.name.partition(".")[0] for alias in aliases}
                case ast.ImportFrom(module=str(module), level=0):
                    found.add(module.partition(".")[0])
    third_party = found - set(sys.stdlib_module_names) - {"sidecar", "controller"}
    return {canonicalize_name(name) for one in third_party for name in BROUGHT.get(one, [one])}


BROUGHT_ALONG = {
    "numpy",
    "opencv-python-headless",
    "transformers",
    "tokenizers",
    "huggingface-hub",
    "safetensors",
    "pydantic-core",
    "python-multipart",  # has a package `multipart` that gives way to the one that is meant
}
"""By FlagEmbedding, RapidOCR, pydantic and mcp, whose versions of them fit them."""


CHOSEN = {"openvino", "mcp", "starlette", "uvicorn"}
"""What the sidecar uses where somebody installed it, and no image has."""


def test_each_image_gets_what_its_code_imports_and_the_controller_s_nothing_else(tmp_path):
    given = {name: names(wanted) for name, wanted in lists(tmp_path).items()}
    assert imported("controller", "sidecar/profiles") - BROUGHT_ALONG <= given["controller"]
    assert imported("sidecar") - BROUGHT_ALONG <= given["sidecar"] | given["rapidocr"] | given["retrieval"] | CHOSEN
    assert {"tesserocr", "pypdfium2", "pillow", "rich", "orjson", "pebble", "torch"}.isdisjoint(given["controller"])
    assert {"kopf", "kubernetes", "sqlalchemy"}.isdisjoint(given["sidecar"] | given["retrieval"])


def closure(wanted: list[str]) -> set[str]:
    """What an install brings, with all that it needs."""
    found: set[str] = set()
    todo = [Requirement(one) for one in wanted]
    while todo:
        one = todo.pop()
        name = canonicalize_name(one.name)
        if name in found or (one.marker and not one.marker.evaluate({"extra": ""})):
            continue
        found.add(name)
        try:
            todo += [Requirement(text) for text in requires(name) or []]
        except PackageNotFoundError:
            continue  # for another system
    return found


BLOCKER = """
import sys
class Blind:
    # A finder that does not see some packages.
    def __init__(self, finder):
        self.finder = finder
    def __getattr__(self, name):
        return getattr(self.finder, name)
    def find_spec(self, name, path=None, target=None):
        return None if name.partition(".")[0] in {BLOCKED} else self.finder.find_spec(name, path, target)
sys.meta_path[:] = map(Blind, sys.meta_path)
"""


def run_without(tmp_path: Path, allowed: set[str], *arguments: object) -> subprocess.CompletedProcess[str]:
    """Run Python where nothing can be imported but the standard library, our code and some distributions."""
    blocked = {one for one, brought in BROUGHT.items() if not {canonicalize_name(name) for name in brought} & allowed}
    blocked -= {"sidecar", "controller", "sitecustomize"} | set(sys.stdlib_module_names)
    (tmp_path / "site").mkdir()
    (tmp_path / "site" / "sitecustomize.py").write_text(BLOCKER.replace("{BLOCKED}", repr(blocked)))
    own = {name: value for name, value in os.environ.items() if not name.startswith("OCR_")}
    return subprocess.run(
        [sys.executable, "-m", *map(str, arguments)],
        env=own | {"PYTHONPATH": f"{tmp_path / 'site'}{os.pathsep}{ROOT}"},
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=100,
        check=False,
    )


@pytest.mark.parametrize("arguments", [("--version",), ("--help",), ("ocr", "--help")])
def test_version_and_help_need_nothing_installed(tmp_path, arguments):
    ended = run_without(tmp_path, set(), "sidecar", *arguments)
    assert (ended.returncode, ended.stderr) == (0, "")


def test_the_plain_install_reads_documents(tmp_path):
    plain = closure(PROJECT["dependencies"])
    assert {"torch", "kopf", "mcp"}.isdisjoint(plain)
    ended = run_without(tmp_path, plain, "sidecar", "ocr", DATA / "digital.pdf", DATA / "photo.png")
    assert ended.returncode == 0, ended.stderr
    assert "LCBP3-RFA-2025-9613-0" in ended.stdout
    assert "LCBP3-RFA-2025-5932-7" in ended.stdout


def test_the_doctor_tells_what_the_plain_install_lacks(tmp_path):
    ended = run_without(tmp_path, closure(PROJECT["dependencies"]), "sidecar", "doctor")
    assert "absent   the command mcp: not installed" in ended.stdout, ended.stderr
    assert "-> pip install --constraint requirements.lock '.[mcp]'" in ended.stdout


@pytest.mark.parametrize(
    ("arguments", "line"),
    [
        (
            ("sidecar", "fetch"),
            "ocr-sidecar: torch is not installed: pip install --constraint requirements.lock '.[retrieval]'",
        ),
        (
            ("sidecar", "mcp"),
            "ocr-sidecar: mcp is not installed: pip install --constraint requirements.lock '.[mcp]'",
        ),
        (
            ("controller", "run"),
            "ocr-controller: kubernetes is not installed: pip install --constraint requirements.lock '.[controller]'",
        ),
    ],
)
def test_what_is_missing_is_said_in_one_line(tmp_path, arguments, line):
    ended = run_without(tmp_path, closure(PROJECT["dependencies"]), *arguments)
    assert (ended.returncode, ended.stdout, ended.stderr.splitlines()) == (2, "", [line])


@pytest.mark.parametrize("command", [["serve"], ["ocr", "a.pdf"], ["doctor"]])
def test_an_install_without_its_dependencies_is_one_line_as_well(tmp_path, command):
    ended = run_without(tmp_path, set(), "sidecar", *command)
    assert (ended.returncode, len(ended.stderr.splitlines())) == (2, 1), ended.stderr
    assert "is not installed: pip install --constraint requirements.lock '.'" in ended.stderr


def test_the_parser_of_uploads_is_ours_beside_the_one_that_mcp_brings():
    """python-multipart installs a package `multipart`, which Python finds before our module of that name."""
    code = "import multipart, mcp; from multipart import PushMultipartParser; print(multipart.__file__)"
    ended = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=60)
    assert ended.stdout.endswith("/multipart.py\n")


def test_each_library_of_an_extra_is_told_with_it():
    assert missing("torch.nn").endswith("'.[retrieval]'")
    assert missing("mcp.server").endswith("'.[mcp]'")
    assert missing("rich").endswith("'.'")
