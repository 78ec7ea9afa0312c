"""Text of which nobody knows the places. Pure."""

from dataclasses import dataclass

from sidecar.evidence.layout import Line, Source, Word
from sidecar.evidence.page import Block, BlockKind, Page


def unplaced(text: str, source: Source) -> tuple[Line, ...]:
    """Return the lines of a text as words without boxes; nothing is made up."""
    lines = (tuple(Word(word, None, None, source) for word in line.split()) for line in text.splitlines())
    return tuple(Line(words, None) for words in lines if words)


# Whoever answers sends thousands of them to a worker. Without slots they are pickled in C instead of Python.


@dataclass(frozen=True)
class UnplacedText:
    """The text of a page of which nobody knows more: a page of one paragraph, but only where it is unpacked."""

    number: int
    text: str
    source: Source

    def unpack(self) -> Page:
        """Return the page, in the time that its words take."""
        lines = unplaced(self.text, self.source)
        return Page(self.number, 0, 0, (Block(BlockKind.PARAGRAPH, None, lines),) if lines else ())
