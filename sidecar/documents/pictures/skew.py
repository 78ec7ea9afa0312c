"""By how much the lines of a page slope, and the page with level lines. Pure."""

import math
from array import array
from itertools import pairwise

from PIL import Image, ImageChops, ImageFilter

from sidecar.documents.pages import PageImage
from sidecar.documents.raster import page_image, pillow

SEARCH_DPI, FINE_DPI = 36, 75
"""Resolutions at which lines are looked for and measured: the lines of 8-point text are 5 and 10 pixels apart."""
MOST_PIXELS = 600_000
"""Pixels of the picture that is measured: A4 at :data:`FINE_DPI` has 540,000."""
MOST_DEGREES = 15.0
COARSE_DEGREES, FINE_DEGREES = 1.0, 0.125
LEAST_DEGREES = 2.5
"""Tesseract follows lines that slope by less, and turning would cost sharpness."""
LEAST_GAIN = 1.5
"""How many times as sharp lines must be when level as they lie: pages of text that slope by a degree gain threefold."""
SURROUNDINGS_INCHES = 0.13
"""How far around a spot its surroundings reach: a line of text."""
INK_CONTRAST = 64
"""How much darker than its surroundings, of 255, a spot counts at most: rules and edges weigh no more than letters."""


def skew_degrees(page: PageImage) -> float:
    """Return by how many degrees clockwise a page must be turned for its lines to be level; 0 if they are, or unknown.

    The rows of a page with level lines are either full of ink or empty: of all slopes, that of the lines makes the
    rows differ most from one another (Postl's projection profile).
    """
    coarse = _best(_ink(page, SEARCH_DPI), 0.0, MOST_DEGREES, COARSE_DEGREES)
    if abs(coarse) + COARSE_DEGREES < LEAST_DEGREES:
        return 0.0  # most pages, at a fifth of the time
    ink = _ink(page, FINE_DPI)
    best = _best(ink, coarse, COARSE_DEGREES, FINE_DEGREES)
    is_sharper = _sharpness(ink, best) >= LEAST_GAIN * _sharpness(ink, 0.0)
    return best if is_sharper and abs(best) >= LEAST_DEGREES else 0.0


def straighten(page: PageImage, degrees: float) -> PageImage:
    """Turn a page clockwise by a few degrees; the corners are filled with its lightest common grey."""
    image = pillow(page)
    turned = image.rotate(-degrees, Image.Resampling.BICUBIC, expand=True, fillcolor=_paper(image))
    placement = page.placement.turned(degrees, (page.width, page.height), turned.size)
    return page_image(turned, page.dpi, placement)


def _best(ink: Image.Image, middle: float, reach: float, step: float) -> float:
    steps = round(reach / step)
    slopes = sorted((middle + at * step for at in range(-steps, steps + 1)), key=abs)  # of equals, the least
    return max(slopes, key=lambda degrees: _sharpness(ink, degrees))


def _sharpness(ink: Image.Image, degrees: float) -> float:
    """Return the sum of squared differences between neighbouring rows, after shearing the picture by an angle."""
    width, height = ink.size
    slope = math.tan(math.radians(degrees))
    sheared = ink.transform(ink.size, Image.Transform.AFFINE, (1, 0, 0, -slope, 1, slope * width / 2))
    rows = array("f", sheared.resize((1, height), Image.Resampling.BOX).tobytes())
    return float(sum((one - two) ** 2 for one, two in pairwise(rows)))


def _ink(page: PageImage, dpi: int) -> Image.Image:
    """Return the page small, as bright as each spot is darker than its surroundings: shades and edges hardly show."""
    image = pillow(page)
    factor = max(1, round(page.dpi / dpi), math.ceil(math.sqrt(page.width * page.height / MOST_PIXELS)))
    small = image.reduce(factor)
    around = max(2, round(SURROUNDINGS_INCHES * page.dpi / factor))
    ink = ImageChops.subtract(small.filter(ImageFilter.BoxBlur(around)), small)
    return ink.point([min(grey, INK_CONTRAST) for grey in range(256)]).convert("F")


def _paper(image: Image.Image) -> int:
    histogram = image.reduce(8).histogram() if min(image.size) >= 8 else image.histogram()
    return max(range(256), key=lambda grey: (histogram[grey], grey))
