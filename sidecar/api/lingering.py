"""Discards, for a limited time, what a caller still sends after its answer, so that the answer arrives.

A connection that is closed with bytes unread is reset, and the reset may overtake the answer (RFC 9112 section 9.6).
"""

import asyncio
import contextlib
import socket
import time

LINGER_S = 5.0
"""How long a caller may keep sending, in seconds: 50 MB take four seconds at 100 Mbit/s."""


class Lingering:
    """Holds the sockets of finished connections on which data still arrives."""

    def __init__(self) -> None:
        self._since: dict[asyncio.Transport, float] = {}
        """Since when data is discarded on each, by the monotonic clock; in the order in which they began."""

    @property
    def count(self) -> int:
        """Count those that are open."""
        return len(self._since)

    def longest(self, spared_s: float) -> asyncio.Transport | None:
        """Return the connection that has lingered for longest, if that is as long as one is spared."""
        oldest = next(((one, since_s) for one, since_s in self._since.items() if not one.is_closing()), None)
        return oldest[0] if oldest and time.monotonic() - oldest[1] >= spared_s else None

    def began(self, transport: asyncio.Transport) -> None:
        """Called when data begins to be discarded."""
        self._since[transport] = time.monotonic()

    def ended(self, transport: asyncio.Transport) -> None:
        """Called when a connection is closed."""
        self._since.pop(transport, None)

    async def linger(self, transport: asyncio.BaseTransport) -> None:
        """Take over the socket of a connection whose answer is sent; its owner may then close its own.

        What arrives is discarded. It ends when the caller closes, or when the time is up.
        """
        connection: socket.socket | None = transport.get_extra_info("socket")
        if connection is None:
            return
        with contextlib.suppress(OSError):  # the caller has disconnected, or no descriptor is left: then it is closed
            own = socket.socket(fileno=socket.dup(connection.fileno()))
            try:
                own.setblocking(False)
                own.shutdown(socket.SHUT_WR)
                await asyncio.get_running_loop().connect_accepted_socket(lambda: _Discard(self), own)
            except BaseException:
                own.close()
                raise


class _Discard(asyncio.Protocol):
    def __init__(self, lingering: Lingering) -> None:
        self._lingering = lingering
        self._transport: asyncio.Transport | None = None
        self._end: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport
        self._lingering.began(transport)
        self._end = asyncio.get_running_loop().call_later(LINGER_S, transport.abort)

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002 - asyncio's
        if self._transport:
            self._lingering.ended(self._transport)
        if self._end:
            self._end.cancel()
