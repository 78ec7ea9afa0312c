"""Words are found where their ink is, however the page lies, is cut, or is measured."""

import io
from pathlib import Path

import pikepdf
import pytest
from PIL import Image, ImageDraw, ImageFont

from sidecar.documents.document import DocumentLimits
from sidecar.engines.tesseract import worker
from sidecar.engines.tesseract.installation import find_tessdata
from sidecar.evidence.layout import Layout, Source
from sidecar.ocr.engine import PageText
from tests.integration.sidecar.documents import as_png

NEAR_POINTS = 2.0
LIMITS = DocumentLimits(10**8, 10**8, 300)
DPI = 200
ROWS = 8
A4 = (1654, 2339)
PHRASE = "The contractor submits shop drawings for approval please review them within seven working days"
WORDS = PHRASE.split()
FONT = ImageFont.load_default(34)


def placed(size: tuple[int, int], rows: int, left: int = 150) -> list[tuple[str, tuple[int, int]]]:
    """Words, five on each line, each with its place in pixels."""
    found = []
    for row in range(rows):
        at = left
        for column in range(5):
            word = WORDS[(5 * row + column) % len(WORDS)]
            found.append((word, (at, 150 + 110 * row)))
            at += round(FONT.getlength(word)) + 24
    assert max(x for _, (x, _) in found) < size[0] - 200
    return found


def drawn(size, words) -> Image.Image:
    image = Image.new("L", size, 255)
    for word, at in words:
        ImageDraw.Draw(image).text(at, word, fill=0, font=FONT)
    return image


def ink(image: Image.Image) -> tuple[int, int, int, int]:
    return image.point(lambda grey: 255 * (grey < 128)).getbbox()


def read(tmp_path: Path, content: bytes, languages: str = "eng") -> tuple[PageText, Layout]:
    path = tmp_path / "document"
    path.write_bytes(content)
    page = worker.read_page(path, 0, LIMITS, worker.Way(languages, find_tessdata(None), wants_layout=True))
    layout = page.layout.unpack()
    assert " ".join(line.text for line in layout.lines) == " ".join(page.text.split())
    return page, layout


def misses(layout: Layout, truth: list[tuple[str, tuple[float, float, float, float]]]) -> list[tuple]:
    """Words that were not found, or not within two points of their ink."""
    found = [word for line in layout.lines for word in line.words]
    bad = []
    for text, box in truth:
        same = [word for word in found if word.text == text]
        ends = [
            max(abs(a - b) for a, b in zip((w.box.left, w.box.top, w.box.right, w.box.bottom), box, strict=True))
            for w in same
        ]
        if not ends or min(ends) > NEAR_POINTS:
            bad.append((text, box, [word.box for word in same]))
    return bad


def points(box, dpi=(DPI, DPI), shift=(0.0, 0.0)) -> tuple[float, float, float, float]:
    across, down = 72 / dpi[0], 72 / dpi[1]
    return box[0] * across - shift[0], box[1] * down - shift[1], box[2] * across - shift[0], box[3] * down - shift[1]


def as_picture(image: Image.Image, dpi=(DPI, DPI), kind="PNG") -> bytes:
    out = io.BytesIO()
    image.save(out, kind, dpi=dpi)
    return out.getvalue()


def as_pdf(image: Image.Image, *, origin=(0, 0), crop=None, rotate=0) -> bytes:
    """A page that is this picture at 200 dpi, its lower left corner at ``origin``."""
    pdf = pikepdf.new()
    width, height = image.width * 72 / DPI, image.height * 72 / DPI
    left, bottom = origin
    page = pikepdf.Dictionary(
        Type=pikepdf.Name.Page, MediaBox=[left, bottom, left + width, bottom + height], Rotate=rotate
    )
    if crop:
        page.CropBox = [left + crop[0], bottom + crop[1], left + width - crop[2], bottom + height - crop[3]]
    picture = pdf.make_stream(
        image.tobytes(),
        Type=pikepdf.Name.XObject, Subtype=pikepdf.Name.Image, Width=image.width, Height=image.height,
        ColorSpace=pikepdf.Name.DeviceGray, BitsPerComponent=8,
    )  # fmt: skip
    page.Resources = pikepdf.Dictionary(XObject=pikepdf.Dictionary(I=picture))
    page.Contents = pdf.make_stream(f"q {width} 0 0 {height} {left} {bottom} cm /I Do Q".encode())
    pdf.pages.append(pikepdf.Page(pdf.make_indirect(page)))
    out = io.BytesIO()
    pdf.save(out)
    return out.getvalue()


UPRIGHT = lambda image: image  # noqa: E731
SIDE, HEAD, OTHER_SIDE = (
    lambda image: image.transpose(Image.Transpose.ROTATE_90),
    lambda image: image.transpose(Image.Transpose.ROTATE_180),
    lambda image: image.transpose(Image.Transpose.ROTATE_270),
)


def sloping(image: Image.Image) -> Image.Image:
    return image.rotate(5, Image.Resampling.BICUBIC, fillcolor=255)


@pytest.mark.parametrize(
    "lies", [UPRIGHT, SIDE, HEAD, OTHER_SIDE, sloping], ids=["upright", "left", "head", "right", "sloping"]
)
def test_words_of_a_picture_are_where_its_ink_is(tmp_path, lies):
    words = placed(A4, ROWS)
    _, layout = read(tmp_path, as_picture(lies(drawn(A4, words))))
    truth = [(word, points(ink(lies(drawn(A4, [(word, at)]))))) for word, at in words]
    assert misses(layout, truth) == []
    shown = lies(Image.new("L", A4)).size
    assert (layout.width, layout.height) == pytest.approx((shown[0] * 72 / DPI, shown[1] * 72 / DPI), abs=0.01)


