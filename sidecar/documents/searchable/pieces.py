"""What a file consists of: bytes of its own, and stretches of the document that it is made from. Pure.

A worker may not write files, and what it returns goes through memory: so it returns what is new, and says where the
rest stands.
"""

from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Stretch:
    """Bytes of the document, from ``start``, as many as ``length``."""

    start: int
    length: int


Piece = bytes | Stretch


@dataclass(frozen=True, slots=True)
class Searchable:
    """A searchable PDF; ``breaks_signature``: the document was signed, and its signature no longer fits."""

    pieces: Sequence[Piece]
    breaks_signature: bool = False
