"""Photographed pages: sloping lines are found and made level, uneven light is found and taken out."""

import pytest
from PIL import Image, ImageChops, ImageDraw

from sidecar.documents.pages import PageImage
from sidecar.documents.pictures.light import even_out, is_uneven
from sidecar.documents.pictures.skew import skew_degrees, straighten
from sidecar.documents.raster import page_image, pillow
from tests.integration.sidecar.documents import picture_of_text
from tests.matrix import first

TEXT = picture_of_text(20)


def sloping(image: Image.Image, degrees: float) -> PageImage:
    """A page whose lines must be turned clockwise by this many degrees."""
    return page_image(image.rotate(degrees, Image.Resampling.BICUBIC, fillcolor=255), 200)


@pytest.mark.parametrize("degrees", first(3, [-14, -3, 4.25, -10, -6.5, 3, 8, 12]))
@pytest.mark.parametrize(
    "image",
    [
        pytest.param(TEXT, id="text"),
        pytest.param(picture_of_text(3), id="three lines"),
        pytest.param(TEXT.point(lambda grey: 90 + grey // 3), id="faint and dark"),
        pytest.param(ImageChops.multiply(TEXT, Image.linear_gradient("L").resize(TEXT.size)), id="in the shadow"),
    ],
)
def test_the_slope_of_lines_is_found_and_taken_out(image, degrees):
    page = sloping(image, degrees)
    found = skew_degrees(page)
    assert found == pytest.approx(degrees, abs=0.3)
    assert skew_degrees(straighten(page, found)) == 0


@pytest.mark.parametrize("degrees", [-2, -1, 0, 0.5, 1.5])
def test_level_pages_and_those_that_tesseract_can_follow_are_left_alone(degrees):
    assert skew_degrees(sloping(TEXT, degrees)) == 0


@pytest.mark.parametrize(
    "image",
    [
        pytest.param(Image.new("L", (1654, 2338), 255), id="blank"),
        pytest.param(Image.new("L", (1, 1), 0), id="one pixel"),
        pytest.param(Image.effect_noise((1654, 2338), 60), id="noise"),
        pytest.param(Image.linear_gradient("L").rotate(5).crop((30, 30, 220, 220)).resize((1654, 2338)), id="shade"),
        pytest.param(Image.radial_gradient("L").resize((1654, 2338)), id="a bright middle"),
        pytest.param(TEXT.transpose(Image.Transpose.ROTATE_90), id="text on its side"),
        pytest.param(TEXT.transpose(Image.Transpose.ROTATE_180), id="text upside down"),
    ],
)
def test_what_has_no_sloping_lines_is_not_turned(image):
    assert skew_degrees(page_image(image, 200)) == 0


def shadow(angle: int, darkest: int) -> PageImage:
    """A page that gets darker towards one of its sides, down to ``darkest`` of 255."""
    shade = Image.linear_gradient("L").resize((1654, 2338)).point(lambda grey: darkest + grey * (255 - darkest) // 255)
    return page_image(ImageChops.multiply(TEXT, shade.rotate(angle).resize(TEXT.size)), 200)


@pytest.mark.parametrize("angle", [0, 180])
@pytest.mark.parametrize("darkest", [30, 60, 150])
def test_light_that_is_uneven_is_evened_out(angle, darkest):
    page = shadow(angle, darkest)
    assert is_uneven(page)
    evened = pillow(even_out(page))
    assert not is_uneven(page_image(evened, 200))
    assert evened.size == (page.width, page.height)
    blank = evened.crop((0, 0, 1654, 100)), evened.crop((0, 1500, 1654, 2338))
    assert min(part.getextrema()[0] for part in blank) > 190
    assert evened.crop((100, 120, 1500, 1400)).getextrema()[0] < 40


def boxed() -> Image.Image:
    image = TEXT.copy()
    ImageDraw.Draw(image).rectangle((100, 1600, 500, 1700), fill=0)
    return image


@pytest.mark.parametrize(
    "image",
    [
        pytest.param(TEXT, id="a scan"),
        pytest.param(TEXT.point(lambda grey: grey // 2), id="a dark scan"),
        pytest.param(boxed(), id="a black box"),
        pytest.param(Image.new("L", (1, 1), 0), id="one pixel"),
    ],
)
def test_even_light_is_left_alone(image):
    assert not is_uneven(page_image(image, 200))
