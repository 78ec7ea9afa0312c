"""Hands documents over as jobs, a few at a time, waits for them, and writes what was read of each.

What is done stands in the output folder, and a document is the same job whoever hands it over again: a run may be ended
in any way, at any time, and begun again.
"""

import asyncio
import hashlib
import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from sidecar.cli.documents import Document, write_file
from sidecar.cli.jobs.fleet import Fleet
from sidecar.cli.jobs.following import until_ended, why_failed
from sidecar.cli.jobs.groups import run_together
from sidecar.cli.jobs.report import Report
from sidecar.cli.rendering import Reading, render
from sidecar.cli.requests import JSON
from sidecar.client import ClientError, Job, ReadFields, ServiceError, WrittenDocument

SUBMIT_S = 900.0
RESULT_S = 600.0
UPLOADS_AT_A_TIME = 16
RESULTS_AT_A_TIME = 8
"""So many results are in memory, however many jobs are waited for."""
MAX_ATTEMPTS = 5
GONE = frozenset({404, 410})
"""The queue does not know the job, or does not keep its result any more."""


@dataclass(frozen=True, slots=True)
class Order:
    """What all documents of a run have in common."""

    fields: ReadFields
    output: str | None
    priority: str
    label: str | None = None
    again: frozenset[str] = field(default_factory=lambda: frozenset({"cancelled"}))
    """The states in which an earlier run's job is not taken for this one's."""


class Submitter:
    """Hands documents over; one that fails is reported and does not affect the others."""

    def __init__(self, fleet: Fleet, order: Order, report: Report) -> None:
        self._fleet = fleet
        self._order = order
        self._report = report
        self._uploads = asyncio.Semaphore(UPLOADS_AT_A_TIME)
        self._results = asyncio.Semaphore(RESULTS_AT_A_TIME)

    async def submit_all(self, documents: Sequence[Document], at_a_time: int) -> None:
        """Hand all over, and write the texts of those that have a file for it.

        Raises:
            SettingsError: no document can be read in this way.
            LostError: nobody answered for too long.
        """
        source = iter(documents)
        await run_together(self._work(source) for _ in range(min(at_a_time, len(documents))))

    async def _work(self, source: Iterator[Document]) -> None:
        for document in source:
            try:
                await self._document(document)
            except BrokenPipeError:
                raise  # whoever reads the ids has left
            except OSError as exc:
                self._report.fail(document.shown, f"the file cannot be read: {exc.strerror or exc}")
            except ClientError as exc:
                self._report.fail(document.shown, str(exc))
            else:
                self._report.end()

    async def _document(self, document: Document) -> None:
        """Have a document read.

        Raises:
            ClientError: it failed.
            OSError: its file cannot be read.
        """
        for attempt in range(MAX_ATTEMPTS):
            job = await self._submit(document, attempt)
            if job.state in self._order.again:
                continue
            if document.target is None:
                print(job.id, document.shown, sep="\t", flush=True)
                return
            try:
                await self._finish(document, document.target, job)
            except ServiceError as exc:
                if exc.status not in GONE:
                    raise
            else:
                return
        raise ClientError(f"it was handed over {MAX_ATTEMPTS} times, and no result was kept")

    async def _submit(self, document: Document, attempt: int) -> Job:
        order = self._order
        async with self._uploads:
            key = await asyncio.to_thread(job_key, document, order, attempt)
            return await self._fleet.ask(
                lambda client: client.submit_job(
                    document.path,
                    priority=order.priority,
                    label=order.label,
                    idempotency_key=key,
                    filename=document.name,
                    timeout_s=SUBMIT_S,
                    **order.fields,
                )
            )

    async def _finish(self, document: Document, target: Path, job: Job) -> None:
        """Wait for a job, and write its result."""
        ended = await until_ended(self._fleet, job, self._report)
        if why := why_failed(ended):
            raise ClientError(why)
        async with self._results:
            reading = await self._result(ended)
            write_file(target, render(document, reading, self._order.output))
        for warning in reading.warnings:
            self._report.warn(f"{document.shown}: {warning}")

    async def _result(self, job: Job) -> Reading | WrittenDocument:
        output = self._order.output
        if output not in {None, JSON}:
            return await self._fleet.ask(lambda client: client.job_result_as(job.id, output=output, timeout_s=RESULT_S))
        whole = await self._fleet.ask(lambda client: client.job_result(job.id, timeout_s=RESULT_S))
        return Reading(whole.pages, whole)


def job_key(document: Document, order: Order, attempt: int) -> str:
    """Return the key of a document's job: the same for the same content, name and way of reading.

    Raises:
        OSError: the file cannot be read.
    """
    with document.path.open("rb") as file:
        content = hashlib.file_digest(file, "sha256").hexdigest()
    # Neither label nor priority: with others, it would be read once more.
    said = [document.name, content, sorted(order.fields.items()), attempt]
    return hashlib.sha256(json.dumps(said).encode()).hexdigest()
