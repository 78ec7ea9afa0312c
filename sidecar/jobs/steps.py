"""What a pod does with a turn: opens a document, reads a slice, puts the results together."""

import os
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path

from sidecar.errors import (
    JobExpiredError,
    JobNotFoundError,
    JobsUnavailableError,
    PageQuarantinedError,
    SidecarError,
    StorageError,
    UnreadableDocumentError,
)
from sidecar.jobs import attempts
from sidecar.jobs.jetstream.blobs import BlobMissingError
from sidecar.jobs.jetstream.records import ChangedError, Versioned
from sidecar.jobs.jetstream.turns import TakenTurn
from sidecar.jobs.queue import FILE, Queue
from sidecar.jobs.record import Failure, Lane, Order, Record, Ref, SliceOutcome, SliceRecord, State
from sidecar.jobs.shelf import DocumentShelf
from sidecar.jobs.slice_reader import SliceReader, SliceTurn, together
from sidecar.jobs.turn import Step, Turn
from sidecar.ocr.job import DocumentResult, ReadJob
from sidecar.ocr.reader import DocumentReader

DONE, AT_ONCE = None, 0.5
FAILED_S = 10.0
"""A turn whose step failed for a reason that nobody foresaw is handed out again after so long."""
TOO_MUCH = 429
MOST_LOOKS = 5
"""How often a turn is handed out whose document or pages are missing: they are not, but for a moment."""
NOWHERE = Path(os.devnull)
"""Stands for a document where only what was read of it is needed."""


@dataclass(frozen=True, slots=True)
class JobSeams:
    """What the service knows and jobs do not.

    ``make_job`` turns an order and its document into the use case's terms, or raises a SidecarError. ``write_file``
    makes the file that was ordered with the job, if one was, and returns where it is. ``told`` is told of each result.
    ``slice_pages``: how many pages a slice has at most.
    """

    make_job: Callable[[Order, Path], ReadJob]
    write_file: Callable[[Order, ReadJob, DocumentResult], Awaitable[Path | None]]
    told: Callable[[Order, DocumentResult], None]
    slice_pages: int = 8
    on_slice: Callable[[SliceOutcome], None] = lambda _: None
    """Is told what came of each slice."""


def _outcome(read: SliceRecord | float | None) -> SliceOutcome:
    if isinstance(read, SliceRecord):
        return read.outcome
    return SliceOutcome.FAILED if read is DONE else SliceOutcome.AGAIN


