"""The client's calls about jobs, with services that share a queue and lose connections."""

import asyncio

import pytest
import pytest_asyncio

from sidecar.client import AsyncClient, Client, Opened, Page, ServiceError, Summary, UnreachableError
from tests.integration.sidecar.job_service import sidecars


@pytest_asyncio.fixture
async def service():
    async with sidecars(1) as (_, [one]):
        yield one


async def test_a_job_is_handed_over_watched_and_fetched(service, tmp_path):
    path = tmp_path / 'สัญญา\n "two" pages.pdf'
    path.write_bytes(b"one\ntwo")
    async with AsyncClient(service.url) as client:
        job = await client.submit_job(path, priority="realtime", label="may", engine="tesseract")
        assert (job.filename, job.priority, job.label) == ("สัญญา? 'two' pages.pdf", "realtime", "may")
        while not job.has_ended:
            job = await client.job(job.id, 5)
        assert (job.state, job.pages, job.pages_done, job.has_result) == ("done", 2, 2, True)
        assert (await client.job_result(job.id)).text == "one\ntwo"
        written = await client.job_result_as(job.id, output="text")
        assert (written.content, written.engine_used) == (b"one\ntwo", "fake")
        with pytest.raises(TypeError):
            await client.job_result_as(job.id)
        with pytest.raises(ServiceError) as raised:
            await client.job("../health")
        assert raised.value.status == 404


async def test_the_same_key_is_the_same_job_and_without_one_each_is_another(service):
    async with AsyncClient(service.url) as client:
        keys = ["k", "k", None, None]
        ids = [(await client.submit_job(b"x", idempotency_key=key)).id for key in keys]
    assert [ids.index(one) for one in ids] == [0, 0, 2, 3]


async def test_jobs_are_listed_through_all_parts(service):
    async with AsyncClient(service.url) as client:
        for label in "aaaaaaab":
            await client.submit_job(b"x", label=label)
        assert [job.id async for job in client.jobs(label="a")] == [f"{number:08}" for number in range(1, 8)]
        assert [job.label async for job in client.jobs(state="cancelled")] == []


async def test_a_job_is_cancelled(service):
    async with AsyncClient(service.url) as client:
        job = await client.submit_job(b"slow\nx")
        assert (await client.cancel_job(job.id)).state == "cancelled"
        with pytest.raises(ServiceError) as raised:
            await last(client.follow_job(job.id))
        assert raised.value.code == "job_conflict"


@pytest.mark.parametrize("breaks", [[], [1, 2, 0, 3]])
async def test_a_job_is_followed_through_lost_connections_and_no_page_is_told_twice(service, breaks):
    service.breaks = breaks
    async with AsyncClient(service.url) as client:
        job = await client.submit_job(b"slow\nb\nc\nd")
        service.queue.go.set()
        events = [event async for event in client.follow_job(job.id)]
    assert [event.page for event in events if isinstance(event, Page)] == [1, 2, 3, 4]
    assert [type(event) for event in events if not isinstance(event, Page)] == [Opened, Summary]
    assert (events[-1].text, service.breaks) == ("slow\nb\nc\nd", [])


async def test_a_service_that_comes_back_is_followed_on_and_one_that_does_not_is_given_up(service):
    async with AsyncClient(service.url, patience_s=30) as client, AsyncClient(service.url, patience_s=0.5) as impatient:
        job = await client.submit_job(b"slow\nb")
        first, second = (asyncio.create_task(last(one.follow_job(job.id))) for one in (client, impatient))
        await asyncio.sleep(0)
        await service.kill()
        with pytest.raises(UnreachableError):
            await second
        service.queue.go.set()
        await service.start()
        assert (await first).text == "slow\nb"


async def last(events):
    return [event async for event in events][-1]


async def test_without_asyncio_it_is_the_same(service):
    def run():
        with Client(service.url) as client:
            job = client.submit_job(b"one", label="b")
            *_, ended = client.follow_job(job.id)
            return ended.text, client.job(job.id).id == job.id, len(list(client.jobs(label="b")))

    assert await asyncio.to_thread(run) == ("one", True, 1)
