"""The pieces of lines that a page's structure is told from, turned so that they read from left to right. Pure."""

from bisect import bisect_right
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise
from statistics import median
from typing import Protocol, TypeVar

from sidecar.evidence.layout import Box, Layout, Line

SIZE_OF_HEIGHT = 0.85
"""The size of a font, of the height of a line's box, where the reader tells no sizes: letters reach up and down."""
MIN_SIZE = 1.0
SAME_SIZES = (0.7, 1.35)
"""Sizes measured on a picture are the same within these shares of the usual one."""
SCAN_SHARE = 0.7
SLANTED = (0.3, 3.0)
"""How steeply a line rises that is neither level nor upright."""
ROW_OVERLAP = 0.5
"""Pieces stand in one row if they overlap by this share of the lower one's height."""


class Placed(Protocol):
    """What has a place among the pieces of a page: a piece, or a table."""

    left: float
    top: float
    right: float
    bottom: float
    size: float

    @property
    def middle(self) -> float:
        """How far down its middle is."""

    @property
    def height(self) -> float:
        """Points."""

    def runs(self, gap: float) -> Iterator[tuple[float, float]]:
        """Give the left and right edge of each run of words that no gap of this width parts."""


P = TypeVar("P", bound=Placed)


@dataclass(slots=True)
class Piece:
    """A line, or a part of one, with its place as it is read. ``edges`` are the left and right edge of each word."""

    line: Line
    left: float
    top: float
    right: float
    bottom: float
    size: float
    edges: tuple[float, ...]
    is_upright: bool = True

    @property
    def text(self) -> str:
        """What it says."""
        return self.line.text

    @property
    def width(self) -> float:
        """Points."""
        return self.right - self.left

    @property
    def height(self) -> float:
        """Points."""
        return self.bottom - self.top

    @property
    def middle(self) -> float:
        """How far down its middle is."""
        return (self.top + self.bottom) / 2

    def runs(self, gap: float) -> Iterator[tuple[float, float]]:
        """Give the left and right edge of each run of words that no gap of this width parts."""
        if len(self.edges) == 2:
            yield self.left, self.right
            return
        left, right = self.edges[0], self.edges[1]
        for start, end in zip(self.edges[2::2], self.edges[3::2], strict=True):
            if start - right >= gap:
                yield left, right
                left = start
            right = max(right, end)
        yield left, right

    def parts(self, cuts: Sequence[float]) -> Iterator["Piece"]:
        """Give the parts of a line between these places, in order; a word belongs where its middle is."""
        at = bisect_right(cuts, self.left)
        if at == len(cuts) or cuts[at] >= self.right:
            yield self
            return
        start, at = 0, 0
        for word in range(len(self.edges) // 2 + 1):
            is_end = word == len(self.edges) // 2
            middle = float("inf") if is_end else (self.edges[2 * word] + self.edges[2 * word + 1]) / 2
            passed = at
            while at < len(cuts) and middle > cuts[at]:
                at += 1
            if (at > passed or is_end) and word > start:
                yield self if word - start == len(self.edges) // 2 else self.part(start, word)
                start = word

    def part(self, start: int, stop: int) -> "Piece":
        """Return a piece of these of its words alone, which count from 0."""
        edges = self.edges[2 * start : 2 * stop]
        line = self.line.part(start, stop)
        return Piece(line, edges[0], self.top, max(edges), self.bottom, self.size, edges)


def pieces_of(layout: Layout) -> list[Piece]:
    """Return a layout's lines with their places, turned upright; empty lines and lines without a place are left out."""
    pieces = [_piece(line, layout) for line in layout.lines if line.box and line.text]
    if pieces and _is_scan(layout):
        usual = usual_size(pieces)
        for piece in pieces:
            if SAME_SIZES[0] * usual < piece.size < SAME_SIZES[1] * usual:
                piece.size = usual
    return pieces


def _is_scan(layout: Layout) -> bool:
    """Return whether sizes were measured on a picture, where they differ by the letters that a line happens to have."""
    area = SCAN_SHARE * layout.width * layout.height
    measured = not any(line.size for line in layout.lines)
    return measured or any(figure.width * figure.height > area for figure in layout.figures)


def _piece(line: Line, layout: Layout) -> Piece:
    box = turned(line.box or Box(0, 0, 0, 0), layout)
    is_upright = _is_upright(line, layout)
    if slanted := _slanted(line, layout):
        return slanted
    height = box.height if is_upright else box.width
    size = max(MIN_SIZE, line.size or SIZE_OF_HEIGHT * height)
    edges = _edges(line, layout) if is_upright else ()
    if not edges or any(one > other for one, other in pairwise(edges[::2])):
        edges = (box.left, box.right)
    return Piece(line, box.left, box.top, box.right, box.bottom, size, edges, is_upright)


def _slanted(line: Line, layout: Layout) -> Piece | None:
    """Return a line that rises aslant, as headings of narrow columns do, as if it stood where it begins."""
    if line.baseline is None or line.size is None or _quarter(layout):
        return None
    (x, y), (to_x, to_y) = line.baseline
    across, up = to_x - x, y - to_y
    if not (SLANTED[0] * across < up < SLANTED[1] * across):
        return None
    return Piece(line, x, y - line.size, x + line.size, y, line.size, (x, x + line.size))


def _edges(line: Line, layout: Layout) -> tuple[float, ...]:
    if _quarter(layout) == 0:
        return line.edges
    boxes = [turned(word.box, layout) for word in line.words if word.box]
    return tuple(edge for box in boxes for edge in (box.left, box.right)) if len(boxes) == len(line.words) else ()


def _is_upright(line: Line, layout: Layout) -> bool:
    if line.baseline is None:
        return True
    (x, y), (to_x, to_y) = line.baseline
    across, down = abs(to_x - x), abs(to_y - y)
    lies = down <= across or max(across, down) < MIN_SIZE
    return lies if _quarter(layout) % 180 == 0 else (across <= down or max(across, down) < MIN_SIZE)


def turned(box: Box, layout: Layout) -> Box:
    """Return where a box lies once the page is turned upright."""
    match _quarter(layout):
        case 90:
            return Box(layout.height - box.bottom, box.left, layout.height - box.top, box.right)
        case 180:
            return Box(
                layout.width - box.right, layout.height - box.bottom, layout.width - box.left, layout.height - box.top
            )
        case 270:
            return Box(box.top, layout.width - box.right, box.bottom, layout.width - box.left)
    return box


def _quarter(layout: Layout) -> int:
    """Return by how many quarters, in degrees, a page is to be turned: slopes of scans stay as they are."""
    return round(layout.rotation / 90) * 90 % 360


def upright_size(layout: Layout) -> tuple[float, float]:
    """Return a page's width and height once it is turned upright."""
    sideways = _quarter(layout) % 180 == 90
    return (layout.height, layout.width) if sideways else (layout.width, layout.height)


def rows_of(pieces: Iterable[P]) -> list[list[P]]:
    """Return pieces by rows, from the top, each from left to right."""
    rows: list[list[P]] = []
    top, bottom = 0.0, 0.0
    for piece in sorted(pieces, key=lambda one: one.middle):
        overlap = min(bottom, piece.bottom) - max(top, piece.top)
        if rows and overlap >= ROW_OVERLAP * max(MIN_SIZE / 2, min(bottom - top, piece.height)):
            rows[-1].append(piece)
        else:
            rows.append([piece])
            top, bottom = piece.top, piece.bottom
    for row in rows:
        row.sort(key=lambda one: one.left)
    return rows


def usual_size(pieces: Sequence[Piece]) -> float:
    """Return the size of most of the words."""
    if not pieces:
        return MIN_SIZE
    sizes = sorted((piece.size, len(piece.edges)) for piece in pieces)
    half, seen = sum(count for _, count in sizes) / 2, 0
    for size, count in sizes:
        seen += count
        if seen >= half:
            return size
    return sizes[-1][0]


def usual_pitch(rows: Sequence[Sequence[Placed]]) -> float:
    """Return the usual distance between the middles of neighbouring rows; 0 if there is one row."""
    steps = [other[0].middle - one[0].middle for one, other in pairwise(rows)]
    return median(steps) if steps else 0.0
