"""At how many pixels a page is read. Pure.

The size that a file claims is used only if paper of that size is likely. Otherwise its pixels decide: they are assumed
to show a page of A4.
"""

import math
from dataclasses import dataclass

from sidecar.documents.raster import MAX_SIDE_PIXELS, fitted

POINTS_PER_INCH = 72
A4_LONG_SIDE_INCHES = 11.69
A4_WIDTH_INCHES = 8.27
SCREEN_DPI = 100
"""72 or 96 dpi in a file describes a screen, not the paper, and is ignored."""
FINEST_DPI = 1200
MAX_ENLARGEMENT = 3.0
"""Enlarging a small picture helps Tesseract, but beyond about threefold nothing is gained."""
GOOD_DPI = 180, 400
"""Between these, scaling gains nothing."""
SMALL_PAPER_INCHES = 6.0
"""A picture that is finer than needed and would be shorter than this, about A6, may be a page with a wrong claim: its
pixels are kept. They cost a real postcard a little time."""
LARGE_PAPER_INCHES = 17.0
"""A page longer than A3 that is a picture of at most :data:`SCREEN_DPI` is a photograph at a screen's resolution."""
LEAST_PIXELS = 1000
"""Pixels on the long side below which a picture with a doubtful claim is a snippet rather than a page."""
LEAST_PAGE_INCHES = 5.85
"""A PDF's page without a scan is drawn as if it were at least this long: its unit may be another, and A4 then still has
150 dpi of 300."""
MAX_PDF_SIDE = 14_400
"""Points: the largest page that the PDF reference knows has 200 inches on a side (ISO 32000-1, annex C)."""
TALL = 2.5
"""A picture that is this many times as high as wide is no page but a receipt or a long screenshot: its width counts."""


@dataclass(frozen=True, slots=True)
class Scaling:
    """The factor for each axis of a picture, which then has ``dpi`` dots per inch."""

    x: float
    y: float
    dpi: int


@dataclass(frozen=True, slots=True)
class Drawing:
    """How a PDF's page is drawn: pixels per point, and the dots per inch of the result, as far as these are known."""

    scale: float
    dpi: int

    @property
    def points_per_inch(self) -> float:
        """Points per inch of the paper that the page is taken for: 72 where the file is believed."""
        return self.dpi / self.scale


def plan_scaling(size: tuple[int, int], claimed: tuple[float, float] | None, dpi: int, max_pixels: int) -> Scaling:
    """Decide how a picture of ``size`` pixels becomes one of ``dpi`` dots per inch.

    A plausible resolution in the file is used for each axis (a fax has 204 x 98 dots per inch); without one the picture
    is assumed to be an A4 page. Between 180 and 400 dpi scaling gains nothing.
    """
    believed = _believable(size, claimed)
    across, down = believed or (_assumed_dpi(size),) * 2
    is_good = GOOD_DPI[0] <= across <= GOOD_DPI[1] and 0.9 <= across / down <= 1.1
    is_snippet = believed is None and _is_too_fine(claimed) and max(size) < LEAST_PIXELS
    if is_good or is_snippet:
        return _unscaled(size, across)
    wanted = GOOD_DPI[0] if believed is None and _is_tall(size) else dpi
    x, y = min(wanted / across, MAX_ENLARGEMENT), min(wanted / down, MAX_ENLARGEMENT)
    if size[0] * x * size[1] * y > max_pixels or _is_too_long(size[0] * x, size[1] * y, size):
        return _unscaled(size, across)
    return Scaling(x, y, max(1, round(across * x)))


def paper_points(size: tuple[int, int], claimed: tuple[float, float] | None) -> tuple[float, float]:
    """Return the size, in points, of the paper that a picture of ``size`` pixels is taken for."""
    across, down = _believable(size, claimed) or (_assumed_dpi(size),) * 2
    return size[0] * POINTS_PER_INCH / across, size[1] * POINTS_PER_INCH / down


def at_most(planned: Scaling, factor: float) -> Scaling:
    """Reduce a planned enlargement to ``factor``; a reduction stays as it is."""
    less = max(1.0, factor) / planned.x
    if planned.x <= 1 or planned.x != planned.y or less >= 1:
        return planned
    return Scaling(planned.x * less, planned.y * less, max(1, round(planned.dpi * less)))


def _unscaled(size: tuple[int, int], dpi: float) -> Scaling:
    """Keep a picture's pixels, unless it is too wide."""
    fits = min(1.0, MAX_SIDE_PIXELS / size[0])
    return Scaling(fits, fits, max(1, round(dpi * fits)))


