"""docs/requirements.md covers the whole work list, and names files and tests that exist."""

import ast
import re
import subprocess
import sys
from functools import cache
from pathlib import Path

import pytest

from tests.unit.test_docs import ROOT, rows

PAGE = ROOT / "docs" / "requirements.md"
WORK_LIST = {f"T{number:03}" for number in range(1, 64)}
WORK_LIST |= {f"FR-{number:03}" for number in range(1, 21)}
WORK_LIST |= {f"SC-{number:03}" for number in range(1, 9)}
LINES = rows(PAGE, "# Requirements")
EDGE_CASES = rows(PAGE, "## Edge cases")
PRODUCTION = rows(PAGE, "## Production in September 2026")


def numbers(cell: str) -> list[str]:
    """The numbers of a line: ``T001 to T003, FR-002`` is four of them."""
    found = []
    for part in cell.split(", "):
        first, last = (re.fullmatch(r"(T|FR-|SC-)(\d{3})", end).groups() for end in (part.split(" to ") * 2)[:2])
        assert first[0] == last[0], part
        found += [f"{first[0]}{number:03}" for number in range(int(first[1]), int(last[1]) + 1)]
    return found


@cache
def functions_of(path: Path) -> frozenset[str]:
    """The functions of a file that pytest would collect."""
    functions = (ast.FunctionDef, ast.AsyncFunctionDef)
    nodes = ast.walk(ast.parse(path.read_text(encoding="utf-8")))
    return frozenset(node.name for node in nodes if isinstance(node, functions) and node.name.startswith("test_"))


def test_every_number_of_the_work_list_has_one_line():
    told = [number for line in LINES for number in numbers(line[0])]
    assert sorted(told) == sorted(WORK_LIST)


def test_every_place_is_there():
    places = re.findall(r"`([\w.-]+(?:/[\w.-]+)*)`", PAGE.read_text(encoding="utf-8"))
    paths = [place for place in places if "/" in place or "." in place]
    assert len(paths) > 40
    absent = {path for path in paths if not (ROOT / path).exists()}
    assert absent == {"tests/e2e"}, "the page says of this one that there is none"


@pytest.mark.parametrize("proof", sorted(set(re.findall(r"tests/[\w/]+\.py::\w+", PAGE.read_text(encoding="utf-8")))))
def test_every_proof_is_a_test(proof):
    path, _, name = proof.partition("::")
    assert name in functions_of(ROOT / path)


@pytest.mark.parametrize("line", [*LINES, *EDGE_CASES, *PRODUCTION], ids=lambda line: line[0])
def test_a_line_names_a_test_or_says_what_is_missing(line):
    assert "::test_" in line[-1] or re.search(r"\b([Nn]o|[Nn]othing)\b", line[-1])


def test_ruff_refuses_a_mutable_default_and_a_second_import(tmp_path):
    code = tmp_path / "code.py"
    code.write_text(
        '"""Code."""\nimport os\nimport os\n\n\ndef add(one: int, to: list = []) -> None:\n    """Add."""\n'
    )
    ruff = Path(sys.executable).with_name("ruff")
    command = [ruff, "check", "--no-cache", "--config", ROOT / "pyproject.toml", "--output-format", "concise", code]
    found = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert found.returncode == 1
    assert {"B006", "F811"} <= set(re.findall(r"\b[A-Z]+\d+\b", found.stdout))
