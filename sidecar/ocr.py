"""The use case: a document in the spool becomes text, page by page, with every detour on record.

Knows engines by their protocol and callers not at all.
"""

import asyncio
import logging
import time
from collections.abc import AsyncIterator, Coroutine, Iterator, Mapping, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol, TypeVar

from sidecar import document
from sidecar.document import DocumentFacts, DocumentLimits, Inquiry, PageFacts
from sidecar.engine import (
    AUTO,
    FAST_PATH,
    MIXED,
    NP_DMS_OCR,
    Attempt,
    EngineFacts,
    OcrEngine,
    PageOrder,
    PageText,
    PageVerdict,
)
from sidecar.errors import (
    DeadlineError,
    EngineUnavailableError,
    PageUnreadableError,
    SidecarError,
    UnreadableDocumentError,
)
from sidecar.page_queue import PageQueue
from sidecar.page_selection import PageWish
from sidecar.page_text import join_pages, trim
from sidecar.workers import WorkerDiedError, WorkerPool

log = logging.getLogger(__name__)

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class ReadJob:
    """One document to read. ``engine`` may be ``auto``; ``wants_model`` tells that a prompt or parameters came."""

    path: Path
    engine: str
    languages: str
    wish: PageWish
    wants_model: bool = False


@dataclass(frozen=True, slots=True)
class PageResult:
    """What became of one page; ``page`` counts from 1."""

    page: int
    text: str
    engine: str | None
    duration_ms: int
    attempts: tuple[Attempt, ...] = ()
    done_reason: str | None = None
    blank: bool = False
    fallback_from: str | None = None
    confidence: int | None = None
    rotation: int = 0
    error: SidecarError | None = None


@dataclass(frozen=True, slots=True)
class DocumentResult:
    """What became of a document."""

    facts: DocumentFacts
    pages: tuple[PageResult, ...]
    text: str
    engine_used: str
    model: EngineFacts | None
    warnings: tuple[str, ...]

    @property
    def ocr_used(self) -> bool:
        """Tell whether any page went to an engine."""
        return any(page.engine not in (FAST_PATH, None) for page in self.pages)


class Progress(Protocol):
    """Hears of a document as it is read."""

    async def document(self, facts: DocumentFacts) -> None:
        """Hear that it is open, before any page is read."""

    async def page(self, result: PageResult) -> None:
        """Hear of a page, in page order."""


@dataclass(frozen=True, slots=True)
class ReadPolicy:
    """What the operator decided: which engine ``auto`` falls to, who stands in for it, and the deadlines in seconds."""

    default_engine: str
    fallback_engine: str | None
    char_threshold: int
    open_timeout_s: float
    page_timeout_s: float


@dataclass(frozen=True, slots=True)
class _Reader:
    """The engine that reads one document, and the one it stands in for, if any."""

    engine: OcrEngine
    fallback_from: str | None


