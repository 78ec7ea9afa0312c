"""What is visible on a page, compared with its text layer. Runs in worker processes only."""

import ctypes
import math
from collections.abc import Callable
from typing import Any

import pypdfium2 as pdfium
import pypdfium2.raw as pdfium_c
from PIL import Image, ImageChops, ImageDraw

from sidecar.documents import raster
from sidecar.documents.layers import text_bands
from sidecar.documents.layers.pdf_glyphs import NOTHING_HIDDEN, Box, Hidden
from sidecar.documents.pdf_objects import Survey

UNIT, FINENESS = 1000, 100
"""Distance in points between the places PDFium is asked about, and the fraction of a pixel of its answers."""
BANDS_DPI = 100
"""Resolution at which ink is searched for lines of text: strokes of 8-point letters are separate."""
MAX_PIXELS = 2_000_000
"""Most pixels of a page drawn for this check: A3 at 100 dpi."""
FULL_PAGE_IMAGE_SHARE = 0.5
"""If images cover at least this share of the page, they may hold its content, and the text over them only a stamp."""
MIN_ACCOUNTED_SHARE = 0.5
"""Lowest share of such a page's ink under the text layer. A searchable scan has nearly all, a scan with a stamp or a
header over it a few per cent."""
MIN_OUTSIDE_SHARE = 0.1
"""If at least this share of the ink is outside the layer, that ink is searched for text."""
MIN_BANDS, MAX_BAND_SHARE = 6, 0.3
"""With this many pieces of lines outside the layer, and this share of all, the layer is incomplete."""
MAX_BANDS_BESIDE_SHORT = 1
"""The same for a layer of a few words: a title page has nothing else that looks like text."""
MIN_CONTRAST = 4
"""Smallest colour difference, of 255, that counts as drawn: light grey text has 10 or more, white on white 0."""
MIN_BOX_PIXELS = 4, 2
"""Smallest drawn width and height of boxes that are checked for ink: a comma may leave no trace."""


class Sight:
    """A page as it looks, drawn small, with the boxes of its text layer."""

    def __init__(self, page: pdfium.PdfPage, text_page: Any, points_per_inch: float) -> None:  # noqa: ANN401 - no types
        self._page = page
        self._points_per_inch = points_per_inch
        self._boxes: list[Box] = [text_page.get_rect(at) for at in range(text_page.count_rects())]
        self._seen = page.render(scale=self._scale(raster.INK_DPI)).to_pil()

    def hidden(self) -> Hidden:
        """Return the boxes of invisible text: outside the page, or where nothing differs from the background."""
        place = _placing(self._page, self._seen.size)
        are_seen = [self._is_seen(box, place) for box in self._boxes]
        if all(are_seen):
            return NOTHING_HIDDEN
        hidden = tuple(box for box, is_seen in zip(self._boxes, are_seen, strict=True) if not is_seen)
        return Hidden(hidden, tuple(box for box, is_seen in zip(self._boxes, are_seen, strict=True) if is_seen))

    def _is_seen(self, box: Box, place: Callable[[Box], tuple[int, int, int, int]]) -> bool:
        left, top, right, bottom = place(box)
        width, height = self._seen.size
        if right < 0 or bottom < 0 or left >= width or top >= height:
            return False
        if right - left < MIN_BOX_PIXELS[0] or bottom - top < MIN_BOX_PIXELS[1]:
            return True
        around = (max(0, left), max(0, top), min(width, right + 1), min(height, bottom + 1))
        return any(most - least >= MIN_CONTRAST for least, most in self._seen.crop(around).getextrema())

    def is_accounted_for(self, found: Survey, *, is_short: bool) -> bool:
        """Return whether the layer covers what the page shows.

        A stamp over a scan covers little of the ink; the text of a searchable scan covers the ink it was read from.
        """
        ink = raster.ink_mask(self._seen.convert("L"))
        outside = self._outside(ink)
        seen, missed = _count(ink), _count(outside)
        if missed < MIN_OUTSIDE_SHARE * seen or missed <= raster.BLANK_INK_PIXELS:
            return True
        if found.image_share >= FULL_PAGE_IMAGE_SHARE and seen - missed < MIN_ACCOUNTED_SHARE * seen:
            return False
        fine = raster.ink_mask(self._drawn(BANDS_DPI))
        missed_bands = text_bands.count_bands(self._outside(fine).tobytes(), fine.width)
        if is_short:
            return missed_bands <= MAX_BANDS_BESIDE_SHORT
        if missed_bands < MIN_BANDS:
            return True
        return missed_bands < MAX_BAND_SHARE * text_bands.count_bands(fine.tobytes(), fine.width)

    def _drawn(self, dpi: int) -> Image.Image:
        drawn: Image.Image = self._page.render(scale=self._scale(dpi), grayscale=True).to_pil()
        return drawn

    def _scale(self, dpi: int) -> float:
        """Return the scale of a drawing at ``dpi``; posters get less."""
        width, height = self._page.get_size()
        return min(dpi / self._points_per_inch, math.sqrt(MAX_PIXELS / (width * height)))

    def _outside(self, ink: Image.Image) -> Image.Image:
        return ImageChops.subtract(ink, self._text_mask(ink.size))

    def _text_mask(self, size: tuple[int, int]) -> Image.Image:
        """Draw the text layer's boxes as they lie on the drawn page.

        Each is enlarged by half its height on all sides: scanning software places its text only roughly.
        """
        mask = Image.new("L", size, 0)
        draw = ImageDraw.Draw(mask)
        place = _placing(self._page, size)
        for x0, y0, x1, y1 in map(place, self._boxes):
            margin = max(1, min(x1 - x0, y1 - y0) // 2)
            draw.rectangle((x0 - margin, y0 - margin, x1 + margin, y1 + margin), fill=255)
        return mask


def _count(mask: Image.Image) -> int:
    return sum(mask.histogram()[1:])


def _placing(page: pdfium.PdfPage, size: tuple[int, int]) -> Callable[[Box], tuple[int, int, int, int]]:
    """Return a function that maps a box of the page to its drawing: left, top, right, bottom.

    PDFium is asked for only three points, precisely: pages may be rotated, and there are many boxes.
    """
    width, height = size[0] * FINENESS, size[1] * FINENESS
    points = [_to_device(page, (width, height), x, y) for x, y in ((0, 0), (UNIT, 0), (0, UNIT))]
    (x0, y0), (xx, yx), (xy, yy) = [(x / FINENESS, y / FINENESS) for x, y in points]
    a, b, c, d = (xx - x0) / UNIT, (yx - y0) / UNIT, (xy - x0) / UNIT, (yy - y0) / UNIT

    def place(box: Box) -> tuple[int, int, int, int]:
        left, bottom, right, top = box
        across = x0 + a * left + c * bottom, x0 + a * right + c * top
        down = y0 + b * left + d * bottom, y0 + b * right + d * top
        return int(min(across)), int(min(down)), int(max(across)), int(max(down))

    return place


def _to_device(page: pdfium.PdfPage, size: tuple[int, int], x: float, y: float) -> tuple[int, int]:
    across, down = ctypes.c_int(), ctypes.c_int()
    pdfium_c.FPDF_PageToDevice(page, 0, 0, size[0], size[1], 0, x, y, across, down)
    return across.value, down.value
