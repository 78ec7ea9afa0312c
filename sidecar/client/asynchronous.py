"""The client for programs that use asyncio; ``Client`` is the same for all others."""

import asyncio
import json
from collections.abc import AsyncGenerator, Callable, Sequence
from contextlib import aclosing
from http import HTTPStatus
from types import TracebackType
from typing import Self, TypeVar, Unpack
from urllib.parse import quote

import aiohttp
from pydantic import BaseModel

from sidecar.client import answers
from sidecar.client.answers import (
    Document,
    Embeddings,
    Event,
    Health,
    Models,
    NotOursError,
    Provenance,
    Ranking,
    Summary,
    WrittenDocument,
)
from sidecar.client.exchange import CONNECT_S, Exchange, Request
from sidecar.client.failures import BadAnswerError
from sidecar.client.fields import JSON, ReadFields, render_fields, render_json_fields
from sidecar.client.upload import Source, open_upload

TIMEOUT_S = 3600.0
"""A report of 500 scanned pages on two cores takes half of it."""
PATIENCE_S = 120.0
JSON_HEADERS = (("Content-Type", "application/json"),)
STREAM_HEADERS = (("Accept", "application/x-ndjson"),)

A = TypeVar("A", bound=BaseModel)
P = TypeVar("P")


class AsyncClient:
    """Calls one service.

    Args:
        url: where it is, such as ``http://127.0.0.1:8765``; the path of a proxy may follow.
        api_key: the service's key, or None where it wants none.
        timeout_s: how long a call may take altogether, with all its waiting; None: for ever. Each call may have
            a ``timeout_s`` of its own.
        patience_s: how long a call waits altogether for a busy service (429 and 503 that say when to come back);
            what would take longer is the caller's error at once. 0: never ask twice.
        connector: another way to connect than TCP, such as ``aiohttp.UnixConnector``; it is closed with the client.

    Use it as ``async with``, or close it. One client serves any number of calls at a time, of one event loop.
    """

    def __init__(
        self,
        url: str,
        api_key: str | None = None,
        *,
        timeout_s: float | None = TIMEOUT_S,
        patience_s: float = PATIENCE_S,
        connector: aiohttp.BaseConnector | None = None,
    ) -> None:
        self.url = url.rstrip("/")
        self._headers = {"X-API-Key": _check_key(api_key)} if api_key else {}
        self._timeout_s = timeout_s
        self._patience_s = patience_s
        self._connector = connector
        self._session: aiohttp.ClientSession | None = None
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
        """Close all connections; calls in flight fail, and further ones are a ``RuntimeError``."""
        self._is_closed = True
        if self._session is not None:
            await self._session.close()

    async def read(self, document: Source, *, timeout_s: float | None = None, **fields: Unpack[ReadFields]) -> Document:
        """Read a document: a path, its bytes, or a file that is open for reading bytes, which stays open.

        Raises:
            ServiceError: the service refused it, or could not read one page of it.
            ClientError: another of its kinds.
            OSError: the file cannot be read.
            TypeError: a field that does not exist.
        """
        form = render_json_fields(fields)
        async with open_upload(document) as upload:
            with upload.failing():
                return await self._ask(
                    Document, Request("POST", "/ocr-upload", lambda: upload.form(form)), self._deadline_s(timeout_s)
                )

    async def read_as(
        self, document: Source, *, timeout_s: float | None = None, **fields: Unpack[ReadFields]
    ) -> WrittenDocument:
        """Read a document, and get it in another format than JSON: the one that ``output`` names.

        Raises:
            ServiceError, ClientError, OSError: as :meth:`read`.
            TypeError: a field that does not exist, or no ``output``.
        """
        form = render_fields(fields)
        if form.get("output", JSON) == JSON:
            raise TypeError("read_as needs an output that is not json")
        async with open_upload(document) as upload:
            with upload.failing():
                request = Request("POST", "/ocr-upload", lambda: upload.form(form))
                content, headers = await self._exchange().file(request, self._deadline_s(timeout_s))
        return answers.written_document(content, headers)

    def stream(
        self, document: Source, *, timeout_s: float | None = None, **fields: Unpack[ReadFields]
    ) -> AsyncGenerator[Event, None]:
        """Read a document page by page: yields one ``Opened``, then each ``Page`` as it is read, then the ``Summary``.

        Whoever leaves the loop early closes the generator (``contextlib.aclosing``); the service then stops reading.

        Raises:
            ServiceError: as :meth:`read`; after the first page, too.
            ClientError, OSError, TypeError: as :meth:`read`.
        """
        return self._stream(document, render_json_fields(fields), timeout_s)

    async def embed(
        self, texts: Sequence[str], *, model: str | None = None, truncate: bool = True, timeout_s: float | None = None
    ) -> Embeddings:
        """Embed texts; a text that is too long is cut, or refused with ``truncate`` false.

        Raises:
            ClientError: any of its kinds.
            TypeError: one text instead of a sequence of them.
        """
        body = {"texts": _check_texts(texts), "truncate": truncate} | ({"model": model} if model else {})
        return await self._ask(Embeddings, _post("/embed", body), self._deadline_s(timeout_s))

    async def rerank(  # noqa: PLR0913 - each is a field of the request
        self,
        query: str,
        texts: Sequence[str],
        *,
        top_n: int | None = None,
        model: str | None = None,
        truncate: bool = True,
        timeout_s: float | None = None,
    ) -> Ranking:
        """Rank texts by how well they answer a query; ``top_n`` limits the ranking, and all have a score.

        Raises:
            ClientError: any of its kinds.
            TypeError: one text instead of a sequence of them.
        """
        body = {"query": query, "chunks": _check_texts(texts), "topN": top_n, "model": model, "truncate": truncate}
        return await self._ask(Ranking, _post("/rerank", body), self._deadline_s(timeout_s))

    async def health(self, *, timeout_s: float | None = None) -> Health:
        """Return what the service says of itself; no key is needed, and being unwell is an answer.

        Raises:
            ClientError: it says nothing.
        """
        request = Request("GET", "/health", accepted=(HTTPStatus.OK, HTTPStatus.SERVICE_UNAVAILABLE))
        return await self._ask(Health, request, self._deadline_s(timeout_s))

    async def provenance(self, profile: str | None = None, *, timeout_s: float | None = None) -> Provenance:
        """Return how a page would be read now, with this profile or the default one.

        Raises:
            ClientError: any of its kinds.
        """
        path = f"/provenance?profile={quote(profile, safe='')}" if profile else "/provenance"
        return await self._ask(Provenance, Request("GET", path), self._deadline_s(timeout_s))

    async def models(self, *, timeout_s: float | None = None) -> list[str]:
        """Return the names of the models of embed and rerank that there are.

        Raises:
            ClientError: any of its kinds.
        """
        found = await self._ask(Models, Request("GET", "/v1/models"), self._deadline_s(timeout_s))
        return [model.id for model in found.data]

    async def _stream(
        self, document: Source, form: dict[str, str], timeout_s: float | None
    ) -> AsyncGenerator[Event, None]:
        deadline_s = self._deadline_s(timeout_s)
        async with open_upload(document) as upload:
            request = Request("POST", "/ocr-upload", lambda: upload.form(form), STREAM_HEADERS)
            async with aclosing(self._exchange().lines(request, deadline_s)) as lines:
                with upload.failing():
                    async for line in lines:
                        event = self._parsed(answers.parse_line, line)
                        if event is not None:
                            yield event
                        if isinstance(event, Summary):
                            return
                raise BadAnswerError(f"the answer of {self.url} is incomplete")

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
            RuntimeError: the client is closed.
        """
        if self._is_closed:
            raise RuntimeError("the client is closed")
        if self._session is None:
            self._session = aiohttp.ClientSession(
                connector=self._connector,
                timeout=aiohttp.ClientTimeout(total=None, sock_connect=CONNECT_S),
                headers=self._headers,
            )
        return Exchange(self._session, self.url, self._patience_s)

    def _deadline_s(self, timeout_s: float | None) -> float | None:
        lasts_s = self._timeout_s if timeout_s is None else timeout_s
        return None if lasts_s is None else asyncio.get_running_loop().time() + lasts_s


def _post(path: str, body: object) -> Request:
    content = json.dumps(body, ensure_ascii=False).encode("utf-8", "surrogatepass")
    return Request("POST", path, lambda: content, JSON_HEADERS)


def _check_texts(texts: Sequence[str]) -> list[str]:
    if isinstance(texts, str):
        raise TypeError("texts are a sequence of texts, not one")
    return list(texts)


def _check_key(api_key: str) -> str:
    """Return a key that can stand in a header; an error does not repeat it."""
    key = api_key.strip()
    if not (key.isascii() and key.isprintable()):
        raise ValueError("an API key consists of printable ASCII characters")
    return key