class DocumentReader:
    """Reads documents with the engines it is given."""

    def __init__(
        self,
        workers: WorkerPool,
        engines: Mapping[str, OcrEngine],
        queue: PageQueue,
        limits: DocumentLimits,
        policy: ReadPolicy,
    ) -> None:
        self._workers = workers
        self._engines = engines
        self._limits = limits
        self._policy = policy
        self.queue = queue

    async def read(self, job: ReadJob, progress: Progress) -> DocumentResult:
        """Read a document. Cancelling the call stops all of its work.

        Raises:
            SidecarError: the document cannot be opened, is refused, or not one page of it could be read.
        """
        facts = await self._inspect(job)
        to_read = sum(_needs_engine(page) for page in facts.pages)
        reader = self._choose(job) if to_read else None
        with self.queue.admit(to_read):
            await progress.document(facts)
            pages: list[PageResult] = []
            async with _running([self._page(job, page, reader) for page in facts.pages]) as tasks:
                for task in tasks:
                    pages.append(await task)
                    await progress.page(pages[-1])
        _raise_if_none_worked(pages)
        return _result(job, facts, tuple(pages), reader)

    async def _inspect(self, job: ReadJob) -> DocumentFacts:
        try:
            if job.engine == AUTO:
                with suppress(WorkerDiedError, DeadlineError):  # one page's text layer must not cost the others
                    return await self._look_over(job, use_text_layer=True)
            return await self._look_over(job, use_text_layer=False)
        except WorkerDiedError as exc:
            raise UnreadableDocumentError(
                "the document cannot be opened: opening it ends the process that tries"
            ) from exc

    async def _look_over(self, job: ReadJob, *, use_text_layer: bool) -> DocumentFacts:
        inquiry = Inquiry(job.wish, use_text_layer, self._policy.char_threshold)
        return await self._workers.run(
            document.inspect, job.path, self._limits, inquiry, deadline_s=self._policy.open_timeout_s
        )

    @property
    def missing_engine(self) -> str | None:
        """The engine that ``auto`` falls to, where it is not there and nobody may stand in."""
        wanted = self._policy.default_engine
        return None if {wanted, self._policy.fallback_engine} & self._engines.keys() else wanted

    def _choose(self, job: ReadJob) -> _Reader:
        """Find the engine that reads, and have it check what is asked of it.

        Raises:
            EngineUnavailableError: it is not there, and nobody may stand in.
            InvalidValueError: it cannot do what is asked.
        """
        wanted = self._policy.default_engine if job.engine == AUTO else job.engine
        engine = self._engines.get(wanted)
        reader = _Reader(engine, None) if engine else self._stand_in(wanted)
        reader.engine.check(job.languages)
        return reader

    def _stand_in(self, wanted: str) -> _Reader:
        engine = self._engines.get(self._policy.fallback_engine or "")
        if engine is None:
            raise EngineUnavailableError(f"the engine {wanted} is not configured here")
        return _Reader(engine, fallback_from=wanted)

    async def _page(self, job: ReadJob, page: PageFacts, reader: _Reader | None) -> PageResult:
        number = page.index + 1
        if page.error:
            return PageResult(number, "", None, 0, error=page.error)
        if reader is None or not _needs_engine(page):
            return PageResult(number, trim(page.text or ""), FAST_PATH, 0, blank=page.blank)
        async with self.queue.slot(job.path):
            return await self._read_with(reader, job, page)

    async def _read_with(self, reader: _Reader, job: ReadJob, page: PageFacts) -> PageResult:
        started = time.monotonic()
        read: PageText | None = None
        error: SidecarError | None = None
        try:
            order = PageOrder(job.path, page.index, self._policy.page_timeout_s, job.languages)
            read = await reader.engine.read(order)
        except SidecarError as exc:
            error = exc
        except WorkerDiedError:
            error = PageUnreadableError(f"page {page.index + 1} cannot be read: reading it ends the process that tries")
        except Exception:  # one page's bug must not cost the others; it is logged whole and stays opaque to the caller
            log.exception("a page failed in a way nobody thought of")
            error = SidecarError()
        duration_ms = round((time.monotonic() - started) * 1000)
        return _page_result(page.index + 1, reader, duration_ms, read, error)


def _needs_engine(page: PageFacts) -> bool:
    return page.text is None and not page.blank and page.error is None


def _page_result(
    number: int, reader: _Reader, duration_ms: int, read: PageText | None, error: SidecarError | None
) -> PageResult:
    name = reader.engine.name
    if read is None:
        attempt = Attempt(name, duration_ms, PageVerdict.FAILED, error.code if error else None)
        return PageResult(number, "", None, duration_ms, (attempt,), fallback_from=reader.fallback_from, error=error)
    verdict = PageVerdict.GOOD if read.text or read.blank else PageVerdict.EMPTY
    return PageResult(
        number,
        read.text,
        name,
        duration_ms,
        (Attempt(name, duration_ms, verdict),),
        done_reason="blank" if read.blank else "stop",
        blank=read.blank,
        fallback_from=reader.fallback_from,
        confidence=read.confidence,
        rotation=read.rotation,
    )


def _raise_if_none_worked(pages: Sequence[PageResult]) -> None:
    """Raise the first page's error when no page has anything better."""
    errors = [page.error for page in pages if page.error]
    if errors and len(errors) == len(pages):
        raise errors[0]


def _result(
    job: ReadJob, facts: DocumentFacts, pages: tuple[PageResult, ...], reader: _Reader | None
) -> DocumentResult:
    return DocumentResult(
        facts,
        pages,
        text=join_pages(page.text for page in pages),
        engine_used=_engine_used(pages),
        model=reader.engine.facts(job.languages) if reader else None,
        warnings=tuple(_warnings(job, facts, pages, reader)),
    )


def _engine_used(pages: Sequence[PageResult]) -> str:
    """Name who read the document; blank pages count only where there is nothing else."""
    read = [page for page in pages if page.engine]
    engines = {page.engine for page in read if not page.blank} or {page.engine for page in read}
    return MIXED if len(engines) > 1 else str(engines.pop())


def _warnings(job: ReadJob, facts: DocumentFacts, pages: Sequence[PageResult], reader: _Reader | None) -> Iterator[str]:
    if any(page.error for page in pages):
        yield "page-failed"
    if facts.limited:
        yield "pages-limited"
    if reader and reader.fallback_from:
        yield "engine-fallback"
    if job.wants_model and not any(page.engine == NP_DMS_OCR for page in pages):
        yield "parameters-not-applied"


@asynccontextmanager
async def _running(work: Sequence[Coroutine[None, None, T]]) -> AsyncIterator[list["asyncio.Task[T]"]]:
    """Run coroutines at the same time; whatever happens, none outlives the block."""
    tasks = [asyncio.create_task(one) for one in work]
    try:
        yield tasks
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
