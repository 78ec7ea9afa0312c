"""Open connections, and which of them are idle, so that one can be closed when there are too many.

A closed connection is forgotten with its transport, which is only referenced weakly here.
"""

import asyncio
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from weakref import WeakKeyDictionary, WeakSet


class Connections:
    """Keeps the idle connections in the order in which they became idle."""

    def __init__(self) -> None:
        self._idle: WeakKeyDictionary[asyncio.BaseTransport, float] = WeakKeyDictionary()
        """Since when each is idle, by the monotonic clock."""
        self._busy: WeakSet[asyncio.BaseTransport] = WeakSet()
        self._opened: WeakKeyDictionary[asyncio.BaseTransport, float] = WeakKeyDictionary()
        """Since when each is open, in the order in which they came."""
        self.shed = 0
        """Idle connections that were closed to make room for others."""

    @property
    def open(self) -> int:
        """Count the open connections; may be called from another thread."""
        return sum(not one.is_closing() for one in [*self._idle, *self._busy])

    def opened(self, transport: asyncio.BaseTransport) -> None:
        """Called for a new connection, which has sent no request yet."""
        self._idle[transport] = self._opened[transport] = time.monotonic()

    @contextmanager
    def working(self, transport: asyncio.BaseTransport | None) -> Iterator[None]:
        """Count a connection as busy during the block; it may already be lost."""
        if transport is None:
            yield
            return
        self._idle.pop(transport, None)
        self._busy.add(transport)
        try:
            yield
        finally:
            self.rests(transport)

    def rests(self, transport: asyncio.BaseTransport) -> None:
        """Count a connection as idle from now on: only its caller can still hold it up."""
        self._busy.discard(transport)
        self._idle.pop(transport, None)  # it comes last
        if not transport.is_closing():
            self._idle[transport] = time.monotonic()

    def longest_idle(self, spared_s: float) -> asyncio.BaseTransport | None:
        """Return the connection that has been idle for longest, if that is as long as one is spared."""
        return _first(self._idle, spared_s)

    def longest_open(self, spared_s: float) -> asyncio.BaseTransport | None:
        """Return the connection that has been open for longest, at work or not, if that is as long as one is spared."""
        return _first(self._opened, spared_s)


def _first(since: Mapping[asyncio.BaseTransport, float], spared_s: float) -> asyncio.BaseTransport | None:
    oldest = next(((one, since_s) for one, since_s in since.items() if not one.is_closing()), None)
    return oldest[0] if oldest and time.monotonic() - oldest[1] >= spared_s else None
