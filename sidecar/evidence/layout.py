"""What a reader found on a page: words in lines, each with its place. Pure.

Every length is in PDF points, from the top left corner of the page as a viewer shows it.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from enum import StrEnum
from typing import Self


class Source(StrEnum):
    """Who read a word."""

    TEXT_LAYER = "text-layer"
    TESSERACT = "tesseract"
    RAPIDOCR = "rapidocr"
    MODEL = "model"
    NUMERALS = "numerals"


# Workers send these by the thousand. Without slots they are pickled in C instead of Python.


@dataclass(frozen=True)
class Box:
    """A rectangle: left, top, right and bottom edge."""

    left: float
    top: float
    right: float
    bottom: float

    @classmethod
    def around(cls, boxes: Iterable["Box"]) -> Self | None:
        """Return the smallest box that holds all of these; None if there are none."""
        held = list(boxes)
        if not held:
            return None
        return cls(
            min(one.left for one in held),
            min(one.top for one in held),
            max(one.right for one in held),
            max(one.bottom for one in held),
        )

    @property
    def width(self) -> float:
        """Points."""
        return self.right - self.left

    @property
    def height(self) -> float:
        """Points."""
        return self.bottom - self.top


@dataclass(frozen=True)
class Word:
    """A run of letters without white space. ``box`` is None where nobody saw it; ``confidence`` is 0 to 1, or None.

    ``joins``: no white space stands between it and the word before, as in Thai.
    """

    text: str
    box: Box | None
    confidence: float | None
    source: Source
    joins: bool = False


@dataclass(frozen=True)
class Line:
    """Words in reading order. ``baseline`` holds its two ends, each (x, y); ``size`` is that of the letters, in points.

    ``is_bold`` tells what the font says, where there is one.
    """

    words: tuple[Word, ...]
    box: Box | None
    baseline: tuple[tuple[float, float], tuple[float, float]] | None = None
    size: float | None = None
    is_bold: bool = False

    @property
    def text(self) -> str:
        """The words, with the white space between them."""
        return "".join(word.text if word.joins else f" {word.text}" for word in self.words).lstrip(" ")

    @property
    def word_count(self) -> int:
        """How many words it has."""
        return len(self.words)

    @property
    def edges(self) -> tuple[float, ...]:
        """The left and the right edge of each word in turn; empty if one has no place."""
        boxes = [word.box for word in self.words]
        return tuple(edge for box in boxes if box for edge in (box.left, box.right)) if all(boxes) else ()

    def part(self, start: int, stop: int) -> "Line":
        """Return a line of these of its words alone, which count from 0."""
        words = self.words[start:stop]
        box = Box.around(word.box for word in words if word.box)
        return Line(words, box, _cut(self.baseline, box), self.size, self.is_bold)


Baseline = tuple[tuple[float, float], tuple[float, float]]


def _cut(baseline: Baseline | None, box: Box | None) -> Baseline | None:
    """Return the part of a line's baseline that lies in a box of its words."""
    if baseline is None or box is None:
        return None
    (left, start), (right, end) = baseline
    slope = (end - start) / (right - left) if right > left else 0.0
    return (box.left, start + slope * (box.left - left)), (box.right, start + slope * (box.right - left))


@dataclass(frozen=True)
class Layout:
    """What was found on one page, its lines in the order in which the reader gave them.

    ``width`` and ``height`` are the page's, as shown. ``rotation``: degrees, clockwise, by which it must be turned to
    read upright. ``rules`` are ruling lines, as thin boxes; ``figures`` are pictures on the page.
    """

    width: float
    height: float
    lines: tuple[Line, ...]
    rotation: float = 0
    rules: tuple[Box, ...] = ()
    figures: tuple[Box, ...] = ()
