"""Hands an answer to a caller in bounded time: one that does not read it must not hold its memory for ever."""

import asyncio
from collections.abc import Awaitable, Iterator
from contextlib import contextmanager

from aiohttp import web

CANCELLED_WITHIN_S = 5.0
"""The server cancels a request at once when its connection is lost; it is not waited for any longer, in seconds."""
SLICE_BYTES = 256 * 1024
"""Written at a time: a caller that takes less than that in the time it has counts as one that takes nothing."""


async def in_time(request: web.Request, writing: Awaitable[None], stall_s: float) -> None:
    """Wait for a write; break the connection off where the caller takes nothing for so many seconds.

    A request whose connection is broken off is cancelled, as when its caller leaves.
    """
    try:
        async with asyncio.timeout(stall_s):
            await writing
    except TimeoutError as exc:
        _break_off(request)
        await asyncio.sleep(CANCELLED_WITHIN_S)
        raise ConnectionAbortedError(f"the caller read nothing for {stall_s:g} s") from exc


async def deliver(request: web.Request, body: bytes, content_type: str, stall_s: float) -> web.StreamResponse:
    """Write a whole answer, which may take as long as it likes while the caller goes on reading.

    An answer that is not written to its end breaks the connection off: nothing else can be said on it.
    """
    response = web.StreamResponse()
    response.content_type = content_type
    response.content_length = len(body)
    with _whole_or_none(request):
        await response.prepare(request)
        for first in range(0, len(body), SLICE_BYTES):
            await in_time(request, response.write(body[first : first + SLICE_BYTES]), stall_s)
        await in_time(request, response.write_eof(), stall_s)
    return response


async def finish(request: web.Request, response: web.StreamResponse, stall_s: float) -> None:
    """Write what a handler returned, unless it has written it itself.

    The connection ends with it where the request's body was not read: it is not worth parsing.
    """
    if not request.content.is_eof():
        response.force_close()
    with _whole_or_none(request):
        await response.prepare(request)
        await in_time(request, response.write_eof(), stall_s)


@contextmanager
def _whole_or_none(request: web.Request) -> Iterator[None]:
    try:
        yield
    except BaseException:
        _break_off(request)
        raise


def _break_off(request: web.Request) -> None:
    if request.transport:
        request.transport.abort()  # to close it would be to wait for what is not taken
