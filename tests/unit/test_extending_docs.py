"""docs/extending.md: every step names files, each of them is there, and the code it shows is code that a test runs."""

import re

import pytest

from tests.unit.test_docs import ROOT

PAGE = ROOT / "docs" / "extending.md"
SECTIONS = dict(
    re.findall(r"^## ([^\n]+)\n(.*?)(?=^## |\Z)", PAGE.read_text(encoding="utf-8"), re.DOTALL | re.MULTILINE)
)
FILE = r"`((?:[\w.-]+/)+[\w.-]+|\.[\w.]+|\w+\.(?:toml|lock)|CHANGELOG\.md|Dockerfile)`"


def steps(section: str) -> list[str]:
    """The numbered steps of a section, each on one line."""
    found = re.findall(r"^\d+\. (.*?)(?=^\d+\. |\n\n|\Z)", SECTIONS[section], re.DOTALL | re.MULTILINE)
    return [" ".join(one.split()) for one in found]


def test_what_is_often_added_is_explained():
    assert {"An engine", "A dialect", "A setting", "A route", "An output", "A metric"} <= SECTIONS.keys()


@pytest.mark.parametrize("section", SECTIONS)
def test_every_step_begins_with_a_file_or_a_command(section):
    assert len(steps(section)) >= 3
    assert [step for step in steps(section) if not re.match(f"{FILE}|`make ", step)] == []


def test_every_file_named_is_there():
    named = set(re.findall(FILE, PAGE.read_text(encoding="utf-8")))
    assert len(named) > 40
    assert {name for name in named if not (ROOT / name).exists()} == set()


def test_the_example_is_the_one_that_runs():
    shown = re.findall(r"^```python\n(.*?)^```", PAGE.read_text(encoding="utf-8"), re.DOTALL | re.MULTILINE)
    folder = ROOT / "tests" / "integration" / "sidecar"
    run = "".join(
        path.read_text(encoding="utf-8")
        for path in (folder / "test_extending.py", folder / "dialects" / "test_extending.py")
    )
    assert len(shown) == 5
    assert [code for code in shown if code not in run] == []
