import numpy as np
import pytest

from sidecar.engines.numerals import network, strips
from sidecar.engines.numerals.strips import Place


def page_with_a_bar(slope: float = 0.0, paper: int = 255, ink: int = 0) -> np.ndarray:
    """A bar of 20 rows that stands on the baseline, row 100 at column 0."""
    page = np.full((300, 400), paper, np.uint8)
    for column in range(100, 200):
        base = round(100 + slope * column)
        page[base - 20 : base, column] = ink
    return page


@pytest.mark.parametrize("slope", [0.0, 0.05, -0.05])
@pytest.mark.parametrize(("paper", "ink"), [(255, 0), (200, 90), (10, 240)])
def test_a_strip_is_straight_and_its_ink_dark_whatever_the_page(slope: float, paper: int, ink: int) -> None:
    strip = strips.cut(page_with_a_bar(slope, paper, ink), Place(80, 260, 100, slope, 20))
    bar = strip[:, 20 * 3 // 4 + 4 : 60]
    rows = np.flatnonzero(bar.mean(axis=1) > 0.5)
    assert len(strip) == strips.HEIGHT
    assert rows[-1] - rows[0] + 1 == pytest.approx(strips.CONSONANT, abs=1)
    assert bar[rows[1:-1]].min() > 0.8
    assert strip[:, :10].max() < 0.2


@pytest.mark.parametrize("place", [Place(-50, 5, 3, 0, 20), Place(390, 500, 299, 0.1, 8), Place(10, 10, 50, 0, 6)])
def test_a_place_at_the_edge_of_the_page_gives_a_strip_all_the_same(place: Place) -> None:
    assert strips.cut(page_with_a_bar(), place).shape[0] == strips.HEIGHT


def test_faint_noise_is_not_blown_up_to_ink() -> None:
    page = np.random.default_rng(1).integers(240, 250, (300, 400)).astype(np.uint8)
    assert strips.cut(page, Place(80, 260, 100, 0, 20)).max() < 0.2


def test_nothing_is_seen_where_nothing_is() -> None:
    assert network.read([np.zeros((strips.HEIGHT, 90), np.float32)] * 3) == [[], [], []]


def test_the_weights_are_small() -> None:
    assert network.WEIGHTS.stat().st_size < 300_000


@pytest.mark.parametrize("noise", [0, 6])
def test_the_widest_gap_is_where_there_is_least_ink_for_longest(noise: int) -> None:
    page = np.full((120, 300), 235, np.uint8) - np.random.default_rng(1).integers(0, noise + 1, (120, 300), np.uint8)
    for left in (0, 22, 44, 90, 112):  # as wide as glyphs, 2 columns apart, and a space of 26
        page[80:100, left : left + 20] = 20
    assert strips.widest_gap(page, Place(10, 120, 100, 0, 20)) == pytest.approx(77, abs=1)


@pytest.mark.parametrize("place", [Place(50, 50, 100, 0, 20), Place(60, 50, 100, 0, 20), Place(0, 300, 100, 0, 20)])
def test_of_a_place_without_a_gap_it_is_the_middle(place: Place) -> None:
    page = np.full((120, 300), 128, np.uint8)
    assert strips.widest_gap(page, place) == (place.left + place.right) / 2
