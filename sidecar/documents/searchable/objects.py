"""Objects of a PDF: new streams, and what a page states or inherits. Runs in worker processes only."""

import zlib
from decimal import Decimal

from pikepdf import Dictionary, Name, Object, Pdf

from sidecar.documents.searchable.layer import Frame

LETTER = (0.0, 0.0, 612.0, 792.0)
"""The page of a file that states no size, as PDFium takes it."""
MAX_DEPTH = 16
"""How far up the tree is looked: real ones are a fifth as high."""


def made_stream(pdf: Pdf, content: bytes, **entries: object) -> Object:
    """Make a stream, deflated, with further entries in its dictionary."""
    return pdf.make_stream(zlib.compress(content, 9), Filter=Name.FlateDecode, **entries)


def frame_of(page: Dictionary) -> Frame:
    """Return the box of a page that viewers show, and how they turn it: the crop box within the media box."""
    media = _box(inherited(page, "/MediaBox")) or LETTER
    crop = _box(inherited(page, "/CropBox"))
    if crop:
        crop = max(crop[0], media[0]), max(crop[1], media[1]), min(crop[2], media[2]), min(crop[3], media[3])
    rotate = inherited(page, "/Rotate")
    quarters = int(int(rotate) / 90) if isinstance(rotate, int | Decimal) else 0  # as PDFium: rounded towards zero
    return Frame(crop if crop and crop[0] < crop[2] and crop[1] < crop[3] else media, quarters % 4 * 90)


def _box(found: object) -> tuple[float, float, float, float] | None:
    try:
        x0, y0, x1, y1 = (float(one) for one in found)  # type: ignore[attr-defined]
    except (TypeError, ValueError):
        return None
    box = min(x0, x1), min(y0, y1), max(x0, x1), max(y0, y1)
    return box if box[0] < box[2] and box[1] < box[3] else None


def inherited(page: Dictionary, name: str) -> Object | None:
    """Return an entry of a page, which it may inherit."""
    stated_by = stating(page, name)
    return None if stated_by is None else stated_by[name]


def stating(page: Dictionary, name: str) -> Dictionary | None:
    """Return the page, or what it inherits from, that has such an entry."""
    node: object = page
    for _ in range(MAX_DEPTH):
        if not isinstance(node, Dictionary):
            return None
        if name in node:
            return node
        node = node.get("/Parent")
    return None
