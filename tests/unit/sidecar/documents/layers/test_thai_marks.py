"""Marks of a text whose order is right, identified by where they are drawn; and PDFium's, as rebuilding gives them."""

import pypdfium2 as pdfium
import pytest

from sidecar.documents.layers import pdf_text, thai_marks
from sidecar.documents.layers.pdf_glyphs import NOTHING_HIDDEN, read_glyphs
from sidecar.documents.layers.pdf_text import OpenLayer
from sidecar.documents.layers.thai_layer import rebuild
from sidecar.documents.layers.thai_marks import MarkEvidence

SWAP = {"ู": "้", "้": "ู"}
LINE = "ผู้รับจ้างได้แล้ว ผู้ดูแลที่นี่"


def swapped(text):
    return "".join(SWAP.get(char, char) for char in text)


def identify(text, true, evidence=None, lost=()):
    """Identify a text's marks: those drawn where the true text's are."""
    moved = {at for at, char in enumerate(text) if char in SWAP and char != true[at]}
    return thai_marks.identified(text, thai_marks.clusters(text), moved, set(lost), evidence or MarkEvidence())


def test_swapped_marks_are_put_right_by_a_letter_that_bears_both():
    assert identify(swapped(LINE), LINE) == (LINE, True)
    assert identify(LINE, LINE) == (LINE, False)


def test_what_one_page_proves_holds_for_the_next():
    evidence = MarkEvidence()
    assert identify(swapped("รับจ้าง"), "รับจ้าง", evidence) == ("รับจ\ufffdาง", False)
    identify(swapped("ผู้"), "ผู้", evidence)
    assert identify(swapped("รับจ้าง"), "รับจ้าง", evidence) == ("รับจ้าง", True)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("ทĚาที่ให้", "ทําที่ให้"),
        ("ทĚาที่ต่อ", "ท\ufffdาที่ต่อ"),  # it may be MAI THO
        ("ทĚาที่ให้นĚ", "ท\ufffdาที่ให้น\ufffd"),  # it is not before SARA AA alone
    ],
)
def test_a_glyph_without_a_meaning_is_nikhahit_where_it_can_be_nothing_else(text, expected):
    lost = {at for at, char in enumerate(text) if char == "Ě"}
    assert identify(text, text, lost=lost)[0] == expected


def test_positions_are_of_marks_and_what_may_be_marks():
    text = "abc 12\r\nผู้รับĚา.\r\nก.\r\n“ก”"
    assert [text[slice(*span)] for span in thai_marks.clusters(text)] == ["ู้", "ั", "Ě", ".", "”"]
    assert [text[at] for at in thai_marks.strangers(text)] == ["Ě", "“", "”"]


@pytest.mark.parametrize("degrees", [0, 0.45, -0.45, 90], ids=["upright", "rising", "falling", "turned"])
def test_looking_at_marks_alone_gives_what_rebuilding_the_lines_gives(data, degrees):
    """By a file whose producer swaps marks; lines that are not level are always rebuilt."""
    with pdfium.PdfDocument(data / "digital.pdf") as document:
        seen, rebuilt = MarkEvidence(), MarkEvidence()
        for page in document:
            turn(page, degrees)
            text_page = page.get_textpage()
            text = text_page.get_text_range()
            alone = pdf_text._with_marks_identified(text_page, text, seen)
            read = pdf_text.read(OpenLayer(page, text_page, NOTHING_HIDDEN, text.count("\n") + 1, seen), text)
            expected, _ = rebuild(read_glyphs(text_page, {}), rebuilt)
            assert read.text.split() == expected.split()
            assert "marks-identified" in read.repairs
            assert alone == (None if degrees == 90 else read)
            text_page.close()
        assert seen.swaps == rebuilt.swaps


def turn(page, degrees):
    """Turn all that is on a page, about its middle."""
    middle = page.get_width() / 2, page.get_height() / 2
    matrix = pdfium.PdfMatrix().translate(-middle[0], -middle[1]).rotate(degrees, ccw=True).translate(*middle)
    for item in page.get_objects():
        item.transform(matrix)
    page.gen_content()
