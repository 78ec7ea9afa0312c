"""The formats that a document may be asked for in: what they say, and that each is valid."""

import re
from html.parser import HTMLParser

import pytest
from hypothesis import given
from hypothesis import strategies as st
from lxml import etree

from sidecar.evidence.layout import Box, Line, Source, Word
from sidecar.evidence.page import BlockKind
from sidecar.outputs.alto import alto
from sidecar.outputs.hocr import hocr
from sidecar.outputs.html_page import html
from sidecar.outputs.markup import language
from sidecar.outputs.text import flowing, page_text, text
from tests.unit.sidecar.outputs.pages import EVERYTHING, alto_faults, block, hocr_faults, line, page

# ── text ──────────────────────────────────────────────────────────────────────────────────────────────────────────


def test_text_has_lines_as_they_stand_and_a_blank_line_between_blocks_and_pages():
    assert text(EVERYTHING).split("\n\n") == [
        "Project LCBP3",
        "รายงานการทดสอบ",
        "A & B\nend.",
        "โปรดพิจารณา\nและแจ้งผล",
        "one\ndeeper\ntwo",
        "Item\nเสาเข็ม\t5 <mm>",
        "Figure 1",
        "E=mc²",
        "Confidential",
        "1",
        "model's \x07words\uffff",
        "turned",
    ]


def test_a_page_without_blocks_has_no_text():
    assert page_text(page()) == text([]) == ""


@pytest.mark.parametrize(
    ("before", "after", "together"),
    [
        ("ทดสอบ", "คอนกรีต", "ทดสอบคอนกรีต"),
        ("ทดสอบ", "test", "ทดสอบ test"),
        ("พ.ศ.", "๒๕๖๘", "พ.ศ. ๒๕๖๘"),
        ("東京", "都", "東京都"),
    ],
)
def test_lines_flow_into_one_another_as_their_script_does(before, after, together):
    assert flowing([line(before), line(after)]) == together


# ── HTML ──────────────────────────────────────────────────────────────────────────────────────────────────────────


class Nesting(HTMLParser):
    """Checks that each element that is opened is closed in turn, and collects texts."""

    def __init__(self) -> None:
        super().__init__()
        self.opened: list[str] = []
        self.texts: list[str] = []

    def handle_starttag(self, tag, attrs):  # noqa: ARG002 - as its parent calls it
        if tag not in {"meta", "wbr"}:
            self.opened.append(tag)

    def handle_endtag(self, tag):
        assert self.opened.pop() == tag

    def handle_data(self, data):
        self.texts.append(data)


def body(written: str) -> str:
    return written.partition("<body>\n")[2].partition("\n</body>")[0]


def test_html_says_what_each_block_is():
    assert body(html(EVERYTHING[:1])).splitlines() == [
        '<section id="page-1">',
        "<header>Project LCBP3</header>",
        "<h2>รายงานการทดสอบ</h2>",
        "<p>A &amp; B",
        "end.</p>",
        "<p>โปรดพิจารณา<wbr>และแจ้งผล</p>",
        "<ul><li>one<ul><li>deeper</li></ul></li><li>two</li></ul>",
        "<table>",
        '<tr><th colspan="2">Item</th></tr>',
        "<tr><td>เสาเข็ม</td><td>5 &lt;mm&gt;</td></tr>",
        "<tr><td></td></tr>",
        "</table>",
        "<figure><figcaption>Figure 1</figcaption></figure>",
        '<p class="formula">E=mc²</p>',
        "<footer>Confidential</footer>",
        '<footer class="page-number">1</footer>',
        "</section>",
    ]


def test_html_names_its_document_and_its_language():
    written = html(EVERYTHING, "<a>.pdf")
    assert '<html lang="th">' in written
    assert "<title>&lt;a&gt;.pdf</title>" in written
    assert "<title></title>" not in html(EVERYTHING) + html([])


@pytest.mark.parametrize("levels", [[1, 2, 3, 1], [3, 1, 2], [None, 5, 5, 2], [2, 2, 1, 1]])
def test_lists_of_any_depth_are_closed(levels):
    blocks = [block(BlockKind.LIST, line(str(at)), level=level) for at, level in enumerate(levels)]
    parser = Nesting()
    parser.feed(body(html([page(*blocks)])))
    assert parser.opened == []
    assert "".join(parser.texts).split() == ["".join(str(at) for at in range(len(levels)))]


