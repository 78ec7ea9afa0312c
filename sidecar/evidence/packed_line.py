"""A line whose words are made when somebody asks for them: most lines are only ever read whole. Pure.

A text layer's pages have hundreds of words each, of which processes would send every one and its box to one another.
"""

from functools import cached_property
from typing import Any, Self

from sidecar.evidence.layout import Box, Line, Source, Word


class PackedLine(Line):
    """A level line of a text layer. Each of its words reaches from the line's top to its bottom."""

    _text: str | None = None
    _edges: tuple[float, ...] = ()

    @classmethod
    def of(cls, text: str, edges: tuple[float, ...], box: Box, baseline_y: float, **font: Any) -> Self:  # noqa: ANN401
        """Pack a line: words between single spaces, and the left and right edge of each in turn.

        ``font``: its ``size`` and ``is_bold``.
        """
        line = object.__new__(cls)
        baseline = (edges[0], baseline_y), (edges[-1], baseline_y)
        line.__dict__.update(_text=text, _edges=edges, box=box, baseline=baseline, **font)
        return line

    @cached_property
    def words(self) -> tuple[Word, ...]:
        """The words: each as high as the line."""
        top, bottom = (self.box.top, self.box.bottom) if self.box else (0.0, 0.0)
        lefts, rights = self._edges[::2], self._edges[1::2]
        return tuple(
            Word(text, Box(left, top, right, bottom), None, Source.TEXT_LAYER)
            for text, left, right in zip((self._text or "").split(" "), lefts, rights, strict=True)
        )

    @property
    def text(self) -> str:
        """The words, with the white space between them."""
        return super().text if self._text is None else self._text

    @property
    def word_count(self) -> int:
        """How many words it has."""
        return super().word_count if self._text is None else len(self._edges) // 2

    @property
    def edges(self) -> tuple[float, ...]:
        """The left and the right edge of each word in turn."""
        return self._edges or super().edges

    def part(self, start: int, stop: int) -> Line:
        """Return a line of these of its words alone, which count from 0."""
        if self._text is None or self.box is None or self.baseline is None:
            return super().part(start, stop)
        text, edges = " ".join(self._text.split(" ")[start:stop]), self._edges[2 * start : 2 * stop]
        box = Box(edges[0], self.box.top, edges[-1], self.box.bottom)
        return PackedLine.of(text, edges, box, self.baseline[0][1], size=self.size, is_bold=self.is_bold)
