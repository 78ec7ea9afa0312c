"""Whether a page's text layer may stand for the page. Pure.

Three questions, each answered by a number somebody else measured: is there enough of it, does it read like text, and
does it account for what is seen on the page (a stamp over a scan does not).
"""

import unicodedata
from collections import Counter
from dataclasses import dataclass

MIN_READABLE_SHARE = 0.9
"""Broken fonts give control characters, private-use characters or bare glyph numbers: far below this. A Thai text layer
with a few unmapped marks, as word processors write it, lies above 0.98."""

FULL_PAGE_IMAGE_SHARE = 0.5
"""From this share of the page area on, images may hold what the page says, and the text over them be a mere stamp."""

MIN_ACCOUNTED_SHARE = 0.5
"""Least share of the page's ink that lies under the text layer. A searchable scan has nearly all of it there, a scan
with a stamp or a header over it a few per cent."""

_UNREADABLE = frozenset({"Cc", "Cn", "Co", "Cs"})
_WHITE = frozenset("\t\n\r\f")


@dataclass(frozen=True, slots=True)
class TextLayer:
    """A page's text layer. ``mapped_share`` is the share of its characters for which the font says what they mean."""

    text: str
    mapped_share: float = 1.0


MIN_VISIBLE_SHARE = 0.5
"""Least share of characters that are to be seen: words have four fifths; a font that maps all to spaces has none."""


def clean(text: str) -> str:
    """Use one kind of line end, and a hyphen where PDFium marks a word hyphenated across lines (U+FFFE)."""
    return text.replace("\r\n", "\n").replace("\ufffe", "-")


def has_enough(layer: TextLayer, char_threshold: int) -> bool:
    """Tell whether the layer has more characters than the threshold, spaces around it not counted."""
    return len(layer.text.strip()) > char_threshold


def reads_like_text(layer: TextLayer) -> bool:
    """Tell whether nearly all characters are printable and mapped, and most are to be seen."""
    return (
        layer.mapped_share >= MIN_READABLE_SHARE
        and readable_share(layer.text) >= MIN_READABLE_SHARE
        and visible_share(layer.text) >= MIN_VISIBLE_SHARE
    )


def visible_share(text: str) -> float:
    """Share of the characters that are neither white space nor format characters such as zero-width spaces."""
    visible = "".join(text.split())
    if not visible.isprintable():
        visible = "".join(char for char in visible if unicodedata.category(char) != "Cf")
    return len(visible) / len(text) if text else 0.0


def readable_share(text: str) -> float:
    """Share of the characters that are printable Unicode; 0 for an empty text."""
    if not text:
        return 0.0
    if "\N{REPLACEMENT CHARACTER}" not in text and "".join(text.split()).isprintable():
        return 1.0  # nearly every page, and fifty times as fast as counting
    unreadable = sum(count for char, count in Counter(text).items() if _is_unreadable(char))
    return 1 - unreadable / len(text)


def _is_unreadable(char: str) -> bool:
    return char == "\N{REPLACEMENT CHARACTER}" or (char not in _WHITE and unicodedata.category(char) in _UNREADABLE)
