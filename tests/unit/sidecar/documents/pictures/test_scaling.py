"""How large a PDF's page is drawn."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sidecar.documents.pictures.scaling import plan_drawing
from sidecar.documents.raster import MAX_SIDE_PIXELS

LIMIT = 150_000_000
A4 = (595, 842)


@pytest.mark.parametrize("scan_dpi", [None, 72, 100, 150, 200, 300, 600, 1200])
@pytest.mark.parametrize("size", [A4, (842, 595), (612, 792), (842, 1191), (500, 500)])
def test_ordinary_paper_is_drawn_as_asked_for_whatever_was_scanned(size, scan_dpi):
    drawing = plan_drawing(size, scan_dpi, 300, LIMIT)
    assert (drawing.scale, drawing.dpi) == (300 / 72, 300)
    assert drawing.points_per_inch == pytest.approx(72)


@pytest.mark.parametrize(
    ("size", "scan_dpi", "pixels"),
    [
        pytest.param((3024, 4032), 72, (3024, 4032), id="photograph of 12 megapixels at 72 dpi"),
        pytest.param((2268, 3024), 96, (3024, 4032), id="the same at 96 dpi"),
        pytest.param((1240, 1754), 72, (2479, 3507), id="A4 scanned at 150 dpi, at 72 dpi"),
        pytest.param((59.5, 84.2), 3000, (2480, 3508), id="A4 in units of ten points"),
        pytest.param((100, 141), 1190, (1654, 2339), id="A4 on a tiny page"),
        pytest.param((298, 421), 600, (2479, 3508), id="A4 on A6"),
        pytest.param((720, 25_000), 72, (1488, 51_700), id="long screenshot"),
        pytest.param((28_800, 38_400), 7.56, (3024, 4032), id="beyond what a PDF's page can be"),
    ],
)
def test_a_page_of_unlikely_size_gets_the_pixels_of_its_pictures(size, scan_dpi, pixels):
    drawing = plan_drawing(size, scan_dpi, 300, LIMIT)
    drawn = size[0] * drawing.scale, size[1] * drawing.scale
    assert drawn == pytest.approx(pixels, rel=0.01)


@pytest.mark.parametrize(("size", "long_side"), [((59.5, 84.2), 1755), ((210, 297), 1755), ((360, 504), 2100)])
def test_a_small_page_without_a_picture_is_drawn_large_enough_for_a_page(size, long_side):
    assert size[1] * plan_drawing(size, None, 300, LIMIT).scale == pytest.approx(long_side, rel=0.01)


def test_a_poster_is_drawn_as_finely_as_the_limit_allows():
    drawing = plan_drawing((14_400, 14_400), None, 300, LIMIT)
    assert 14_400 * drawing.scale == pytest.approx(LIMIT**0.5, rel=0.01)
    assert drawing.dpi == 61


@given(
    st.tuples(st.floats(1, 50_000), st.floats(1, 50_000)),
    st.none() | st.floats(0.5, 5000),
    st.integers(37, 600),
    st.integers(1_000_000, LIMIT),
)
def test_no_drawing_goes_beyond_the_limits(size, scan_dpi, dpi, limit):
    drawing = plan_drawing(size, scan_dpi, dpi, limit)
    assert size[0] * size[1] * drawing.scale**2 <= limit * 1.000001
    assert size[0] * drawing.scale <= MAX_SIDE_PIXELS
    assert drawing.dpi >= 1
