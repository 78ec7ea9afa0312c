"""Pictures for a vision model: as large as was asked, in colour where there is any, upright, and blank pages told."""

import base64
import io
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image, ImageDraw, ImageFont
from reportlab.pdfgen.canvas import Canvas

from sidecar.documents import document
from sidecar.documents.document import DocumentLimits
from sidecar.documents.images import Images, plan_fitting
from sidecar.documents.pages import PagePicture
from sidecar.documents.raster import fitted, page_picture
from sidecar.errors import PageTooLargeError, UnreadableDocumentError

LIMITS = DocumentLimits(max_page_pixels=150_000_000, max_stream_bytes=32 << 20, dpi=300)
FONT = ImageFont.load_default(40)
POINTS = (612, 864)


def opened(picture: PagePicture) -> Image.Image:
    image = Image.open(io.BytesIO(base64.b64decode(picture.png_base64, validate=True)))
    assert image.format == "PNG"
    return image


def of_pdf(path: Path, draw: Callable[[Canvas], object], size: tuple[float, float], longest_side: int) -> PagePicture:
    canvas = Canvas(str(path / "a.pdf"), pagesize=size)
    draw(canvas)
    canvas.showPage()
    canvas.save()
    return document.picture(path / "a.pdf", 0, LIMITS, longest_side)


def of_image(path: Path, image: Image.Image, longest_side: int = 1800, kind: str = "png", **options) -> PagePicture:
    image.save(path / f"a.{kind}", kind, **options)
    return document.picture(path / f"a.{kind}", 0, LIMITS, longest_side)


def with_text(image: Image.Image, ink: object = 0) -> Image.Image:
    for line in range(5):
        ImageDraw.Draw(image).text((60, 100 + 60 * line), "The contractor submits the drawing", fill=ink, font=FONT)
    return image


def a_line(canvas: Canvas) -> None:
    canvas.drawString(20, 20, "Please review")


# ── how large ─────────────────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("longest_side", [256, 1800, 1801])
@pytest.mark.parametrize("size", [(595.28, 841.89), (792, 612), (100.1, 100.3), (2383.94, 3370.39)])
def test_the_longest_side_of_a_pdf_s_page_has_exactly_the_pixels_asked_for(tmp_path, size, longest_side):
    image = opened(of_pdf(tmp_path, a_line, size, longest_side))
    assert max(image.size) == longest_side
    assert image.width / image.height == pytest.approx(size[0] / size[1], rel=0.01)


@pytest.mark.parametrize("size", [(2480, 3508), (3508, 2480), (1654, 2338), (601, 600), (5000, 700)])
@pytest.mark.parametrize("longest_side", [256, 1799, 1800])
def test_the_longest_side_of_an_image_has_exactly_the_pixels_asked_for(tmp_path, size, longest_side):
    image = opened(of_image(tmp_path, Image.new("L", size, 255), longest_side))
    assert max(image.size) == longest_side
    assert image.width / image.height == pytest.approx(size[0] / size[1], rel=0.02)


@given(st.floats(1, 20_000), st.floats(1, 20_000), st.integers(256, 8192))
def test_rounded_up_or_to_the_nearest_the_longest_side_is_never_one_more(width, height, longest_side):
    side = max(width, height) * fitted(width, height, longest_side)
    assert longest_side - 0.5 < side <= longest_side
    assert round(side) == longest_side


@given(
    st.integers(1, 30_000),
    st.integers(1, 30_000),
    st.none() | st.tuples(st.integers(1, 1300), st.integers(1, 1300)) | st.just((204, 98)),
    st.integers(256, 8192),
)
def test_no_picture_is_larger_than_asked_and_none_is_enlarged_more_than_threefold(width, height, claimed, longest_side):
    scaling = plan_fitting((width, height), claimed, longest_side)
    assert max(round(width * scaling.x), round(height * scaling.y)) <= longest_side
    assert min(scaling.x, scaling.y) <= 3.000001
    assert scaling.dpi >= 1


@pytest.mark.parametrize(
    ("size", "enlarged"),
    [((300, 200), (900, 600)), ((10, 8), (30, 24)), ((1, 1), (3, 3)), ((600, 400), (1800, 1200))],
)
def test_a_small_image_is_enlarged_threefold_at_most(tmp_path, size, enlarged):
    assert opened(of_image(tmp_path, Image.new("L", size, 255))).size == enlarged


def test_a_fax_gets_the_shape_of_the_paper(tmp_path):
    fax = Image.new("1", (1728, 1078), 1)
    image = opened(of_image(tmp_path, fax, kind="tiff", dpi=(204, 98)))
    assert max(image.size) == 1800
    assert image.width / image.height == pytest.approx((1728 / 204) / (1078 / 98), rel=0.005)


