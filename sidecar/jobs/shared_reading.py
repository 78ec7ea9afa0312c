"""Long documents of callers who wait for the answer: read by all pods, and answered as if this one had read them."""

import asyncio
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import replace

from sidecar.documents.pages import DocumentFacts
from sidecar.errors import JobConflictError, JobsUnavailableError, SidecarError
from sidecar.jobs.codec import error_from
from sidecar.jobs.jobs import Draft, Jobs
from sidecar.jobs.record import Record, Ref, State
from sidecar.jobs.view import JobView
from sidecar.ocr.job import DocumentResult, PagesRead, Progress, ReadJob
from sidecar.ocr.page_reading import PageResult
from sidecar.ocr.reader import DocumentReader


class SharedReader:
    """Reads documents: those with more pages to read than a slice has as jobs, all others here."""

    def __init__(self, reader: DocumentReader, jobs: Jobs, slice_pages: int) -> None:
        self._reader = reader
        self._jobs = jobs
        self._slice_pages = slice_pages

    async def read(self, job: ReadJob, progress: Progress, draft: Callable[[Sequence[int]], Draft]) -> DocumentResult:
        """Read a document; see :meth:`sidecar.ocr.reader.DocumentReader.read`. Cancelling it stops the work everywhere.

        Where the queue cannot be used it is read here. ``draft`` makes the job to hand in, of pages counted from 1.
        """
        opened = await self._reader.open(job)
        facts = opened.facts
        if sum(page.needs_engine for page in facts.pages) > self._slice_pages and self._jobs.failure is None:
            with suppress(JobsUnavailableError):
                pages = [page.index + 1 for page in facts.pages]
                view = await self._jobs.submit(draft(pages), job.order.document)
                return await self._shared(job, progress, facts, view.record.order.ref)
        return await self._reader.read(job, progress, opened)

    async def _shared(self, job: ReadJob, progress: Progress, facts: DocumentFacts, ref: Ref) -> DocumentResult:
        following = _Following(self._reader, self._jobs, job, progress)
        try:
            await progress.document(facts)
            with suppress(TimeoutError):  # at the document's deadline what was read is the answer
                async with asyncio.timeout(None if job.ends_s is None else max(0.0, job.ends_s - time.monotonic())):
                    await following.follow(ref)
            told = {page.page for page in following.pages}
            unread = tuple(page.index + 1 for page in facts.pages if page.index + 1 not in told)
            return await self._reader.conclude(job, PagesRead(facts, tuple(following.pages), unread))
        finally:
            await self._done_with(ref)

    async def _done_with(self, ref: Ref) -> None:
        """Stop what still works on a job, and delete it: its caller has the answer, or has left."""
        with suppress(SidecarError):  # what cannot be deleted now expires
            await self._jobs.cancel(ref)
            await self._jobs.delete(ref)


class _Following:
    """Tells of a job's pages in their order, as its slices are done."""

    def __init__(self, reader: DocumentReader, jobs: Jobs, job: ReadJob, progress: Progress) -> None:
        self._reader = reader
        self._jobs = jobs
        self._job = job
        self._progress = progress
        self._told = 0
        """Slices whose pages were told of."""
        self.pages: list[PageResult] = []

    async def follow(self, ref: Ref) -> None:
        """Follow a job to its end.

        Raises:
            SidecarError: what it failed with.
        """
        last: Record | None = None
        async for view in self._jobs.watch(ref):
            last = view.record
            await self._tell(ref, view)
        if last and last.failure:
            raise error_from({"code": last.failure.code, "said": last.failure.detail})
        if last is None or last.state is State.CANCELLED:
            raise JobConflictError("the job was cancelled")

    async def _tell(self, ref: Ref, view: JobView) -> None:
        done = {one.number for one in view.slices}
        if view.record.state.is_end and view.record.state is not State.CANCELLED:
            done = set(range(len(view.record.slices)))
        while self._told in done:
            for page in await self._jobs.pages(ref, self._told):
                self.pages.append(await self._reader.tell(self._job, replace(page, structured=None), self._progress))
            self._told += 1
