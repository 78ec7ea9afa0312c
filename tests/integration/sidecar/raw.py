"""Requests as bytes on a socket: what no client library would send."""

import asyncio
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager, suppress

KEY = "k" * 40
FORM = {"Content-Type": "multipart/form-data; boundary=x"}
CRUMB = b"1\r\nx\r\n"
"""A chunk of one byte."""


def head(method: str, path: str, headers: dict[str, str]) -> bytes:
    lines = [f"{method} {path} HTTP/1.1", "Host: a", *(f"{name}: {value}" for name, value in headers.items())]
    return "\r\n".join([*lines, "", ""]).encode()


@asynccontextmanager
async def connected(url: str) -> AsyncIterator[tuple[asyncio.StreamReader, asyncio.StreamWriter]]:
    host, port = url.removeprefix("http://").split(":")
    reader, writer = await asyncio.open_connection(host, int(port))
    try:
        yield reader, writer
    finally:
        writer.transport.abort()


async def ask(url: str, sent: bytes | Iterable[bytes], seconds: float = 10.0) -> bytes:
    """Send, however little is taken, while the answer is read to its end; give all of it."""
    async with connected(url) as (reader, writer), asyncio.timeout(seconds):
        sending = asyncio.create_task(_send(writer, [sent] if isinstance(sent, bytes) else sent))
        try:
            return await reader.read()
        finally:
            sending.cancel()


async def _send(writer: asyncio.StreamWriter, pieces: Iterable[bytes]) -> None:
    with suppress(ConnectionError):
        for piece in pieces:
            writer.write(piece)
            await writer.drain()


def status_of(answer: bytes) -> int:
    return int(answer.split(b" ", 2)[1]) if answer else 0
