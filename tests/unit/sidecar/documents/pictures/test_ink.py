"""The boxes of words, as far as their ink reaches."""

import pytest
from PIL import Image, ImageDraw

from sidecar.documents.pictures.ink import fit_to_ink
from sidecar.documents.raster import page_image

INK = [(20, 12, 60, 40), (80, 15, 120, 35)]
LINE = (10, 5, 190, 50)


def page(*boxes, paper=255, ink=0, noise=()):
    image = Image.new("L", (200, 60), paper)
    for left, top, right, bottom in boxes:
        ImageDraw.Draw(image).rectangle((left, top, right - 1, bottom - 1), fill=ink)
    for spot in noise:
        image.putpixel(spot, paper - 20)
    return page_image(image, 300)


@pytest.mark.parametrize("colours", [(255, 0), (230, 120), (0, 255), (40, 200)])
@pytest.mark.parametrize("off", [(-6, -6, 6, 6), (0, 0, 0, 0), (5, 0, -5, 0), (6, -3, 6, 4), (-6, 0, -6, 0)])
def test_a_box_that_misses_the_ink_is_put_right(colours, off):
    paper, ink = colours
    read = [tuple(edge + by for edge, by in zip(box, off, strict=True)) for box in INK]
    assert fit_to_ink(page(*INK, paper=paper, ink=ink, noise=[(15, 10)]), LINE, read) == [[box] for box in INK]


def test_a_box_on_a_rule_does_not_run_along_it():
    assert fit_to_ink(page(INK[0], (0, 38, 200, 40)), LINE, [(20, 12, 60, 40)]) == [[(20, 12, 60, 40)]]


def test_a_box_without_ink_stays():
    assert fit_to_ink(page(INK[0]), LINE, [(130, 10, 150, 40)]) == [[(130, 10, 150, 40)]]
    assert fit_to_ink(page(), LINE, [(130, 10, 150, 40)]) == [[(130, 10, 150, 40)]]


@pytest.mark.parametrize("odd", [(-50, -50, -10, -10), (300, 10, 400, 20), (50, 40, 50, 40), (60, 40, 20, 10)])
def test_boxes_that_are_none_stay(odd):
    assert fit_to_ink(page(*INK), odd, [odd]) == [[odd]]
    assert fit_to_ink(page(*INK), LINE, [odd]) == [[odd]]
