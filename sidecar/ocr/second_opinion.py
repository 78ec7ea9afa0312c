"""Which pages another engine reads once more, and which of two readings is better. Pure."""

import unicodedata
from collections import Counter

from sidecar.documents.layers import latin_text
from sidecar.ocr.engine import PageText, PageVerdict

DOUBTFUL_CONFIDENCE = 90
"""Mean word confidence below which a page is doubtful: scans of printed pages have 92 to 95, receipts that are read
badly 41 to 89 (docs/quality.md)."""
SURE_CONFIDENCE = 85
"""Confidence from which on a word is sure."""
LEAST_SURE_SHARE, LEAST_SCRIPT_SHARE = 0.04, 0.25
"""A script with less than the first share of a page's letters in sure words, and than the second in all words, is not
on the page. Of 27 English receipts read as Thai and English, Thai letters made up to 0.03 and 0.20; of pages in Thai
at least 0.80 and 0.95."""
LEAST_SHARE = 0.5
"""A second reading with less than this share of the first one's characters has lost a part of the page."""


def is_doubtful(read: PageText) -> bool:
    """Return whether a reading should not be relied on: nothing was read on a page with ink, or it is unsure."""
    if read.blank:
        return False
    if read.verdict is PageVerdict.EMPTY:
        return True
    return read.confidence is not None and read.confidence < DOUBTFUL_CONFIDENCE


def without_strays(read: PageText) -> str:
    """Return a reading's text without the letters of scripts that are not on the page: specks read as letters."""
    if read.sure_text is None:
        return read.text
    found, sure = _letters_by_script(read.text), _letters_by_script(read.sure_text)
    least_sure, least = LEAST_SURE_SHARE * found.total(), LEAST_SCRIPT_SHARE * found.total()
    strays = {script for script, count in found.items() if count < least and sure[script] < least_sure}
    return (
        "".join(char for char in read.text if not char.isalpha() or _script(char) not in strays)
        if strays
        else read.text
    )


def _letters_by_script(text: str) -> Counter[str]:
    return Counter(_script(char) for char in text if char.isalpha())


def _script(letter: str) -> str:
    """Name a letter's script, as the first word of its Unicode name does."""
    return unicodedata.name(letter, "?").split()[0]


def is_better(second: PageText, first: PageText) -> bool:
    """Return whether the second reading is the better one: it reads like text, has no less of it, and is as sure."""
    if not second.text or _is_garbled(second.text) or first.blank:
        return False
    if not first.text or _is_garbled(first.text):
        return True
    whole = visible(second.text) >= LEAST_SHARE * visible(first.text)
    return whole and (second.confidence or 0) >= (first.confidence or 0)


def _is_garbled(text: str) -> bool:
    return latin_text.is_implausible(text) or (text.isascii() and latin_text.is_noise(text))


def visible(text: str) -> int:
    """Count the characters of a text that are no white space."""
    return sum(map(len, text.split()))
