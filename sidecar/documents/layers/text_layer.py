"""Whether a page's text layer can replace reading the page. Pure.

Two questions are answered here: is it long enough, and does it read like text of some language? Whether it covers what
is visible on the page (a stamp over a scan does not) is decided where the page can be drawn.
"""

import unicodedata
from collections import Counter
from dataclasses import dataclass

from sidecar.documents.layers import latin_text
from sidecar.documents.layers.thai_text import Repair
from sidecar.evidence.layout import Layout

MIN_READABLE_SHARE = 0.9
"""Broken fonts give control characters, private-use characters or bare glyph numbers, far below this. A Thai text layer
with a few unmapped marks, as word processors write it, is above 0.98."""

_UNREADABLE = frozenset({"Cc", "Cn", "Co", "Cs"})
_WHITE = frozenset("\t\n\r\f")


@dataclass(frozen=True, slots=True)
class TextLayer:
    """A page's text layer. ``mapped_share`` is the share of its characters that the font maps to Unicode.

    ``repaired`` names what was mended in it; ``is_plausible``: the result can be Thai; ``over_picture``: it lies over a
    picture of the page, so it is the result of an earlier OCR.
    """

    text: str
    mapped_share: float = 1.0
    repaired: tuple[Repair, ...] = ()
    is_plausible: bool = True
    over_picture: bool = False
    layout: Layout | None = None
    """Its words with their places, where they were wanted."""


MIN_VISIBLE_SHARE = 0.5
"""Lowest share of visible characters: words have four fifths; a font that maps all to spaces has none."""


def clean(text: str) -> str:
    """Use one kind of line end, and a hyphen where PDFium marks a word hyphenated across lines (U+FFFE)."""
    return text.replace("\r\n", "\n").replace("\ufffe", "-")


def is_short(text: str, char_threshold: int) -> bool:
    """Return whether a text has no more characters than the threshold, spaces around it not counted.

    A short layer may be a stamp or a page number: it is used only where nothing else looks like text.
    """
    return len(text.strip()) <= char_threshold


def reads_like_text(layer: TextLayer) -> bool:
    """Return whether nearly all characters are printable and mapped, most are visible, and they form words."""
    return (
        layer.mapped_share >= MIN_READABLE_SHARE
        and readable_share(layer.text) >= MIN_READABLE_SHARE
        and visible_share(layer.text) >= MIN_VISIBLE_SHARE
        and not is_implausible(layer)
    )


def is_implausible(layer: TextLayer) -> bool:
    """Return whether the layer belongs to no language: its font's map is wrong, or poor OCR wrote it."""
    return (
        not layer.is_plausible
        or latin_text.is_implausible(layer.text)
        or (layer.over_picture and latin_text.is_noise(layer.text))
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