def test_html_draws_bullets_itself_and_leaves_numbers_as_they_are_written():
    items = [block(BlockKind.LIST, line(*texts)) for texts in (("•", "one"), ("3.", "three"), ("none",))]
    assert '<ul><li>one</li><li class="numbered">3. three</li><li>none</li></ul>' in html([page(*items)])


@given(st.lists(st.text(), min_size=1), st.sampled_from(BlockKind))
def test_whatever_is_read_stays_text_in_all_formats(texts, kind):
    words = tuple(Word(one, Box(0, 0, 9, 9), 0.5, Source.MODEL) for one in texts)
    pages = [page(block(kind, Line(words, Box(0, 0, 9, 9))))]
    parser = Nesting()
    parser.feed(html(pages))
    assert parser.opened == []
    etree.fromstring(hocr(pages).encode())
    assert alto_faults(alto(pages)) == []


# ── hOCR and ALTO ─────────────────────────────────────────────────────────────────────────────────────────────────


def test_hocr_is_valid():
    assert hocr_faults(hocr(EVERYTHING)) == []
    etree.fromstring(hocr(EVERYTHING).encode())


def test_the_check_of_hocr_finds_what_is_wrong():
    assert hocr_faults(hocr(EVERYTHING).replace("ocr-capabilities", "nothing")) == [
        "not ok 2 - //meta[@name='ocr-capabilities']"
    ]


def test_hocr_tells_places_in_pixels_of_300_dots_per_inch():
    written = hocr([page(block(BlockKind.PARAGRAPH, line("Concrete", "test", at=(72, 144))))])
    assert 'title="bbox 0 0 2480 3508; ppageno 0; scan_res 300 300" lang="th"' in written
    assert 'class="ocr_line" id="line_1_1_1" title="bbox 300 558 617 600; baseline 0.0000 -8; x_size 41.7"' in written
    assert (
        '<span class="ocrx_word" id="word_1_1_1_1" title="bbox 300 558 500 600; x_wconf 93">Concrete</span> <'
        in written
    )


def test_hocr_has_no_place_for_a_word_that_nobody_saw_and_no_space_where_words_join():
    written = hocr(
        [page(block(BlockKind.PARAGRAPH, line("a", at=None)), block(BlockKind.PARAGRAPH, line("ก", "ข", joins=True)))]
    )
    assert '<span class="ocrx_word" id="word_1_1_1_1" title="x_wconf 93">a</span>' in written
    assert "ก</span><span" in written


def test_hocr_tells_how_a_line_is_turned():
    assert "textangle 90" in hocr(EVERYTHING[3:])
    assert "baseline" not in hocr(EVERYTHING[3:])


def test_alto_is_valid():
    assert alto_faults(alto(EVERYTHING)) == []
    assert alto_faults(alto([page()])) == []


def test_the_schema_of_alto_finds_what_is_wrong():
    assert len(alto_faults(alto(EVERYTHING).replace('CONTENT="one"', ""))) == 1


def test_alto_tells_places_in_1200ths_of_an_inch():
    written = alto([page(block(BlockKind.PARAGRAPH, line("Concrete", "test", at=(72, 144))))])
    assert '<Page ID="page_1" PHYSICAL_IMG_NR="1" WIDTH="9920" HEIGHT="14030">' in written
    assert (
        'HPOS="1200" VPOS="2233.33" WIDTH="800" HEIGHT="166.67" CONTENT="Concrete" WC="0.93"/><SP/><String' in written
    )
    assert 'BASELINE="1200,2366.67 2466.67,2366.67"' in written


def test_alto_keeps_what_a_block_is_and_the_cells_of_a_table():
    written = alto(EVERYTHING)
    assert '<LayoutTag ID="kind_pageNumber" LABEL="pageNumber"/>' in written
    assert 'TAGREFS="kind_heading"' in written
    assert '<TextBlock ID="block_1_8_r1_c0"' in written
    assert re.search(r"<Illustration [^>]*HPOS", written)


@pytest.mark.parametrize(
    ("names", "tag"), [("tha+eng", "th"), ("eng", "en"), ("chi_sim", "zh"), ("lat", "lat"), ("", None), ("+", None)]
)
def test_languages_are_named_as_the_web_does(names, tag):
    assert language(names) == tag