def test_a_fax_that_lies_on_its_side_gets_the_shape_of_the_paper_too(tmp_path):
    fax = Image.new("1", (1078, 1728), 1)
    image = opened(of_image(tmp_path, fax, kind="tiff", dpi=(98, 204)))
    assert max(image.size) == 1800
    assert image.width / image.height == pytest.approx((1078 / 98) / (1728 / 204), rel=0.005)


def test_a_fax_that_is_turned_by_its_exif_orientation_gets_the_shape_of_the_paper_too(tmp_path):
    exif = Image.Exif()
    exif[0x0112] = 6
    fax = Image.new("L", (1728, 1078), 255)
    image = opened(of_image(tmp_path, fax, kind="jpeg", dpi=(204, 98), exif=exif))
    assert max(image.size) == 1800
    assert image.width / image.height == pytest.approx((1078 / 98) / (1728 / 204), rel=0.005)


def test_the_sample_fax_has_the_shape_of_a4(data):
    image = opened(document.picture(data / "fax.tiff", 1, LIMITS, 1800))
    assert image.size[1] == 1800
    assert image.width / image.height == pytest.approx(210 / 297, rel=0.03)


@pytest.mark.parametrize("name", ["photo.png", "scan-thai-english.pdf", "digital.pdf"])
def test_the_sample_documents_are_drawn_upright_at_the_size_asked_for(data, name):
    image = opened(document.picture(data / name, 0, LIMITS, 1234))
    assert image.height == 1234 > image.width


# ── colour ────────────────────────────────────────────────────────────────────────────────────────────────────────


def test_the_colour_of_a_pdf_s_stamp_is_kept(tmp_path):
    def stamp(canvas: Canvas) -> None:
        canvas.setFillColorRGB(1, 0, 0)
        canvas.rect(0, 0, 100, 100, fill=1, stroke=0)

    image = opened(of_pdf(tmp_path, stamp, (200, 200), 400))
    assert image.mode == "RGB"
    assert [image.getpixel(at) for at in ((50, 350), (350, 50))] == [(255, 0, 0), (255, 255, 255)]


def test_a_pdf_s_page_without_colour_is_packed_as_grey(tmp_path):
    assert opened(of_pdf(tmp_path, a_line, (200, 200), 400)).mode == "L"


@pytest.mark.parametrize(("mode", "kind"), [("RGB", "png"), ("RGBA", "png"), ("P", "png"), ("CMYK", "tiff")])
def test_the_colour_of_an_image_s_stamp_is_kept_whatever_its_pixels(tmp_path, mode, kind):
    white = {"RGB": (255, 255, 255), "RGBA": (0, 0, 0, 0), "P": 0, "CMYK": (0, 0, 0, 0)}[mode]
    red = {"RGB": (255, 0, 0), "RGBA": (255, 0, 0, 255), "P": 1, "CMYK": (0, 255, 255, 0)}[mode]
    page = Image.new(mode, (600, 800), white)
    if mode == "P":
        page.putpalette([255, 255, 255, 255, 0, 0])
    page.paste(red, (0, 0, 300, 300))
    image = opened(of_image(tmp_path, page, 800, kind))
    assert image.mode == "RGB"
    assert image.getpixel((500, 700)) == (255, 255, 255)
    red_now, green, blue = image.getpixel((100, 100))
    assert (red_now > 220, green < 40, blue < 40) == (True, True, True)


@pytest.mark.parametrize(
    ("mode", "ink", "kind"),
    [("1", 0, "tiff"), ("L", 0, "png"), ("RGB", (0, 0, 0), "png"), ("RGB", (0, 0, 0), "jpeg"), ("I;16", 0, "png")],
)
def test_an_image_without_colour_is_packed_as_grey(tmp_path, mode, ink, kind):
    white = {"1": 1, "L": 255, "RGB": (255, 255, 255), "I;16": 65_535}[mode]
    page = Image.new(mode, (600, 800), white)
    page.paste(ink, (0, 0, 300, 300))
    image = opened(of_image(tmp_path, page, 800, kind))
    assert image.mode == "L"
    assert (image.getpixel((100, 100)) < 20, image.getpixel((500, 700)) > 235) == (True, True)


@pytest.mark.parametrize("stamp", [(200, 0, 0), (0, 0, 160), (120, 150, 120)])
@pytest.mark.parametrize("size", [8, 40])
def test_one_small_stamp_makes_a_page_coloured(stamp, size):
    page = Image.new("RGB", (1273, 1800), (255, 255, 255))
    assert opened(page_picture(page, 150, POINTS)).mode == "L"
    page.paste(stamp, (1273 - size, 1800 - size, 1273, 1800))
    assert opened(page_picture(page, 150, POINTS)).getpixel((1272, 1799)) == stamp


