"""What is seen on a page, held against its text layer. Runs in worker processes only."""

import ctypes
import math
from collections.abc import Callable
from typing import Any

import pypdfium2 as pdfium
import pypdfium2.raw as pdfium_c
from PIL import Image, ImageChops, ImageDraw

from sidecar.documents import raster
from sidecar.documents.layers import pdf_text, text_bands
from sidecar.documents.layers.pdf_text import Box
from sidecar.documents.pdf_objects import Survey

POINTS_PER_INCH = 72
UNIT, FINENESS = 1000, 100
"""Points apart of the places that PDFium is asked for, and parts of a pixel that it answers in."""
BANDS_DPI = 100
"""Resolution at which ink is looked at for lines of text: strokes of 8-point letters are apart."""
MAX_PIXELS = 2_000_000
"""Pixels up to which a page is drawn to be looked at: A3 at 100 dpi."""
FULL_PAGE_IMAGE_SHARE = 0.5
"""From this share of the page area on, images may hold what the page says, and the text over them be a mere stamp."""
MIN_ACCOUNTED_SHARE = 0.5
"""Least share of such a page's ink that lies under the text layer. A searchable scan has nearly all of it there, a scan
with a stamp or a header over it a few per cent."""
MIN_OUTSIDE_SHARE = 0.1
"""Share of the ink outside the layer from which on it is looked at for text."""
MIN_BANDS, MAX_BAND_SHARE = 6, 0.3
"""Pieces of lines outside the layer, and their share of all on the page, from which on the layer is not the page."""
MAX_BANDS_BESIDE_SHORT = 1
"""The same beside a layer of a few words: a title page has nothing else that looks like text."""
MIN_CONTRAST = 4
"""Difference of a colour, of 255, that shows something is drawn: light grey text has 10 and more, white on white 0."""
MIN_BOX_PIXELS = 4, 2
"""Width and height, as drawn, from which on a box is asked whether anything is in it: a comma may leave no trace."""


class Sight:
    """A page as it is seen, drawn small, with the boxes of its text layer."""

    def __init__(self, page: pdfium.PdfPage, text_page: Any) -> None:  # noqa: ANN401 - pypdfium2 ships no types
        self._page = page
        self._boxes: list[Box] = [text_page.get_rect(at) for at in range(text_page.count_rects())]
        self._seen = page.render(scale=_scale(page, raster.INK_DPI)).to_pil()

    def hidden(self) -> pdf_text.Hidden:
        """Give the boxes of text that nobody sees: outside the page, or where nothing differs from its background."""
        place = _placing(self._page, self._seen.size)
        are_seen = [self._is_seen(box, place) for box in self._boxes]
        if all(are_seen):
            return pdf_text.NOTHING_HIDDEN
        hidden = tuple(box for box, is_seen in zip(self._boxes, are_seen, strict=True) if not is_seen)
        return pdf_text.Hidden(
            hidden, tuple(box for box, is_seen in zip(self._boxes, are_seen, strict=True) if is_seen)
        )

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
        """Tell whether the layer says what the page shows.

        A stamp over a scan covers little of the ink; the text of a searchable scan lies over what it reads.
        """
        ink = raster.ink_mask(self._seen.convert("L"))
        outside = self._outside(ink)
        seen, missed = _count(ink), _count(outside)
        if missed < MIN_OUTSIDE_SHARE * seen or missed <= raster.BLANK_INK_PIXELS:
            return True
        if found.image_share >= FULL_PAGE_IMAGE_SHARE and seen - missed < MIN_ACCOUNTED_SHARE * seen:
            return False
        fine = raster.ink_mask(_drawn(self._page, BANDS_DPI))
        missed_bands = text_bands.count_bands(self._outside(fine).tobytes(), fine.width)
        if is_short:
            return missed_bands <= MAX_BANDS_BESIDE_SHORT
        if missed_bands < MIN_BANDS:
            return True
        return missed_bands < MAX_BAND_SHARE * text_bands.count_bands(fine.tobytes(), fine.width)

    def _outside(self, ink: Image.Image) -> Image.Image:
        return ImageChops.subtract(ink, self._text_mask(ink.size))

    def _text_mask(self, size: tuple[int, int]) -> Image.Image:
        """Draw the text layer's boxes as they lie on the drawn page.

        Each is half its height larger on all sides: scanners' software puts its text about where it read it.
        """
        mask = Image.new("L", size, 0)
        draw = ImageDraw.Draw(mask)
        place = _placing(self._page, size)
        for x0, y0, x1, y1 in map(place, self._boxes):
            margin = max(1, min(x1 - x0, y1 - y0) // 2)
            draw.rectangle((x0 - margin, y0 - margin, x1 + margin, y1 + margin), fill=255)
        return mask


def _scale(page: pdfium.PdfPage, dpi: int) -> float:
    """Give the scale of a drawing at ``dpi``, and less on posters."""
    width, height = page.get_size()
    return min(dpi / POINTS_PER_INCH, math.sqrt(MAX_PIXELS / (width * height)))


def _drawn(page: pdfium.PdfPage, dpi: int) -> Image.Image:
    drawn: Image.Image = page.render(scale=_scale(page, dpi), grayscale=True).to_pil()
    return drawn


def _count(mask: Image.Image) -> int:
    return sum(mask.histogram()[1:])


def _placing(page: pdfium.PdfPage, size: tuple[int, int]) -> Callable[[Box], tuple[int, int, int, int]]:
    """Give what tells where a box of the page lies on its drawing: left, top, right, bottom.

    PDFium is asked for three points, finely: pages may be turned, and boxes are many.
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
