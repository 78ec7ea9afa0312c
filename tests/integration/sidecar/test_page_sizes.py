"""How large a page is: what is on it decides where the file's own word is unlikely."""

import io

import pytest
from PIL import Image, ImageDraw, ImageFont
from reportlab.lib.utils import ImageReader
from reportlab.pdfgen.canvas import Canvas

from tests.integration.sidecar.documents import as_png, picture_of_text, raw_pdf, stream
from tests.matrix import first

pytestmark = pytest.mark.asyncio(loop_scope="module")
ENVIRONMENT = {"OCR_LANGUAGES": "eng"}  # what their pages are written in: with Thai beside it, each takes twice as long


@pytest.fixture
def service(shared_service):
    return shared_service


SAYS = "The contractor submits the shop drawing"


def scan_on(width: float, height: float, image: Image.Image) -> bytes:
    """A PDF of one page that a picture fills."""
    out = io.BytesIO()
    canvas = Canvas(out, pagesize=(width, height))
    canvas.drawImage(ImageReader(image), 0, 0, width, height)
    canvas.showPage()
    canvas.save()
    return out.getvalue()


def count(body) -> int:
    return body["text"].count(SAYS)


@pytest.mark.parametrize(
    ("pixels", "points"),
    first(
        3,
        [
            pytest.param((3024, 4032), (3024, 4032), id="12 megapixels at 72 dpi"),
            pytest.param((2480, 3508), (59.5, 84.2), id="A4 in units of ten points"),
            pytest.param((1654, 2338), (119, 168), id="A4 at 200 dpi in units of five points"),
            pytest.param((4032, 3024), (3024, 2268), id="12 megapixels at 96 dpi, landscape"),
            pytest.param((1654, 2338), (100, 141), id="A4 on a tiny page"),
            pytest.param((2480, 3508), (298, 421), id="A4 on A6"),
            pytest.param((1654, 2338), (20_000, 28_280), id="A4 beyond what a PDF's page can be"),
            pytest.param((1654, 2338), (595, 842), id="A4"),
        ],
    ),
)
async def test_a_scan_is_read_whatever_size_its_page_claims(service, pixels, points):
    picture = picture_of_text(8).resize((1654, 2338)).crop((0, 0, 1654, 1240) if pixels[0] > pixels[1] else None)

    status, body = await service.upload(scan_on(*points, picture.resize(pixels)), languages="eng")

    assert (status, count(body), body["warnings"]) == (200, 8, [])


@pytest.mark.parametrize("kind", ["png", "jpeg", "tiff"])
@pytest.mark.parametrize(("size", "dpi"), first(1, [((1240, 1754), 1200), ((1654, 2338), 600), ((2480, 3508), 1200)]))
async def test_a_picture_with_a_wrong_resolution_is_read(service, kind, size, dpi):
    out = io.BytesIO()
    picture_of_text(8).resize(size, Image.Resampling.LANCZOS).save(out, kind, dpi=(dpi, dpi))

    status, body = await service.upload(out.getvalue(), languages="eng")

    assert (status, count(body)) == (200, 8)


def screenshot(lines: int, width: int = 720, step: int = 120) -> Image.Image:
    image = Image.new("L", (width, lines * step), 212)
    font = ImageFont.load_default(26)
    for line in range(lines):
        ImageDraw.Draw(image).text((30, step * line + 40), f"{line:03d} {SAYS}", fill=0, font=font)
    return image


@pytest.mark.parametrize(
    "wrap",
    first(1, [pytest.param(as_png, id="PNG"), pytest.param(lambda image: scan_on(*image.size, image), id="PDF")]),
)
async def test_a_long_screenshot_is_read_to_its_end(service, wrap):
    status, body = await service.upload(wrap(screenshot(18, step=400)), languages="eng")

    lines = [line for line in body["text"].splitlines() if line]
    assert (status, len(lines)) == (200, 18)
    assert [line[:3] for line in lines] == [f"{line:03d}" for line in range(18)]


async def test_a_long_receipt_higher_than_tesseract_can_count_is_read_to_its_end(service):
    status, body = await service.upload(as_png(screenshot(34, step=1000)), languages="eng")

    assert (status, count(body)) == (200, 34)


def drawing_of(side: int) -> bytes:
    """Vectors alone."""
    box = b"%d %d %d %d re f" % (side // 4, side // 4, side // 2, side // 2)
    return raw_pdf(
        b"<< /Type /Catalog /Pages 2 0 R >>",
        b"<< /Type /Pages /Kids [3 0 R] /Count 1 >>",
        b"<< /Type /Page /Parent 2 0 R /MediaBox [0 0 %d %d] /Contents 4 0 R >>" % (side, side),
        stream(b"", box),
    )


@pytest.mark.asyncio(loop_scope="function")
@pytest.mark.parametrize(("side", "status"), [(14_400, 200), (14_401, 413)])
async def test_vectors_are_drawn_up_to_the_largest_page_that_a_pdf_can_have(start, side, status):
    service = await start(OCR_MAX_PAGE_PIXELS="10000000")

    got, body = await service.upload(drawing_of(side))

    assert (got, body.get("code")) == (status, None if status == 200 else "page_too_large")
