"""Open connections: which of them nobody works for now, so that one can be given up when there are too many.

A connection that is closed is forgotten with its transport, which nothing here keeps alive.
"""

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager
from weakref import WeakKeyDictionary, WeakSet


class Connections:
    """Knows the idle connections in the order in which they became so."""

    def __init__(self) -> None:
        self._idle: WeakKeyDictionary[asyncio.BaseTransport, None] = WeakKeyDictionary()
        self._busy: WeakSet[asyncio.BaseTransport] = WeakSet()
        self.shed = 0
        """Idle connections that were closed to make room for others."""

    @property
    def open(self) -> int:
        """Count the connections that are open; may be asked for by another thread."""
        return sum(not one.is_closing() for one in [*self._idle, *self._busy])

    def opened(self, transport: asyncio.BaseTransport) -> None:
        """Hear of a new connection, which has asked for nothing yet."""
        self._idle[transport] = None

    @contextmanager
    def working(self, transport: asyncio.BaseTransport | None) -> Iterator[None]:
        """Count a connection as busy for as long as the block; it may have been lost before."""
        if transport is None:
            yield
            return
        self._idle.pop(transport, None)
        self._busy.add(transport)
        try:
            yield
        finally:
            self._busy.discard(transport)
            if not transport.is_closing():
                self._idle[transport] = None

    def longest_idle(self) -> asyncio.BaseTransport | None:
        """Find the connection that has been idle for longest."""
        return next((one for one in self._idle if not one.is_closing()), None)
