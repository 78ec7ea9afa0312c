"""Hands jobs in over HTTP and waits for them, as a caller does."""

import asyncio
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import aiohttp

from sidecar.jobs.record import Lane

LONG_POLL_S = 30
ENGINE = "np-dms-ocr"


class JobFailedError(Exception):
    """A job was refused or did not end as done; the text is its answer."""


@dataclass(frozen=True, slots=True)
class Posted:
    """A job that was accepted, and how long that took."""

    url: str
    began_s: float
    took_s: float


class Caller:
    """Talks to a fleet's sidecars. Answers 429 are counted, and the job is handed in again."""

    def __init__(self, session: aiohttp.ClientSession) -> None:
        self._session = session
        self.refused = 0

    async def post(self, sidecar: str, paper: Path, lane: Lane = Lane.BATCH) -> Posted:
        """Hand a document in.

        Raises:
            JobFailedError: it was not accepted.
        """
        content = paper.read_bytes()  # noqa: ASYNC240 - a few kilobytes, read before the clock starts
        while True:
            form = aiohttp.FormData({"engine": ENGINE, "priority": lane.value})
            form.add_field("file", content, filename=paper.name, content_type="application/pdf")
            began_s = time.perf_counter()
            async with self._session.post(f"{sidecar}/v1/jobs", data=form) as response:
                answer = await response.json()
                took_s = time.perf_counter() - began_s
                if response.status == 202:
                    return Posted(f"{sidecar}/v1/jobs/{answer['id']}", began_s, took_s)
                if response.status != 429:
                    raise JobFailedError(f"{response.status}: {answer}")
            self.refused += 1
            await asyncio.sleep(float(response.headers.get("Retry-After", 1)))

    async def wait(self, job: Posted) -> dict[str, Any]:
        """Wait until a job has ended; return it as it is then.

        Raises:
            JobFailedError: not all of its pages were read.
        """
        while True:
            async with self._session.get(job.url, params={"wait": LONG_POLL_S}) as response:
                answer: dict[str, Any] = await response.json()
            if response.status != 200 or answer["state"] in ("partial", "failed", "cancelled"):
                raise JobFailedError(f"{response.status}: {answer}")
            if answer["state"] == "done":
                return answer

    async def state(self, job: Posted) -> str:
        """Return how far a job is."""
        async with self._session.get(job.url) as response:
            return str((await response.json())["state"])

    async def texts(self, job: Posted) -> list[str]:
        """Return what was read, page by page."""
        async with self._session.get(f"{job.url}/result") as response:
            return [page["text"] for page in (await response.json())["pages"]]

    async def read_now(self, sidecar: str, paper: Path) -> float:
        """Have a document read on the line, without the queue; return how long it took."""
        form = aiohttp.FormData({"engine": ENGINE})
        form.add_field("file", paper.read_bytes(), filename=paper.name)  # noqa: ASYNC240 - as above
        began_s = time.perf_counter()
        async with self._session.post(f"{sidecar}/ocr-upload", data=form) as response:
            await response.read()
            response.raise_for_status()
        return time.perf_counter() - began_s

    async def give_up(self, job: Posted) -> None:
        """Cancel a job."""
        async with self._session.delete(job.url) as response:
            await response.read()
