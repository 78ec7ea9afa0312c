"""A job page by page, as the streamed answer of `/ocr-upload` is, from any pod; callers may come back where they were.

Nothing waits for a slow caller: the job is read whether anybody follows it or not, and one slice at most is in memory.
"""

import asyncio
from collections.abc import AsyncGenerator
from contextlib import aclosing
from enum import StrEnum

from aiohttp import web

from sidecar.api import deliver
from sidecar.api.answers import bodies
from sidecar.api.answers.answer import Answer
from sidecar.api.app_keys import DRAIN, JOBS, READER, SETTINGS
from sidecar.api.jobs import orders
from sidecar.errors import InvalidValueError, JobConflictError, SidecarError
from sidecar.jobs.record import Record, Ref, State
from sidecar.jobs.steps import NOWHERE
from sidecar.jobs.view import JobView
from sidecar.ocr.job import ReadJob
from sidecar.wire import common, ocr
from sidecar.wire.common import NDJSON

SSE = "text/event-stream"
SIGN_S = 15.0
"""How often a caller of server-sent events gets a sign while nothing happens, so that no proxy gives up."""
LOOK_S = 0.5
Event = tuple[int, str, bytes]
"""Its number, its name, and its JSON."""


class Kind(StrEnum):
    """How events are written."""

    LINES = NDJSON
    EVENTS = SSE


def wanted_kind(request: web.Request) -> Kind | None:
    """Return which stream the header Accept wants, if any."""
    accept = ",".join(request.headers.getall("Accept", ())).lower()
    return next((kind for kind in Kind if kind.value in accept), None)


async def stream(request: web.Request, ref: Ref, kind: Kind) -> web.StreamResponse:
    """Answer with a job's events, as they come.

    Raises:
        JobNotFoundError, JobExpiredError: it is not there, or no more.
    """
    view = await request.app[JOBS].view(ref)
    seen = _seen(request)
    wanted = orders.asked_of(view.record.order).wanted
    writer = _Writer(request, kind)
    await writer.begin()
    async with aclosing(_Events(request.app, view, orders.answer_of(request.app, view.record, wanted)).all()) as events:
        waiting = asyncio.ensure_future(anext(events, None))
        try:
            while (event := await writer.beside(waiting)) is not None:
                if event[0] > seen:
                    await writer.write(event)
                waiting = asyncio.ensure_future(anext(events, None))
        finally:
            waiting.cancel()
            await asyncio.gather(waiting, return_exceptions=True)
    await writer.end()
    return writer.response


def _seen(request: web.Request) -> int:
    """Return the number of the last event that the caller has; -1: none."""
    text = request.headers.get("Last-Event-ID", "")
    if not text:
        return -1
    if not text.isascii() or not text.isdigit() or len(text) > 9:
        raise InvalidValueError("Last-Event-ID is none of this stream's")
    return int(text)


class _Writer:
    """Writes events to a caller, in bounded time each."""

    def __init__(self, request: web.Request, kind: Kind) -> None:
        self._request = request
        self._kind = kind
        self._stall_s = request.app[SETTINGS].receive_timeout_s
        headers = {"Content-Type": kind.value, "Cache-Control": "no-store", "X-Accel-Buffering": "no"}
        self.response = web.StreamResponse(headers=headers)

    async def begin(self) -> None:
        await self.response.prepare(self._request)

    async def beside(self, waiting: asyncio.Future[Event | None]) -> Event | None:
        """Wait for the next event, and give signs meanwhile; the service's end is one as well."""
        loop = asyncio.get_running_loop()
        sign_at_s = loop.time() + SIGN_S
        while not waiting.done():
            await asyncio.wait([waiting], timeout=LOOK_S)
            if not waiting.done() and self._request.app[DRAIN].draining:
                return None  # the caller comes back, and another pod goes on
            if self._kind is Kind.EVENTS and loop.time() >= sign_at_s:
                await self._send(b": still here\n\n")
                sign_at_s = loop.time() + SIGN_S
        return waiting.result()

    async def write(self, event: Event) -> None:
        number, name, body = event
        if self._kind is Kind.LINES:
            await self._send(body + b"\n")
        else:
            await self._send(b"id: %d\nevent: %b\ndata: " % (number, name.encode()) + body + b"\n\n")

    async def _send(self, content: bytes) -> None:
        for first in range(0, len(content), deliver.SLICE_BYTES):
            writing = self.response.write(content[first : first + deliver.SLICE_BYTES])
            await deliver.in_time(self._request, writing, self._stall_s)

    async def end(self) -> None:
        await deliver.in_time(self._request, self.response.write_eof(), self._stall_s)


class _Events:
    """The events of a job: the document is number 0, its pages count from 1, and the end comes last."""

    def __init__(self, app: web.Application, view: JobView, told: Answer) -> None:
        self._app = app
        self._ref = view.record.order.ref
        self._told = told
        self._job: ReadJob = orders.make_job(app, view.record.order, NOWHERE)
        self._next_slice = 0
        self._number = 0
        self._has_begun = False

    async def all(self) -> AsyncGenerator[Event, None]:
        """Yield all events, until the job has ended."""
        try:
            async with aclosing(self._app[JOBS].watch(self._ref)) as views:
                async for view in views:
                    async for event in self._news(view):
                        yield event
        except SidecarError as error:
            yield self._failed(error)

    async def _news(self, view: JobView) -> AsyncGenerator[Event, None]:
        record = view.record
        if record.pages is not None and not self._has_begun:
            self._has_begun = True
            yield 0, "document", common.render(_document(record))
        done = {one.number for one in view.slices}
        is_whole = record.state in (State.DONE, State.PARTIAL)
        while self._next_slice < len(record.slices) and (is_whole or self._next_slice in done):
            for page in await self._app[JOBS].pages(self._ref, self._next_slice):
                self._number += 1
                alone = await self._app[READER].structured_alone(self._job, page) if self._told.wanted.layout else page
                yield self._number, "page", await self._told.page_line(alone, bodies.writer_of(self._app))
            self._next_slice += 1
        if record.state.is_end:
            yield await self._last(record)

    async def _last(self, record: Record) -> Event:
        if record.state is State.CANCELLED:
            return self._failed(JobConflictError("the job was cancelled, it has no result"))
        done = await self._app[JOBS].result(self._ref)
        told = orders.answer_of(self._app, record, self._told.wanted)
        return self._number + 1, "done", common.render(told.done(done.result))

    def _failed(self, error: SidecarError) -> Event:
        return self._number + 1, "error", common.render(self._told.failed(error))


def _document(record: Record) -> ocr.DocumentEvent:
    return ocr.DocumentEvent(
        request_id=record.order.request_id,
        kind=record.kind,
        page_count=len(record.pages or ()),
        document_page_count=record.document_pages or 0,
    )
