"""What models write for a page, as blocks with places."""

import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sidecar.evidence.layout import Box, Layout, Line, Source, Word
from sidecar.evidence.markup.blocks import placed_blocks, read_blocks


def shown(text):
    """Kind, level, lines; for a table its cells."""
    return [
        (block.kind.value, block.level, [line.text for line in block.lines])
        if not block.cells
        else [(cell.row, cell.column, " / ".join(line.text for line in cell.lines)) for cell in block.cells]
        for block in read_blocks(text)
    ]


def test_plain_text_is_paragraphs_with_their_lines():
    assert shown("one two\nthree\n\nfour") == [("paragraph", None, ["one two", "three"]), ("paragraph", None, ["four"])]


def test_headings_lists_and_rules():
    text = "# One **bold** word\n## Two ##\n---\n- first\n  goes on\n  - inner\n2. second\n๓. third\n\ntext"
    assert shown(text) == [
        ("heading", 1, ["One bold word"]),
        ("heading", 2, ["Two"]),
        ("list", 1, ["first", "goes on"]),
        ("list", 2, ["inner"]),
        ("list", 1, ["2. second"]),
        ("list", 1, ["๓. third"]),
        ("paragraph", None, ["text"]),
    ]


def test_a_table_with_bars():
    text = "| Item | Weight |\n|:---|---:|\n| Anchor | 12 \\| kg |\n| Bollard |"
    assert shown(text) == [[(0, 0, "Item"), (0, 1, "Weight"), (1, 0, "Anchor"), (1, 1, "12 | kg"), (2, 0, "Bollard")]]
    assert [cell.is_header for cell in read_blocks(text)[0].cells] == [True, True, False, False, False]


def test_a_table_in_html_with_cells_that_span():
    text = (
        'before\n<table border="1"><thead><tr><th rowspan="2">No.</th>'
        "<th colspan=2>Weight &amp; size</th></tr></thead>\n"
        "<tr><td>kg<td>m</tr>\n<tr><td>1</td><td>12<br>13</td><td>x <table><tr><td>in</td></tr>"
        "</table></td></tr></table> after"
    )
    blocks = shown(text)
    assert blocks[0] == ("paragraph", None, ["before"])
    assert blocks[1] == [
        (0, 0, "No."), (0, 1, "Weight & size"), (1, 1, "kg"), (1, 2, "m"), (2, 0, "1"), (2, 1, "12 / 13"),
        (2, 2, "x in"),
    ]  # fmt: skip
    assert blocks[2] == ("paragraph", None, ["after"])
    spans = [(cell.row_span, cell.column_span, cell.is_header) for cell in read_blocks(text)[1].cells]
    assert spans[:3] == [(2, 1, True), (1, 2, True), (1, 1, False)]


@pytest.mark.parametrize(
    "broken", ["<table><tr><td>a", "<table>a<td>b", "<table><tr><td rowspan=99999999999 colspan=-1>a</td>"]
)
def test_a_table_that_breaks_off_keeps_its_cells(broken):
    assert [line for block in shown(broken) for line in block if isinstance(block, list)]


def test_what_models_mark_with_tags():
    text = "<header>Port of Bangkok</header>\n<figure>\nA crane\n</figure>\n![](a.png)\n$$\nx^2\n$$\n"
    text += "\\[ y \\]\n<page_number>7</page_number>"
    assert shown(text) == [
        ("header", None, ["Port of Bangkok"]),
        ("figure", None, []),
        ("caption", None, ["A crane"]),
        ("figure", None, []),
        ("formula", None, ["x^2"]),
        ("formula", None, ["y"]),
        ("pageNumber", None, ["7"]),
    ]


def test_inline_marks_are_no_part_of_words():
    text = "**No.** `A-1` [the port](http://x/y) <b>5 < 6</b> &lt;7&gt; 2 * 3 * 4 *done* snake_case a\\*b"
    assert shown(text) == [("paragraph", None, ["No. A-1 the port 5 < 6 <7> 2 * 3 * 4 done snake_case a*b"])]


def seen(*texts):
    words, at = [], 0
    for text in texts:
        words.append(Word(text, Box(at, 0, at + 10 * len(text), 12), 0.9, Source.TESSERACT))
        at += 10 * len(text) + 10
    return Layout(600, 800, (Line(tuple(words), None),))


def test_words_stand_where_another_reader_saw_them():
    heading, table = placed_blocks(
        "# Weights\n| Item | kg |\n|---|---|\n| Anchor | invented |", seen("Weights", "Item", "kg", "Anchor")
    )
    assert heading.box == Box(0, 0, 70, 12)
    assert heading.lines[0].words[0] == Word("Weights", Box(0, 0, 70, 12), None, Source.MODEL)
    assert [cell.box and cell.box.left for cell in table.cells] == [80, 130, 160, None]
    assert table.box == Box(80, 0, 220, 12)


def test_without_another_reader_nothing_has_a_place():
    (block,) = placed_blocks("one two", None)
    assert (block.box, block.lines[0].box, [word.box for word in block.lines[0].words]) == (None, None, [None, None])


@given(st.text("ab |-#*<>table/tr td\n$`1.)", max_size=80))
def test_no_text_is_too_odd(text):
    for block in placed_blocks(text, seen("a", "b")):
        assert block.lines or block.cells or block.kind.value == "figure"


HOSTILE = {
    "tables": "<table>" * 20_000,
    "angles": "<" * 100_000,
    "brackets": "[" * 100_000,
    "stars": "*" * 100_000,
    "bars": "|" * 100_000,
    "spans": "<table>" + "<td colspan=100>" * 20_000,
    "comments": "<table>" + "<!--" * 50_000,
    "attributes": "<table>" + "<td a='" * 50_000,
    "items": "- " * 50_000,
    "formulas": "$$" * 50_001,
    "openings": "$$ [" * 30_000,
}


@pytest.mark.parametrize("hostile", HOSTILE.values(), ids=HOSTILE)
def test_hostile_text_takes_bounded_time(hostile):
    began = time.process_time()
    read_blocks(hostile)
    assert time.process_time() - began < 10


def test_every_word_of_plain_text_is_there():
    text = "The contractor submits\n  shop drawings, 12.5 kg each.\n\nPlease review: (a) ๑๒๓ บาท"
    words = [word.text for block in read_blocks(text) for line in block.lines for word in line.words]
    assert words == text.split()
