"""The words of Tesseract's text with their places, from the pieces that it read and what became of its text. Pure.

What Tesseract calls a word is in Thai often a letter. Here a word is what stands between white space in the text.
"""

import re
from bisect import bisect_right
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from sidecar.evidence.edits import Back, Edit

Rectangle = tuple[int, int, int, int]
"""Left, top, right and bottom edge, in pixels."""

AHEAD = 64
"""Characters within which the next piece must come in the text: wide gaps are rows of spaces."""
_RUN = re.compile(r"\S+")


@dataclass(frozen=True, slots=True)
class Row:
    """A line of text as Tesseract found it, in pixels: its box, its baseline's ends, and its height.

    The height is that of a letter without ascender or descender, of Thai that of a consonant: what stands above and
    below differs from line to line.
    """

    box: Rectangle
    baseline: tuple[tuple[int, int], tuple[int, int]] | None
    height: float


@dataclass(frozen=True, slots=True)
class Piece:
    """What Tesseract read at one place, 0 to 100 sure of it."""

    text: str
    box: Rectangle
    confidence: float
    row: Row


@dataclass(frozen=True, slots=True)
class PlacedWord:
    """A word of the text. ``box`` and ``row`` are None where no piece of it was found, ``changed`` if it was mended."""

    text: str
    box: Rectangle | None
    confidence: float | None
    row: Row | None
    changed: bool


@dataclass(frozen=True, slots=True)
class _Spot:
    """Where a piece stands in the text that was read."""

    start: int
    end: int
    piece: Piece


def place_words(
    read: str, pieces: Sequence[Piece], text: str, edits: Sequence[Edit] = ()
) -> Iterator[list[PlacedWord]]:
    """Yield the words of each line of ``text``, which ``edits`` made of what was ``read``, in the order of both.

    ``pieces`` come in the order of ``read``.
    """
    spots = list(_spots(read, pieces))
    ends = [spot.end for spot in spots]
    back = Back(edits)
    start = 0
    for line in text.split("\n"):
        words = []
        for run in _RUN.finditer(line):
            first, last = back.start(start + run.start()), back.end(start + run.end())
            at = bisect_right(ends, first)
            inside = []
            while at < len(spots) and spots[at].start < last:
                inside.append(spots[at].piece)
                at += 1
            words.append(_word(run.group(), inside, changed=back.touches(start + run.start(), start + run.end())))
        start += len(line) + 1
        if words:
            yield words


def _spots(read: str, pieces: Sequence[Piece]) -> Iterator[_Spot]:
    at = 0
    for piece in pieces:
        found = read.find(piece.text, at, at + AHEAD + len(piece.text)) if piece.text.strip() else -1
        if found >= 0:
            at = found + len(piece.text)
            yield _Spot(found, at, piece)


def _word(text: str, pieces: Sequence[Piece], *, changed: bool) -> PlacedWord:
    if not pieces:
        return PlacedWord(text, None, None, None, changed)
    lefts, tops, rights, bottoms = zip(*(piece.box for piece in pieces), strict=True)
    box = min(lefts), min(tops), max(rights), max(bottoms)
    letters = sum(len(piece.text) for piece in pieces)
    confidence = sum(piece.confidence * len(piece.text) for piece in pieces) / letters
    return PlacedWord(text, box, confidence, pieces[0].row, changed)
