"""The client for programs without asyncio: :class:`AsyncClient`, whose calls are waited for."""

from collections.abc import AsyncGenerator, Generator, Sequence
from types import TracebackType
from typing import Self, TypeVar, Unpack

from sidecar.client.answers import Document, Embeddings, Event, Health, Provenance, Ranking, WrittenDocument
from sidecar.client.asynchronous import AsyncClient
from sidecar.client.caller import PATIENCE_S, TIMEOUT_S
from sidecar.client.fields import ReadFields
from sidecar.client.jobs import Job, JobList
from sidecar.client.loop_thread import LoopThread
from sidecar.client.upload import Source

T = TypeVar("T")


class Client:
    """Calls one service; arguments and exceptions are :class:`AsyncClient`'s. Threads may share it.

    Use it as ``with``, or close it.
    """

    def __init__(
        self,
        url: str,
        api_key: str | None = None,
        *,
        timeout_s: float | None = TIMEOUT_S,
        patience_s: float = PATIENCE_S,
    ) -> None:
        self._client = AsyncClient(url, api_key, timeout_s=timeout_s, patience_s=patience_s)
        self._loop = LoopThread()

    def __enter__(self) -> Self:
        """Return itself."""
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Close."""
        self.close()

    def close(self) -> None:
        """Close all connections, and end the thread that serves them.

        Calls of other threads that are in flight, and further ones, are a ``RuntimeError``.
        """
        self._loop.close(self._client.close)

    def read(self, document: Source, *, timeout_s: float | None = None, **fields: Unpack[ReadFields]) -> Document:
        """Read a document; see :meth:`AsyncClient.read`."""
        return self._loop.run(self._client.read(document, timeout_s=timeout_s, **fields))

    def read_as(
        self, document: Source, *, timeout_s: float | None = None, **fields: Unpack[ReadFields]
    ) -> WrittenDocument:
        """Read a document, and get it in another format than JSON; see :meth:`AsyncClient.read_as`."""
        return self._loop.run(self._client.read_as(document, timeout_s=timeout_s, **fields))

    def stream(
        self, document: Source, *, timeout_s: float | None = None, **fields: Unpack[ReadFields]
    ) -> Generator[Event, None, None]:
        """Read a document page by page; see :meth:`AsyncClient.stream`."""
        return self._follow(self._client.stream(document, timeout_s=timeout_s, **fields))

    def embed(
        self, texts: Sequence[str], *, model: str | None = None, truncate: bool = True, timeout_s: float | None = None
    ) -> Embeddings:
        """Embed texts; see :meth:`AsyncClient.embed`."""
        return self._loop.run(self._client.embed(texts, model=model, truncate=truncate, timeout_s=timeout_s))

    def rerank(  # noqa: PLR0913 - each is a field of the request
        self,
        query: str,
        texts: Sequence[str],
        *,
        top_n: int | None = None,
        model: str | None = None,
        truncate: bool = True,
        timeout_s: float | None = None,
    ) -> Ranking:
        """Rank texts; see :meth:`AsyncClient.rerank`."""
        return self._loop.run(
            self._client.rerank(query, texts, top_n=top_n, model=model, truncate=truncate, timeout_s=timeout_s)
        )

    def health(self, *, timeout_s: float | None = None) -> Health:
        """Return what the service says of itself; see :meth:`AsyncClient.health`."""
        return self._loop.run(self._client.health(timeout_s=timeout_s))

    def provenance(self, profile: str | None = None, *, timeout_s: float | None = None) -> Provenance:
        """Return how a page would be read now; see :meth:`AsyncClient.provenance`."""
        return self._loop.run(self._client.provenance(profile, timeout_s=timeout_s))

    def models(self, *, timeout_s: float | None = None) -> list[str]:
        """Return the names of the models; see :meth:`AsyncClient.models`."""
        return self._loop.run(self._client.models(timeout_s=timeout_s))

    def submit_job(  # noqa: PLR0913 - each is a field of the request
        self,
        document: Source,
        *,
        priority: str | None = None,
        label: str | None = None,
        callback_url: str | None = None,
        idempotency_key: str | None = None,
        filename: str | None = None,
        timeout_s: float | None = None,
        **fields: Unpack[ReadFields],
    ) -> Job:
        """Hand a document over; see :meth:`AsyncClient.submit_job`."""
        return self._loop.run(
            self._client.submit_job(
                document,
                priority=priority,
                label=label,
                callback_url=callback_url,
                idempotency_key=idempotency_key,
                filename=filename,
                timeout_s=timeout_s,
                **fields,
            )
        )

    def job(self, job_id: str, wait_s: float = 0, *, known: str | None = None, timeout_s: float | None = None) -> Job:
        """Return a job as it stands; see :meth:`AsyncClient.job`."""
        return self._loop.run(self._client.job(job_id, wait_s, known=known, timeout_s=timeout_s))

    def jobs(
        self, *, label: str | None = None, state: str | None = None, timeout_s: float | None = None
    ) -> Generator[Job, None, None]:
        """Yield jobs, the oldest first; see :meth:`AsyncClient.jobs`."""
        return self._follow(self._client.jobs(label=label, state=state, timeout_s=timeout_s))

    def some_jobs(
        self,
        *,
        label: str | None = None,
        state: str | None = None,
        after: str | None = None,
        limit: int | None = None,
        timeout_s: float | None = None,
    ) -> JobList:
        """Return some jobs; see :meth:`AsyncClient.some_jobs`."""
        return self._loop.run(
            self._client.some_jobs(label=label, state=state, after=after, limit=limit, timeout_s=timeout_s)
        )

    def follow_job(self, job_id: str, *, timeout_s: float | None = None) -> Generator[Event, None, None]:
        """Yield what happens to a job; see :meth:`AsyncClient.follow_job`."""
        return self._follow(self._client.follow_job(job_id, timeout_s=timeout_s))

    def job_result(self, job_id: str, *, timeout_s: float | None = None, **fields: Unpack[ReadFields]) -> Document:
        """Return what was read; see :meth:`AsyncClient.job_result`."""
        return self._loop.run(self._client.job_result(job_id, timeout_s=timeout_s, **fields))

    def job_result_as(
        self, job_id: str, *, timeout_s: float | None = None, **fields: Unpack[ReadFields]
    ) -> WrittenDocument:
        """Return what was read, in another format than JSON; see :meth:`AsyncClient.job_result_as`."""
        return self._loop.run(self._client.job_result_as(job_id, timeout_s=timeout_s, **fields))

    def cancel_job(self, job_id: str, *, timeout_s: float | None = None) -> Job:
        """Stop a job; see :meth:`AsyncClient.cancel_job`."""
        return self._loop.run(self._client.cancel_job(job_id, timeout_s=timeout_s))

    def _follow(self, events: AsyncGenerator[T, None]) -> Generator[T, None, None]:
        async def following() -> T | None:
            return await anext(events, None)

        try:
            while (event := self._loop.run(following())) is not None:
                yield event
        finally:
            self._loop.end(events.aclose())
