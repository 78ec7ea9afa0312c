"""Text of which nobody knows the places. Pure."""

from sidecar.evidence.layout import Line, Source, Word


def unplaced(text: str, source: Source) -> tuple[Line, ...]:
    """Return the lines of a text as words without boxes; nothing is made up."""
    lines = (tuple(Word(word, None, None, source) for word in line.split()) for line in text.splitlines())
    return tuple(Line(words, None) for words in lines if words)
