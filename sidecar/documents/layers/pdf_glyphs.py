"""The glyphs of a page's text layer from PDFium: their characters, their places. Runs in worker processes only."""

import ctypes
import math
from collections.abc import Iterable
from ctypes import byref
from dataclasses import dataclass
from typing import Any

import pypdfium2.raw as pdfium_c

from sidecar.documents.layers import pdf_calls, thai_marks
from sidecar.documents.layers.thai_layer import Glyph
from sidecar.documents.layers.thai_marks import Span

MADE_UP = frozenset(" \r\n")
"""Characters that PDFium itself may insert."""
NO_MEANING = frozenset(map(chr, {*range(0x20), 0xFFFD} - {0x02, *range(0x09, 0x0E)}))
"""What fonts map glyphs to whose meaning their producer did not know. U+0002 is PDFium's hyphen."""
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
    places = _Places(raw)
    glyphs: list[Glyph] = []
    for at in range(pdfium_c.FPDFText_CountChars(raw)):
        char = chr(pdf_calls.get_unicode(raw, at))
        if char in MADE_UP and pdf_calls.is_generated(raw, at):
            continue
        if thai_marks.may_be_lost(char) and (char in NO_MEANING or pdf_calls.has_map_error(raw, at)):
            char = thai_marks.unmapped(char)
        ink, takes, origin, height, angle = places.of(at)
        if hidden.boxes and hidden.holds((ink[0] + ink[2]) / 2, (ink[1] + ink[3]) / 2):
            continue
        if angle:
            ink, takes, origin = turned(ink, angle), turned(takes, angle), turned(origin * 2, angle)[:2]
        glyphs.append(Glyph(decoder.get(ord(char), char), *ink, takes[2], *origin, height, angle))
    return glyphs


class _Places:
    """Where a page's characters are drawn. Buffers that PDFium writes to are made once for all of them."""

    def __init__(self, raw: Any) -> None:  # noqa: ANN401 - a PDFium handle
        self._raw = raw
        self._fonts = FontSizes(raw)
        self._ink = tuple(ctypes.c_double() for _ in range(4))
        self._origin = ctypes.c_double(), ctypes.c_double()
        self._room = pdfium_c.FS_RECTF()
        self._to_ink, self._to_origin = tuple(map(byref, self._ink)), tuple(map(byref, self._origin))
        self._to_room = byref(self._room)

    def of(self, at: int) -> tuple[Box, Box, tuple[float, float], float, int]:
        """Return the boxes of a character's ink and of the room it takes, its origin, its font's height, its angle."""
        pdf_calls.get_char_box(self._raw, at, *self._to_ink)
        pdf_calls.get_loose_char_box(self._raw, at, self._to_room)
        pdf_calls.get_char_origin(self._raw, at, *self._to_origin)
        (left, right, bottom, top), (x, y), room = self._ink, self._origin, self._room
        ink, takes = (left.value, bottom.value, right.value, top.value), (room.left, room.bottom, room.right, room.top)
        return ink, takes, (x.value, y.value), *self._fonts.of(at, room, y.value)

    def is_drawn_as_mark(self, at: int) -> bool:
        """Return whether a glyph is drawn as high or as low as a mark."""
        (_, bottom, _, top), _, (_, baseline), height, _ = self.of(at)
        return thai_marks.is_drawn_as_mark(bottom - baseline, top - baseline, height)

    def is_misplaced(self, at: int, mark: str) -> bool:
        """Return whether a mark is drawn where its character cannot be."""
        pdf_calls.get_char_box(self._raw, at, *self._to_ink)
        pdf_calls.get_char_origin(self._raw, at, *self._to_origin)
        if (self._ink[2].value > self._origin[1].value) != (mark in thai_marks.LOWER):
            return False  # nearly all: wholly above the baseline, or not, as it should be; its font need not be known
        (_, bottom, _, top), _, (_, baseline), height, _ = self.of(at)
        return thai_marks.is_misplaced(mark, bottom - baseline, top - baseline, height)


class FontSizes:
    """Heights of fonts as drawn, in points, and the angles of their lines; queried once per font and size."""

    def __init__(self, raw: Any) -> None:  # noqa: ANN401 - a PDFium handle
        self._raw = raw
        self._known: dict[tuple[float, float], tuple[float, int]] = {}

    def of(self, at: int, room: Any, baseline: float) -> tuple[float, int]:  # noqa: ANN401 - a PDFium struct
        """Return the height of a character's font, by the room it takes and its baseline, and its line's angle."""
        key = round(room.top - room.bottom, _POINTS_KEPT), round(room.bottom - baseline, _POINTS_KEPT)
        if key not in self._known:
            matrix = pdfium_c.FS_MATRIX()
            pdfium_c.FPDFText_GetMatrix(self._raw, at, matrix)
            height = pdfium_c.FPDFText_GetFontSize(self._raw, at) * math.hypot(matrix.c, matrix.d)
            self._known[key] = height or key[0], round(math.degrees(math.atan2(matrix.b, matrix.a)))
        return self._known[key]


def turned(box: tuple[float, ...], degrees: int) -> tuple[float, float, float, float]:
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
    """Return whether the font does not map a character to Unicode, or to nothing that is written."""
    return bool(pdf_calls.has_map_error(raw, at)) or chr(pdf_calls.get_unicode(raw, at)) in NO_MEANING


def misplaced(raw: Any, text: str, spans: Iterable[Span], lost: set[int]) -> set[int] | None:  # noqa: ANN401
    """Return the positions of marks drawn where their characters cannot be, of those in spans of the text.

    None if a line is not level, or one of the ``lost`` is not drawn like a mark.
    """
    places = _Places(raw)
    found: set[int] = set()
    line_end = -1
    for start, end in spans:
        if start > line_end:
            line_end = text.find("\n", start) % (len(text) + 1)
            if places.of(start)[-1]:
                return None
        for at in range(start, end):
            if at in lost:
                if not places.is_drawn_as_mark(at):
                    return None
            elif text[at] in thai_marks.MARK_SET and places.is_misplaced(at, text[at]):
                found.add(at)
    return found


def _lies_in(x: float, y: float, boxes: tuple[Box, ...]) -> bool:
    return any(box[0] - REACH <= x <= box[2] + REACH and box[1] - REACH <= y <= box[3] + REACH for box in boxes)