def test_what_is_transparent_is_white(tmp_path):
    page = Image.new("RGBA", (600, 800), (0, 0, 0, 0))
    assert opened(of_image(tmp_path, page, 800)).getpixel((300, 300)) == 255


# ── upright ───────────────────────────────────────────────────────────────────────────────────────────────────────

CORNERS = {
    1: "top left",
    2: "top right",
    3: "bottom right",
    4: "bottom left",
    5: "top left",
    6: "top right",
    7: "bottom right",
    8: "bottom left",
}


@pytest.mark.parametrize("orientation", CORNERS)
@pytest.mark.parametrize("kind", ["jpeg", "png", "tiff", "webp"])
def test_a_picture_is_turned_as_its_exif_orientation_says(tmp_path, orientation, kind):
    page = Image.new("RGB", (800, 600), (255, 255, 255))
    page.paste((255, 0, 0), (0, 0, 200, 200))
    exif = Image.Exif()
    exif[0x0112] = orientation
    image = opened(of_image(tmp_path, page, 800, kind, exif=exif))
    assert image.size == ((600, 800) if orientation > 4 else (800, 600))
    spots = {"top left": (50, 50), "top right": (-50, 50), "bottom right": (-50, -50), "bottom left": (50, -50)}
    green = {where: image.getpixel((x % image.width, y % image.height))[1] for where, (x, y) in spots.items()}
    assert [where for where, value in green.items() if value < 100] == [CORNERS[orientation]]


@pytest.mark.parametrize(("degrees", "corner"), [(90, (20, 20)), (180, (380, 20)), (270, (380, 780))])
def test_a_pdf_s_page_is_turned_as_the_file_says(tmp_path, degrees, corner):
    def marked_at_its_origin(canvas: Canvas) -> None:
        canvas.setPageRotation(degrees)
        canvas.rect(0, 0, 50, 50, fill=1)

    image = opened(of_pdf(tmp_path, marked_at_its_origin, (200, 400), 800))
    dark = [(x, y) for x in (20, 380) for y in (20, 780) if image.getpixel((x, y)) < 100]
    assert (image.size, dark) == ((400, 800), [corner])


# ── blank ─────────────────────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("colour", [(255, 255, 255), (250, 240, 220), (30, 60, 200)])
def test_a_page_of_one_colour_is_told_to_be_blank(tmp_path, colour):
    assert of_image(tmp_path, Image.new("RGB", (827, 1169), colour), 900).blank


@pytest.mark.parametrize("ink", [(0, 0, 0), (200, 0, 0), (0, 0, 200), (120, 120, 120)])
def test_a_page_with_text_is_not(tmp_path, ink):
    assert not of_image(tmp_path, with_text(Image.new("RGB", (827, 1169), (255, 255, 255)), ink), 900).blank


def test_the_blank_pages_of_the_sample_document_are_told(data):
    blank = [document.picture(data / "blank-pages.pdf", index, LIMITS, 1800).blank for index in range(3)]
    assert blank == [True, False, True]


@pytest.mark.parametrize("longest_side", [256, 1800, 4096])
def test_a_page_number_alone_makes_a_page_at_any_size(tmp_path, longest_side):
    def number(canvas: Canvas) -> None:
        canvas.setFont("Helvetica", 10)
        canvas.drawString(300, 30, "- 12 -")

    assert not of_pdf(tmp_path, number, (595.28, 841.89), longest_side).blank


# ── refused ───────────────────────────────────────────────────────────────────────────────────────────────────────


def test_too_many_pixels_are_refused_before_any_is_decoded(tmp_path):
    Image.new("1", (2000, 1000)).save(tmp_path / "a.png")
    with Images.open(tmp_path / "a.png", 1_999_999) as images, pytest.raises(PageTooLargeError, match="2000 x 1000"):
        images.picture(0, 1800)


@pytest.mark.parametrize("kind", ["png", "jpeg", "tiff", "webp"])
def test_a_picture_that_breaks_off_is_told(tmp_path, kind):
    Image.effect_noise((400, 400), 50).convert("RGB").save(tmp_path / "whole", kind)
    whole = (tmp_path / "whole").read_bytes()
    (tmp_path / "cut").write_bytes(whole[: len(whole) // 2])
    with pytest.raises(UnreadableDocumentError):
        document.picture(tmp_path / "cut", 0, LIMITS, 1800)
