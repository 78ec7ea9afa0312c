"""The use case: a document in the spool becomes text, page by page; every attempt is recorded.

Knows engines by their protocol alone, and knows no HTTP.
"""

import asyncio
import logging
import time
from collections.abc import AsyncIterator, Awaitable, Coroutine, Iterable, Mapping, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, replace
from typing import TypeVar, cast

from sidecar.documents import document
from sidecar.documents.document import DocumentLimits
from sidecar.documents.pages import DocumentFacts, PageFacts
from sidecar.errors import (
    DeadlineError,
    GpuPressureError,
    NotConfiguredError,
    SidecarError,
)
from sidecar.evidence.agreement import Verify
from sidecar.evidence.packed import PackedPages
from sidecar.gpu.residency_policy import OcrResidencyDecision
from sidecar.ocr import page_reading, page_tries
from sidecar.ocr.checks.check import Checker, to_check
from sidecar.ocr.checks.verdict import judged
from sidecar.ocr.document_warnings import document_warnings
from sidecar.ocr.engine import (
    AUTO,
    FAST_PATH,
    EngineFacts,
    EngineModel,
    EngineTraits,
    OcrEngine,
    SecondReader,
)
from sidecar.ocr.job import DocumentResult, PagesRead, Progress, ReadJob, ReadPolicy
from sidecar.ocr.opening import Opened, Opener, completed, of_text_layer
from sidecar.ocr.page_reading import PageReading, PageResult
from sidecar.ocr.results.receipt import PageReceipt, receipt_of
from sidecar.ocr.results.structuring import structure, to_structure
from sidecar.ocr.text import join_pages
from sidecar.ocr.warning_codes import WarningCode
from sidecar.runtime.admission import Admission
from sidecar.runtime.workers.pool import WorkerDiedError, WorkerPool

MOST_IMAGES = 100
"""Pages of an answer that have a picture, unless it is streamed: 40 MB of memory."""

log = logging.getLogger(__name__)

T = TypeVar("T")

STRUCTURE_SHARE, STRUCTURE_S = 0.1, 5.0
"""The share of a document's time, and the seconds, that are kept for its structure at most: 3,000 pages take less."""
STRUCTURE_PAGE_S = 0.1
"""What structure may take for each page of a long document, in seconds: full ones take a tenth of it."""


@dataclass(frozen=True, slots=True)
class _EngineOrder:
    """The engines for one document: the name of the one asked for, and those configured, in the order they try."""

    wanted: str
    engines: tuple[OcrEngine, ...]
    second: SecondReader | None = None