class Steps:
    """Takes the steps of jobs; each may be taken twice, or broken off anywhere, and taken again."""

    def __init__(
        self, queue: Queue, reader: DocumentReader, shelf: DocumentShelf, slices: SliceReader, seams: JobSeams
    ) -> None:
        self._queue = queue
        self._reader = reader
        self._shelf = shelf
        self._slices = slices
        self._seams = seams

    async def take(self, taken: TakenTurn) -> float | None:
        """Take a step; return None once it is done, else after how many seconds it is to be taken again.

        Raises:
            JobsUnavailableError: the queue does not answer.
        """
        try:
            known = await self._known(taken.turn)
            if known.record.state.is_end:
                await self._queue.clear(known.record)  # whoever ended it may have been broken off
                return DONE
            steps = {Step.OPEN: self._open, Step.READ: self._read, Step.END: self._end}
            return await steps[taken.turn.step](known, taken)
        except (JobNotFoundError, JobExpiredError):  # cancelled, and deleted since
            await self._queue.blobs.delete(taken.turn.ref.id)  # what this pod stored of it after that
            return DONE
        except ChangedError:
            return AT_ONCE  # it was cancelled just now, or somebody else had the same turn: look again
        except BlobMissingError:
            if taken.delivery < MOST_LOOKS:
                return AT_ONCE
            await self._fail(taken.turn.ref, StorageError("what is stored of the job is lost"))
            return DONE

    async def _known(self, turn: Turn) -> Versioned:
        """Return a job's record; the first turn makes it, where the one who took the job in did not get so far."""
        try:
            return await self._queue.records.get(turn.ref)
        except JobNotFoundError:
            if turn.order is None:
                raise
            await self._queue.records.create(Record(order=turn.order))
            return await self._queue.records.get(turn.ref)

    async def _open(self, known: Versioned, taken: TakenTurn) -> float | None:
        order = known.record.order
        if known.record.pages is None:
            try:
                known = await self._opened(known, taken)
            except JobsUnavailableError:
                raise
            except SidecarError as error:
                return await self._again_or_failed(order.ref, error, taken)
        if not known.record.pages:
            await self._fail(order.ref, UnreadableDocumentError("the document has no page that is to be read"))
            return DONE
        await self._queue.due.add(known.record, await self._queue.records.slices_done(order.ref))
        await self._queue.turns.put(Turn(step=Step.READ, ref=order.ref), order.lane)
        return DONE

    async def _again_or_failed(self, ref: Ref, error: SidecarError, taken: TakenTurn) -> float | None:
        """Take a step again whose error may pass; what is refused here because there is too much to do always does."""
        if error.status == TOO_MUCH:
            return float(error.retry_after_s or attempts.retry_after_s(1))
        if attempts.is_tried_again(error.status, taken.delivery, may_pass=error.retryable):
            return attempts.retry_after_s(taken.delivery)
        await self._fail(ref, error)
        return DONE

    async def give_up(self, taken: TakenTurn) -> float | None:
        """Fail a job whose step always ends in an error that nobody foresaw; return what :meth:`take` does."""
        if taken.delivery < attempts.MOST_DELIVERIES:
            return FAILED_S
        await self._fail(taken.turn.ref, SidecarError("the job cannot be done: one of its steps fails each time"))
        return DONE

    async def _opened(self, known: Versioned, taken: TakenTurn) -> Versioned:
        order = known.record.order
        async with self._shelf.document(order) as path, self._marked(order.ref, taken):
            job = self._seams.make_job(order, path)
            order_alone = replace(job.order, wants_layout=False, wants_receipt=False)
            facts = (await self._reader.open(replace(job, order=order_alone, writer=None))).facts
        told = {
            "state": State.RUNNING,
            "started_at": datetime.now(UTC),
            "pages": tuple(page.index + 1 for page in facts.pages),
            "document_pages": facts.page_count,
            "kind": facts.kind,
            "limited": facts.limited,
            "slice_pages": self._seams.slice_pages,
        }
        return await self._queue.records.change(known, known.record.model_copy(update=told))

    @asynccontextmanager
    async def _marked(self, ref: Ref, taken: TakenTurn) -> AsyncIterator[None]:
        """See by marks whether it is the opening that ends pods, once a pod that had the turn did not come back."""
        if taken.delivery == 1:
            yield
            return
        deaths = (await self._queue.records.deaths(ref)).get(attempts.OPENING, 0)
        if deaths >= attempts.DEADLY:
            raise PageQuarantinedError("whoever opened the document did not come back; it is not opened again")
        async with self._queue.records.marked(ref, attempts.OPENING, deaths):
            yield

    async def _read(self, known: Versioned, taken: TakenTurn) -> float | None:
        record, number = known.record, taken.turn.slice
        ref = record.order.ref
        if await self._queue.records.slice(ref, number) is None:
            turn = SliceTurn(record, number, taken.delivery)
            if number + 1 < len(record.slices) and not await self._slices.was_given_back(turn):
                # first: whatever becomes of this slice, the job's turn goes on; but it goes on once
                await self._queue.turns.put(Turn(step=Step.READ, ref=ref, slice=number + 1), record.order.lane)
            if taken.delivery > 1:
                self._seams.on_slice(SliceOutcome.REDELIVERED)
            read = await self._read_slice(turn, taken)
            self._seams.on_slice(_outcome(read))
            if not isinstance(read, SliceRecord):
                return read
            await self._queue.records.add_slice(ref, read)
        await self._queue.due.remove(ref, number)
        if len(await self._queue.records.slices_done(ref)) >= len(record.slices):
            # Before all slices of batch: it is short, makes room in the store, and somebody may want the result.
            await self._queue.turns.put(Turn(step=Step.END, ref=ref), Lane.REALTIME)
        return DONE

    async def _read_slice(self, turn: SliceTurn, taken: TakenTurn) -> SliceRecord | float | None:
        order = turn.record.order
        try:
            async with self._shelf.document(order) as path:
                job = self._seams.make_job(order, path)
                alone = replace(job.order, caller=("job", order.ref.id))  # a slice is never too much of one job
                return await self._slices.read(turn, replace(job, order=alone))
        except JobsUnavailableError:
            raise
        except SidecarError as error:
            await self._slices.give_back(turn)
            return await self._again_or_failed(order.ref, error, taken)

    async def _end(self, known: Versioned, taken: TakenTurn) -> float | None:
        record = known.record
        ref = record.order.ref
        turns = [SliceTurn(record, number, 1) for number in range(len(record.slices))]
        done = [one for turn in turns if (one := await self._queue.records.slice(ref, turn.number))]
        if len(done) < len(turns):
            return AT_ONCE
        try:
            result = await self.result(record)
        except JobsUnavailableError:
            raise
        except SidecarError as error:
            await self._fail(ref, error, done)
            return DONE
        try:
            await self._write_file(record, result)
        except JobsUnavailableError:
            raise
        except SidecarError as error:
            return await self._again_or_failed(ref, error, taken)
        lacks = any(one.failed or one.unread for one in done)
        if await self._queue.finish(ref, State.PARTIAL if lacks else State.DONE, done):
            self._seams.told(record.order, result)
        return DONE

    async def _write_file(self, record: Record, result: DocumentResult) -> None:
        job = self._seams.make_job(record.order, NOWHERE)
        async with self._shelf.document(record.order) as path:
            job = replace(job, order=replace(job.order, document=path))
            if made := await self._seams.write_file(record.order, job, result):
                try:
                    await self._queue.blobs.put_file(record.order.ref.id, FILE, made)
                finally:
                    made.unlink(missing_ok=True)

    async def result(self, record: Record) -> DocumentResult:
        """Put together what was read of a job.

        Raises:
            SidecarError: not one page of it could be read.
            BlobMissingError: it was deleted.
        """
        turns = [SliceTurn(record, number, 1) for number in range(len(record.slices))]
        read = together(record, [await self._slices.stored(turn) for turn in turns])
        job = self._seams.make_job(record.order, NOWHERE)
        return await self._reader.conclude(replace(job, ends_s=None), read)

    async def _fail(self, ref: Ref, error: SidecarError, slices: list[SliceRecord] | None = None) -> None:
        failure = Failure(code=error.code, detail=error.detail, status=error.status)
        await self._queue.finish(ref, State.FAILED, slices or [], failure)
