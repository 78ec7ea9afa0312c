"""Markdown of pages made by hand: what each block becomes, and that no text becomes markup."""

import pytest

from sidecar.evidence.layout import Line, Source, Word
from sidecar.evidence.page import Block, BlockKind, Cell, Page
from sidecar.outputs.joining import joined_texts
from sidecar.outputs.markdown import markdown


def line(text):
    return Line(tuple(Word(word, None, None, Source.MODEL) for word in text.split()), None)


def block(kind, *texts, level=None):
    return Block(kind, None, tuple(map(line, texts)), level)


def page(*blocks, number=1):
    return Page(number, 600, 800, blocks)


def paragraph(text):
    return markdown([page(block(BlockKind.PARAGRAPH, text))])


def cell(row, column, text, **span):
    return Cell(row, column, (line(text),) if text else (), **span)


def table(*cells):
    return markdown([page(Block(BlockKind.TABLE, None, cells=cells))])


def test_furniture_and_figures_are_left_out():
    shown = page(
        block(BlockKind.HEADER, "Bulletin"),
        block(BlockKind.FIGURE),
        block(BlockKind.PARAGRAPH, "The text."),
        block(BlockKind.PAGE_NUMBER, "7"),
        block(BlockKind.FOOTER, "printed in May"),
    )
    assert markdown([shown, page(number=2)]) == "The text."


def test_a_heading_keeps_the_signs_at_its_end():
    assert markdown([page(block(BlockKind.HEADING, "Part of C #", level=2))]) == "## Part of C \\#"


def test_headings_lists_captions_and_pages():
    first = page(
        block(BlockKind.HEADING, "Scope", "of it", level=1),
        block(BlockKind.HEADING, "Materials", level=2),
        block(BlockKind.LIST, "1. Copper", level=1),
        block(BlockKind.LIST, "• of one kind", level=2),
        block(BlockKind.LIST, "(a) first", level=2),
        block(BlockKind.CAPTION, "Table 1: sums"),
    )
    assert markdown([first, page(block(BlockKind.PARAGRAPH, "Next."), number=2)]) == (
        "# Scope of it\n\n## Materials\n\n1. Copper\n  - of one kind\n  - (a) first\n\nTable 1: sums\n\nNext."
    )


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("# no heading", "\\# no heading"),
        ("- no item", "\\- no item"),
        ("1968. A good year", "1968\\. A good year"),
        ("> no quotation", "\\> no quotation"),
        ("a * b * c", "a \\* b \\* c"),
        ("[no](link)", "\\[no\\](link)"),
        ("<b>no</b> markup", "\\<b\\>no\\</b\\> markup"),
        ("`no code`", "\\`no code\\`"),
        ("&copy; &#38; A & B", "\\&copy; \\&#38; A & B"),
        ("~~kept~~ about ~5", "\\~\\~kept\\~\\~ about ~5"),
        ("-", "\\-"),
        ("a_name_of_it and _this_", "a_name_of_it and \\_this\\_"),
        ("| no | table |", "\\| no | table |"),
        ("---", "\\---"),
        ("5 - 3 = 2", "5 - 3 = 2"),
        ("#hashtag", "#hashtag"),
    ],
)
def test_text_never_becomes_markup(text, expected):
    assert paragraph(text) == expected


def test_a_plain_table_is_written_in_pipes():
    written = table(cell(0, 0, "Name"), cell(0, 1, "Sum"), cell(1, 0, "a|b"), cell(1, 1, "7"), cell(2, 1, "9"))
    assert written == "| Name | Sum |\n| --- | --- |\n| a\\|b | 7 |\n|  | 9 |"


def test_a_table_with_spanning_cells_is_written_in_html():
    head = cell(0, 0, "A & B", column_span=2, is_header=True)
    written = table(head, cell(1, 0, "x", row_span=2), cell(1, 1, "<1>"), cell(2, 1, "2"))
    assert written == (
        '<table>\n<tr><th colspan="2">A &amp; B</th></tr>\n<tr><td rowspan="2">x</td><td>&lt;1&gt;</td></tr>\n'
        "<tr><td>2</td></tr>\n</table>"
    )


@pytest.mark.parametrize(
    ("texts", "expected"),
    [
        (["respon-", "sibility"], "responsibility"),
        (["Anglo-", "Saxon"], "Anglo- Saxon"),
        (["1990-", "1995"], "1990- 1995"),
        (["ผู้รับจ้างได้ส่ง", "รายงาน"], "ผู้รับจ้างได้ส่งรายงาน"),
        (["ฉบับที่ 3", "of May"], "ฉบับที่ 3 of May"),
        (["one", "", "two"], "one two"),
    ],
)
def test_lines_are_joined_as_they_are_read(texts, expected):
    assert joined_texts(texts) == expected
