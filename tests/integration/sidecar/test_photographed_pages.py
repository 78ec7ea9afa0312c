"""Pages as people photograph and scan them: in the shadow, sloping, or with nothing on them that can be read."""

import io

import pytest
from PIL import Image, ImageChops, ImageDraw, ImageFilter

from tests.integration.sidecar.documents import as_png, picture_of_text

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


def shaded(turned: int = 0, darkest: int = 50) -> Image.Image:
    """Text on paper that gets darker towards one side."""
    text = picture_of_text(12).point(lambda grey: 25 + grey * 220 // 255)
    shade = Image.linear_gradient("L").rotate(turned).resize(text.size)
    return ImageChops.multiply(text, shade.point(lambda grey: darkest + grey * (255 - darkest) // 255))


def under_a_hand() -> Image.Image:
    """A dark shape with a soft edge over the right half of the page."""
    shadow = Image.new("L", (1654, 2338), 255)
    ImageDraw.Draw(shadow).ellipse((600, 100, 2600, 1500), fill=70)
    return ImageChops.multiply(picture_of_text(12), shadow.filter(ImageFilter.GaussianBlur(60)))


@pytest.mark.parametrize(
    "image",
    [
        pytest.param(shaded(), id="dark above"),
        pytest.param(shaded(180), id="dark below"),
        pytest.param(shaded(90), id="dark on one side"),
        pytest.param(shaded(270, 30), id="very dark on the other"),
        pytest.param(under_a_hand(), id="a hand's shadow"),
        pytest.param(shaded().rotate(5, fillcolor=128), id="dark and sloping"),
    ],
)
async def test_a_page_in_the_shadow_is_read(service, image):
    status, body = await service.upload(as_jpeg(image), languages="eng")

    assert (status, body["text"].count(SAYS), body["warnings"]) == (200, 12, [])


@pytest.mark.parametrize("degrees", [-10, -7.5, -4, 3, 5, 10])
async def test_a_sloping_page_is_made_level(service, degrees):
    image = picture_of_text(20).rotate(degrees, Image.Resampling.BICUBIC, expand=True, fillcolor=255)

    status, body = await service.upload(as_png(image), languages="eng")

    assert (status, body["text"].count(SAYS)) == (200, 20)
    assert body["pages"][0]["rotation"] == pytest.approx(degrees, abs=0.3)


async def test_a_page_that_slopes_upside_down_is_turned_and_made_level(service):
    image = picture_of_text(20).rotate(180 + 6, Image.Resampling.BICUBIC, expand=True, fillcolor=255)

    status, body = await service.upload(as_png(image), languages="eng")

    assert (status, body["text"].count(SAYS)) == (200, 20)
    assert body["pages"][0]["rotation"] == pytest.approx(186, abs=0.3)


async def test_a_page_with_ink_and_without_text_is_told(service):
    image = Image.new("L", (1654, 2338), 255)
    ImageDraw.Draw(image).line((100, 100, 1500, 2200), fill=0, width=9)

    status, body = await service.upload(as_png(image), languages="eng")

    assert (status, body["text"], body["warnings"]) == (200, "", ["page-empty"])
    assert (body["pages"][0]["blank"], body["pages"][0]["attempts"][0]["verdict"]) == (False, "empty")
