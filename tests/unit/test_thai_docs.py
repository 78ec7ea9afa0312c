"""The Thai pages say what the English ones say: as many headings and tables, the same commands, the same names."""

import re
from pathlib import Path

import pytest

from tests.unit.test_docs import ROOT

PAIRS = [(ROOT / "README.md", ROOT / "README.th.md"), (ROOT / "docs/switch.md", ROOT / "docs/switch.th.md")]
FENCED = re.compile(r"^( *)```(\w*)\n(.*?)^\1```", re.DOTALL | re.MULTILINE)
THAI = re.compile("[\u0e01-\u0e5b]")


def commands(page: Path) -> list[tuple[str, list[str]]]:
    """The blocks of a page, each with its language and its lines, without comments in anybody's language."""
    found = FENCED.findall(page.read_text(encoding="utf-8"))
    return [
        (language, [re.sub(r"\s*(^| )# .*", "", line) for line in text.splitlines()]) for _, language, text in found
    ]


def headings(page: Path) -> list[int]:
    """The levels of a page's headings, in order."""
    prose = FENCED.sub("", page.read_text(encoding="utf-8"))
    return [len(marks) for marks in re.findall(r"^(#+) ", prose, re.MULTILINE)]


def code(page: Path) -> list[str]:
    """What a page marks as code outside its blocks, sorted: the words come in another order in Thai."""
    return sorted(set(re.findall(r"`([^`\n]+)`", FENCED.sub("", page.read_text(encoding="utf-8")))))


def shape(page: Path) -> list[tuple[str, int]]:
    """Lines that begin a list's entry or a table's row, counted section by section."""
    sections = re.split(r"^#+ .*$", FENCED.sub("", page.read_text(encoding="utf-8")), flags=re.MULTILINE)
    return [
        (kind, len(re.findall(pattern, section, re.MULTILINE)))
        for section in sections
        for kind, pattern in (("row", r"^\|"), ("entry", r"^(?:- |\d+\. )"))
    ]


@pytest.fixture(params=PAIRS, ids=lambda pair: pair[0].name)
def pair(request) -> tuple[Path, Path]:
    return request.param


def test_commands_are_equal(pair):
    english, thai = pair
    assert commands(thai) == commands(english)
    assert len(commands(english)) > 5


def test_headings_tables_and_lists_are_equal_in_number(pair):
    english, thai = pair
    assert headings(thai) == headings(english)
    assert shape(thai) == shape(english)


def test_names_and_values_are_equal(pair):
    english, thai = pair
    assert code(thai) == code(english)


def test_links_lead_to_the_same_pages_and_to_each_other(pair):
    english, thai = (page.read_text(encoding="utf-8") for page in pair)
    targets = [set(re.findall(r"\]\(([^)]+)\)", text)) for text in (english, thai)]
    assert pair[1].name in targets[0]
    assert pair[0].name in targets[1]
    own = {pair[0].name, pair[1].name, *re.findall(r"#variable-by-variable", english)}
    assert targets[0] - own == targets[1] - own


def test_they_are_in_thai(pair):
    prose = FENCED.sub("", pair[1].read_text(encoding="utf-8"))
    without = [block for block in re.split(r"\n\n+", prose) if not THAI.search(block) and "](" not in block]
    assert [block for block in without if block.strip() != "# ocr-sidecar"] == [], "a part was not translated"
