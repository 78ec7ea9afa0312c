"""Text inside a line of Markdown or HTML, as words without the signs that are markup. Pure."""

import html
import re
from collections.abc import Iterable, Iterator

from sidecar.evidence.layout import Line, Source, Word

_BREAK = re.compile(r"<br\s*/?>|</p>", re.IGNORECASE)
_TAG = re.compile(r"</?[A-Za-z][A-Za-z0-9_]{0,30}(?:\s[^<>]{0,300})?/?>")
_LINK = re.compile(r"!?\[([^\[\]]{0,500})\]\([^()\s]{0,1000}\)")
_STRONG = re.compile(r"\*\*|__|~~|`")
_EMPHASIS = re.compile(r"(?<![\w*])\*(?=\S)([^*\n]{1,500})(?<=\S)\*(?![\w*])")
_ESCAPED = re.compile(r"\\([!-/:-@\[-`{-~])")


def lines_of(texts: Iterable[str]) -> tuple[Line, ...]:
    """Return the lines of marked-up text; those without a word are left out."""
    return tuple(Line(words, None) for text in texts for words in _words(text) if words)


def _words(text: str) -> Iterator[tuple[Word, ...]]:
    for part in _BREAK.sub("\n", text).split("\n"):
        yield tuple(Word(word, None, None, Source.MODEL) for word in plain(part).split())


def plain(text: str) -> str:
    """Return the text that markup marks."""
    text = _LINK.sub(r"\1", _TAG.sub(" ", text))
    text = _EMPHASIS.sub(r"\1", _STRONG.sub("", text))
    return html.unescape(_ESCAPED.sub(r"\1", text))
