"""Answers of some size on a real socket: who reads slowly gets all of it."""

import asyncio
import contextlib
import socket

from aiohttp import web

from sidecar import delivery
from tests.conftest import until

BODY = bytes(12_000_000)
STALL_S = 1.0


async def test_a_caller_that_goes_on_reading_gets_its_answer_however_long_it_takes(aiohttp_server):
    async def answer(request: web.Request) -> web.StreamResponse:
        return await delivery.deliver(request, BODY, "application/octet-stream", STALL_S)

    app = web.Application()
    app.router.add_get("/", answer)
    server = await aiohttp_server(app)
    loop = asyncio.get_running_loop()
    with socket.socket() as slow:
        slow.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 65536)
        slow.setblocking(False)
        await loop.sock_connect(slow, (str(server.host), server.port))
        await loop.sock_sendall(slow, b"GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n")
        taken, started_s = 0, loop.time()
        while more := await loop.sock_recv(slow, 100_000):
            taken += len(more)
            # Four million bytes a second, so that all of it takes three times as long as it may stand still.
            await asyncio.sleep(max(0, taken / 4e6 - (loop.time() - started_s)))
    assert taken > len(BODY)


async def test_an_answer_that_is_given_up_half_way_is_followed_by_nothing(aiohttp_server):
    """The service may be stopped meanwhile; its error would be read as a part of the answer."""

    async def answer(request: web.Request) -> web.StreamResponse:
        try:
            async with asyncio.timeout(0.3):
                return await delivery.deliver(request, BODY, "application/octet-stream", 60)
        except TimeoutError:
            return web.Response(status=503, text="the service is shutting down")

    app = web.Application()
    app.router.add_get("/", answer)
    server = await aiohttp_server(app)
    loop = asyncio.get_running_loop()
    with socket.socket() as slow:
        slow.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 65536)
        slow.setblocking(False)
        await loop.sock_connect(slow, (str(server.host), server.port))
        await loop.sock_sendall(slow, b"GET / HTTP/1.1\r\nHost: a\r\n\r\n")
        await until(lambda: server.runner.server.connections)
        await until(lambda: not server.runner.server.connections)
        taken = b""
        with contextlib.suppress(ConnectionResetError):
            while more := await loop.sock_recv(slow, 1 << 20):
                taken += more
    assert taken.startswith(b"HTTP/1.1 200 ")
    assert b"503" not in taken
    assert len(taken) < len(BODY)
