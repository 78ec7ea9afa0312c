"""Stand-ins for sidecars with jobs, of which several share one queue; each may be killed and come back.

A document's pages are its lines. One that begins with ``broken`` fails; ``slow`` waits until the queue is let go.
"""

import asyncio
import itertools
import json
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from typing import Any

from aiohttp import web

ENDED = {"done", "partial", "failed", "cancelled"}


class Queue:
    """All jobs, whoever took them."""

    def __init__(self) -> None:
        self.jobs: dict[str, dict[str, Any]] = {}
        self.texts: dict[str, list[str]] = {}
        self.keys: dict[str, str] = {}
        self.refusals: list[int] = []
        """Statuses that the next submissions get."""
        self.submissions = 0
        self.most_unended = 0
        self.go = asyncio.Event()
        self._ids = itertools.count(1)
        self._changed = asyncio.Event()
        self._reading: set[asyncio.Task[None]] = set()

    async def submit(self, key: str | None, form: dict[str, str], filename: str, content: bytes) -> dict[str, Any]:
        self.submissions += 1
        if key and key in self.keys:
            return self.jobs[self.keys[key]]
        job_id = f"{next(self._ids):08}"
        job = {
            "id": job_id,
            "state": "queued",
            "filename": filename,
            "position": 0,
            "pages": None,
            "pagesDone": 0,
            "version": "",
        }
        job |= {"priority": form.get("priority", "batch"), "label": form.get("label", "")}
        job |= {"acceptedAt": "2026-11-28T20:00:00Z", "quarantined": [], "warnings": []}
        self.jobs[job_id] = job
        if key:
            self.keys[key] = job_id
        unended = sum(one["state"] not in ENDED for one in self.jobs.values())
        self.most_unended = max(self.most_unended, unended)
        self.texts[job_id] = content.decode().splitlines()
        task = asyncio.create_task(self._read(job, self.texts[job_id]))
        self._reading.add(task)
        task.add_done_callback(self._reading.discard)
        return job

    def change(self, job: dict[str, Any], **values: Any) -> None:
        if job["state"] not in ENDED:
            job |= values
            job["version"] = f"{job['state']}-{job['pagesDone']}"
        self._changed.set()
        self._changed = asyncio.Event()

    async def wait(self, seconds: float) -> None:
        with suppress(TimeoutError):
            await asyncio.wait_for(self._changed.wait(), seconds)

    async def close(self) -> None:
        for task in self._reading:
            task.cancel()
        await asyncio.gather(*self._reading, return_exceptions=True)

    async def _read(self, job: dict[str, Any], lines: list[str]) -> None:
        self.change(job, state="running", pages=len(lines), position=None)
        if lines and lines[0].startswith("slow"):
            await self.go.wait()
        if lines and lines[0].startswith("broken"):
            error = {"code": "document_unreadable", "detail": "the document is damaged"}
            self.change(job, state="failed", error=error)
        for number in range(1, len(lines) + 1):
            self.change(job, pagesDone=number)
        self.change(job, state="done", endedAt="2026-11-28T20:00:01Z")


