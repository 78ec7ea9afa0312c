"""Which pages another engine reads once more, and which of two readings is better. Pure."""

from sidecar.documents.layers import latin_text
from sidecar.ocr.engine import PageText, PageVerdict

DOUBTFUL_CONFIDENCE = 90
"""Mean word confidence below which a page is doubtful: scans of printed pages have 92 to 95, receipts that are read
badly 41 to 89 (docs/quality.md)."""
LEAST_SHARE = 0.5
"""A second reading with less than this share of the first one's characters has lost a part of the page."""


def is_doubtful(read: PageText) -> bool:
    """Return whether a reading should not be relied on: nothing was read on a page with ink, or it is unsure."""
    if read.blank:
        return False
    if read.verdict is PageVerdict.EMPTY:
        return True
    return read.confidence is not None and read.confidence < DOUBTFUL_CONFIDENCE


def is_better(second: PageText, first: PageText) -> bool:
    """Return whether the second reading is the better one: it reads like text, has no less of it, and is as sure."""
    if not second.text or _is_garbled(second.text) or first.blank:
        return False
    if not first.text or _is_garbled(first.text):
        return True
    whole = _visible(second.text) >= LEAST_SHARE * _visible(first.text)
    return whole and (second.confidence or 0) >= (first.confidence or 0)


def _is_garbled(text: str) -> bool:
    return latin_text.is_implausible(text) or (text.isascii() and latin_text.is_noise(text))


def _visible(text: str) -> int:
    return sum(map(len, text.split()))
