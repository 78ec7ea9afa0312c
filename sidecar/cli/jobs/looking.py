"""Jobs that were handed over before: listed, watched, cancelled, by their ids or their label."""

import argparse
import asyncio
import json
from collections.abc import AsyncGenerator, Awaitable, Callable
from datetime import datetime

from sidecar.cli.jobs.fleet import Fleet
from sidecar.cli.jobs.following import until_ended, why_failed
from sidecar.cli.jobs.groups import run_together
from sidecar.cli.jobs.report import Report
from sidecar.client import ClientError, Job
from sidecar.client.failures import printable

CALL_S = 60.0
LISTED = 100
AT_A_TIME = 16

Named = Job | str
"""A job as a list has it, or its id."""


async def list_jobs(fleet: Fleet, options: argparse.Namespace, report: Report) -> None:
    """Print the jobs of this caller, one a line, the oldest first."""
    async for job in labelled(fleet, options.label, options.state):
        print(json.dumps(job.as_json(), ensure_ascii=False) if options.json else as_line(job))
        report.end()


async def watch_jobs(fleet: Fleet, options: argparse.Namespace, report: Report) -> None:
    """Wait until the jobs have ended; those that failed are told one a line."""
    total = len(options.ids)
    if options.label:
        total = 0
        async for _ in labelled(fleet, options.label):
            total += 1
    report.expect(total)

    async def watch(job: Job) -> None:
        ended = await until_ended(fleet, job, report)
        if why := why_failed(ended):
            raise ClientError(why)
        if ended.pages_failed:
            report.warn(f"{shown(ended)}: {ended.pages_failed} of {ended.pages} pages could not be read")

    await _each(fleet, options, report, watch)


async def cancel_jobs(fleet: Fleet, options: argparse.Namespace, report: Report) -> None:
    """Stop the jobs that have not ended."""

    async def cancel(job: Job) -> None:
        if not job.has_ended:
            await fleet.ask(lambda client: client.cancel_job(job.id, timeout_s=CALL_S))

    await _each(fleet, options, report, cancel)


async def _each(
    fleet: Fleet, options: argparse.Namespace, report: Report, do: Callable[[Job], Awaitable[None]]
) -> None:
    """Do something with each job that was named, a few at a time; one that fails is reported."""
    source, one_at_a_time = _named(fleet, options), asyncio.Lock()

    async def taken() -> Named | None:
        async with one_at_a_time:
            return await anext(source, None)

    async def work() -> None:
        while (named := await taken()) is not None:
            name = shown(named)
            try:
                job = named if isinstance(named, Job) else await _job(fleet, named)
                name = shown(job)
                await do(job)
            except ClientError as exc:
                report.fail(name, str(exc))
            else:
                report.end()

    await run_together(work() for _ in range(AT_A_TIME))


async def _named(fleet: Fleet, options: argparse.Namespace) -> AsyncGenerator[Named, None]:
    for job_id in options.ids:
        yield job_id
    if options.label:
        async for job in labelled(fleet, options.label):
            yield job


async def _job(fleet: Fleet, job_id: str) -> Job:
    return await fleet.ask(lambda client: client.job(job_id, timeout_s=CALL_S))


async def labelled(fleet: Fleet, label: str | None, state: str | None = None) -> AsyncGenerator[Job, None]:
    """Yield jobs, the oldest first; only a part of them is in memory."""
    after: str | None = None
    while True:
        since = after
        some = await fleet.ask(
            lambda client: client.some_jobs(label=label, state=state, after=since, limit=LISTED, timeout_s=CALL_S)  # noqa: B023
        )
        for job in some.jobs:
            yield job
        if not some.next or some.next == after:
            return
        after = some.next


def as_line(job: Job) -> str:
    """Return a job as a line with tabs: id, state, pages, priority, when it came, label, file."""
    pages = f"{job.pages_done}/{'?' if job.pages is None else job.pages}"
    came = job.accepted_at.isoformat(timespec="seconds") if isinstance(job.accepted_at, datetime) else ""
    return "\t".join([job.id, job.state, pages, job.priority, came, printable(job.label), printable(job.filename)])


def shown(job: Named) -> str:
    """Return what people call a job."""
    if isinstance(job, str):
        return printable(job)
    return f"{printable(job.filename)} ({job.id})" if job.filename else job.id
