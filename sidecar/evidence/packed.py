"""What was found on pages, packed: a word and its place take 600 bytes as objects, and documents have a million. Pure.

Only this service's own workers pack what is opened here.
"""

import pickle
import zlib
from collections.abc import Iterable, Sequence
from typing import Any, Generic, Protocol, TypeVar, overload

from sidecar.evidence.page import Page

T = TypeVar("T")

WORTH_BYTES = 16 * 1024
"""What is smaller stays as it is: a text layer's page takes 5 kB, and compressing it as long as writing it twice."""
FAST = 1
"""The level of zlib that costs least: a page of 500 words takes 3 ms, and a tenth of its size."""


_PICKLE = b"\x80"
"""How a pickle begins, and nothing that zlib compressed."""


class Packed(Generic[T]):
    """A value that is small until it is unpacked, each time anew. It travels between processes as it is."""

    __slots__ = ("packed",)

    def __init__(self, value: T) -> None:
        packed = pickle.dumps(value, pickle.HIGHEST_PROTOCOL)
        self.packed = packed if len(packed) < WORTH_BYTES else zlib.compress(packed, FAST)

    @classmethod
    def lazily(cls, value: T) -> "Packed[T]":
        """Return a value that is packed when it is sent to another process: few fit in memory as they are."""
        return _Unpacked(value)

    def unpack(self) -> T:
        """Return the value, with the time and the memory that it takes."""
        is_pickle = self.packed.startswith(_PICKLE)
        packed = self.packed if is_pickle else zlib.decompress(self.packed)
        value: T = pickle.loads(packed)  # noqa: S301 - our own workers wrote it
        return value

    @property
    def size_bytes(self) -> int:
        """How large it is while packed."""
        return len(self.packed)


class _Unpacked(Packed[T]):
    """A value as it is; another process gets it packed."""

    __slots__ = ("_value",)

    def __init__(self, value: T) -> None:
        self._value = value

    def unpack(self) -> T:
        return self._value

    @property
    def size_bytes(self) -> int:
        return Packed(self._value).size_bytes

    def __reduce__(self) -> tuple[object, ...]:
        return _arrived, (Packed(self._value).packed,)


def _arrived(packed: bytes) -> Packed[Any]:
    value = Packed.__new__(Packed)
    value.packed = packed
    return value


class Small(Protocol):
    """What becomes a page when it is asked for, and is small until then."""

    def unpack(self) -> Page:
        """Return the page, with the time and the memory that it takes."""


class PackedPages(Sequence[Page]):
    """Pages of which each is opened when it is asked for, and not kept: iterate once."""

    __slots__ = ("packed",)

    def __init__(self, packed: Iterable[Small]) -> None:
        self.packed = tuple(packed)

    def __len__(self) -> int:
        """Count the pages."""
        return len(self.packed)

    @overload
    def __getitem__(self, at: int) -> Page: ...

    @overload
    def __getitem__(self, at: slice) -> "PackedPages": ...

    def __getitem__(self, at: int | slice) -> "Page | PackedPages":
        """Open one page; a slice stays packed."""
        return PackedPages(self.packed[at]) if isinstance(at, slice) else self.packed[at].unpack()
