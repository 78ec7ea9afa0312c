"""Reads one slice of a job: what is stored of it already is not read again, and a page that ends pods is left alone."""

import asyncio
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import UTC, datetime

from sidecar.documents.page_selection import PageRequest
from sidecar.documents.pages import DocumentFacts, PageFacts
from sidecar.errors import DeadlineError, PageQuarantinedError, SidecarError
from sidecar.jobs import attempts, codec
from sidecar.jobs.codec import SlicePages, UnknownSchemaError
from sidecar.jobs.jetstream.blobs import BlobMissingError
from sidecar.jobs.jetstream.connection import unavailable
from sidecar.jobs.queue import Queue, slice_name
from sidecar.jobs.record import Record, SliceRecord
from sidecar.ocr.job import PagesRead, Progress, ReadJob
from sidecar.ocr.page_reading import PageResult
from sidecar.ocr.reader import DocumentReader

QUARANTINED = "whoever read the page alone did not come back, twice; it is not read again"


@dataclass(frozen=True, slots=True)
class SliceTurn:
    """One slice of a job that this pod holds; ``delivery`` counts from 1 how often it was handed out."""

    record: Record
    number: int
    delivery: int

    @property
    def pages(self) -> tuple[int, ...]:
        """Its pages, counted from 1."""
        return self.record.slices[self.number]


class SliceReader:
    """Reads slices, and stores what was read."""

    def __init__(self, queue: Queue, reader: DocumentReader, progress: Progress) -> None:
        self._queue = queue
        self._reader = reader
        self._progress = progress

    async def read(self, turn: SliceTurn, job: ReadJob) -> SliceRecord | float:
        """Read what is left of a slice; return its record or, where some of it may go better later, the wait in s.

        Raises:
            JobsUnavailableError: the queue does not answer; nothing that is stored is read again.
        """
        ref = turn.record.order.ref
        stored = await self.stored(turn)
        lost = turn.delivery - 1 - stored.given_back
        deaths = await self._queue.records.deaths(ref) if lost > 0 else {}
        plan = attempts.portions(_left(turn.pages, stored), lost, deaths)
        stored = stored.with_pages([_quarantined(page) for page in plan.quarantined])
        try:
            for portion in plan.portions:
                stored = await self._portion(turn, job, stored, portion, deaths if lost > 0 else None)
        except asyncio.CancelledError:  # this pod stops: nobody was lost
            with suppress(SidecarError):
                await self.store(turn, replace(stored, given_back=stored.given_back + 1))
            raise
        again = [page for page in stored.pages if _is_tried_again(page, stored)]
        if again:
            stored = replace(stored, given_back=stored.given_back + 1)
        await self.store(turn, stored)
        if again:
            return attempts.retry_after_s(max(stored.tries[page.page] for page in again))
        return _record(turn, stored)

    async def stored(self, turn: SliceTurn) -> SlicePages:
        """Return what is stored of a slice.

        Raises:
            JobsUnavailableError: the queue does not answer, or another version of the service wrote it.
        """
        try:
            content = await self._queue.blobs.get(turn.record.order.ref.id, slice_name(turn.number))
        except BlobMissingError:
            return SlicePages()
        try:
            return await asyncio.to_thread(codec.unpack, content)
        except UnknownSchemaError as exc:
            raise unavailable("another version of the service read some of the job") from exc

    async def was_given_back(self, turn: SliceTurn) -> bool:
        """Return whether somebody who had the slice handed it back, and so had come as far as reading it."""
        return turn.delivery > 1 and (await self.stored(turn)).given_back > 0

    async def give_back(self, turn: SliceTurn) -> None:
        """Remember that the slice is handed back by one who lives on."""
        stored = await self.stored(turn)
        await self.store(turn, replace(stored, given_back=stored.given_back + 1))

    async def store(self, turn: SliceTurn, pages: SlicePages) -> None:
        """Store what was read of a slice."""
        content = await asyncio.to_thread(codec.pack, pages)
        await self._queue.blobs.put(turn.record.order.ref.id, slice_name(turn.number), content)

    async def _portion(
        self,
        turn: SliceTurn,
        job: ReadJob,
        stored: SlicePages,
        pages: tuple[int, ...],
        deaths: dict[int, int] | None,
    ) -> SlicePages:
        """Read a portion; ``deaths`` is given where pages are read alone, and it must be seen which one ends a pod."""
        if deaths is None:
            return await self._read(job, stored, pages)
        ref, page = turn.record.order.ref, pages[0]
        async with self._queue.records.marked(ref, page, deaths.get(page, 0)):
            stored = await self._read(job, stored, pages)
        await self.store(turn, stored)
        return stored

    async def _read(self, job: ReadJob, stored: SlicePages, pages: tuple[int, ...]) -> SlicePages:
        request = PageRequest(tuple((page, page) for page in pages), page_limit=len(pages))
        try:
            read = await self._reader.read_pages(replace(job, pages=request), self._progress)
        except DeadlineError:
            if job.ends_s is None:
                raise
            return replace(stored, unread=(*stored.unread, *pages))
        except SidecarError as error:
            if error.status == 429:
                raise
            return stored.with_pages([PageResult(page, "", None, 0, error=error, is_answer=False) for page in pages])
        return stored.adding(read)


def together(record: Record, slices: Sequence[SlicePages]) -> PagesRead:
    """Put the slices of a document together."""
    told = [one.facts for one in slices if one.facts]
    unseen = tuple(PageFacts(page - 1, text="") for page in record.pages or ())
    facts = codec.joined(told or [DocumentFacts(record.kind, record.document_pages or 0, unseen, record.limited)])
    pages = tuple(page for one in slices for page in one.pages)
    unread = tuple(sorted(page for one in slices for page in one.unread))
    return PagesRead(replace(facts, limited=record.limited), pages, unread)


def _left(pages: Sequence[int], stored: SlicePages) -> list[int]:
    read = {page.page for page in stored.pages if not _is_tried_again(page, stored)}
    return [page for page in pages if page not in read and page not in stored.unread]


def _is_tried_again(page: PageResult, stored: SlicePages) -> bool:
    if page.error is None or page.engine is not None:
        return False
    tries = stored.tries.get(page.page, 0)
    return attempts.is_tried_again(page.error.status, tries, may_pass=page.error.retryable)


def _quarantined(page: int) -> PageResult:
    return PageResult(page, "", None, 0, error=PageQuarantinedError(QUARANTINED), is_answer=False)


def _record(turn: SliceTurn, stored: SlicePages) -> SliceRecord:
    failed = [page for page in stored.pages if page.error and page.engine is None]
    return SliceRecord(
        number=turn.number,
        pages=turn.pages,
        failed=tuple(page.page for page in failed),
        quarantined=tuple(page.page for page in failed if isinstance(page.error, PageQuarantinedError)),
        unread=stored.unread,
        deliveries=turn.delivery,
        ended_at=datetime.now(UTC),
    )
