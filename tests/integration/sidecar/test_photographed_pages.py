"""Pages as people photograph and scan them: in the shadow, sloping, or with nothing on them that can be read."""

import io
import random

import pytest
from PIL import Image, ImageChops, ImageDraw, ImageFilter

from tests.integration.sidecar.documents import as_png, picture_of_text
from tests.matrix import first

pytestmark = pytest.mark.asyncio(loop_scope="module")
ENVIRONMENT = {"OCR_LANGUAGES": "eng"}  # what their pages are written in: with Thai beside it, each takes twice as long


@pytest.fixture
def service(shared_service):
    return shared_service


SAYS = "The contractor submits the shop drawing for approval"


def as_jpeg(image: Image.Image) -> bytes:
    out = io.BytesIO()
    image.save(out, "JPEG", quality=80, dpi=(200, 200))
    return out.getvalue()


def shaded(turned: int = 0, darkest: int = 50, lines: int = 6) -> Image.Image:
    """Text on paper that gets darker towards one side."""
    text = picture_of_text(lines).point(lambda grey: 25 + grey * 220 // 255)
    shade = Image.linear_gradient("L").rotate(turned).resize(text.size)
    return ImageChops.multiply(text, shade.point(lambda grey: darkest + grey * (255 - darkest) // 255))


def under_a_hand() -> Image.Image:
    """A dark shape with a soft edge over the right half of the page."""
    shadow = Image.new("L", (1654, 2338), 255)
    ImageDraw.Draw(shadow).ellipse((600, 100, 2600, 1500), fill=70)
    return ImageChops.multiply(picture_of_text(6), shadow.filter(ImageFilter.GaussianBlur(60)))


@pytest.mark.parametrize(
    "image",
    first(
        1,
        [
            pytest.param(shaded(), id="dark above"),
            pytest.param(shaded(180), id="dark below"),
            pytest.param(shaded(90), id="dark on one side"),
            pytest.param(shaded(270, 30), id="very dark on the other"),
            pytest.param(under_a_hand(), id="a hand's shadow"),
            pytest.param(shaded().rotate(5, fillcolor=128), id="dark and sloping"),
        ],
    ),
)
async def test_a_page_in_the_shadow_is_read(service, image):
    status, body = await service.upload(as_jpeg(image), languages="eng")

    assert (status, body["text"].count(SAYS), body["warnings"]) == (200, 6, [])


def wrinkled() -> Image.Image:
    """Shadows as narrow as words, in all directions."""
    dice, shadows = random.Random(1), Image.new("L", (1654, 2338), 255)
    for _ in range(60):
        x, y = dice.randrange(1654), dice.randrange(200, 1000)
        end = x + dice.randrange(-500, 500), y + dice.randrange(-200, 200)
        ImageDraw.Draw(shadows).line((x, y, *end), fill=110, width=dice.randrange(20, 60))
    return ImageChops.multiply(shaded(90, 120, lines=12), shadows.filter(ImageFilter.GaussianBlur(18)))


async def test_of_a_wrinkled_page_most_lines_are_read(service):
    status, body = await service.upload(as_png(wrinkled()), languages="eng", engine="tesseract")

    assert (status, body["text"].count(SAYS) >= 6) == (200, True), body["text"]


@pytest.mark.parametrize("degrees", first(1, [-7.5, 5, -10, -4, 3, 10]))
async def test_a_sloping_page_is_made_level(service, degrees):
    image = picture_of_text(8).rotate(degrees, Image.Resampling.BICUBIC, expand=True, fillcolor=255)

    status, body = await service.upload(as_png(image), languages="eng")

    assert (status, body["text"].count(SAYS)) == (200, 8)
    assert body["pages"][0]["rotation"] == pytest.approx(degrees, abs=0.3)


async def test_a_page_that_slopes_upside_down_is_turned_and_made_level(service):
    image = picture_of_text(8).rotate(180 + 6, Image.Resampling.BICUBIC, expand=True, fillcolor=255)

    status, body = await service.upload(as_png(image), languages="eng")

    assert (status, body["text"].count(SAYS)) == (200, 8)
    assert body["pages"][0]["rotation"] == pytest.approx(186, abs=0.3)


async def test_a_page_with_ink_and_without_text_is_told(service):
    image = Image.new("L", (1654, 2338), 255)
    ImageDraw.Draw(image).line((100, 100, 1500, 2200), fill=0, width=9)

    status, body = await service.upload(as_png(image), languages="eng")

    assert (status, body["text"], body["warnings"]) == (200, "", ["page-empty"])
    assert (body["pages"][0]["blank"], body["pages"][0]["attempts"][0]["verdict"]) == (False, "empty")
