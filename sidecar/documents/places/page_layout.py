"""The words of a text layer with their places, as the page is shown: PDFium is asked only for each word's two ends.

Runs in worker processes only.
"""

import ctypes
import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from ctypes import byref
from functools import partial
from typing import Any

import pypdfium2 as pdfium
import pypdfium2.raw as pdfium_c

from sidecar.documents.layers import pdf_calls
from sidecar.documents.layers.pdf_glyphs import FontSizes, turned
from sidecar.documents.layers.pdf_text import Reading
from sidecar.documents.layers.text_layer import clean
from sidecar.documents.layers.thai_layer import Glyph, words
from sidecar.documents.places.drawn import read_drawn
from sidecar.documents.places.frame import Frame
from sidecar.evidence.layout import Box, Layout, Line, Source, Word
from sidecar.evidence.packed_line import PackedLine

MAX_RECTS = 16
"""Most pieces of a line that are asked how high they are: some producers draw each letter by itself."""
LINE_OVERLAP = 0.25
"""Words that reach up so far, of their height, into the line before begin a new one."""
_BOLD_WEIGHT = 690
_FORCE_BOLD = 1 << 18
"""A font's flag (ISO 32000-1, table 123)."""
_NAME_BYTES = 128
_BOLD_NAME = re.compile(rb"bold|black|heavy|demi|(?:cm|sf)bx|-medi$|,bd|-bd", re.IGNORECASE)

_WORD = re.compile(r"\S+")
_LINE_END = re.compile("\r\n|\n")
_ASTRAL = re.compile("[\U00010000-\U0010ffff]")
HYPHEN = "\ufffe"
"""What PDFium writes for a hyphen at the end of a line, which it joins with the next one."""
_ABOVE = "\u0e30"
"""Thai marks come after this: they do not reach as far as the letter that they stand on."""


def read_layout(page: pdfium.PdfPage, text_page: Any, reading: Reading, frame: Frame) -> Layout:  # noqa: ANN401
    """Return what a page's text layer and its drawings tell of its layout.

    ``frame`` is the page's before it was turned for reading.
    """
    rules, figures = read_drawn(page, frame)
    turn = (page.get_rotation() - frame.rotation) % 360
    return Layout(*frame.size, tuple(read_lines(text_page, reading, frame)), turn, rules, figures)


def read_lines(text_page: Any, reading: Reading, frame: Frame) -> Iterator[Line]:  # noqa: ANN401 - a PDFium object
    """Give the lines of a page's text in its order, their words those of the text; lines without a word are left out.

    Words whose places are not certain have none.
    """
    texts = [line.split() for line in clean(reading.text).split("\n")]
    if reading.rebuilt is not None:
        found = [words(line) for line in reading.rebuilt]
        placed = found if len(found) == len(texts) else [[] for _ in texts]
        yield from (_rebuilt_line(line, glyphs, frame) for line, glyphs in zip(texts, placed, strict=True) if line)
        return
    pen = _Pen(text_page.raw, frame, reading.kept, reading.seen)
    starts, ends = _bounds(pen.text)
    is_same = len(starts) == len(texts)
    for at, line in enumerate(texts):
        if line:
            spans = [span.span() for span in _WORD.finditer(pen.text, starts[at], ends[at])] if is_same else []
            if len(spans) != len(line):
                yield _without_places(line)
            elif HYPHEN in pen.text[starts[at] : ends[at]]:
                yield from _hyphenated(pen, line, spans)
            else:
                yield from pen.lines(line, spans)


def _hyphenated(pen: "_Pen", line: Sequence[str], spans: Sequence[tuple[int, int]]) -> Iterator[Line]:
    """Give the lines that PDFium joined, since a word goes on from one to the next: each ends with a hyphen."""
    words, places = list[str](), list[tuple[int, int]]()
    for text, (start, end) in zip(line, spans, strict=True):
        at = pen.text.find(HYPHEN, start, end) - start
        while at >= 0 and len(text) == end - start and at + 1 < len(text):
            yield from pen.lines([*words, text[: at + 1]], [*places, (start, start + at + 1)])
            words, places = [], []
            text, start = text[at + 1 :], start + at + 1  # noqa: PLW2901 - what is left of the word
            at = pen.text.find(HYPHEN, start, end) - start
        words.append(text)
        places.append((start, end))
    yield from pen.lines(words, places)


