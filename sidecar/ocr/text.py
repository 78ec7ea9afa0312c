"""What is done to text between a page and the answer, and nothing else. Pure.

Nothing here deletes content: a filter that did so once swallowed table rules and one-character lines.
"""

from collections.abc import Iterable

PAGE_SEPARATOR = "\n\n"


def trim(text: str) -> str:
    """Drop white space at the ends of lines and at the end of the page."""
    return "\n".join(line.rstrip() for line in text.split("\n")).rstrip("\n")


def join_pages(texts: Iterable[str]) -> str:
    """Join pages by a blank line; pages without text leave no gap."""
    return PAGE_SEPARATOR.join(text for text in texts if text)
