"""Calls about jobs: documents that are handed over, and read wherever there is room, whoever ends meanwhile."""

import random
import secrets
from collections.abc import AsyncGenerator, Mapping
from contextlib import aclosing
from http import HTTPStatus
from pathlib import Path
from types import MappingProxyType
from typing import Unpack
from urllib.parse import quote, urlencode

from sidecar.client import answers
from sidecar.client.answers import Document, Event, Summary, WrittenDocument
from sidecar.client.caller import STREAM_HEADERS, Caller
from sidecar.client.exchange import Request
from sidecar.client.failures import BrokenAnswerError, ClientError, ServiceError
from sidecar.client.fields import JSON, ReadFields, render_fields, render_json_fields, render_other_fields
from sidecar.client.jobs import Job, JobList
from sidecar.client.retries import Patience, is_lost
from sidecar.client.upload import Source, open_upload

NO_QUEUE = "jobs_unavailable"
LISTED = 100
"""Jobs that are asked for at a time."""
TAKEN = (HTTPStatus.OK, HTTPStatus.CREATED, HTTPStatus.ACCEPTED)


class JobCalls(Caller):
    """The calls; whoever made a job may ask for it, with the same key."""

    async def submit_job(  # noqa: PLR0913 - each is a field of the request
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
        """Hand a document over: a path, its bytes, or a file that is open for reading bytes, which stays open.

        Args:
            document: what is to be read.
            priority: ``realtime``, or ``batch``, which is the service's default.
            label: finds the jobs that belong together again.
            callback_url: called when the job has ended, if the service allows it.
            idempotency_key: the same key with the same document and fields is the same job, however often it is
                handed over; without one, each call makes a job.
            filename: what the service calls the document; else a path's last part.
            timeout_s: see :class:`sidecar.client.AsyncClient`.
            fields: how it is to be read, as in :meth:`AsyncClient.read`. ``output="pdf"`` if that is to be fetched.

        Raises:
            ServiceError: the service refused it.
            ClientError: another of its kinds.
            OSError: the file cannot be read.
            TypeError: a field that does not exist.
        """
        told = {"priority": priority, "label": label, "callbackUrl": callback_url}
        form = render_fields(fields) | {name: value for name, value in told.items() if value is not None}
        headers = (("Idempotency-Key", idempotency_key or secrets.token_hex(16)),)
        name = filename or _name_of(document)
        async with open_upload(document) as upload:
            with upload.failing():
                request = Request("POST", "/v1/jobs", lambda: upload.form(form, name), headers, TAKEN)
                return await self._ask(Job, request, self._deadline_s(timeout_s))

    async def job(
        self, job_id: str, wait_s: float = 0, *, known: str | None = None, timeout_s: float | None = None
    ) -> Job:
        """Return a job as it stands; with ``wait_s``, once it has got on or ended, and then at the latest.

        ``known`` is the ``version`` that the caller has: any other one is told at once.

        Raises:
            ServiceError: there is no such job (404), or not any more (410).
            ClientError: another of its kinds.
        """
        asked = {"wait": f"{wait_s:g}"} | ({"known": known} if known else {}) if wait_s > 0 else {}
        return await self._ask(Job, Request("GET", _path(job_id, asked)), self._deadline_s(timeout_s))

    async def jobs(
        self, *, label: str | None = None, state: str | None = None, timeout_s: float | None = None
    ) -> AsyncGenerator[Job, None]:
        """Yield the jobs that were made with this key, the oldest first, some at a time.

        ``timeout_s`` holds for each such part.

        Raises:
            ClientError: any of its kinds.
        """
        after: str | None = None
        while True:
            some = await self.some_jobs(label=label, state=state, after=after, limit=LISTED, timeout_s=timeout_s)
            for job in some.jobs:
                yield job
            if not some.next or some.next == after:
                return
            after = some.next

    async def some_jobs(
        self,
        *,
        label: str | None = None,
        state: str | None = None,
        after: str | None = None,
        limit: int | None = None,
        timeout_s: float | None = None,
    ) -> JobList:
        """Return some jobs, the oldest first: those after the ones whose ``next`` is ``after``.

        Raises:
            ClientError: any of its kinds.
        """
        asked = {"label": label, "state": state, "after": after, "limit": limit}
        query = urlencode({name: value for name, value in asked.items() if value})
        path = f"/v1/jobs?{query}" if query else "/v1/jobs"
        return await self._ask(JobList, Request("GET", path), self._deadline_s(timeout_s))

    async def follow_job(self, job_id: str, *, timeout_s: float | None = None) -> AsyncGenerator[Event, None]:
        """Yield what :meth:`AsyncClient.stream` yields: one ``Opened``, each ``Page`` once it is read, the ``Summary``.

        A connection that is lost is made again, for as long as the client's patience lasts without any event; no page
        is left out, and none is told twice. The job is read whether it is followed or not.

        Raises:
            ServiceError: there is no such job (404), or not any more (410); it was cancelled (409); why it failed.
            ClientError: another of its kinds.
        """
        deadline_s = self._deadline_s(timeout_s)
        patience, last = Patience(self._patience_s), -1
        while True:
            try:
                async with aclosing(self._job_events(job_id, last, deadline_s)) as events:
                    async for number, event in events:
                        patience.answered()
                        last = number
                        if event is not None:
                            yield event
                        if isinstance(event, Summary):
                            return
            except ClientError as error:
                pause_s = patience.next_pause_s(random.random())  # noqa: S311 - it spreads callers, and hides nothing
                if not _may_come_back(error) or pause_s is None:
                    raise
                await self._exchange().pause(pause_s)

    async def job_result(
        self, job_id: str, *, timeout_s: float | None = None, **fields: Unpack[ReadFields]
    ) -> Document:
        """Return what was read of a job that has ended.

        Raises:
            ServiceError: there is no such job (404), it still runs (409), its result is not kept any more (410), or
                why it failed.
            ClientError: another of its kinds.
            TypeError: a field that does not exist.
        """
        path = _path(job_id, {"output": JSON} | render_json_fields(fields), "/result")
        return await self._ask(Document, Request("GET", path), self._deadline_s(timeout_s))

    async def job_result_as(
        self, job_id: str, *, timeout_s: float | None = None, **fields: Unpack[ReadFields]
    ) -> WrittenDocument:
        """Return what was read, in another format than JSON: the one that ``output`` names.

        Raises:
            ServiceError, ClientError: as :meth:`job_result`.
            TypeError: a field that does not exist, or no ``output``.
        """
        request = Request("GET", _path(job_id, render_other_fields(fields), "/result"))
        content, headers = await self._exchange().file(request, self._deadline_s(timeout_s))
        return answers.written_document(content, headers)

    async def cancel_job(self, job_id: str, *, timeout_s: float | None = None) -> Job:
        """Stop a job, wherever it is read; one that has ended stays as it is.

        Raises:
            ServiceError: there is no such job (404), or not any more (410).
            ClientError: another of its kinds.
        """
        request = Request("DELETE", _path(job_id), accepted=TAKEN)
        return await self._ask(Job, request, self._deadline_s(timeout_s))

    async def _job_events(
        self, job_id: str, last: int, deadline_s: float | None
    ) -> AsyncGenerator[tuple[int, Event | None], None]:
        """Yield the events after the one with the number ``last``, with their numbers."""
        headers = (*STREAM_HEADERS, ("Last-Event-ID", str(last))) if last >= 0 else STREAM_HEADERS
        request = Request("GET", _path(job_id), headers=headers)
        async with aclosing(self._exchange().lines(request, deadline_s)) as lines:
            async for line in lines:
                last += 1
                yield last, self._parsed(answers.parse_line, line)
        raise BrokenAnswerError(f"the answer of {self.url} is incomplete")


def _may_come_back(error: ClientError) -> bool:
    """Tell whether the job may still be told of: only the service, or its queue, was lost."""
    return is_lost(error) or (isinstance(error, ServiceError) and error.code == NO_QUEUE)


def _path(job_id: str, asked: Mapping[str, str] = MappingProxyType({}), part: str = "") -> str:
    return f"/v1/jobs/{quote(job_id, safe='')}{part}" + (f"?{urlencode(asked)}" if asked else "")


def _name_of(document: Source) -> str:
    return Path(document).name if isinstance(document, str | Path) else "document"
