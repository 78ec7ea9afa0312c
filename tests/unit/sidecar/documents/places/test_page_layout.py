"""Where the words of text layers are told to be: as the page is shown, whatever its box, its rotation and its fonts."""

import io

import pikepdf
import pytest
from reportlab.pdfgen.canvas import Canvas

from sidecar.documents.document import DocumentLimits, Inquiry, inspect
from sidecar.documents.page_selection import PageRequest
from sidecar.evidence.layout import Box, Source

LIMITS = DocumentLimits(50_000_000, 100_000_000, 300)
NEAR = 1.0
WIDTH, HEIGHT = 400, 600


def drawn(draw, *, rotation=0, crop=None):
    out = io.BytesIO()
    canvas = Canvas(out, pagesize=(WIDTH, HEIGHT))
    canvas.setFont("Helvetica", 12)
    draw(canvas)
    canvas.save()
    with pikepdf.Pdf.open(out) as pdf:
        pdf.pages[0].Rotate = rotation
        if crop:
            pdf.pages[0].CropBox = crop
        saved = io.BytesIO()
        pdf.save(saved)
    return saved.getvalue()


def facts_of(content, folder, *, wants_layout=True):
    path = folder / "made.pdf"
    path.write_bytes(content)
    inquiry = Inquiry(PageRequest(), use_text_layer=True, char_threshold=5, wants_layout=wants_layout)
    return inspect(path, LIMITS, inquiry).pages


def layout_of(content, folder):
    return facts_of(content, folder)[0].layout.unpacked()


def is_near(box, left, top, right, bottom):
    found = (box.left, box.top, box.right, box.bottom)
    return all(abs(one - other) <= NEAR for one, other in zip(found, (left, top, right, bottom), strict=True))


def two_words(canvas):
    canvas.drawString(100, 500, "Hxxxx")
    canvas.drawString(200, 500, "Hxx")


def test_words_have_their_places_and_lines_their_baseline_size_and_source(tmp_path):
    (line,) = layout_of(drawn(two_words), tmp_path).lines
    assert [word.text for word in line.words] == ["Hxxxx", "Hxx"]
    assert is_near(line.words[0].box, 101, 91.4, 132.7, 100)
    assert is_near(line.words[1].box, 201, 91.4, 220.7, 100)
    assert line.baseline == ((pytest.approx(101, abs=1), 100), (pytest.approx(220.7, abs=1), 100))
    assert (line.size, line.is_bold, line.words[0].source) == (12, False, Source.TEXT_LAYER)


@pytest.mark.parametrize(
    ("rotation", "expected", "size"),
    [
        (0, Box(101, 91.4, 132.7, 100), (WIDTH, HEIGHT)),
        (90, Box(500, 101, 508.6, 132.7), (HEIGHT, WIDTH)),
        (180, Box(267.3, 500, 299, 508.6), (WIDTH, HEIGHT)),
        (270, Box(91.4, 267.3, 100, 299), (HEIGHT, WIDTH)),
    ],
)
def test_a_page_is_shown_turned(rotation, expected, size, tmp_path):
    layout = layout_of(drawn(two_words, rotation=rotation), tmp_path)
    assert (layout.width, layout.height) == size
    assert layout.rotation == -rotation % 360
    assert is_near(layout.lines[0].words[0].box, expected.left, expected.top, expected.right, expected.bottom)


def test_only_the_box_of_a_page_is_shown(tmp_path):
    layout = layout_of(drawn(two_words, crop=[50, 100, 350, 560]), tmp_path)
    assert (layout.width, layout.height) == (300, 460)
    assert is_near(layout.lines[0].words[0].box, 51, 51.4, 82.7, 60)


@pytest.mark.parametrize("rotation", [0, 90])
def test_text_that_runs_up_has_upright_boxes(rotation, tmp_path):
    def draw(canvas):
        for at in range(6):
            canvas.drawString(60, 400 - 16 * at, "level words of a line")
        canvas.translate(300, 100)
        canvas.rotate(90)
        canvas.drawString(0, 0, "rising words")

    (rising,) = [one for one in layout_of(drawn(draw, rotation=rotation), tmp_path).lines if "rising" in one.text]
    is_upright = rising.box.height > rising.box.width
    assert is_upright == (rotation == 0)


def test_bold_fonts_are_told(tmp_path):
    def draw(canvas):
        canvas.setFont("Times-Bold", 14)
        canvas.drawString(60, 500, "A bold line of words")
        canvas.setFont("Times-Roman", 14)
        canvas.drawString(60, 480, "A line as others are")

    assert [one.is_bold for one in layout_of(drawn(draw), tmp_path).lines] == [True, False]


def test_rules_and_pictures_are_told(tmp_path):
    def draw(canvas):
        two_words(canvas)
        canvas.line(50, 400, 350, 400)
        canvas.rect(50, 200, 300, 100)
        canvas.setFillGray(0.5)
        canvas.rect(60, 350, 200, 1, stroke=0, fill=1)
        canvas.rect(60, 100, 200, 60, stroke=0, fill=1)

    rules = layout_of(drawn(draw), tmp_path).rules
    assert any(is_near(rule, 50, 200, 350, 200) for rule in rules)
    assert any(is_near(rule, 60, 249, 260, 250) for rule in rules)
    assert sum(is_near(rule, 50, 300, 350, 300) or is_near(rule, 50, 400, 350, 400) for rule in rules) == 2
    assert sum(is_near(rule, 50, 300, 50, 400) or is_near(rule, 350, 300, 350, 400) for rule in rules) == 2
    assert len(rules) == 6


def test_a_word_that_goes_on_in_the_next_line_stands_on_both(tmp_path):
    def draw(canvas):
        canvas.drawString(60, 500, "All of the long respon-")
        canvas.drawString(60, 486, "sibility is with the office")

    (page,) = facts_of(drawn(draw), tmp_path)
    lines = page.layout.unpacked().lines
    assert page.text == "All of the long respon-sibility is with the office"
    assert [one.text for one in lines] == ["All of the long respon-", "sibility is with the office"]
    assert [round(one.box.bottom) in {100, 101, 102, 103} for one in lines] == [True, False]


def test_the_words_of_layouts_are_those_of_the_text(data, tmp_path):
    for page in facts_of((data / "digital.pdf").read_bytes(), tmp_path):
        layout = page.layout.unpacked()
        assert [one.text for one in layout.lines] == [" ".join(one.split()) for one in page.text.splitlines()]
        assert all(word.box and word.box.width > 0 for one in layout.lines for word in one.words)


def test_what_is_hidden_has_no_place_either(tmp_path):
    def draw(canvas):
        for at in range(8):
            canvas.drawString(60, 500 - 16 * at, f"line {at} of what is seen")
        text = canvas.beginText(60, 200)
        text.setTextRenderMode(3)
        text.textLine("nobody sees this")
        canvas.drawText(text)

    (page,) = facts_of(drawn(draw), tmp_path)
    lines = page.layout.unpacked().lines
    assert [one.text for one in lines] == page.text.splitlines()
    assert [round(one.box.bottom) for one in lines] == [pytest.approx(100 + 16 * at, abs=3) for at in range(8)]


def test_no_layout_is_made_where_none_is_wanted(data, tmp_path):
    content = (data / "digital.pdf").read_bytes()
    wanted, unwanted = facts_of(content, tmp_path), facts_of(content, tmp_path, wants_layout=False)
    assert [page.text for page in wanted] == [page.text for page in unwanted]
    assert all(page.layout is None for page in unwanted)
