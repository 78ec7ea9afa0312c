"""Divides the inputs of a request into portions that are tokenised at a time. Pure."""

from collections.abc import Iterator, Sequence
from typing import TypeVar

I = TypeVar("I", bound=str | tuple[str, str])  # noqa: E741 - an input

PORTION_TEXTS = 64
PORTION_CHARS = 256 * 1024
"""About a tenth of a second on one core: so long do others wait for the thread that makes tokens."""


def portions(inputs: Sequence[I]) -> Iterator[Sequence[I]]:
    """Divide inputs, in their order, into portions of at most so many texts and characters; one has one at least."""
    first = chars = 0
    for place, one in enumerate(inputs):
        size = _chars(one)
        if place > first and (place - first == PORTION_TEXTS or chars + size > PORTION_CHARS):
            yield inputs[first:place]
            first, chars = place, 0
        chars += size
    if first < len(inputs):
        yield inputs[first:]


def _chars(one: str | tuple[str, str]) -> int:
    """Count an input's characters; a query is the same for all texts, and is read once in a portion."""
    return len(one) if isinstance(one, str) else len(one[1])
