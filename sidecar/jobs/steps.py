"""What a pod does with a turn: opens a document, reads a slice, puts the results together."""

import os
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path

from sidecar.errors import JobExpiredError, JobNotFoundError, PageQuarantinedError, SidecarError, StorageError
from sidecar.jobs import attempts
from sidecar.jobs.jetstream.blobs import BlobMissingError
from sidecar.jobs.jetstream.records import ChangedError, Versioned
from sidecar.jobs.jetstream.turns import TakenTurn
from sidecar.jobs.queue import FILE, Queue
from sidecar.jobs.record import Failure, Lane, Order, Record, Ref, SliceRecord, State
from sidecar.jobs.shelf import DocumentShelf
from sidecar.jobs.slice_reader import SliceReader, SliceTurn, together
from sidecar.jobs.turn import Step, Turn
from sidecar.ocr.job import DocumentResult, ReadJob
from sidecar.ocr.reader import DocumentReader

DONE, AT_ONCE = None, 0.5
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
    on_slice: Callable[[str], None] = lambda _: None
    """Is told what came of each slice: `done`, or `again`."""


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
                return DONE
            steps = {Step.OPEN: self._open, Step.READ: self._read, Step.END: self._end}
            return await steps[taken.turn.step](known, taken)
        except (JobNotFoundError, JobExpiredError):
            return DONE  # cancelled, and deleted since
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
            except SidecarError as error:
                if error.retryable and taken.delivery < attempts.MOST_OPENINGS:
                    return attempts.retry_after_s(taken.delivery)
                await self._fail(order.ref, error)
                return DONE
        await self._queue.due.add(known.record)
        await self._queue.turns.put(Turn(step=Step.READ, ref=order.ref), order.lane)
        return DONE

    async def _opened(self, known: Versioned, taken: TakenTurn) -> Versioned:
        if taken.delivery > attempts.MOST_OPENINGS:
            raise PageQuarantinedError("whoever opened the document did not come back; it is not opened again")
        order = known.record.order
        async with self._shelf.document(order.ref.id) as path:
            job = self._seams.make_job(order, path)
            order_alone = replace(job.order, wants_layout=False, wants_receipt=False)
            facts = await self._reader.inspect(replace(job, order=order_alone))
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

    async def _read(self, known: Versioned, taken: TakenTurn) -> float | None:
        record, number = known.record, taken.turn.slice
        ref = record.order.ref
        if await self._queue.records.slice(ref, number) is None:
            if number + 1 < len(record.slices):  # first: whatever becomes of this slice, the job's turn goes on
                await self._queue.turns.put(Turn(step=Step.READ, ref=ref, slice=number + 1), record.order.lane)
            read = await self._read_slice(SliceTurn(record, number, taken.delivery))
            self._seams.on_slice("done" if isinstance(read, SliceRecord) else "again")
            if not isinstance(read, SliceRecord):
                return read
            await self._queue.records.add_slice(ref, read)
        await self._queue.due.remove(ref, number)
        if len(await self._queue.records.slices_done(ref)) >= len(record.slices):
            # Before all slices of batch: it is short, makes room in the store, and somebody may want the result.
            await self._queue.turns.put(Turn(step=Step.END, ref=ref), Lane.REALTIME)
        return DONE

    async def _read_slice(self, turn: SliceTurn) -> SliceRecord | float:
        order = turn.record.order
        try:
            async with self._shelf.document(order.ref.id) as path:
                job = self._seams.make_job(order, path)
                alone = replace(job.order, caller=("job", order.ref.id))  # a slice is never too much of one job
                return await self._slices.read(turn, replace(job, order=alone))
        except SidecarError as error:
            if error.status != 429:
                raise
            return float(error.retry_after_s or attempts.retry_after_s(1))

    async def _end(self, known: Versioned, _: TakenTurn) -> float | None:
        record = known.record
        ref = record.order.ref
        turns = [SliceTurn(record, number, 1) for number in range(len(record.slices))]
        done = [one for turn in turns if (one := await self._queue.records.slice(ref, turn.number))]
        if len(done) < len(turns):
            return AT_ONCE
        try:
            result = await self.result(record)
            job = self._seams.make_job(record.order, NOWHERE)
            async with self._shelf.document(ref.id) as path:
                job = replace(job, order=replace(job.order, document=path))
                if made := await self._seams.write_file(record.order, job, result):
                    await self._queue.blobs.put_file(ref.id, FILE, made)
                    made.unlink(missing_ok=True)
        except SidecarError as error:
            await self._fail(ref, error, done)
            return DONE
        lacks = any(one.failed or one.unread for one in done)
        if await self._queue.finish(ref, State.PARTIAL if lacks else State.DONE, done):
            self._seams.told(record.order, result)
        return DONE

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
