"""Many callers at once: as many model calls as may be, fair, ended with their callers, and health all the while."""

import asyncio
import itertools
import time

import pytest

from sidecar.api.app_keys import READER
from tests.conftest import until
from tests.integration.sidecar.model import PAGE, pages

pytestmark = pytest.mark.alone


def most_at_once(calls) -> int:
    """The most calls that ran at the same time."""
    edges = sorted(
        itertools.chain.from_iterable(((call.started_s, 1), (call.ended_s or call.started_s, -1)) for call in calls)
    )
    return max(itertools.accumulate(change for _, change in edges))


def vision(governed):
    return governed.service.engine("np-dms-ocr")


async def test_as_many_pages_as_may_be_are_at_the_model_at_once_and_no_more(govern):
    govern.fake.latency_s = 60
    governed = await govern(OCR_PARALLEL_PAGES="3")
    chats = governed.fake.chats
    held = asyncio.gather(*(governed.read(pages(3)) for _ in range(4)))
    await until(lambda: (len(chats), vision(governed).read_slots.waiting) == (3, 3))
    held.cancel()
    await until(lambda: vision(governed).calls_running == 0)
    govern.fake.latency_s = 0.1

    await asyncio.gather(*(governed.read(pages(3)) for _ in range(4)))

    assert len(chats) == 3 + 12
    assert most_at_once(chats) == 3


async def test_pages_of_one_document_are_read_at_the_same_time(govern):
    govern.fake.latency_s = 0.5
    governed = await govern()
    started_s = time.monotonic()

    await governed.read(pages(4))

    assert most_at_once(governed.fake.chats) == 4
    assert time.monotonic() - started_s < 1.5


async def test_pages_are_drawn_while_others_are_read_but_not_far_ahead(govern):
    govern.fake.latency_s = 60
    governed = await govern(OCR_PARALLEL_PAGES="2")
    reading = asyncio.create_task(governed.read(pages(12)))

    await until(lambda: (vision(governed).read_slots.busy, vision(governed).read_slots.waiting) == (2, 2))

    assert vision(governed).prepare_slots.busy == 4
    assert vision(governed).prepare_slots.waiting == 8
    assert await governed.metric('ocr_pages_waiting{engine="np-dms-ocr"}') == 10
    assert await governed.metric('ocr_slots_busy{engine="np-dms-ocr"}') == 2
    reading.cancel()


@pytest.mark.parametrize("headers", [{}, {"Accept": "application/x-ndjson"}], ids=["whole", "streamed"])
async def test_a_caller_that_leaves_closes_its_model_calls_within_a_second(govern, headers):
    govern.fake.latency_s = 60
    governed = await govern()
    reading = asyncio.create_task(governed.service.upload(pages(8), headers=headers, engine="np-dms-ocr"))
    await until(lambda: len(governed.fake.chats) == 4)

    reading.cancel()
    left_s = time.monotonic()

    await until(lambda: all(call.disconnected for call in governed.fake.chats), 1)
    assert all(call.disconnected_s - left_s < 1 for call in governed.fake.chats)
    await until(lambda: vision(governed).calls_running == 0, 1)
    await until(lambda: governed.service.service.api[READER].admission.admitted == 0, 1)
    assert len(governed.fake.chats) == 4


async def test_a_letter_does_not_wait_for_the_report_before_it(govern):
    govern.fake.latency_s = 0.2
    governed = await govern(OCR_PARALLEL_PAGES="2")
    report = asyncio.create_task(governed.read(pages(20)))
    await until(lambda: len(governed.fake.chats) == 2)

    await governed.read(PAGE)

    assert len(governed.fake.chats) <= 10
    assert not report.done()
    report.cancel()


async def test_a_full_queue_says_when_to_come_back_by_the_recent_pace(govern):
    govern.fake.latency_s = 0.4
    governed = await govern(OCR_MAX_QUEUED_PAGES="20", OCR_PARALLEL_PAGES="2")
    await governed.read(pages(10))
    report = asyncio.create_task(governed.read(pages(20)))
    await until(lambda: len(governed.fake.chats) > 10)

    status, body = await governed.service.upload(PAGE, engine="np-dms-ocr")

    assert (status, body["code"]) == (429, "queue_full")
    assert 1 <= governed.service.service.api[READER].admission.retry_after_s < 20
    report.cancel()


async def test_health_answers_while_documents_are_read(govern):
    govern.fake.latency_s = 0.2
    governed = await govern()
    reading = asyncio.gather(*(governed.read(pages(3)) for _ in range(6)))
    answered = 0

    while not reading.done():
        async with asyncio.timeout(1):
            async with governed.service.client.get(f"{governed.service.url}/health") as response:
                assert response.status == 200
                answered += 1

    await reading
    assert answered > 5


async def test_connections_are_not_left_open(governed):
    for _ in range(3):
        await governed.read(pages(2))
        assert governed.fake.chats

    await until(lambda: governed.fake.connections == 0, 1)
