"""Where the spots of a picture lie on its page."""

import pytest
from PIL import Image

from sidecar.documents.pictures.skew import straighten
from sidecar.documents.raster import page_image, pillow, turn
from sidecar.evidence.layout import Box
from sidecar.evidence.placement import UNPLACED, Placement

SIZE = (300, 400)
SPOT = (220, 90)
POINTS = (150.0, 200.0)


def with_a_spot():
    image = Image.new("L", SIZE, 255)
    image.paste(0, (SPOT[0] - 2, SPOT[1] - 2, SPOT[0] + 2, SPOT[1] + 2))
    return page_image(image, 144, Placement.filling(POINTS, SIZE))


def where(page) -> tuple[float, float]:
    left, top, right, bottom = pillow(page).point(lambda grey: 255 * (grey < 100)).getbbox()
    return page.placement.point((left + right) / 2, (top + bottom) / 2)


def test_a_picture_fills_its_page():
    placement = with_a_spot().placement
    assert placement.point(*SPOT) == (110, 45)
    assert placement.box(20, 10, 40, 30) == Box(10, 5, 20, 15)
    assert placement.length(10) == 5


@pytest.mark.parametrize("degrees", [0, 90, 180, 270])
def test_a_turned_picture_shows_the_same_place(degrees):
    assert where(turn(with_a_spot(), degrees)) == pytest.approx((110, 45), abs=0.01)


@pytest.mark.parametrize("degrees", [0, 90, 180, 270])
@pytest.mark.parametrize("slope", [-14.5, -3, 2.625, 9])
def test_a_straightened_picture_shows_the_same_place(degrees, slope):
    straight = straighten(turn(with_a_spot(), degrees), slope)
    assert where(straight) == pytest.approx((110, 45), abs=0.5)
    assert straight.placement.is_sloping
    assert straight.placement.length(10) == 5


def test_a_part_of_a_picture_lies_below():
    assert with_a_spot().placement.below(100).point(220, 0) == (110, 50)


def test_what_lies_beyond_the_page_is_cut():
    assert Placement.filling(POINTS, SIZE).box(-10, 380, 310, 500) == Box(0, 190, 150, 200)
    assert UNPLACED.box(-10, 380, 310, 500) == Box(-10, 380, 310, 500)
