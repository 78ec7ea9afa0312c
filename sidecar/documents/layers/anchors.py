"""The anchors of a page: its size, and where its pictures and its text stand, as lines that a vision model can read.

The format is that of olmOCR's page report, which Typhoon OCR was trained with: points from the bottom left. Runs in
worker processes only.
"""

from collections.abc import Iterable, Iterator, Sequence

import pypdfium2 as pdfium
import pypdfium2.raw as pdfium_c

from sidecar.documents.layers import thai_text

MAX_CHARS = 8_000
"""As much as Typhoon OCR's own code sends; a line that would pass it is left out with all that follow."""
MAX_PICTURES = 100

Box = tuple[float, float, float, float]
"""Left, bottom, right, top."""


def page_anchors(page: pdfium.PdfPage) -> str:
    """Return the anchors of a PDF page."""
    text_page = page.get_textpage()
    try:
        texts = list(_texts(text_page))
    finally:
        text_page.close()
    width, height = page.get_size()
    return render_anchors(width, height, list(_pictures(page)), texts)


def picture_anchors(width: float, height: float) -> str:
    """Return the anchors of a page that is one picture of this size."""
    return render_anchors(width, height, [(0, 0, width, height)], [])


def render_anchors(width: float, height: float, pictures: Sequence[Box], texts: Iterable[tuple[Box, str]]) -> str:
    """Render a page's size in points, the boxes of its pictures, then its text with where it begins. Pure."""
    lines = [f"Page dimensions: {width:.1f}x{height:.1f}"]
    lines += [f"[Image {box[0]:.0f}x{box[1]:.0f} to {box[2]:.0f}x{box[3]:.0f}]" for box in pictures]
    lines += [f"[{box[0]:.0f}x{box[1]:.0f}]{text}" for box, text in texts]
    chars = 0
    for count, line in enumerate(lines):
        chars += len(line) + 1
        if chars > MAX_CHARS:
            return "\n".join(lines[:count])
    return "\n".join(lines)


def _texts(text_page: pdfium.PdfTextPage) -> Iterator[tuple[Box, str]]:
    """Give the pieces of text that stand together on a line, in the file's order, until there are enough."""
    chars = 0
    for at in range(text_page.count_rects()):
        box = text_page.get_rect(at)
        text = " ".join(text_page.get_text_bounded(*box).split())
        if text:
            yield box, thai_text.repair(text)[0]
            chars += len(text)
        if chars > MAX_CHARS:
            return


def _pictures(page: pdfium.PdfPage) -> Iterator[Box]:
    for at, picture in enumerate(page.get_objects(filter=[pdfium_c.FPDF_PAGEOBJ_IMAGE])):
        if at == MAX_PICTURES:
            return
        yield picture.get_bounds()
