"""Jobs and the end of a service: what it holds goes to the next one, and nobody who follows a job holds it up."""

import asyncio
import json
import time

import pytest

from sidecar.api.app_keys import CONNECTIONS
from sidecar.cli.doctor import examine
from tests.conftest import start_service
from tests.integration.sidecar.documents import as_tiff, picture_of_text
from tests.integration.sidecar.jobs.serving import Caller


@pytest.fixture
async def serve(tmp_path):
    """Starts services one after the other, on the same store of jobs."""
    running = []

    async def make(**environ: str):
        settings = {"OCR_JOBS": "embedded", "OCR_JOBS_DIR": str(tmp_path / "jobs"), "OCR_JOBS_SLICE_PAGES": "1"}
        running.append(await start_service(tmp_path / str(len(running)), **settings | environ))
        return running[-1], Caller(running[-1])

    yield make
    if running and not running[-1].client.closed:
        await running[-1].stop()


async def test_what_a_service_holds_when_it_stops_is_read_by_the_next_one(serve):
    service, caller = await serve(OCR_JOBS_SLICES="1")
    _, job = await caller.submit(as_tiff([picture_of_text(20)] * 4))
    while (told := (await caller.get(f"/{job['id']}", wait="5"))[1])["pagesDone"] < 1:
        assert told["state"] in ("queued", "running")
    began_s = time.monotonic()
    await service.stop()
    assert time.monotonic() - began_s < 20, "a slice is given back, not read to its end"

    _, caller = await serve()
    ended = await caller.ended(job["id"])
    assert (ended["state"], ended["pagesDone"], ended["pagesFailed"]) == ("done", 4, 0)
    pages = json.loads((await caller.result(job["id"]))[2])["pages"]
    assert [page["page"] for page in pages] == [1, 2, 3, 4]


async def test_those_who_follow_a_job_are_let_go_when_the_service_stops(serve):
    service, caller = await serve(OCR_JOBS_SLICES="0")  # nobody works here: the job waits
    _, job = await caller.submit()
    follow = service.client.get(caller.url(f"/{job['id']}"), headers={"Accept": "text/event-stream"})
    async with asyncio.timeout(30), follow as following:  # its head is here
        polling = asyncio.create_task(caller.get(f"/{job['id']}", wait="60"))
        while service.service.api[CONNECTIONS].open < 2:
            await asyncio.sleep(0.05)
        stopping = asyncio.create_task(service.service.stop(10))
        status, told = await polling
        assert (status, told["state"]) == (200, "queued")
        assert await following.read() == b""
        await stopping
    await service.client.close()


def test_doctor_tells_where_jobs_are_and_what_to_install(tmp_path, monkeypatch):
    def about(**environ: str):
        return next(one for one in examine({"OCR_AUTH_MODE": "network"} | environ) if one.what == "jobs")

    assert (about().ok, about().detail) == (True, "OCR_JOBS is off")
    there = about(OCR_JOBS="embedded", OCR_JOBS_DIR=str(tmp_path))
    assert there.ok
    assert str(tmp_path) in there.detail
    old = tmp_path / "nats-server"
    old.write_text("#!/bin/sh\necho nats-server: v2.9.1\n")
    old.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path))
    outdated = about(OCR_JOBS="embedded")
    assert (outdated.ok, outdated.needed) == (False, True)
    assert "older than 2.10" in outdated.detail
    assert "[jobs]" in outdated.remedy
