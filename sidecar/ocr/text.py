"""What is done to text between a page and the answer, and nothing else. Pure.

Nothing here deletes content: a filter that did so once swallowed table rules and one-character lines.
"""

import re
from collections.abc import Iterable

PAGE_SEPARATOR = "\n\n"

# Tesseract's Thai model writes the vowel AM as its two halves, NIKHAHIT and SARA AA, with a tone mark between them or
# before; keyboards, databases and search write one SARA AM (Unicode chapter 16.1, Thai). The same letters, spelt alike.
_SPLIT_SARA_AM = re.compile("\N{THAI CHARACTER NIKHAHIT}([\u0e48-\u0e4b]?)\N{THAI CHARACTER SARA AA}")


def trim(text: str) -> str:
    """Drop white space at the ends of lines and at the end of the page."""
    return "\n".join(line.rstrip() for line in text.split("\n")).rstrip("\n")


def compose_sara_am(text: str) -> str:
    """Spell the Thai vowel AM as one character."""
    return _SPLIT_SARA_AM.sub("\\1\N{THAI CHARACTER SARA AM}", text)


def join_pages(texts: Iterable[str]) -> str:
    """Join pages by a blank line; pages without text leave no gap."""
    return PAGE_SEPARATOR.join(text for text in texts if text)
