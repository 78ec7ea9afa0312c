"""How many values a JSON text holds, told from its bytes: parsing millions of them holds the interpreter's lock.

Whether it is JSON is not told; what is none has no more values than it has separators. Pure.
"""

from collections.abc import Iterator
from dataclasses import dataclass

from sidecar.errors import InvalidValueError

MAX_VALUES = 1_000_000
"""Separated by commas. They take 0.1 s and 60 MB; 8 MiB have room for four times as many."""
MAX_NODES = 200_000
"""Lists, objects and their fields, which take ten times as much; 2,048 texts as objects have room for 97 each."""
SLICE_BYTES = 64 * 1024
"""Looked through at a time: a millisecond, and between two other threads may run."""


def check_size(text: bytes) -> None:
    """Refuse what holds too many values.

    Raises:
        InvalidValueError: more values, or more lists and objects, than the limits.
    """
    if not _Count().with_piece(text).is_too_large:
        return  # nearly always: what the strings hold is counted, too
    count = _Count()
    for piece in _outside_strings(text):
        count = count.with_piece(piece)
        if count.is_too_large:
            raise InvalidValueError(
                f"the body holds more than {MAX_VALUES} values, or more than {MAX_NODES} lists, objects and fields, "
                "which are the limits"
            )


@dataclass(frozen=True, slots=True)
class _Count:
    values: int = 0
    nodes: int = 0

    def with_piece(self, piece: bytes) -> "_Count":
        nodes = piece.count(b"[") + piece.count(b"{") + piece.count(b":")
        return _Count(self.values + piece.count(b","), self.nodes + nodes)

    @property
    def is_too_large(self) -> bool:
        return self.values > MAX_VALUES or self.nodes > MAX_NODES


def _outside_strings(text: bytes) -> Iterator[bytes]:
    """Yield what lies between the strings, some at a time."""
    plain = text.replace(b"\\\\", b"").replace(b'\\"', b"")  # no quote that is left is part of a string
    in_string = 0
    for at in range(0, len(plain), SLICE_BYTES):
        pieces = plain[at : at + SLICE_BYTES].split(b'"')
        yield b"".join(pieces[in_string::2])
        in_string = (in_string + len(pieces) - 1) % 2
