"""A lean HTTP client: requests are encoded before the clock starts, so that the cores are free for what is measured."""

import asyncio
import functools
import time
from collections.abc import AsyncIterator, Iterable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Self

from bench.harness.service import HOST, ROOT

DATA = ROOT / "tests" / "data"
BOUNDARY = "bench-boundary-3f1c9a"
GET_HEALTH = f"GET /health HTTP/1.1\r\nHost: {HOST}\r\n\r\n".encode()


@dataclass(frozen=True, slots=True)
class Reply:
    """One answer; the latency runs from the request's first byte to the answer's last."""

    status: int
    latency_s: float
    body: bytes


class Connection:
    """One connection that stays open from request to request."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader = reader
        self._writer = writer

    @classmethod
    @asynccontextmanager
    async def open(cls, port: int) -> AsyncIterator[Self]:
        """Connect during the block."""
        reader, writer = await asyncio.open_connection(HOST, port)
        try:
            yield cls(reader, writer)
        finally:
            writer.close()

    async def ask(self, request: bytes) -> Reply:
        """Send one request and wait for its answer."""
        started = time.perf_counter()
        self._writer.write(request)
        await self._writer.drain()
        head = await self._reader.readuntil(b"\r\n\r\n")
        length = _content_length(head)
        body = await (self._chunked() if length is None else self._reader.readexactly(length))
        return Reply(_status(head), time.perf_counter() - started, body)

    async def _chunked(self) -> bytes:
        parts: list[bytes] = []
        while size := int(await self._reader.readline(), 16):
            parts.append(await self._reader.readexactly(size))
            await self._reader.readline()
        await self._reader.readline()
        return b"".join(parts)


def _status(head: bytes) -> int:
    return int(head.split(b" ", 2)[1])


def _content_length(head: bytes) -> int | None:
    told = head.lower().partition(b"content-length:")[2].partition(b"\r\n")[0]
    return int(told) if told else None


@functools.cache
def upload(name: str, **fields: str) -> bytes:
    """Encode the upload of one of the tests' documents: a whole request."""
    body = form("file", (DATA / name).read_bytes(), fields)
    head = (
        f"POST /ocr-upload HTTP/1.1\r\nHost: {HOST}\r\n"
        f"Content-Type: multipart/form-data; boundary={BOUNDARY}\r\nContent-Length: {len(body)}\r\n\r\n"
    )
    return head.encode() + body


def form(file_field: str, content: bytes, fields: Mapping[str, str]) -> bytes:
    """Encode a form with a file."""
    parts = [*(_part(f'name="{field}"', value.encode()) for field, value in fields.items())]
    parts.append(_part(f'name="{file_field}"; filename="document"', content))
    return b"".join(parts) + f"--{BOUNDARY}--\r\n".encode()


def _part(disposition: str, content: bytes) -> bytes:
    return f"--{BOUNDARY}\r\nContent-Disposition: form-data; {disposition}\r\n\r\n".encode() + content + b"\r\n"


async def send(port: int, requests: Iterable[bytes], connections: int) -> list[Reply]:
    """Send requests over this many connections at once, each sending its next after its answer; replies in order.

    Raises:
        RuntimeError: an answer was not 200, so no rate would be valid.
    """
    numbered = enumerate(requests)
    replies: dict[int, Reply] = {}

    async def one_connection() -> None:
        async with Connection.open(port) as connection:
            for number, request in numbered:
                replies[number] = _successful(await connection.ask(request))

    async with asyncio.TaskGroup() as tasks:
        for _ in range(connections):
            tasks.create_task(one_connection())
    return [replies[number] for number in sorted(replies)]


def _successful(reply: Reply) -> Reply:
    if reply.status != 200:
        raise RuntimeError(f"the service answered {reply.status}: {reply.body[:300].decode(errors='replace')}")
    return reply


def seconds_for(port: int, requests: Iterable[bytes], connections: int) -> float:
    """Send requests as :func:`send` does; return the seconds until the last answer."""
    started = time.perf_counter()
    asyncio.run(send(port, requests, connections))
    return time.perf_counter() - started