class DocumentReader:
    """Reads documents with the engines it is given."""

    def __init__(
        self,
        workers: WorkerPool,
        engines: Mapping[str, OcrEngine],
        admission: Admission,
        limits: DocumentLimits,
        policy: ReadPolicy,
    ) -> None:
        self._workers = workers
        self.engines = engines
        self.limits = limits
        self.policy = policy
        self.admission = admission
        self._checker = Checker(engines.values(), workers, admission)
        self._opener = Opener(workers, limits, policy)

    async def loaded(self) -> None:
        """Wait until every engine has loaded what it loads at its start, or failed to."""
        await asyncio.gather(*(engine.loaded() for engine in self.engines.values()))

    def check_languages(self, engine: str, languages: str) -> None:
        """Refuse languages that cannot be read; ``engine`` is what was asked for, which may be ``auto``.

        Of the engines that may read the document, the first that takes languages decides.

        Raises:
            SidecarError: see the engine's own.
        """
        takers = (one for one in self._in_order(engine) if one.traits.takes_languages)
        if first := next(takers, None):
            first.check_languages(languages)

    async def read(self, job: ReadJob, progress: Progress, opened: Opened | None = None) -> DocumentResult:
        """Read a document. Cancelling the call stops all of its work. ``opened`` is given where it was.

        Raises:
            SidecarError: the document cannot be opened, is refused, or not one page of it could be read.
            DeadlineError: not one page was read by the job's end.
        """
        return await self.conclude(job, await self.read_pages(job, progress, opened))

    async def open(self, job: ReadJob) -> Opened:
        """Open a document, and tell of the pages that are to be read.

        Raises:
            SidecarError: it cannot be opened, or is refused.
            DeadlineError: it was not open by the job's end.
        """
        return await _due(job, self._opener.open(job))

    async def read_pages(self, job: ReadJob, progress: Progress, opened: Opened | None = None) -> PagesRead:
        """Read the pages of a document, whatever becomes of each.

        Raises:
            SidecarError: the document cannot be opened, or is refused.
        """
        opened = opened or await self.open(job)
        facts = opened.facts
        if opened.written is not None:  # from here on nobody wants a place
            job = replace(job, order=replace(job.order, wants_layout=False))
        to_read = sum(page.needs_engine for page in facts.pages)
        engine_order = self._engine_order(job) if to_read else None
        with self.admission.admit(to_read + _checks(job, facts, engine_order), job.order.caller):
            await progress.document(facts)
            pages: list[PageResult] = []
            unread: list[int] = []
            pages_end_s = _pages_end(job)
            async with _running([self._page(job, page, engine_order) for page in facts.pages]) as tasks:
                for page, task in zip(facts.pages, tasks, strict=True):
                    if not await _is_done(task, pages_end_s):
                        await _stop(tasks)
                    if task.cancelled():
                        unread.append(page.index + 1)
                    else:
                        page_result = self._with_receipt(job, facts, await task)
                        page_result = await self._shown(job, page_result, is_limited=len(pages) >= MOST_IMAGES)
                        pages.append(await self.tell(job, page_result, progress))
            return PagesRead(facts, tuple(pages), tuple(unread), opened.written)

    async def conclude(self, job: ReadJob, read: PagesRead) -> DocumentResult:
        """Put together what was read of a document, at a time or in portions.

        Raises:
            SidecarError: not one page of it could be read.
        """
        page_reading.raise_if_none_worked(read.pages, is_complete=not read.unread)
        result = replace(self._result(job, read.facts, read.pages, read.unread), written=read.written)
        return result if job.streams or read.written is not None else await self._structured(job, result)

    def _engine_order(self, job: ReadJob) -> _EngineOrder:
        """Find the engines that read, and let the first check what is asked of it.

        Raises:
            NotConfiguredError: the one asked for is not configured, and there is no fallback.
            InvalidValueError: the first cannot do what is asked.
        """
        wanted, engines = self._wanted(job.engine), self._in_order(job.engine)
        if not engines:
            raise NotConfiguredError(f"the engine {wanted} is not configured here")
        engines[0].check(job.order)
        return _EngineOrder(wanted, engines, self._second_reader(job.engine, engines))

    def _wanted(self, engine: str) -> str:
        return self.policy.default_engine if engine == AUTO else engine

    def _in_order(self, engine: str) -> tuple[OcrEngine, ...]:
        """Return the engine that was asked for and the fallback, as far as they are configured."""
        names = dict.fromkeys((self._wanted(engine), self.policy.fallback_engine))
        return tuple(self.engines[name] for name in names if name and name in self.engines)

    def _second_reader(self, engine: str, engines: Sequence[OcrEngine]) -> SecondReader | None:
        """Return the engine for second opinions: none where the caller named the engine, or where it reads anyhow."""
        second = self.engines.get(self.policy.second_engine or "")
        if engine != AUTO or second is None or not second.traits.gives_opinions or second in engines:
            return None
        return cast(SecondReader, second) if second.capability.ready else None

    def _with_receipt(self, job: ReadJob, facts: DocumentFacts, page: PageResult) -> PageResult:
        """Add what the page's text was made from, where that is wanted and anybody read it."""
        if page.engine is None or not job.order.wants_receipt:
            return page
        engine = self.engines.get(page.engine)
        sheet = receipt_of(engine, job.order, page.parameters, page.picture_sha256) if engine else None
        return replace(page, receipt=sheet or PageReceipt(EngineModel(facts.library), {}))

    async def _page(self, job: ReadJob, page: PageFacts, engine_order: _EngineOrder | None) -> PageResult:
        read = await self._page_itself(job, page, engine_order)
        if job.order.wants_layout and read.text and read.layout is None and read.engine != FAST_PATH:
            read = replace(read, witness=page.layout)
            read = read if page.layout else await self._checker.witness(read, job.order)
        if to_check(read, job.order.instructions.verify):
            read = await self._checker.check(read, job.order)
        return judged(read, self.policy.quality)

    async def _page_itself(self, job: ReadJob, page: PageFacts, engine_order: _EngineOrder | None) -> PageResult:
        if engine_order is None or not page.needs_engine:
            return of_text_layer(page, wants_layout=job.order.wants_layout)
        reading = PageReading(page.index + 1, engine_order.wanted)
        for engine in engine_order.engines:
            await page_tries.try_engine(engine, job.order, page.index, reading, self.admission)
            if reading.is_settled or (self.policy.refuse_on_pressure and isinstance(reading.error, GpuPressureError)):
                break
        if engine_order.second and reading.is_doubtful:
            with suppress(asyncio.CancelledError):  # at the document's deadline the first reading stands
                await page_tries.give_second_opinion(engine_order.second, job.order, page.index, reading)
        return completed(reading.result(), page)

    async def tell(self, job: ReadJob, page: PageResult, progress: Progress) -> PageResult:
        """Tell of a page, and return what is kept of it.

        Where each page is told by itself, tell what it alone says of its structure, and keep no word.
        """
        if not job.streams:
            await progress.page(page)
            return page
        told = await self.structured_alone(job, page) if job.order.wants_layout else page
        await progress.page(told)
        failed = page.structure_failed or (job.order.wants_layout and told.structured is None)
        return replace(page, layout=None, witness=None, other_reading=None, image=None, structure_failed=failed)

    async def structured_alone(self, job: ReadJob, page: PageResult) -> PageResult:
        """Add what a page alone tells of its structure; where that cannot be told, it has none."""
        structured = await self._structure(job, [page])
        return replace(page, structured=structured.packed[0] if structured else None)

    async def _shown(self, job: ReadJob, page: PageResult, *, is_limited: bool) -> PageResult:
        """Add a picture of the page, where it is wanted: in turn, so that few wait in memory to be sent."""
        if not job.wanted.image or (is_limited and not job.streams):
            return page
        drawing = self._workers.run(
            document.shown, job.order.document, page.page - 1, self.limits, deadline_s=job.order.page_timeout_s
        )
        with suppress(SidecarError, WorkerDiedError):  # a page that cannot be drawn says so by what it lacks
            return replace(page, image=await _due(job, drawing))
        return page

    async def _structured(self, job: ReadJob, result: DocumentResult) -> DocumentResult:
        """Add the structure of the whole document, where it is wanted; else say that it could not be told."""
        if not job.order.wants_layout:
            return result
        structured = await self._structure(job, result.pages)
        if structured is None:
            return replace(result, warnings=tuple(dict.fromkeys((*result.warnings, WarningCode.BLOCKS_MISSING))))
        return replace(result, structured=structured)

    async def _structure(self, job: ReadJob, pages: Sequence[PageResult]) -> PackedPages | None:
        """Have a worker tell the structure of pages, until the job's end; None if it cannot: the text is the answer."""
        work = to_structure(pages, job.order.languages)
        deadline_s = max(self.policy.open_timeout_s, STRUCTURE_PAGE_S * len(work))
        try:
            return await _due(job, self._workers.run(structure, work, deadline_s=deadline_s))
        except Exception as exc:
            is_bug = not isinstance(exc, DeadlineError | WorkerDiedError)
            log.warning("the structure of a document could not be told", exc_info=exc if is_bug else None)
            return None

    def _result(
        self, job: ReadJob, facts: DocumentFacts, pages: tuple[PageResult, ...], unread: tuple[int, ...]
    ) -> DocumentResult:
        tried, readers = self._traits(page_reading.tried(pages)), self._traits(page_reading.readers(pages))
        return DocumentResult(
            facts,
            pages,
            text=join_pages(page.text for page in pages),
            engine_used=page_reading.engine_used(pages),
            model=self._facts_of_reader(job, pages),
            profile=job.order.instructions.profile if any(one.follows_profiles for one in tried) else None,
            residency=_latest_residency(pages),
            warnings=(
                *((WarningCode.DEADLINE_PARTIAL,) if unread else ()),
                *((WarningCode.IMAGES_LIMITED,) if _lacks_images(job, pages) else ()),
                *document_warnings(job, facts, pages, tried, readers),
            ),
            unread=unread,
        )

    def _traits(self, names: Iterable[str]) -> list[EngineTraits]:
        return [self.engines[name].traits for name in names if name in self.engines]

    def _facts_of_reader(self, job: ReadJob, pages: Sequence[PageResult]) -> EngineFacts | None:
        """Return the model and what its first try was sent; if both engines read, of the one that was asked for."""
        used = {page.engine for page in pages}
        engines = self._in_order(job.engine)
        second = self._second_reader(job.engine, engines)
        reader = next((one for one in (*engines, *([second] if second else [])) if one.traits.name in used), None)
        sent = page_reading.first_sent(pages, reader.traits.name) if reader else None
        if reader is None or sent is None:
            return None
        recipe = job.order.instructions.recipe.name if reader.traits.follows_profiles else None
        return EngineFacts(reader.model(job.order), sent, recipe)