def plan_fitting(size: tuple[int, int], claimed: tuple[float, float] | None, longest_side: int) -> Scaling:
    """Decide how a picture gets ``longest_side`` pixels on its longest side, with equal resolution on both axes.

    A small picture is enlarged only as far as that helps.
    """
    across, down = _believable(size, claimed) or (_assumed_dpi(size),) * 2
    finest = max(across, down)
    width, height = size[0] * finest / across, size[1] * finest / down
    factor = min(fitted(width, height, longest_side), MAX_ENLARGEMENT)
    return Scaling(factor * finest / across, factor * finest / down, max(1, round(finest * factor)))


def plan_drawing(size: tuple[float, float], scan_dpi: float | None, dpi: int, max_pixels: int) -> Drawing:
    """Decide how a PDF's page of ``size`` points is drawn.

    ``scan_dpi`` is the resolution of the pictures that cover it, by its own measure; None without such pictures. It is
    drawn at ``dpi`` where that makes a page of likely size, and as large as fits into ``max_pixels`` at most.
    """
    inches = size[0] / POINTS_PER_INCH, size[1] / POINTS_PER_INCH
    if scan_dpi and not _is_likely_paper(inches, scan_dpi, dpi):
        pixels = max(1, round(inches[0] * scan_dpi)), max(1, round(inches[1] * scan_dpi))
        planned = plan_scaling(pixels, None, dpi, max_pixels)
        wanted = Drawing(scan_dpi * planned.x / POINTS_PER_INCH, planned.dpi)
    elif scan_dpi is None and max(inches) < LEAST_PAGE_INCHES:
        enlarged = LEAST_PAGE_INCHES / max(inches)
        wanted = Drawing(dpi / POINTS_PER_INCH * enlarged, round(dpi / min(2.0, math.sqrt(enlarged))))
    else:
        wanted = Drawing(dpi / POINTS_PER_INCH, dpi)
    return _fitting(wanted, size, max_pixels)


def _fitting(wanted: Drawing, size: tuple[float, float], max_pixels: int) -> Drawing:
    """Reduce a drawing to what may be drawn; a higher page than Tesseract takes is read in pieces."""
    width, height = size[0] * wanted.scale, size[1] * wanted.scale
    factor = min(1.0, math.sqrt(max_pixels / (width * height)), MAX_SIDE_PIXELS / width)
    if factor < 1:
        factor *= 1 - 1 / MAX_SIDE_PIXELS  # PDFium rounds up
    return Drawing(wanted.scale * factor, max(1, round(wanted.dpi * factor)))


def _is_likely_paper(inches: tuple[float, float], scan_dpi: float, dpi: int) -> bool:
    """Return whether a scan of this resolution may have this size: a photograph is no poster, a page no stamp."""
    is_photograph = max(inches) > LARGE_PAPER_INCHES and scan_dpi <= SCREEN_DPI
    is_shrunk = max(inches) < SMALL_PAPER_INCHES and scan_dpi > dpi
    return not is_photograph and not is_shrunk


def _assumed_dpi(size: tuple[int, int]) -> float:
    """Return the resolution that a picture has if it shows a page of A4, or a column or a strip of one."""
    if _is_tall(size):
        return size[0] / A4_WIDTH_INCHES
    across = max(size) / A4_LONG_SIDE_INCHES
    return min(across, GOOD_DPI[1]) if size[0] > TALL * size[1] else across


def _is_tall(size: tuple[int, int]) -> bool:
    return size[1] > TALL * size[0]


def _is_too_long(width: float, height: float, size: tuple[int, int]) -> bool:
    """Return whether a side has too many pixels; what is tall is read in pieces, and its height does not matter."""
    return width > MAX_SIDE_PIXELS or (height > MAX_SIDE_PIXELS and not _is_tall(size))


def _believable(size: tuple[int, int], claimed: tuple[float, float] | None) -> tuple[float, float] | None:
    match claimed:
        case (across, down):
            pair = float(across), float(down)
            is_likely = all(SCREEN_DPI < value <= FINEST_DPI for value in pair)
            is_shrunk = _is_too_fine(pair) and max(size[0] / pair[0], size[1] / pair[1]) < SMALL_PAPER_INCHES
            return pair if (is_likely and not is_shrunk) or _is_fax(pair) else None
        case _:
            return None


def _is_too_fine(claimed: tuple[float, float] | None) -> bool:
    """Return whether a picture would lose pixels if its claim were followed."""
    return claimed is not None and min(claimed) > GOOD_DPI[1]


def _is_fax(pair: tuple[float, float]) -> bool:
    """Group 3 fax, standard resolution: 204 x 98 dots per inch (ITU-T T.4), either way round."""
    coarse, fine = sorted(pair)
    return 96 <= coarse <= 100 and 200 <= fine <= 208
