"""Requests to one service: sent, sent again while it is busy, their answers checked. Each wait has a deadline."""

import asyncio
import random
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Iterator, Mapping
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import aiohttp

from sidecar.client.failures import (
    BadAnswerError,
    BrokenAnswerError,
    ClientError,
    ServiceError,
    TimedOutError,
    UnreachableError,
    parse_error,
    printable,
)
from sidecar.client.lines import LineSplitter, LineTooLongError
from sidecar.client.retries import next_pause_s, parse_retry_after

CONNECT_S = 10.0
MAX_LINE_BYTES = 64 * 1024 * 1024
"""Longest line of a stream: the last one holds the text of the whole document."""
MAX_ANSWER_BYTES = 256 * 1024 * 1024
"""Largest answer: 2048 texts' vectors of 1024 numbers are 45 MB."""
MAX_FILE_BYTES = 1024 * 1024 * 1024
"""Largest document in another format: pictures may grow where PDF has not their compression."""
MAX_ERROR_BYTES = 64 * 1024
OK = 200
REDIRECTS = range(300, 400)
FIRST_ERROR = 400


@dataclass(frozen=True, slots=True)
class Request:
    """One request; ``make_body`` is called for each time that it is sent."""

    method: str
    path: str
    make_body: Callable[[], Any] = lambda: None
    headers: tuple[tuple[str, str], ...] = ()
    accepted: tuple[int, ...] = (OK,)
    """The statuses whose body is the answer."""


class ClosedError(RuntimeError):
    """The client was closed, before a call or during it."""

    def __init__(self) -> None:
        super().__init__("the client is closed")


class Exchange:
    """Sends requests to ``url``; ``session`` has the key, and is closed with it."""

    def __init__(self, session: aiohttp.ClientSession, url: str, patience_s: float) -> None:
        self._session = session
        self._url = url
        self._patience_s = patience_s
        self._waits: set[asyncio.Timeout] = set()
        self._is_closed = False

    async def close(self) -> None:
        """End what is waited for, by :class:`ClosedError`, and close all connections."""
        self._is_closed = True
        for wait in self._waits:
            if not wait.expired():
                wait.reschedule(0)
        await self._session.close()

    @asynccontextmanager
    async def answered(self, request: Request, deadline_s: float | None) -> AsyncIterator[aiohttp.ClientResponse]:
        """Send a request until it is answered, or it is no use; its answer is open during the block.

        Args:
            request: what to send.
            deadline_s: the loop's time at which nothing is waited for any more.

        Raises:
            ClientError: any of its kinds.
            ClosedError: the client is closed.
        """
        patience_s = self._patience_s
        while True:
            async with self._waiting(deadline_s):
                response = await self._send(request)
            async with response:
                if response.status in request.accepted:
                    yield response
                    return
                error = await self._error_of(response, deadline_s)
            chance = random.random()  # noqa: S311 - it spreads callers, and hides nothing
            pause_s = next_pause_s(error, min(patience_s, _left_s(deadline_s)), chance)
            if pause_s is None:
                raise error
            patience_s -= pause_s
            await self.pause(pause_s)

    async def pause(self, pause_s: float) -> None:
        """Wait before something is tried again.

        Raises:
            ClosedError: the client is closed.
        """
        async with self._waiting(None):
            await asyncio.sleep(pause_s)

    async def body(self, request: Request, deadline_s: float | None) -> bytes:
        """Send a request; return the body of its answer. As :meth:`answered`."""
        async with self.answered(request, deadline_s) as response:
            return await self._read(response, MAX_ANSWER_BYTES, deadline_s)

    async def file(self, request: Request, deadline_s: float | None) -> tuple[bytes, Mapping[str, str]]:
        """Send a request; return the body of its answer, which may be large, and its headers. As :meth:`answered`."""
        async with self.answered(request, deadline_s) as response:
            return await self._read(response, MAX_FILE_BYTES, deadline_s), response.headers

    async def lines(self, request: Request, deadline_s: float | None) -> AsyncGenerator[bytes, None]:
        """Send a request; yield the lines of its answer as they arrive. As :meth:`answered`."""
        splitter = LineSplitter(MAX_LINE_BYTES)
        async with self.answered(request, deadline_s) as response:
            while piece := await self._piece(response, deadline_s):
                for line in self._lines(splitter, piece):
                    yield line
        if splitter.rest:
            yield splitter.rest

    async def _piece(self, response: aiohttp.ClientResponse, deadline_s: float | None) -> bytes:
        async with self._waiting(deadline_s):
            return await response.content.readany()

    def _lines(self, splitter: LineSplitter, piece: bytes) -> list[bytes]:
        try:
            return splitter.feed(piece)
        except LineTooLongError as exc:
            raise BadAnswerError(f"a line of the answer of {self._url} is too long") from exc

    async def _send(self, request: Request) -> aiohttp.ClientResponse:
        return await self._session.request(
            request.method,
            f"{self._url}{request.path}",
            data=request.make_body(),
            headers=request.headers,
            allow_redirects=False,  # the key would be sent to wherever an answer points
        )

    async def _error_of(self, response: aiohttp.ClientResponse, deadline_s: float | None) -> ServiceError:
        """Return what an answer says that is no success.

        Raises:
            BadAnswerError: it is no error, either: a redirect, or another success than the one asked for.
        """
        if response.status in REDIRECTS:
            raise BadAnswerError(f"{self._url} redirects elsewhere, which is not followed")
        if response.status < FIRST_ERROR:
            raise BadAnswerError(f"what answers at {self._url} is no sidecar: its status is {response.status}")
        retry_after_s = parse_retry_after(response.headers.get("Retry-After"), datetime.now(UTC))
        try:
            body = await self._read(response, MAX_ERROR_BYTES, deadline_s)
        except BadAnswerError:
            body = b""  # the status says enough
        return parse_error(response.status, body, retry_after_s)

    async def _read(self, response: aiohttp.ClientResponse, max_bytes: int, deadline_s: float | None) -> bytes:
        body = bytearray()
        while piece := await self._piece(response, deadline_s):
            body += piece
            if len(body) > max_bytes:
                raise BadAnswerError(f"the answer of {self._url} is larger than {max_bytes} bytes")
        return bytes(body)

    @asynccontextmanager
    async def _waiting(self, deadline_s: float | None) -> AsyncIterator[None]:
        """Let the block wait until the deadline, or until the client is closed."""
        try:
            with self._translated():
                async with asyncio.timeout_at(deadline_s) as wait:
                    self._waits.add(wait)
                    try:
                        yield
                    finally:
                        self._waits.discard(wait)
        except ClientError as exc:
            if self._is_closed:
                raise ClosedError from exc
            raise

    @contextmanager
    def _translated(self) -> Iterator[None]:
        """Turn what aiohttp raises into our own exceptions."""
        try:
            yield
        except aiohttp.ClientPayloadError as exc:
            raise BrokenAnswerError(f"the answer of {self._url} breaks off") from exc
        except aiohttp.ClientResponseError as exc:
            raise BadAnswerError(f"the answer of {self._url} is no HTTP") from exc
        except aiohttp.ClientError as exc:
            why = printable(str(exc)) or type(exc).__name__
            raise UnreachableError(f"the service at {self._url} cannot be reached: {why}") from exc
        except TimeoutError as exc:
            raise TimedOutError(f"the service at {self._url} did not answer in the time that was given") from exc


def _left_s(deadline_s: float | None) -> float:
    return float("inf") if deadline_s is None else deadline_s - asyncio.get_running_loop().time()
