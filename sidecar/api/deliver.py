"""Sends an answer to a caller in bounded time: one that does not read it must not hold its memory forever."""

import asyncio
from collections.abc import Awaitable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass

from aiohttp import web

CANCELLED_WITHIN_S = 5.0
"""Longest wait, in seconds, for a request's cancellation: the server cancels it at once when its connection is lost."""
SLICE_BYTES = 256 * 1024
"""Bytes written at a time: a caller that accepts fewer within its time limit counts as one that accepts nothing."""
READ_BYTES_PER_S = 64 * 1024
"""Least pace, in bytes a second, at which a caller must read an answer, apart from a pause as long as its time limit.
The longest array of vectors, 25 MB, then stays in memory for nine minutes at most."""


async def in_time(request: web.Request, writing: Awaitable[None], stall_s: float) -> None:
    """Wait for a write; abort the connection if the caller accepts nothing for this many seconds.

    A request whose connection is aborted is cancelled, as when its caller disconnects.
    """
    try:
        async with asyncio.timeout(stall_s):
            await writing
    except TimeoutError as exc:
        _break_off(request)
        await asyncio.sleep(CANCELLED_WITHIN_S)
        raise ConnectionAbortedError("the caller reads nothing, or too slowly") from exc


def time_for_slice_s(written: int, taken_s: float, stall_s: float) -> float:
    """Return how long the next slice may take, in seconds, when so many bytes were written in so many seconds."""
    return max(0.0, min(stall_s, stall_s + written / READ_BYTES_PER_S - taken_s))


async def deliver(
    request: web.Request, body: bytes, content_type: str, stall_s: float, headers: Mapping[str, str] | None = None
) -> web.StreamResponse:
    """Write a whole answer, in as long as the caller may take for it at the least pace, and a pause of ``stall_s``.

    An answer that is not written completely aborts the connection: nothing else can be sent on it.
    """
    response = web.StreamResponse(headers=headers)
    response.content_type = content_type
    response.content_length = len(body)
    return await _write_all(request, response, [body], stall_s)


async def deliver_parts(
    request: web.Request, parts: Iterable[bytes], content_type: str, stall_s: float
) -> web.StreamResponse:
    """Write a whole answer as :func:`deliver` does, of parts that are made one after the other, as they are taken."""
    response = web.StreamResponse()
    response.content_type = content_type
    return await _write_all(request, response, parts, stall_s)


@dataclass(frozen=True, slots=True)
class File:
    """A whole answer that is no JSON: its parts, made as they are taken, and how many bytes they have together."""

    parts: Iterable[bytes]
    size_bytes: int
    content_type: str
    headers: Mapping[str, str]


async def deliver_file(request: web.Request, file: File, stall_s: float) -> web.StreamResponse:
    """Write a file as :func:`deliver` does; its parts are made by a thread, since they may come from a slow disk."""
    response = web.StreamResponse(headers=file.headers)
    response.content_type = file.content_type
    if file.content_type.startswith("text/"):
        response.charset = "utf-8"
    response.content_length = file.size_bytes
    return await _write_all(request, response, file.parts, stall_s, in_thread=True)


async def _write_all(
    request: web.Request,
    response: web.StreamResponse,
    parts: Iterable[bytes],
    stall_s: float,
    *,
    in_thread: bool = False,
) -> web.StreamResponse:
    loop, slices = asyncio.get_running_loop(), _slices(parts)
    with _whole_or_none(request):
        await response.prepare(request)
        began_s, written = loop.time(), 0
        # no turn of the loop after the last byte of a known length: its caller may close the connection then
        while written != response.content_length and (
            piece := await asyncio.to_thread(next, slices, b"") if in_thread else next(slices, b"")
        ):
            left_s = time_for_slice_s(written, loop.time() - began_s, stall_s)
            await in_time(request, response.write(piece), left_s)
            written += len(piece)
        await in_time(request, response.write_eof(), stall_s)
    return response


def _slices(parts: Iterable[bytes]) -> Iterator[bytes]:
    """Put small parts together, and cut large ones."""
    held = bytearray()
    for part in parts:
        held += part
        for first in range(0, len(held) - SLICE_BYTES + 1, SLICE_BYTES):
            yield bytes(held[first : first + SLICE_BYTES])
        del held[: len(held) // SLICE_BYTES * SLICE_BYTES]
    if held:
        yield bytes(held)


async def finish(request: web.Request, response: web.StreamResponse, stall_s: float) -> None:
    """Write what a handler returned, unless it has written it itself.

    It closes the connection if the request's body was not read: that is not worth parsing.
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
        request.transport.abort()  # close() would wait for the bytes that the caller does not read
