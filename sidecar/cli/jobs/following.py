"""Waits for jobs by long polls, one connection a job that is waited for."""

import asyncio

from sidecar.cli.jobs.fleet import Fleet
from sidecar.cli.jobs.report import Report
from sidecar.client import Job

WAIT_S = 30.0
"""How long a service is asked to keep a question open."""
GRACE_S = 30.0
"""How much later an answer may come, before another service is asked."""
FIRST_PACE_S = 0.1
LONGEST_PACE_S = 2.0
"""A job that changes all the time is not asked for more often."""


async def until_ended(fleet: Fleet, job: Job, report: Report) -> Job:
    """Return a job once it has ended; its pages are counted as they are read.

    Raises:
        ClientError: it is not there any more.
        SettingsError, LostError: as :meth:`Fleet.ask`.
    """
    loop, pace_s = asyncio.get_running_loop(), FIRST_PACE_S
    job_id, counted = job.id, 0
    while True:
        report.read(job.pages_done - counted)
        counted = job.pages_done
        if job.has_ended:
            return job
        next_s = loop.time() + pace_s
        known = job.version
        job = await fleet.ask(
            lambda client: client.job(job_id, WAIT_S, known=known, timeout_s=WAIT_S + GRACE_S)  # noqa: B023
        )
        if not job.has_ended:
            await asyncio.sleep(next_s - loop.time())
            pace_s = min(pace_s * 1.5, LONGEST_PACE_S)


def why_failed(job: Job) -> str:
    """Return why a job that has ended has no result; empty: it has one."""
    if job.has_result:
        return ""
    if job.error:
        return f"{job.error.detail} ({job.error.code})"
    return f"the job was {job.state}" if job.state == "cancelled" else "the job failed"
