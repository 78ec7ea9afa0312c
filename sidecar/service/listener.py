"""Accepts connections for a server: never more than its limit, and at the end no accepted one is reset.

An event loop's own server accepts until the process has no descriptor left, and CPython 3.11's then spins and logs.
"""

import asyncio
import contextlib
import ctypes
import logging
import resource
import socket
import struct
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass

from aiohttp import web

from sidecar.api.connections import Connections
from sidecar.api.lingering import Lingering

log = logging.getLogger(__name__)

BACKLOG = 1024
"""Connections the kernel holds for us: a burst of callers waits instead of being refused."""
DESCRIPTORS_APART = 256
"""Descriptors that are not for connections: the ops port's, the workers', libraries', a copy's."""
DESCRIPTORS_EACH = 2
"""A connection and its document in the spool."""
POLL_S = 0.05
HANDSHAKE_S = 0.1
"""How long handshakes that have begun may take when the port closes, in seconds: a round trip inside a cluster."""
SO_ATTACH_FILTER = 26
NO_SYN = struct.pack("=" + "HBBI" * 4, 0x30, 0, 0, 13, 0x45, 0, 1, 0x02, 0x06, 0, 0, 0, 0x06, 0, 0, 0xFFFFFFFF)
"""A packet filter (classic BPF): load the flags of the TCP header; drop a packet with SYN, else take all of it."""
LOG_EVERY_S = 60.0


def raise_descriptors() -> None:
    """Raise the descriptor limit to the hard limit; the soft limit is for programs that use select()."""
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    with contextlib.suppress(ValueError, OSError):  # macOS reports infinity, and accepts less
        resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))


def affordable(wanted: int) -> int:
    """Limit a number of connections to what the process's descriptors allow."""
    soft, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft == resource.RLIM_INFINITY:
        return wanted
    return max(1, min(wanted, (soft - DESCRIPTORS_APART) // DESCRIPTORS_EACH))


@dataclass(frozen=True, slots=True)
class PortLimits:
    """How many connections a port may have, and how long, in seconds, one may wait for the head of a request.

    ``spared_s``: how long, in seconds, one may be idle before it can be closed for another; ``ends_work``: if none is
    idle, the one that has been open for longest is closed in the middle of its work.
    """

    max_connections: int
    head_s: float
    spared_s: float
    ends_work: bool = False


class Listener:
    """One port. Open it once, close it once; ``speak`` makes what talks on a connection, which ``server`` counts."""

    def __init__(
        self,
        server: web.Server,
        speak: Callable[[], asyncio.Protocol],
        connections: Connections,
        lingering: Lingering,
        limits: PortLimits,
    ) -> None:
        self._server = server
        self._speak = speak
        self._connections = connections
        self._lingering = lingering
        self._limits = limits
        self._sockets: list[socket.socket] = []
        self._accepting: list[asyncio.Task[None]] = []
        self._logged_at_s = -LOG_EVERY_S

    @property
    def open_connections(self) -> int:
        """Connections that hold a descriptor."""
        return len(self._server.connections) + self._lingering.count

    @property
    def address(self) -> tuple[str, int]:
        """Host and port of the first socket."""
        host, port = self._sockets[0].getsockname()[:2]
        return host, port

    async def open(self, host: str, port: int) -> None:
        """Begin to accept.

        Raises:
            OSError: the address cannot be bound.
        """
        found = await asyncio.get_running_loop().getaddrinfo(
            host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )
        for family, *_, address in dict.fromkeys(found):
            listening = socket.create_server(address, family=family, backlog=BACKLOG)
            listening.setblocking(False)
            self._sockets.append(listening)
        self._accepting = [asyncio.create_task(self._keep_accepting(one)) for one in self._sockets]

    async def close(self, handshake_s: float) -> None:
        """Accept the waiting connections, and those that come about within ``handshake_s``; then close the port."""
        for task in self._accepting:
            task.cancel()
        await asyncio.gather(*self._accepting, return_exceptions=True)
        for listening in self._sockets:
            _begin_no_more(listening)
        await asyncio.sleep(handshake_s)
        for listening in self._sockets:
            waiting = list(_waiting(listening, self._limits.max_connections))
            listening.close()  # directly after: a connection between the two would be reset
            for accepted in waiting:
                await self._serve(accepted)

    async def _keep_accepting(self, listening: socket.socket) -> None:
        while True:
            try:
                accepted, _ = await asyncio.get_running_loop().sock_accept(listening)
            except OSError:  # the caller has disconnected, or no descriptor is left: the others keep waiting
                await asyncio.sleep(POLL_S)
                continue
            try:
                await self._make_room()
            except asyncio.CancelledError:
                await self._serve(accepted)  # it has arrived, and the port closes
                raise
            await self._serve(accepted)

    async def _make_room(self) -> None:
        """Wait until there is room for one more; a connection that nobody needs any more is closed for it."""
        while self.open_connections >= self._limits.max_connections:
            self._log_full()
            expendable = self._expendable()
            if isinstance(expendable, asyncio.Transport):
                self._connections.shed += 1
                expendable.abort()
                return  # the count drops a moment later
            await asyncio.sleep(min(POLL_S, self._limits.spared_s))

    def _expendable(self) -> asyncio.BaseTransport | None:
        spared_s = self._limits.spared_s
        unused = self._lingering.longest(spared_s) or self._connections.longest_idle(spared_s)
        return unused or (self._connections.longest_open(spared_s) if self._limits.ends_work else None)

    async def _serve(self, accepted: socket.socket) -> None:
        accepted.setblocking(False)
        try:
            transport, _ = await asyncio.get_running_loop().connect_accepted_socket(self._speak, accepted)
        except OSError:
            accepted.close()
            return
        transport.set_write_buffer_limits(0)  # an answer is sent only once the kernel has all of it
        self._connections.opened(transport)

    def _log_full(self) -> None:
        now_s = time.monotonic()
        if now_s - self._logged_at_s >= LOG_EVERY_S:
            self._logged_at_s = now_s
            log.warning("as many connections as may be are open", extra={"connections": self.open_connections})


def _begin_no_more(listening: socket.socket) -> None:
    """Let no further connection begin: a caller that tries is told a second later that the port is closed.

    Between the last accept and the close another could come, which the close would reset. Elsewhere than on Linux one
    still can.
    """
    if sys.platform == "linux":
        program = ctypes.create_string_buffer(NO_SYN)
        with contextlib.suppress(OSError):
            listening.setsockopt(
                socket.SOL_SOCKET, SO_ATTACH_FILTER, struct.pack("HL", len(NO_SYN) // 8, ctypes.addressof(program))
            )


def _waiting(listening: socket.socket, most: int) -> "list[socket.socket]":
    """Accept the connections in the kernel's queue."""
    taken: list[socket.socket] = []
    with contextlib.suppress(OSError):  # none is left
        while len(taken) < most:
            taken.append(listening.accept()[0])
    return taken
