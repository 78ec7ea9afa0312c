"""Jobs as the rest of the service sees them: handed in, followed, fetched, given up."""

import asyncio
import hashlib
import time
from collections.abc import AsyncGenerator
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from secrets import token_hex
from typing import Any

from sidecar.errors import (
    JobConflictError,
    JobExpiredError,
    JobNotFoundError,
    JobRunningError,
    JobsUnavailableError,
    QueueFullError,
)
from sidecar.jobs.codec import error_from
from sidecar.jobs.jetstream.blobs import BlobMissingError, Target
from sidecar.jobs.jetstream.connection import listening, told, unavailable
from sidecar.jobs.jetstream.ends import Reason
from sidecar.jobs.jetstream.records import Records
from sidecar.jobs.queue import CANCELS, FILE, Queue, document_name
from sidecar.jobs.record import Lane, Order, Record, Ref, SliceRecord, State
from sidecar.jobs.slice_reader import SliceReader, SliceTurn
from sidecar.jobs.steps import NOWHERE, JobSeams, Steps
from sidecar.jobs.turn import Step, Turn
from sidecar.jobs.view import JobView
from sidecar.ocr.job import DocumentResult, ReadJob
from sidecar.ocr.page_reading import PageResult

ARRIVES_S = 3600.0
"""A document whose pod ended while it arrived is deleted after so long."""
LOOK_S = 2.0
"""A change is heard; one that was missed is found by looking so often."""
RETRY_AFTER_S = 30
CLAIMS = 5
"""Somebody else may take over a key in between."""


@dataclass(frozen=True, slots=True)
class Draft:
    """What is asked for; see :class:`sidecar.jobs.record.Order`."""

    owner: str
    lane: Lane
    request: dict[str, Any]
    profile: dict[str, Any] | None
    request_id: str
    ignored_fields: tuple[str, ...] = ()
    label: str = ""
    filename: str = ""
    callback_url: str | None = None
    clips_pages: bool = False
    more: dict[str, Any] = field(default_factory=dict)
    is_kept: bool = True


@dataclass(frozen=True, slots=True)
class Finished:
    """What came of a job: the order in the use case's terms, without its document, and the result."""

    job: ReadJob
    order: Order
    result: DocumentResult


