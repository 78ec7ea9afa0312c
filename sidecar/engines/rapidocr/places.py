"""The words of lines that were found in a picture: each line's box, divided by the widths of its letters. Pure."""

import itertools
import unicodedata
from collections.abc import Iterator, Sequence

from sidecar.documents.layers.thai_text import compose_sara_am
from sidecar.engines.rapidocr.lines import Line, Point, is_tall, turned
from sidecar.evidence import layout
from sidecar.evidence.layout import Box, Source, Word
from sidecar.evidence.placement import Placement

NARROW, WIDE = frozenset(" iljtfrI.,:;'|!()[]"), frozenset("mwMW@%")
"""Letters that are half as wide as most, and half as wide again."""


def place_rows(rows: Sequence[Sequence[Line]], degrees: int, placement: Placement) -> tuple[layout.Line, ...]:
    """Return rows of lines with their words' places. ``degrees``: by which the picture was turned to be upright."""
    return tuple(_row(row, degrees, placement) for row in rows)


def _row(row: Sequence[Line], degrees: int, placement: Placement) -> layout.Line:
    words = tuple(word for line in row for word in _words(line, degrees, placement))
    return layout.Line(words, Box.around(word.box for word in words if word.box))


def _words(line: Line, degrees: int, placement: Placement) -> Iterator[Word]:
    for text, begin, end in _shares(line.text):
        spots = [turned(spot, -degrees % 360) for spot in _part(line, begin, end)]
        yield Word(compose_sara_am(text), placement.around(spots), round(line.score, 3), Source.RAPIDOCR)


def _part(line: Line, begin: float, end: float) -> list[Point]:
    """Return the corners of a part of a line; of one that runs down or up the page, whichever way, all of it."""
    if is_tall(line.corners):
        return list(line.corners)
    one, two, three, four = line.corners
    return [
        _between(one, two, begin),
        _between(one, two, end),
        _between(four, three, end),
        _between(four, three, begin),
    ]


def _between(one: Point, two: Point, share: float) -> Point:
    return one[0] + share * (two[0] - one[0]), one[1] + share * (two[1] - one[1])


def _shares(text: str) -> Iterator[tuple[str, float, float]]:
    """Yield the words of a line, each with the shares of the line's width at which it begins and ends."""
    line = " ".join(text.split())
    ends = list(itertools.accumulate(map(_width, line), initial=0.0))
    at, whole = 0, ends[-1] or 1.0
    for word in line.split():
        start = line.index(word, at)
        at = start + len(word)
        yield word, ends[start] / whole, ends[at] / whole


def _width(letter: str) -> float:
    if unicodedata.category(letter) in ("Mn", "Me", "Cf"):
        return 0.0
    if unicodedata.east_asian_width(letter) in "WF":
        return 2.0
    return 0.5 if letter in NARROW else 1.5 if letter in WIDE else 1.0
