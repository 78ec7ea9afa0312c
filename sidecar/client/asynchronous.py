"""The client for programs that use asyncio; ``Client`` is the same for all others."""

from collections.abc import AsyncGenerator, Sequence
from contextlib import aclosing
from http import HTTPStatus
from typing import Unpack
from urllib.parse import quote

from sidecar.client import answers
from sidecar.client.answers import (
    Document,
    Embeddings,
    Event,
    Health,
    Models,
    Provenance,
    Ranking,
    Summary,
    WrittenDocument,
)
from sidecar.client.caller import STREAM_HEADERS, post
from sidecar.client.exchange import Request
from sidecar.client.failures import BadAnswerError, ServiceError
from sidecar.client.fields import ReadFields, render_json_fields, render_other_fields
from sidecar.client.job_calls import JobCalls
from sidecar.client.upload import Source, open_upload

RERANK_NAMES = {"chunks": "texts", "topN": "top_n"}
"""What the arguments are that the service calls so."""


class AsyncClient(JobCalls):
    """Calls one service.

    Args:
        url: where it is, such as ``http://127.0.0.1:8765``; the path of a proxy may follow. What is none is a
            ``ValueError``, and so is a key that cannot be sent.
        api_key: the service's key, or None where it wants none.
        timeout_s: how long a call may take altogether, with all its waiting; None: for ever. Each call may have
            a ``timeout_s`` of its own.
        patience_s: how long a call waits altogether for a busy service (429 and 503 that say when to come back);
            what would take longer is the caller's error at once. 0: never ask twice.
        connector: another way to connect than TCP, such as ``aiohttp.UnixConnector``; it is closed with the client.

    Use it as ``async with``, or close it. One client serves any number of calls at a time, of one event loop.
    """

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
        form = render_other_fields(fields)
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
        return await self._ask(Embeddings, post("/embed", body), self._deadline_s(timeout_s))

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
        try:
            return await self._ask(Ranking, post("/rerank", body), self._deadline_s(timeout_s))
        except ServiceError as error:
            raise error.named(RERANK_NAMES) from error.__cause__

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


def _check_texts(texts: Sequence[str]) -> list[str]:
    if isinstance(texts, str):
        raise TypeError("texts are a sequence of texts, not one")
    return list(texts)