class Jobs:
    """The jobs of all pods."""

    def __init__(self, queue: Queue, steps: Steps, slices: SliceReader, seams: JobSeams, max_jobs: int) -> None:
        self._queue = queue
        self._steps = steps
        self._slices = slices
        self._seams = seams
        self._max_jobs = max_jobs

    @property
    def failure(self) -> str | None:
        """Why the queue cannot be used now; None while it can."""
        return self._queue.connection.failure

    async def submit(self, draft: Draft, document: Path, key: str | None = None) -> JobView:
        """Hand a job in: once this returns, no end of any pod loses it.

        Args:
            draft: what is asked for.
            document: where it is until then.
            key: the same one for the same job, however often it is handed in.

        Raises:
            JobConflictError: the key was used for something else.
            QueueFullError: as many jobs wait as may.
            JobsUnavailableError: it cannot be stored now.
        """
        size_bytes, digest = await asyncio.to_thread(_measured, document)
        if await self._queue.turns.count() >= self._max_jobs:
            raise QueueFullError(f"{self._max_jobs} jobs wait, which is the limit", retry_after_s=RETRY_AFTER_S)
        ref = Ref(owner=draft.owner, id=f"{time.time_ns() // 1_000_000:012x}{token_hex(16)}")
        name = key and hashlib.sha256(f"{draft.owner} {key}".encode("utf-8", "surrogatepass")).hexdigest()
        if name:
            ref, view = await self._claimed(name, ref)
            if view is not None:
                return _the_same(view, draft, digest)
        order = _order(draft, ref, size_bytes, digest)
        await self._queue.ends.add(ref, ARRIVES_S, Reason.ARRIVAL)
        await self._queue.blobs.put_file(ref.id, document_name(order), document)
        place = await self._queue.turns.put(Turn(step=Step.OPEN, ref=ref, order=order), order.lane)
        await self._queue.records.create(Record(order=order, place=place))
        return _the_same(await self.view(ref), draft, digest)

    async def _claimed(self, name: str, mine: Ref) -> tuple[Ref, JobView | None]:
        """Return the job that a key belongs to, and how it is; None where it is not there yet, and this call makes it.

        Whoever claimed the key may not have come to its end: this call goes on for it, but not under the id of a job
        that has expired, or whose document is soon deleted as one that nobody waits for.
        """
        ref = Ref(owner=mine.owner, id=await self._queue.records.claim(name, mine.id))
        for _ in range(CLAIMS):
            if ref == mine:
                return mine, None
            try:
                return ref, await self.view(ref)
            except JobNotFoundError:
                if time.time() - ref.made_at_s < ARRIVES_S / 2:
                    return ref, None
            except JobExpiredError:
                pass
            ref = Ref(owner=mine.owner, id=await self._queue.records.reclaim(name, ref.id, mine.id))
        raise unavailable()

    async def view(self, ref: Ref) -> JobView:
        """Return a job as it is now.

        Raises:
            JobNotFoundError, JobExpiredError: it is not there, or no more.
        """
        return await self._seen(ref, {})

    async def _seen(self, ref: Ref, known: dict[int, SliceRecord]) -> JobView:
        """Return a job as it is now; ``known`` are slices that were done before, and gets the new ones."""
        record = (await self._queue.records.get(ref)).record
        if record.pages and not record.state.is_end:
            for number in await self._queue.records.slices_done(ref):
                if number not in known and (done := await self._queue.records.slice(ref, number)):
                    known[number] = done
        ahead = None
        if record.state is State.QUEUED and record.place is not None:
            ahead = await self._queue.turns.ahead(record.order.lane, record.place)
        return JobView(record, [known[number] for number in sorted(known)], ahead)

    async def watch(self, ref: Ref) -> AsyncGenerator[JobView, None]:
        """Yield a job as it is now, and again whenever it has changed, until it has ended; from any pod.

        Raises:
            JobNotFoundError, JobExpiredError: it is not there, or no more.
        """
        changed, known, last = asyncio.Event(), dict[int, SliceRecord](), None
        async with listening(self._queue.connection, Records.changes(ref), lambda _: changed.set()):
            while True:
                changed.clear()
                view = None
                with suppress(JobsUnavailableError):  # the connection comes back, or the caller goes
                    view = await self._seen(ref, known)
                if view is not None and view != last:
                    last = view
                    yield view
                if view is not None and view.record.state.is_end:
                    return
                with suppress(TimeoutError):
                    await asyncio.wait_for(changed.wait(), LOOK_S)

    async def pages(self, ref: Ref, number: int) -> tuple[PageResult, ...]:
        """Return the pages of a slice that is done.

        Raises:
            JobNotFoundError, JobExpiredError: it is not there, or no more.
        """
        record = (await self._queue.records.get(ref)).record
        return (await self._slices.stored(SliceTurn(record, number, 1))).pages

    async def result(self, ref: Ref) -> Finished:
        """Return what came of a job that has ended.

        Raises:
            JobRunningError: it has not.
            JobConflictError: it was cancelled.
            SidecarError: what it failed with.
        """
        record = (await self._queue.records.get(ref)).record
        if not record.state.is_end:
            raise JobRunningError(f"the job is {record.state}; its result is there once it has ended", retry_after_s=2)
        if record.state is State.CANCELLED:
            raise JobConflictError("the job was cancelled, it has no result")
        if record.failure:
            raise error_from({"code": record.failure.code, "said": record.failure.detail})
        try:
            result = await self._steps.result(record)
        except BlobMissingError as exc:
            raise JobExpiredError("the job has expired; its result is no longer kept") from exc
        return Finished(self._seams.make_job(record.order, NOWHERE), record.order, result)

    async def file(self, ref: Ref, target: Target) -> None:
        """Write the file that was ordered with the job.

        Raises:
            JobConflictError: none was.
        """
        try:
            await self._queue.blobs.get_file(ref.id, FILE, target)
        except BlobMissingError as exc:
            raise JobConflictError("no searchable PDF was asked for when the job was handed in") from exc

    async def cancel(self, ref: Ref) -> JobView:
        """Give a job up: its work stops everywhere; one that has ended stays as it is.

        Raises:
            JobNotFoundError, JobExpiredError: it is not there, or no more.
        """
        await self._queue.finish(ref, State.CANCELLED)
        with told():
            await self._queue.connection.client.publish(CANCELS, ref.id.encode())
        return await self.view(ref)

    async def delete(self, ref: Ref) -> None:
        """Delete a job that has ended, whose result nobody asks for again."""
        await self._queue.delete(ref)

    async def ids(self, owner: str) -> list[str]:
        """Return the ids of an owner's jobs, the oldest first."""
        return await self._queue.records.ids(owner)


def _the_same(view: JobView, draft: Draft, digest: str) -> JobView:
    order = view.record.order
    if (order.request, order.document_sha256) != (draft.request, digest):
        raise JobConflictError("the Idempotency-Key belongs to a job for another document, or with other fields")
    return view


def _order(draft: Draft, ref: Ref, size_bytes: int, digest: str) -> Order:
    return Order(
        ref=ref,
        lane=draft.lane,
        request=draft.request,
        profile=draft.profile,
        request_id=draft.request_id,
        ignored_fields=draft.ignored_fields,
        label=draft.label,
        filename=draft.filename,
        callback_url=draft.callback_url,
        accepted_at=datetime.now(UTC),
        document_bytes=size_bytes,
        document_sha256=digest,
        clips_pages=draft.clips_pages,
        more=draft.more,
        is_kept=draft.is_kept,
    )


def _measured(document: Path) -> tuple[int, str]:
    with document.open("rb") as file:
        return document.stat().st_size, hashlib.file_digest(file, "sha256").hexdigest()
