"""What every call of the client needs: the service's address, its key, the caller's time. It knows no route."""

import asyncio
import json
from collections.abc import Callable
from types import TracebackType
from typing import Self, TypeVar
from urllib.parse import urlsplit

import aiohttp
from pydantic import BaseModel

from sidecar.client import answers
from sidecar.client.answers import NotOursError
from sidecar.client.exchange import CONNECT_S, ClosedError, Exchange, Request
from sidecar.client.failures import BadAnswerError

TIMEOUT_S = 3600.0
"""A report of 500 scanned pages on two cores takes half of it."""
PATIENCE_S = 120.0
JSON_HEADERS = (("Content-Type", "application/json"),)
STREAM_HEADERS = (("Accept", "application/x-ndjson"),)

A = TypeVar("A", bound=BaseModel)
P = TypeVar("P")


class Caller:
    """Calls one service; see :class:`sidecar.client.AsyncClient`."""

    def __init__(
        self,
        url: str,
        api_key: str | None = None,
        *,
        timeout_s: float | None = TIMEOUT_S,
        patience_s: float = PATIENCE_S,
        connector: aiohttp.BaseConnector | None = None,
    ) -> None:
        self.url = _check_url(url.strip().rstrip("/"))
        self._headers = {"X-API-Key": _check_key(api_key)} if api_key else {}
        self._timeout_s = timeout_s
        self._patience_s = patience_s
        self._connector = connector
        self._exchanging: Exchange | None = None
        self._is_closed = False

    async def __aenter__(self) -> Self:
        """Return itself."""
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Close."""
        await self.close()

    async def close(self) -> None:
        """Close all connections; calls in flight, and further ones, are a ``RuntimeError`` at once."""
        self._is_closed = True
        if self._exchanging is not None:
            await self._exchanging.close()

    async def _ask(self, kind: type[A], request: Request, deadline_s: float | None) -> A:
        body = await self._exchange().body(request, deadline_s)
        return self._parsed(lambda whole: answers.parse(kind, whole), body)

    def _parsed(self, parse: Callable[[bytes], P], body: bytes) -> P:
        try:
            return parse(body)
        except NotOursError as exc:
            raise BadAnswerError(f"what answers at {self.url} is no sidecar") from exc

    def _exchange(self) -> Exchange:
        """Return what sends requests; connections belong to the event loop of the first call.

        Raises:
            ClosedError: the client is closed.
        """
        if self._is_closed:
            raise ClosedError
        if self._exchanging is None:
            session = aiohttp.ClientSession(
                connector=self._connector,
                timeout=aiohttp.ClientTimeout(total=None, sock_connect=CONNECT_S),
                headers=self._headers,
            )
            self._exchanging = Exchange(session, self.url, self._patience_s)
        return self._exchanging

    def _deadline_s(self, timeout_s: float | None) -> float | None:
        lasts_s = self._timeout_s if timeout_s is None else timeout_s
        return None if lasts_s is None else asyncio.get_running_loop().time() + lasts_s


def post(path: str, body: object) -> Request:
    """Return a request with a body of JSON."""
    content = json.dumps(body, ensure_ascii=False).encode("utf-8", "surrogatepass")
    return Request("POST", path, lambda: content, JSON_HEADERS)


def _check_url(url: str) -> str:
    """Return a URL that can be asked; an error does not repeat it: it may hold a password."""
    parts = urlsplit(url)
    try:
        is_server = parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0
    except ValueError:
        is_server = False
    if not is_server:
        raise ValueError("the URL of a service begins with http:// or https://, as in http://127.0.0.1:8765")
    return url


def _check_key(api_key: str) -> str:
    """Return a key that can stand in a header; an error does not repeat it."""
    key = api_key.strip()
    if not (key.isascii() and key.isprintable()):
        raise ValueError("an API key consists of printable ASCII characters")
    return key