class Sidecar:
    """One service, on a port that it keeps when it comes back."""

    def __init__(self, queue: Queue) -> None:
        self.queue = queue
        self.breaks: list[int] = []
        """After how many events the next followers lose their connection."""
        self._port = 0
        self._connections: set[asyncio.Transport] = set()
        self._runner: web.AppRunner | None = None

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._port}"

    async def start(self) -> None:
        app = web.Application(middlewares=[self._seen])
        app.router.add_post("/v1/jobs", self._submit)
        app.router.add_get("/v1/jobs", self._list)
        app.router.add_get("/v1/jobs/{id}", self._job)
        app.router.add_get("/v1/jobs/{id}/result", self._result)
        app.router.add_delete("/v1/jobs/{id}", self._cancel)
        self._runner = web.AppRunner(app, access_log=None, handler_cancellation=True, shutdown_timeout=0.1)
        await self._runner.setup()
        site = web.TCPSite(self._runner, "127.0.0.1", self._port, reuse_address=True)
        await site.start()
        self._port = self._runner.addresses[0][1]

    async def kill(self) -> None:
        """End as kill -9 does: all connections break."""
        runner, self._runner = self._runner, None
        if runner is None:
            return
        for connection in self._connections:
            connection.abort()
        self._connections.clear()
        await runner.cleanup()

    @web.middleware
    async def _seen(self, request: web.Request, handler: Callable[..., Any]) -> web.StreamResponse:
        assert isinstance(request.transport, asyncio.Transport)
        self._connections.add(request.transport)
        return await handler(request)

    async def _submit(self, request: web.Request) -> web.Response:
        form, filename, content = {}, "", b""
        async for part in await request.multipart():
            if part.name == "file":
                filename, content = part.filename, bytes(await part.read())
            else:
                form[part.name] = await part.text()
        if self.queue.refusals:
            return refused(self.queue.refusals.pop(0), "queue_full", {"Retry-After": "0"})
        job = await self.queue.submit(request.headers.get("Idempotency-Key"), form, filename, content)
        return web.json_response(job, status=202)

    async def _list(self, request: web.Request) -> web.Response:
        asked = request.query
        jobs = [
            job
            for job_id, job in self.queue.jobs.items()
            if asked.get("label", job["label"]) == job["label"]
            and asked.get("state", job["state"]) == job["state"]
            and job_id > asked.get("after", "")
        ]
        some = jobs[: min(int(asked.get("limit", "3")), 3)]
        return web.json_response({"jobs": some, "next": some[-1]["id"] if len(some) < len(jobs) else None})

    async def _job(self, request: web.Request) -> web.StreamResponse:
        job = self.queue.jobs.get(request.match_info["id"])
        if job is None:
            return refused(404, "job_not_found")
        if request.headers.get("Accept") == "application/x-ndjson":
            return await self._follow(request, job)
        wait_s = float(request.query.get("wait", "0"))
        if wait_s and job["state"] not in ENDED and request.query.get("known") in {None, job["version"]}:
            await self.queue.wait(wait_s)
        return web.json_response(job)

    async def _follow(self, request: web.Request, job: dict[str, Any]) -> web.StreamResponse:
        response = web.StreamResponse(headers={"Content-Type": "application/x-ndjson"})
        await response.prepare(request)
        breaks = self.breaks.pop(0) if self.breaks else None
        last = int(request.headers.get("Last-Event-ID", "-1"))
        for number, event in enumerate(await self._events(job)):
            if number > last:
                if breaks == 0:
                    request.transport.abort()
                    break
                breaks = breaks and breaks - 1
                await response.write(json.dumps(event).encode() + b"\n")
        return response

    async def _events(self, job: dict[str, Any]) -> list[dict[str, Any]]:
        """What is told once the job has ended."""
        while job["state"] not in ENDED:
            await self.queue.wait(5)
        lines = self.queue.texts[job["id"]]
        pages = [{"event": "page", "page": at, "text": text} for at, text in enumerate(lines, 1)]
        last = {"event": "done", "text": "\n".join(lines), "pageCount": len(lines)}
        if job["state"] != "done":
            last = {"event": "error", "status": 409, **problem("job_conflict")}
        return [{"event": "document", "pageCount": len(lines)}, *pages, last]

    async def _result(self, request: web.Request) -> web.Response:
        job = self.queue.jobs.get(request.match_info["id"])
        if job is None:
            return refused(404, "job_not_found")
        if job["state"] != "done":
            return refused(409, "job_running")
        lines = self.queue.texts[job["id"]]
        if request.query.get("output") == "text":
            return web.Response(text="\n".join(lines), content_type="text/plain", headers={"X-Ocr-Engine": "fake"})
        pages = [{"page": at, "text": text} for at, text in enumerate(lines, 1)]
        return web.json_response({"text": "\n".join(lines), "pageCount": len(pages), "pages": pages})

    async def _cancel(self, request: web.Request) -> web.Response:
        job = self.queue.jobs.get(request.match_info["id"])
        if job is None:
            return refused(404, "job_not_found")
        self.queue.change(job, state="cancelled")
        return web.json_response(job, status=202)


def refused(status: int, code: str, headers: dict[str, str] | None = None) -> web.Response:
    return web.json_response(problem(code), status=status, headers=headers)


def problem(code: str) -> dict[str, str]:
    return {"detail": code, "code": code, "requestId": "r"}


@asynccontextmanager
async def sidecars(count: int) -> AsyncIterator[tuple[Queue, list[Sidecar]]]:
    """Start services with one queue during the block."""
    queue = Queue()
    async with AsyncExitStack() as held:
        held.push_async_callback(queue.close)
        started = [Sidecar(queue) for _ in range(count)]
        for one in started:
            await one.start()
            held.push_async_callback(one.kill)
        yield queue, started