def _bounds(text: str) -> tuple[list[int], list[int]]:
    """Return where the lines of a text start, and where they end."""
    breaks = [found.span() for found in _LINE_END.finditer(text)]
    return [0, *(end for _, end in breaks)], [*(start for start, _ in breaks), len(text)]


def _without_places(line: Sequence[str]) -> Line:
    return Line(tuple(Word(text, None, None, Source.TEXT_LAYER) for text in line), None)


def _rebuilt_line(line: Sequence[str], glyphs: Sequence[Glyph], frame: Frame) -> Line:
    if len(glyphs) != len(line):
        return _without_places(line)
    boxes = [frame.box(*turned((one.left, one.bottom, one.right, one.top), -one.angle)) for one in glyphs]
    first, last = glyphs[0], glyphs[-1]
    ends = (first.x, first.baseline), (max(last.end, last.right), last.baseline)
    left, right = (turned((*end, *end), -first.angle)[:2] for end in ends)
    placed = tuple(Word(text, box, None, Source.TEXT_LAYER) for text, box in zip(line, boxes, strict=True))
    return Line(placed, Box.around(boxes), (frame.point(*left), frame.point(*right)), first.height)


class _Pen:
    """Asks PDFium where characters are. Buffers that it writes to are made once for all lines of a page."""

    def __init__(self, raw: Any, frame: Frame, kept: Sequence[int] | None, seen: str) -> None:  # noqa: ANN401
        self._raw = raw
        self._frame = frame
        self.text = _ASTRAL.sub("xx", seen) if kept is None else seen  # PDFium counts in UTF-16
        self._index: Callable[[int], int] | None = kept.__getitem__ if kept is not None else None
        if kept is None and pdfium_c.FPDFText_CountChars(raw) != len(self.text):
            self._index = partial(pdf_calls.get_char_index, raw)
        self._fonts, self._weights = FontSizes(raw), _Weights(raw)
        self._box, self._rect, self._origin = ((ctypes.c_double * count)() for count in (4, 4, 2))
        self._to_box, self._to_rect, self._to_origin = map(_places, (self._box, self._rect, self._origin))
        self._room = pdfium_c.FS_RECTF()
        self._to_room = byref(self._room)

    def lines(self, line: Sequence[str], spans: Sequence[tuple[int, int]]) -> Iterator[Line]:
        """Give the line whose words stand there in the text, or several where PDFium saw no end of the first."""
        if self._index:
            spans = [(self._index(start), self._index(end - 1) + 1) for start, end in spans]
        middle = spans[len(spans) // 2][0]
        size, angle, baseline = self._font(middle)
        is_bold = self._weights.are_bold((middle, spans[0][0], spans[-1][0]))
        if angle or self._frame.rotation:
            yield self._turned_line(line, spans, size, is_bold=is_bold)
            return
        edges = self._edges(line, spans)
        if not _is_in_order(edges):
            yield from self._unordered(line, spans, size, is_bold=is_bold)
            return
        page_top = self._frame.top
        low, high = self._heights(spans)
        box = Box(edges[0], page_top - high, edges[-1], page_top - low)
        yield PackedLine.of(" ".join(line), tuple(edges), box, page_top - baseline, size=size, is_bold=is_bold)

    def _unordered(
        self, line: Sequence[str], spans: Sequence[tuple[int, int]], size: float, *, is_bold: bool
    ) -> Iterator[Line]:
        """Give level lines whose words do not follow one another to the right: a word below begins a new one."""
        start, bottom = 0, float("-inf")
        for at, span in enumerate(spans):
            _, low, _, high = self._around(*span)
            if at > start and high <= bottom + LINE_OVERLAP * (high - low):
                yield self._turned_line(line[start:at], spans[start:at], size, is_bold=is_bold)
                start, bottom = at, float("-inf")
            bottom = max(bottom, low) if at > start else low
        yield self._turned_line(line[start:], spans[start:], size, is_bold=is_bold)

    def _edges(self, line: Sequence[str], spans: Sequence[tuple[int, int]]) -> list[float]:
        """Return the left and right edge of each word of a level line. Nothing here is done more often."""
        get_char_box, raw, to_box, box, page_left = (
            pdf_calls.get_char_box,
            self._raw,
            self._to_box,
            self._box,
            self._frame.left,
        )
        edges: list[float] = []
        for word, (start, end) in zip(line, spans, strict=True):
            get_char_box(raw, start, *to_box)
            edges.append(box[0] - page_left)
            get_char_box(raw, end - 1, *to_box)
            right = box[1]
            if word[-1] > _ABOVE and end - start > 1:
                get_char_box(raw, end - 2, *to_box)
                right = max(right, box[1])
            edges.append(right - page_left)
        return edges

    def _turned_line(
        self, line: Sequence[str], spans: Sequence[tuple[int, int]], size: float, *, is_bold: bool
    ) -> Line:
        boxes = [self._frame.box(*self._around(start, end)) for start, end in spans]
        ends = []
        for at in (spans[0][0], spans[-1][1] - 1):
            pdf_calls.get_char_origin(self._raw, at, *self._to_origin)
            ends.append(self._frame.point(*self._origin))
        placed = tuple(Word(text, box, None, Source.TEXT_LAYER) for text, box in zip(line, boxes, strict=True))
        return Line(placed, Box.around(boxes), (ends[0], ends[1]), size, is_bold)

    def _font(self, at: int) -> tuple[float, int, float]:
        """Return the size of a character's font, the angle of its line, and its baseline."""
        pdf_calls.get_loose_char_box(self._raw, at, self._to_room)
        pdf_calls.get_char_origin(self._raw, at, *self._to_origin)
        baseline = self._origin[1]
        return *self._fonts.of(at, self._room, baseline), baseline

    def _around(self, start: int, end: int) -> tuple[float, float, float, float]:
        """Return the box around a word of a line that need not be level: left, bottom, right, top."""
        boxes = []
        for at in range(start, end):
            pdf_calls.get_char_box(self._raw, at, *self._to_box)
            boxes.append(tuple(self._box))
        lefts, rights, bottoms, tops = zip(*boxes, strict=True)
        return min(lefts), min(bottoms), max(rights), max(tops)

    def _heights(self, spans: Sequence[tuple[int, int]]) -> tuple[float, float]:
        """Return how low and how high the ink of a line's first pieces reaches."""
        low, high, rect = float("inf"), float("-inf"), self._rect
        first, last = spans[0][0], spans[-1][1] - 1
        for at in range(min(MAX_RECTS, pdf_calls.count_rects(self._raw, first, last - first + 1))):
            pdf_calls.get_rect(self._raw, at, *self._to_rect)
            low, high = min(low, rect[3]), max(high, rect[1])
        return low, high


class _Weights:
    """Whether characters are bold, by the name, the weight and the flags of their fonts; asked once per font."""

    def __init__(self, raw: Any) -> None:  # noqa: ANN401 - a PDFium handle
        self._raw = raw
        self._known: dict[int, bool] = {}

    def are_bold(self, places: Iterable[int]) -> bool:
        """Return whether all of these characters are bold."""
        return all(map(self._is_bold, places))

    def _is_bold(self, at: int) -> bool:
        item = pdf_calls.get_text_object(self._raw, at)
        font = pdf_calls.get_font(ctypes.c_void_p(item)) if item else None
        if font is None:
            return False
        if font not in self._known:
            self._known[font] = _is_bold(ctypes.cast(font, pdfium_c.FPDF_FONT))
        return self._known[font]


def _is_bold(font: Any) -> bool:  # noqa: ANN401 - a PDFium handle
    name = ctypes.create_string_buffer(_NAME_BYTES)
    pdfium_c.FPDFFont_GetBaseFontName(font, name, _NAME_BYTES)
    if _BOLD_NAME.search(name.value) or pdfium_c.FPDFFont_GetFlags(font) & _FORCE_BOLD:
        return True
    return bool(pdfium_c.FPDFFont_GetWeight(font) >= _BOLD_WEIGHT)


def _places(buffer: Any) -> tuple[Any, ...]:  # noqa: ANN401 - an array of ctypes
    """Return where each double of an array lies, for a function to write to."""
    return tuple(byref(buffer, at * ctypes.sizeof(ctypes.c_double)) for at in range(len(buffer)))


def _is_in_order(edges: list[float]) -> bool:
    """Return whether words stand one after the other from left to right."""
    lefts = edges[::2]
    return edges[-1] >= edges[0] and lefts == sorted(lefts)
