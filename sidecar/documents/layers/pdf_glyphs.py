"""The glyphs of a page's text layer from PDFium: their characters, their places. Runs in worker processes only."""

import ctypes
import math
from ctypes import byref
from dataclasses import dataclass
from typing import Any

import pypdfium2.raw as pdfium_c

from sidecar.documents.layers import pdf_calls, thai_marks
from sidecar.documents.layers.thai_layer import Glyph

MADE_UP = frozenset(" \r\n")
"""Characters that PDFium itself may insert."""
REACH = 0.5
"""How far, in points, a character's centre may lie outside its text's box: boxes are rounded."""
MAPPING_SAMPLES = 32
"""Characters per page whose mapping is queried, one call each: enough to distinguish 2 % unmapped from 20 %."""
_POINTS_KEPT = 3
"""Decimals of a point to which font metrics are compared."""

Box = tuple[float, float, float, float]


@dataclass(frozen=True, slots=True)
class Hidden:
    """Boxes of invisible and of visible text: they may overlap where text is rotated."""

    boxes: tuple[Box, ...] = ()
    seen: tuple[Box, ...] = ()

    def holds(self, x: float, y: float) -> bool:
        """Return whether the text at a position is invisible."""
        return _lies_in(x, y, self.boxes) and not _lies_in(x, y, self.seen)


NOTHING_HIDDEN = Hidden()


def read_glyphs(text_page: Any, decoder: dict[int, str], hidden: Hidden = NOTHING_HIDDEN) -> list[Glyph]:  # noqa: ANN401
    """Read the drawn glyphs in PDFium's order, without those it inserted; rotated so that lines run to the right."""
    raw = text_page.raw
    left, right, bottom, top, x, y = (ctypes.c_double() for _ in range(6))
    room, fonts = pdfium_c.FS_RECTF(), _FontSizes(raw)
    box, start, loose = (*map(byref, (left, right, bottom, top)),), (byref(x), byref(y)), byref(room)
    glyphs: list[Glyph] = []
    for at in range(pdfium_c.FPDFText_CountChars(raw)):
        char = chr(pdf_calls.get_unicode(raw, at))
        if char in MADE_UP and pdf_calls.is_generated(raw, at):
            continue
        if thai_marks.may_be_lost(char) and pdf_calls.has_map_error(raw, at):
            char = thai_marks.unmapped(char)
        pdf_calls.get_char_box(raw, at, *box)
        pdf_calls.get_loose_char_box(raw, at, loose)
        pdf_calls.get_char_origin(raw, at, *start)
        if hidden.boxes and hidden.holds((left.value + right.value) / 2, (bottom.value + top.value) / 2):
            continue
        height, angle = fonts.of(at, room, y.value)
        ink, takes = (left.value, bottom.value, right.value, top.value), (room.left, room.bottom, room.right, room.top)
        origin = (x.value, y.value)
        if angle:
            ink, takes, origin = _turned(ink, angle), _turned(takes, angle), _turned(origin * 2, angle)[:2]
        glyphs.append(Glyph(decoder.get(ord(char), char), *ink, takes[2], *origin, height, angle))
    return glyphs


class _FontSizes:
    """Heights of fonts as drawn, in points, and the angles of their lines; queried once per font and size."""

    def __init__(self, raw: Any) -> None:  # noqa: ANN401 - a PDFium handle
        self._raw = raw
        self._known: dict[tuple[float, float], tuple[float, int]] = {}

    def of(self, at: int, room: Any, baseline: float) -> tuple[float, int]:  # noqa: ANN401 - a PDFium struct
        key = round(room.top - room.bottom, _POINTS_KEPT), round(room.bottom - baseline, _POINTS_KEPT)
        if key not in self._known:
            matrix = pdfium_c.FS_MATRIX()
            pdfium_c.FPDFText_GetMatrix(self._raw, at, matrix)
            height = pdfium_c.FPDFText_GetFontSize(self._raw, at) * math.hypot(matrix.c, matrix.d)
            self._known[key] = height or key[0], round(math.degrees(math.atan2(matrix.b, matrix.a)))
        return self._known[key]


def _turned(box: tuple[float, ...], degrees: int) -> tuple[float, float, float, float]:
    """Rotate a box back by this many degrees, and return its bounding box."""
    cos, sin = math.cos(math.radians(degrees)), math.sin(math.radians(degrees))
    corners = [(x * cos + y * sin, y * cos - x * sin) for x in (box[0], box[2]) for y in (box[1], box[3])]
    across, up = zip(*corners, strict=True)
    return min(across), min(up), max(across), max(up)


def mapped_share(raw: Any, text: str) -> float:  # noqa: ANN401 - a PDFium handle
    """Return the share of characters that are mapped to Unicode: of a sample, and at most the share that arrived."""
    count: int = pdfium_c.FPDFText_CountChars(raw)
    if count <= 0:
        return 1.0
    sample = range(0, count, max(1, count // MAPPING_SAMPLES))
    unmapped: int = sum(pdf_calls.has_map_error(raw, at) == 1 for at in sample)
    return min(1 - unmapped / len(sample), len(text) / count)


def is_unmapped(raw: Any, at: int) -> bool:  # noqa: ANN401 - a PDFium handle
    """Return whether the font does not map a character to Unicode."""
    return bool(pdf_calls.has_map_error(raw, at))


def misplaced(raw: Any, text: str, lines: list[list[int]], lost: set[int]) -> set[int] | None:  # noqa: ANN401
    """Return the positions of marks drawn where their characters cannot be.

    None if a line is not level, or one of the ``lost`` is not drawn like a mark.
    """
    left, right, bottom, top, x, y = (ctypes.c_double() for _ in range(6))
    fonts, room = _FontSizes(raw), pdfium_c.FS_RECTF()
    box, origin, loose = (*map(byref, (left, right, bottom, top)),), (byref(x), byref(y)), byref(room)
    found: set[int] = set()
    for line in lines:
        pdf_calls.get_loose_char_box(raw, line[0], loose)
        pdf_calls.get_char_origin(raw, line[0], *origin)
        height, angle = fonts.of(line[0], room, y.value)
        if angle:
            return None
        level = y.value + thai_marks.LOW * height
        for at in line:
            pdf_calls.get_char_box(raw, at, *box)
            if at not in lost and (top.value > level) != (text[at] in thai_marks.LOWER):
                continue  # nearly all, at half the time
            pdf_calls.get_char_origin(raw, at, *origin)
            above = bottom.value - y.value, top.value - y.value
            if at in lost and not thai_marks.is_drawn_as_mark(*above, height):
                return None
            if at not in lost and thai_marks.is_misplaced(text[at], *above, height):
                found.add(at)
    return found


def _lies_in(x: float, y: float, boxes: tuple[Box, ...]) -> bool:
    return any(box[0] - REACH <= x <= box[2] + REACH and box[1] - REACH <= y <= box[3] + REACH for box in boxes)
