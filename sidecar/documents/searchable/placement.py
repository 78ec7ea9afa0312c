"""Where the words of a page are put: along each line's baseline, from where each begins to where the next does. Pure.

Places are in points from the top left corner of the page as it is shown, as in :mod:`sidecar.evidence.page`.
"""

import math
import statistics
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace

from sidecar.documents.searchable import font
from sidecar.evidence.layout import Box, Line, Word
from sidecar.evidence.page import Block, Page

Vector = tuple[float, float]

SPACE = 0.1
"""Least width of a space, as a part of the letters' size: readers of text layers take less for no space."""
LEAST_SHARE = 0.2
"""What a word keeps of its own width where the next one begins too early."""
MARGIN = 0.05
"""Part of a page's side that stays free where nobody knows where a text stands."""
LINE_PITCH = 1.2
"""Height of a line in sizes of its letters, where only the place of the whole is known."""
STEEP = 0.1
"""Least cosine of twice a slope at which a box around a sloping word tells the word's own width and height."""


@dataclass(frozen=True, slots=True)
class Piece:
    """A word on its line, or the space before one: so many points long."""

    text: str
    length: float


@dataclass(frozen=True, slots=True)
class Run:
    """Pieces that follow one another from ``start`` in a ``direction`` of length 1; ``size`` is the letters' own."""

    start: Vector
    direction: Vector
    size: float
    pieces: tuple[Piece, ...]


@dataclass(frozen=True, slots=True)
class _Placed:
    """A word from ``start`` to ``end`` along its line; ``bottom`` is below, ``height`` across."""

    text: str
    start: float
    end: float
    joins: bool
    bottom: float
    height: float


def runs(page: Page) -> list[Run]:
    """Place the words of a page, in its reading order."""
    lines = [one for block in page.blocks for one in _lines(block)]
    homeless = iter(_stacked(_middle(page), sum(box is None for _, box in lines)))
    direction = _direction(page.rotation)
    return [
        run for line, box in lines if line.text.strip() for run in _line_runs(line, box or next(homeless), direction)
    ]


def _lines(block: Block) -> Iterator[tuple[Line, Box | None]]:
    """Yield a block's lines, each with its place, or a part of the block's."""
    yield from _with_places(block.lines, block.box)
    for cell in block.cells:
        yield from _with_places(cell.lines, cell.box or block.box)


def _with_places(lines: Sequence[Line], around: Box | None) -> Iterator[tuple[Line, Box | None]]:
    places = [Box.around(word.box for word in line.words if word.box) or line.box for line in lines]
    shares = iter(_stacked(around, places.count(None)) if around else [])
    for line, place in zip(lines, places, strict=True):
        yield line, place or next(shares, None)


def _stacked(box: Box, count: int) -> list[Box]:
    """Divide a box into so many of equal height, one below the other."""
    height = box.height / max(1, count)
    tops = [box.top + at * height for at in range(count)]
    return [Box(box.left, top, box.right, top + height) for top in tops]


def _middle(page: Page) -> Box:
    across, down = MARGIN * page.width, MARGIN * page.height
    return Box(across, down, page.width - across, page.height - down)


def _direction(rotation: float) -> Vector:
    """Return where lines run on a page that must be turned clockwise by so many degrees to read upright."""
    radians = math.radians(rotation)
    return math.cos(radians), -math.sin(radians)


# ── one line ──────────────────────────────────────────────────────────────────────────────────────────────────────


def _line_runs(line: Line, place: Box, along: Vector) -> Iterator[Run]:
    direction = _baseline_direction(line, along) or along
    words = _with_marks(_placed(line.words, place, direction))
    if not words:
        return
    size = line.size or max(word.height for word in words)
    across = _baseline_across(line, direction)
    if across is None:
        across = statistics.quantiles([word.bottom for word in words], n=4)[0] if len(words) > 1 else words[0].bottom
    for start, pieces in _chains(words, max(size, 1.0)):
        x = start * direction[0] - across * direction[1]
        y = start * direction[1] + across * direction[0]
        yield Run((x, y), direction, max(size, 1.0), tuple(pieces))


