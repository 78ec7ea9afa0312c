"""Whether a model's answer is its own prompt instead of the page. Pure.

A model that cannot read a page (a poor scan, a page that is turned or empty) may answer with what it was asked. The
answer is compared with what was sent, not with fixed sentences: prompts change.
"""

import re
from collections.abc import Iterable

PIECE_CHARS = 16
"""Characters, white space and signs not counted, that no page has in common with its prompt by chance."""
MIN_CHARS = 10
"""An answer that is shorter is believed: a stamp or a page number may stand in a prompt, too."""
ECHO_SHARE = 0.8
"""Share of an answer that must stand in the prompt, so that a page that quotes a sentence of it is no echo."""

_THAI_MARKS = "\u0e31\u0e34-\u0e3a\u0e47-\u0e4e"
_SIGNS = re.compile(rf"[^\w{_THAI_MARKS}]+|_+")


def is_echo(answer: str, sent: Iterable[str]) -> bool:
    """Return whether nearly all of an answer stands, in pieces, in the texts that were sent for it."""
    said, prompt = _letters(answer), " ".join(map(_letters, sent))
    if len(said) < MIN_CHARS:
        return False
    if len(said) <= PIECE_CHARS:
        return said in prompt
    return _covered(said, _pieces(prompt)) >= ECHO_SHARE * len(said)


def _letters(text: str) -> str:
    """Return the letters, digits and Thai marks of a text, in lower case: Markdown and line breaks do not count."""
    return _SIGNS.sub("", text).casefold()


def _pieces(prompt: str) -> set[str]:
    return {prompt[at : at + PIECE_CHARS] for at in range(len(prompt) - PIECE_CHARS + 1)}


def _covered(said: str, pieces: set[str]) -> int:
    """Count the characters that lie in any piece."""
    covered, end = 0, 0
    for at in range(len(said) - PIECE_CHARS + 1):
        if said[at : at + PIECE_CHARS] in pieces:
            covered += at + PIECE_CHARS - max(at, end)
            end = at + PIECE_CHARS
    return covered
