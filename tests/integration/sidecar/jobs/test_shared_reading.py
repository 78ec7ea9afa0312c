"""A caller who waits for a long document: all pods read it, and the answer is the one that a single pod gives."""

import asyncio
import time
from dataclasses import replace

import pytest

from sidecar.documents.page_selection import PageRequest
from sidecar.errors import SidecarError, UnreadableDocumentError
from sidecar.jobs.record import Lane
from sidecar.jobs.shared_reading import SharedReader
from sidecar.ocr.engine import ReadOrder, RequestedOptions
from sidecar.ocr.job import ReadJob
from sidecar.profiles.precedence import instruct
from tests.integration.sidecar.jobs.pods import Engine, Hearsay, Pod, draft, pdf, running, server_access, until


def read_job(path, **fields):
    order = ReadOrder(path, 60, "eng", instruct(None, "a-model"))
    return ReadJob("stand-in", PageRequest((), 0, 0, 5000), order, RequestedOptions(), **fields)


def waiting(_):
    return draft(Lane.REALTIME, is_kept=False)


@pytest.fixture
async def two(server, tmp_path):
    pods = [Pod(server_access(server.port), tmp_path / f"spool-{name}", Engine(0.02)) for name in "ab"]
    async with running(pods[0]), running(pods[1]):
        yield pods


async def test_a_long_document_is_read_by_all_pods_and_its_pages_come_in_order(two, tmp_path):
    heard = Hearsay()
    shared = SharedReader(two[0].reader, two[0].jobs, 8)
    result = await shared.read(read_job(pdf(tmp_path / "a.pdf", 80)), heard, waiting)
    assert [page.text for page in result.pages] == [f"page {number}" for number in range(1, 81)]
    assert heard.pages == list(range(1, 81))
    assert all(len(pod.engine.began) >= 8 for pod in two)
    alone = await two[0].reader.read(read_job(tmp_path / "a.pdf"), Hearsay())
    assert replace(result, pages=(), facts=None) == replace(alone, pages=(), facts=None)
    assert await two[0].jobs.ids("ab12") == []


async def test_a_short_document_is_read_here(two, tmp_path):
    result = await SharedReader(two[0].reader, two[0].jobs, 8).read(
        read_job(pdf(tmp_path / "a.pdf", 8)), Hearsay(), waiting
    )
    assert len(result.pages) == len(two[0].engine.began) == 8


async def test_without_the_queue_it_is_read_here(server, two, tmp_path):
    server.kill()
    await until(lambda: two[0].jobs.failure)
    result = await SharedReader(two[0].reader, two[0].jobs, 8).read(
        read_job(pdf(tmp_path / "a.pdf", 20)), Hearsay(), waiting
    )
    assert len(result.pages) == 20


async def test_a_caller_who_leaves_stops_the_work_everywhere(two, tmp_path):
    for pod in two:
        pod.engine.page_s = 30
    path = pdf(tmp_path / "a.pdf", 40)
    call = asyncio.create_task(SharedReader(two[0].reader, two[0].jobs, 8).read(read_job(path), Hearsay(), waiting))
    await until(lambda: all(pod.engine.began for pod in two))
    call.cancel()
    await asyncio.gather(call, return_exceptions=True)
    await until(lambda: all(pod.engine.cancelled == len(pod.engine.began) for pod in two), within_s=1)
    await until(lambda: _holds_nothing(two[0]), within_s=10)


async def _holds_nothing(pod):
    """Nothing is left of any job, not even what was stored while it was given up."""
    streams = [await pod.connection.js.stream_info(name) for name in ("OCR_BLOBS", "OCR_TURNS", "OCR_DUE")]
    return not any(one.state.messages for one in streams)


async def test_at_the_deadline_what_was_read_is_the_answer(two, tmp_path):
    for pod in two:
        pod.engine.does = lambda page: 30 if page > 8 else 0
    job = read_job(pdf(tmp_path / "a.pdf", 40), ends_s=time.monotonic() + 3)
    result = await SharedReader(two[0].reader, two[0].jobs, 8).read(job, Hearsay(), waiting)
    assert [page.page for page in result.pages] == list(range(1, len(result.pages) + 1))
    assert result.pages
    assert list(result.unread) == list(range(len(result.pages) + 1, 41))


async def test_an_error_of_all_pages_is_the_callers(two, tmp_path):
    def does(_):
        raise UnreadableDocumentError("no")

    for pod in two:
        pod.engine.does = does
    with pytest.raises(SidecarError) as caught:
        await SharedReader(two[0].reader, two[0].jobs, 8).read(
            read_job(pdf(tmp_path / "a.pdf", 20)), Hearsay(), waiting
        )
    assert caught.value.code == "document_unreadable"