def _baseline_direction(line: Line, along: Vector) -> Vector | None:
    """Return the direction of a line's baseline, whichever of its ends was named first."""
    if line.baseline is None:
        return None
    (x0, y0), (x1, y1) = line.baseline
    length = math.hypot(x1 - x0, y1 - y0)
    if not length:
        return None
    dx, dy = (x1 - x0) / length, (y1 - y0) / length
    return (-dx, -dy) if dx * along[0] + dy * along[1] < 0 else (dx, dy)


def _baseline_across(line: Line, direction: Vector) -> float | None:
    if line.baseline is None:
        return None
    (x0, y0), (x1, y1) = line.baseline
    return (y0 + y1) / 2 * direction[0] - (x0 + x1) / 2 * direction[1]


def _placed(words: Sequence[Word], place: Box, direction: Vector) -> Iterator[_Placed]:
    """Give each word its place: its own, or a part of its neighbours', or of the line's."""
    waiting: list[Word] = []
    held: list[tuple[list[Word], Box]] = []
    for word in words:
        if word.box is None:
            (held[-1][0] if held else waiting).append(word)
        else:
            held.append(([*waiting, word], word.box))
            waiting = []
    for texts, box in held or [(waiting, place)]:
        yield from _shared(texts, box, direction)


def _with_marks(words: Iterable[_Placed]) -> list[_Placed]:
    """Add what is nothing but marks to the word before: it has no width that could be stretched."""
    held: list[_Placed] = []
    for word in words:
        if held and word.joins and not font.width(word.text):
            before = held[-1]
            held[-1] = replace(before, text=before.text + word.text, end=max(before.end, word.end))
        else:
            held.append(word)
    return held


def _shared(words: Sequence[Word], box: Box, direction: Vector) -> Iterator[_Placed]:
    """Divide one place among words, each after the width of its letters."""
    start, end, bottom, height = _oriented(box, direction)
    parts = [(word, font.width(word.text) + (0 if word.joins else font.WIDTH)) for word in words]
    all_parts = sum(part for _, part in parts) or 1
    for word, part in parts:
        until = start + (end - start) * part / all_parts if len(parts) > 1 else end
        yield _Placed(word.text, start, until, word.joins, bottom, height)
        start = until


def _oriented(box: Box, direction: Vector) -> tuple[float, float, float, float]:
    """Return of the text that a box holds: its start and end along a direction, its lower edge and height across it.

    A box around what slopes is larger than it; both its sides are known, so that its own can be had from them.
    """
    dx, dy = direction
    width, height = (box.width, box.height) if abs(dx) >= abs(dy) else (box.height, box.width)
    cos, sin = max(abs(dx), abs(dy)), min(abs(dx), abs(dy))
    if (twice := cos * cos - sin * sin) > STEEP:
        length, depth = (width * cos - height * sin) / twice, (height * cos - width * sin) / twice
    else:
        length, depth = width, height
    length, depth = max(length, LEAST_SHARE * width), max(depth, LEAST_SHARE * height)
    x, y = (box.left + box.right) / 2, (box.top + box.bottom) / 2
    middle, across = x * dx + y * dy, y * dx - x * dy
    return middle - length / 2, middle + length / 2, across + depth / 2, depth


def _chains(words: Sequence[_Placed], size: float) -> Iterator[tuple[float, list[Piece]]]:
    """Divide words into those that follow one another without going back, with the spaces between them."""
    start, pieces = words[0].start, list[Piece]()
    for word, following in zip(words, [*words[1:], None], strict=True):
        if following is None:
            pieces.append(Piece(word.text, word.end - word.start))
        elif following.start <= word.start:
            pieces += [
                Piece(word.text, word.end - word.start),
                *([] if following.joins else [Piece(" ", SPACE * size)]),
            ]
            yield start, pieces
            start, pieces = following.start, []
        else:
            pieces += _up_to(following, word, size)
    yield start, pieces


def _up_to(following: _Placed, word: _Placed, size: float) -> list[Piece]:
    """Return a word, and the space after it, so long that the next word begins where it stands."""
    room = following.start - word.start
    if following.joins:
        return [Piece(word.text, room)]
    length = max(min(word.end - word.start, room - SPACE * size), LEAST_SHARE * room)
    return [Piece(word.text, length), Piece(" ", room - length)]
