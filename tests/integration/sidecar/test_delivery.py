"""Answers of some size on a real socket: who reads slowly gets all of it, and nothing follows one that is given up."""

import asyncio
import contextlib
import logging
import socket
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

import aiohttp
import pytest
from aiohttp import web

from sidecar.api import deliver
from sidecar.api.app_keys import CONNECTIONS, METRICS
from sidecar.api.connections import Connections
from sidecar.api.middleware import identify
from sidecar.telemetry import Metrics
from tests.conftest import until

BODY = bytes(12_000_000)
STALL_S = 1.0


@asynccontextmanager
async def asking(
    aiohttp_server, answer: Callable[[web.Request], Awaitable[web.StreamResponse]]
) -> AsyncIterator[tuple[socket.socket, web.Server]]:
    """Ask a server that answers so; give the socket, whose buffer is small, and the server."""
    app = web.Application()
    app.router.add_get("/", answer)
    server = await aiohttp_server(app)
    loop = asyncio.get_running_loop()
    with socket.socket() as caller:
        caller.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 65536)
        caller.setblocking(False)
        await loop.sock_connect(caller, (str(server.host), server.port))
        await loop.sock_sendall(caller, b"GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n")
        yield caller, server.runner.server


async def test_a_caller_that_goes_on_reading_gets_its_answer_however_long_it_takes(aiohttp_server):
    async def answer(request: web.Request) -> web.StreamResponse:
        return await deliver.deliver(request, BODY, "application/octet-stream", STALL_S)

    loop = asyncio.get_running_loop()
    async with asking(aiohttp_server, answer) as (caller, _):
        taken, started_s = 0, loop.time()
        while more := await loop.sock_recv(caller, 100_000):
            taken += len(more)
            # Four million bytes a second, so that all of it takes three times as long as it may stand still.
            await asyncio.sleep(max(0, taken / 4e6 - (loop.time() - started_s)))
    assert taken > len(BODY)


async def test_an_answer_that_is_given_up_half_way_is_followed_by_nothing(aiohttp_server):
    """The service may be stopped meanwhile; its error would be read as a part of the answer."""

    async def answer(request: web.Request) -> web.StreamResponse:
        try:
            async with asyncio.timeout(0.3):
                return await deliver.deliver(request, BODY, "application/octet-stream", 60)
        except TimeoutError:
            return web.Response(status=503, text="the service is shutting down")

    async with asking(aiohttp_server, answer) as (caller, server):
        await until(lambda: server.connections)
        await until(lambda: not server.connections)
        taken = b""
        with contextlib.suppress(ConnectionResetError):
            while more := await asyncio.get_running_loop().sock_recv(caller, 1 << 20):
                taken += more
    assert taken.startswith(b"HTTP/1.1 200 ")
    assert b"503" not in taken
    assert len(taken) < len(BODY)


async def test_a_caller_that_leaves_while_its_answer_is_written_is_no_error_of_ours(aiohttp_client, caplog):
    async def write_to_one_that_has_left(_: web.Request) -> web.StreamResponse:
        raise ConnectionResetError("Cannot write to closing transport")

    app = web.Application(middlewares=[identify])
    app[METRICS], app[CONNECTIONS] = Metrics(), Connections()
    app.router.add_get("/", write_to_one_that_has_left)
    client = await aiohttp_client(app)

    with pytest.raises(aiohttp.ClientError):
        await client.get("/")

    assert [one for one in caplog.records if one.levelno >= logging.WARNING] == []
    counted = app[METRICS].registry.get_sample_value(
        "ocr_http_requests_total", {"route": "/", "method": "GET", "status": "499"}
    )
    assert counted == 1
