"""Long pages are cut between their lines, and nothing of them is lost or stands twice."""

import pytest
from PIL import Image, ImageDraw

from sidecar.documents.pages import PageImage
from sidecar.documents.pictures.pieces import LONG, pieces
from sidecar.documents.raster import MAX_SIDE_PIXELS, page_image


def page(width: int, height: int, line: int, gap: int) -> PageImage:
    """Black lines on light grey."""
    image = Image.new("L", (width, height), 210)
    for top in range(0, height, line + gap):
        ImageDraw.Draw(image).rectangle((10, top, width - 10, top + line - 1), fill=0)
    return page_image(image, 150)


@pytest.mark.parametrize("size", [(2480, 3508), (1000, 4000), (4000, 100), (1, 4)])
def test_a_page_of_ordinary_shape_stays_whole(size):
    whole = page_image(Image.new("L", size, 255), 300)
    assert list(pieces(whole)) == [whole]


@pytest.mark.parametrize("height", [4001, 25_000, 75_000])
@pytest.mark.parametrize(("line", "gap"), [(30, 12), (40, 200), (30, 1)])
def test_the_pieces_of_a_long_page_make_the_whole_and_no_line_is_cut(height, line, gap):
    long = page(1000, height, line, gap)
    parts = list(pieces(long))
    assert b"".join(part.pixels for part in parts) == long.pixels
    assert {(part.width, part.dpi) for part in parts} == {(1000, 150)}
    assert all(0 < part.height <= LONG * 1000 for part in parts)
    assert all(part.pixels[500] == 210 or part.pixels[: 1000 * line].count(0) == 981 * line for part in parts[1:])


def test_a_page_without_a_gap_is_cut_all_the_same():
    noise = page_image(Image.effect_noise((100, 1000), 100), 100)
    parts = list(pieces(noise))
    assert b"".join(part.pixels for part in parts) == noise.pixels
    assert all(part.height <= LONG * 100 for part in parts)


def test_no_piece_is_higher_than_tesseract_can_count():
    wide = PageImage(8001, MAX_SIDE_PIXELS + 1, 300, b"\xff" * 8001 * (MAX_SIDE_PIXELS + 1))
    assert max(part.height for part in pieces(wide)) <= MAX_SIDE_PIXELS