@pytest.mark.parametrize(
    ("rotate", "stored"), [(0, UPRIGHT), (90, SIDE), (180, HEAD), (270, OTHER_SIDE), (90, UPRIGHT)]
)
def test_words_of_a_pdf_are_where_a_viewer_shows_them(tmp_path, rotate, stored):
    """Also where the page is shown on its side: the last."""
    words = placed(A4, ROWS)
    _, layout = read(tmp_path, as_pdf(stored(drawn(A4, words)), rotate=rotate))
    shown = {0: UPRIGHT, 90: OTHER_SIDE, 180: HEAD, 270: SIDE}[rotate]
    truth = [(word, points(ink(shown(stored(drawn(A4, [(word, at)])))))) for word, at in words]
    assert misses(layout, truth) == []


def test_places_count_from_the_corner_of_what_is_shown(tmp_path):
    words = placed(A4, ROWS)
    _, layout = read(tmp_path, as_pdf(drawn(A4, words), origin=(-300, 77), crop=(20, 30, 10, 40)))
    truth = [(word, points(ink(drawn(A4, [(word, at)])), shift=(20, 40))) for word, at in words]
    assert misses(layout, truth) == []
    assert (layout.width, layout.height) == pytest.approx((A4[0] * 0.36 - 30, A4[1] * 0.36 - 70), abs=0.1)


def test_words_of_a_page_that_is_read_in_pieces_are_where_they_are_on_the_page(tmp_path):
    size = (1200, 5600)
    words = placed(size, 48, left=100)
    _, layout = read(tmp_path, as_picture(drawn(size, words), dpi=(150, 150)))
    truth = [(word, points(ink(drawn(size, [(word, at)])), dpi=(150, 150))) for word, at in words]
    assert len(misses(layout, truth)) <= len(truth) // 100
    assert layout.height == pytest.approx(5600 * 72 / 150, abs=1)


def test_a_fax_has_points_of_its_own_in_each_direction(tmp_path):
    words = placed(A4, ROWS)
    halved = drawn(A4, words).resize((A4[0], A4[1] // 2), Image.Resampling.BOX)
    _, layout = read(tmp_path, as_picture(halved, dpi=(204, 98), kind="TIFF"))
    truth = [(word, points(ink(drawn(A4, [(word, at)])), dpi=(204, 196))) for word, at in words]
    assert misses(layout, truth) == []


def test_in_thai_a_word_is_what_stands_between_spaces_and_has_the_places_of_all_its_letters(data, tmp_path):
    path = data / "mixed.pdf"
    page = worker.read_page(path, 1, LIMITS, worker.Way("tha+eng", find_tessdata(None), wants_layout=True))
    words = [word for line in page.layout.unpack().lines for word in line.words]
    assert [word.text for word in words] == page.text.split()
    assert "ผู้รับจ้างได้ส่งรายงานการทดสอบคอนกรีตแล้ว" in [word.text for word in words]
    assert all(word.box and word.source is Source.TESSERACT and 0 <= word.confidence <= 1 for word in words)


def test_a_line_tells_its_baseline_and_the_size_of_its_letters(tmp_path):
    _, layout = read(tmp_path, as_picture(drawn(A4, placed(A4, ROWS))))
    line = layout.lines[0]
    (left, start), (right, end) = line.baseline
    assert left < right
    assert start == pytest.approx(end, abs=1)
    assert line.box.top < start <= line.box.bottom + 1
    assert line.size == pytest.approx(34 * 72 / DPI, rel=0.25)


def test_letters_of_one_size_have_one_size_with_and_without_marks_of_thai(data):
    """Tesseract's rows are higher where marks stand above and below, which made headings of them."""
    way = worker.Way("tha+eng", find_tessdata(None), wants_layout=True)
    read = worker.read_page(data / "scan-thai-english.pdf", 0, LIMITS, way)
    sizes = [line.size for line in read.layout.unpack().lines if len(line.text) > 12]
    assert max(sizes) <= 1.12 * min(sizes)


def test_a_blank_page_has_its_size_and_no_words(tmp_path):
    page, layout = read(tmp_path, as_png(Image.new("L", (600, 800), 255)))
    assert page.blank
    assert layout.lines == ()
    assert layout.height == pytest.approx(842, abs=1)


def test_nothing_is_placed_that_nobody_wants(data):
    assert worker.read_page(data / "mixed.pdf", 1, LIMITS, worker.Way("eng", find_tessdata(None))).layout is None


def grey_wedge(size: tuple[int, int]) -> Image.Image:
    return Image.linear_gradient("L").resize(size)


@pytest.mark.parametrize("languages", ["eng", "tha+eng"])
@pytest.mark.parametrize("whole", [True, False], ids=["whole", "on-paper"])
def test_a_page_that_is_only_a_picture_has_no_lines(tmp_path, languages, whole):
    image = Image.new("L", A4, 255)
    image.paste(grey_wedge((1200, 900)), (200, 500))
    page, layout = read(tmp_path, as_picture(grey_wedge((600, 800)) if whole else image), languages)
    assert (page.text, layout.lines) == ("", ())


def test_words_around_a_picture_are_all_found(tmp_path):
    words = placed(A4, rows=4)
    below = [(word, (x, y + 1500)) for word, (x, y) in words]
    image = drawn(A4, words + below)
    truth = [(word, points(ink(drawn(A4, [(word, at)])))) for word, at in words + below]
    image.paste(Image.effect_noise((1200, 700), 200), (200, 750))
    _, layout = read(tmp_path, as_picture(image))
    assert not misses(layout, truth)