async def _due(job: ReadJob, call: Awaitable[T]) -> T:
    """Await a call until the job's end.

    Raises:
        DeadlineError: it had not ended by then.
    """
    try:
        async with asyncio.timeout(None if job.ends_s is None else max(0, job.ends_s - time.monotonic())):
            return await call
    except TimeoutError as exc:
        raise DeadlineError(page_reading.NOTHING_READ) from exc


def _pages_end(job: ReadJob) -> float | None:
    """Return when the pages must be read: at the job's end, less the time that their structure may take."""
    if job.ends_s is None or not job.order.wants_layout:
        return job.ends_s
    return job.ends_s - min(STRUCTURE_S, STRUCTURE_SHARE * max(0, job.ends_s - time.monotonic()))


async def _is_done(task: "asyncio.Task[T]", ends_s: float | None) -> bool:
    """Wait for a task until then; return whether it has ended."""
    left_s = None if ends_s is None else max(0, ends_s - time.monotonic())
    done, _ = await asyncio.wait([task], timeout=left_s)
    return bool(done)


def _lacks_images(job: ReadJob, pages: Sequence[PageResult]) -> bool:
    return job.wanted.image and not job.streams and len(pages) > MOST_IMAGES


def _checks(job: ReadJob, facts: DocumentFacts, engine_order: _EngineOrder | None) -> int:
    """Count the readings that checks may take, beside those of the pages themselves.

    Where only places are wanted, those of pages whose reader tells none, and that have no text layer to ask for them.
    """
    if job.order.instructions.verify is not Verify.NONE:
        return sum(not page.blank and page.error is None for page in facts.pages)
    if not job.order.wants_layout or engine_order is None or engine_order.engines[0].traits.may_check:
        return 0
    return sum(page.needs_engine and page.layout is None for page in facts.pages)


def _latest_residency(pages: Sequence[PageResult]) -> OcrResidencyDecision | None:
    """Return the decision of the last page's last call: it still holds for the model."""
    made = [attempt.residency for page in pages for attempt in page.attempts if attempt.residency]
    return made[-1] if made else None


@asynccontextmanager
async def _running(work: Sequence[Coroutine[None, None, T]]) -> AsyncIterator[list["asyncio.Task[T]"]]:
    """Run coroutines at the same time; whatever happens, none outlives the block."""
    tasks = [asyncio.create_task(one) for one in work]
    try:
        yield tasks
    finally:
        await _stop(tasks)


async def _stop(tasks: Sequence["asyncio.Task[T]"]) -> None:
    """Cancel all at once, so that none starts when another ends, and wait for them to end."""
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
