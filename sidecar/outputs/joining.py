"""Lines joined to running text: hyphenated words become whole, Thai and its like go on without a space. Pure."""

from collections.abc import Iterable

from sidecar.evidence.layout import Line
from sidecar.outputs.text import runs_on

HYPHENS = frozenset("-\u2010\u00ad")


def joined(lines: Iterable[Line]) -> str:
    """Return the lines as one text."""
    return joined_texts(line.text for line in lines)


def joined_texts(texts: Iterable[str]) -> str:
    """Do as :func:`joined` with the lines' texts."""
    parts: list[str] = []
    for text in filter(None, map(str.strip, texts)):
        if parts:
            parts[-1], between = _end(parts[-1], text)
            parts.append(between)
        parts.append(text)
    return "".join(parts)


def _end(above: str, below: str) -> tuple[str, str]:
    """Return the end of a line as it is before another one, and what stands between them."""
    last, first = above[-1], below[0]
    if last in HYPHENS and len(above) > 1 and above[-2].isalpha() and first.islower():
        return above[:-1], ""
    return above, "" if runs_on(above, below) else " "
