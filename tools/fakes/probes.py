"""Probes of connectivity: servers in pods that send their pod's name, and callers that check who has answered."""

import asyncio
import socket
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from typing import cast

from tools.fakes.network import Pod

REFUSED_S = 0.7
"""How long a caller waits. On this machine's own wires an answer takes a millisecond; a SYN that is lost costs 1 s."""
TCP, UDP = socket.SOCK_STREAM, socket.SOCK_DGRAM
V4, V6 = socket.AF_INET, socket.AF_INET6
FAMILIES = {V4: "v4", V6: "v6"}


@dataclass(frozen=True, slots=True)
class Door:
    """A port of a pod."""

    pod: Pod
    port: int
    kind: int = TCP
    family: int = V4

    @property
    def address(self) -> tuple[str, int]:
        return str(self.pod.v4 if self.family == V4 else self.pod.v6), self.port


@asynccontextmanager
async def answering(*doors: Door) -> AsyncIterator[None]:
    """Answer at each of these doors with the pod's name, until the block ends."""
    open_doors = [await _open(door) for door in doors]
    try:
        yield
    finally:
        for close in open_doors:
            await close()


async def answer(caller: Pod, door: Door, deadline_s: float) -> str | None:
    """Connect to a door; return its answer, None if none arrives in time or the connection is refused."""
    made = caller.open_socket(door.family, door.kind)
    loop = asyncio.get_running_loop()
    with made, suppress(OSError, TimeoutError):
        async with asyncio.timeout(deadline_s):
            await loop.sock_connect(made, door.address)
            await loop.sock_sendall(made, b"who?")
            return (await loop.sock_recv(made, 100)).decode()
    return None


async def _open(door: Door) -> Callable[[], Awaitable[None]]:
    made = door.pod.listen(door.port, door.family, door.kind)
    loop = asyncio.get_running_loop()
    name = door.pod.name.encode()
    if door.kind == UDP:
        transport, _ = await loop.create_datagram_endpoint(lambda: _Echo(name), sock=made)

        async def close_datagram() -> None:
            transport.close()

        return close_datagram

    async def greet(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with suppress(OSError):
            await reader.read(100)
            writer.write(name)
            await writer.drain()
        writer.close()

    server = await asyncio.start_server(greet, sock=made, backlog=1024)

    async def close_server() -> None:
        server.close()
        await server.wait_closed()

    return close_server


class _Echo(asyncio.DatagramProtocol):
    def __init__(self, name: bytes) -> None:
        self._name = name

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.DatagramTransport, transport)

    def datagram_received(self, _: bytes, addr: tuple[str, int]) -> None:
        self._transport.sendto(self._name, addr)
