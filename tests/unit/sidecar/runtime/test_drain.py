"""The end of the service: nothing new, what runs may finish for a while, then it is cancelled."""

import asyncio
import time

import pytest

from sidecar.errors import QueueFullError, ShuttingDownError
from sidecar.runtime.drain import RETRY_AFTER_S, Drain

DEADLINE_S = 5


class Documents:
    """Documents in work, each until it is told to end; what became of each is on record."""

    def __init__(self, drain):
        self.drain = drain
        self.tasks = []
        self.log = []

    async def start(self, name, clean_up_s=0.0):
        started, end = asyncio.Event(), asyncio.Event()
        self.tasks.append(asyncio.create_task(self._work(name, started, end, clean_up_s)))
        await asyncio.wait_for(started.wait(), DEADLINE_S)
        return end

    async def _work(self, name, started, end, clean_up_s):
        async with self.drain.document():
            started.set()
            try:
                await end.wait()
                self.log.append(f"{name} finished")
            except asyncio.CancelledError:
                await asyncio.sleep(clean_up_s)
                self.log.append(f"{name} cancelled")
                raise

    async def outcomes(self):
        return await asyncio.wait_for(asyncio.gather(*self.tasks, return_exceptions=True), DEADLINE_S)


@pytest.fixture
def drain():
    return Drain(max_documents=2)


@pytest.fixture
def documents(drain):
    return Documents(drain)


async def test_documents_are_bounded_and_the_one_too_many_is_told_when_to_come_back(drain, documents):
    ends = [await documents.start(name) for name in "ab"]
    assert drain.running == 2
    with pytest.raises(QueueFullError) as caught:
        await drain.document().__aenter__()
    assert caught.value.retry_after_s == 1
    with pytest.raises(QueueFullError):
        drain.refuse_if_full()
    ends[0].set()
    await asyncio.wait_for(documents.tasks[0], DEADLINE_S)
    drain.refuse_if_full()
    (await documents.start("c")).set()
    ends[1].set()
    assert await documents.outcomes() == [None, None, None]
    assert drain.running == 0


@pytest.mark.parametrize("error", [ValueError, TimeoutError, asyncio.CancelledError])
async def test_a_document_that_fails_keeps_its_error_and_leaves_its_place(drain, error):
    with pytest.raises(error):
        async with drain.document():
            raise error
    assert drain.running == 0
    await asyncio.wait_for(drain.finish(60), DEADLINE_S)


async def test_a_deadline_of_the_document_itself_stays_a_deadline(drain):
    with pytest.raises(TimeoutError) as caught:
        async with drain.document(), asyncio.timeout(0):
            await asyncio.sleep(60)
    assert not isinstance(caught.value, ShuttingDownError)


async def test_a_caller_that_leaves_ends_its_document_at_once(drain, documents):
    await documents.start("a")
    documents.tasks[0].cancel()
    (outcome,) = await documents.outcomes()
    assert isinstance(outcome, asyncio.CancelledError)
    assert (drain.running, documents.log) == (0, ["a cancelled"])


@pytest.mark.parametrize("grace_s", [0, 60])
async def test_the_service_ends_at_once_when_nothing_runs(drain, grace_s):
    await asyncio.wait_for(drain.finish(grace_s), DEADLINE_S)
    assert drain.stopping


async def test_the_end_waits_for_what_runs(drain, documents):
    end = await documents.start("a")
    finishing = asyncio.create_task(drain.finish(60))
    await asyncio.sleep(0)
    assert drain.stopping
    assert not finishing.done()
    end.set()
    await asyncio.wait_for(finishing, DEADLINE_S)
    assert await documents.outcomes() == [None]
    assert documents.log == ["a finished"]


async def test_what_runs_on_after_its_grace_is_cancelled_and_seen_to_end(drain, documents):
    await documents.start("slow", clean_up_s=0.1)
    await documents.start("fast")
    started = time.monotonic()
    await asyncio.wait_for(drain.finish(0.2), DEADLINE_S)
    assert time.monotonic() - started >= 0.2
    assert sorted(documents.log) == ["fast cancelled", "slow cancelled"]
    assert drain.running == 0
    outcomes = await documents.outcomes()
    assert [type(outcome) for outcome in outcomes] == [ShuttingDownError, ShuttingDownError]
    assert {outcome.retry_after_s for outcome in outcomes} == {RETRY_AFTER_S}


async def test_without_grace_what_runs_is_cancelled_at_once(drain, documents):
    await documents.start("a")
    await asyncio.wait_for(drain.finish(0), DEADLINE_S)
    assert documents.log == ["a cancelled"]
    (outcome,) = await documents.outcomes()
    assert isinstance(outcome, ShuttingDownError)


async def test_nothing_new_is_taken_once_the_end_has_begun(drain, documents):
    drain.refuse_if_full()
    end = await documents.start("a")
    finishing = asyncio.create_task(drain.finish(60))
    await asyncio.sleep(0)
    with pytest.raises(ShuttingDownError) as caught:
        drain.refuse_if_full()
    assert caught.value.retry_after_s == RETRY_AFTER_S
    with pytest.raises(ShuttingDownError):
        await drain.arriving().__aenter__()
    assert drain.running == 1
    end.set()
    await asyncio.wait_for(finishing, DEADLINE_S)
    await documents.outcomes()


async def test_a_document_that_arrives_when_the_end_begins_is_still_worked_on(drain):
    arrived, end = asyncio.Event(), asyncio.Event()

    async def receive_and_read() -> str:
        async with drain.arriving():
            await arrived.wait()
        async with drain.document():
            await end.wait()
        return "read"

    reading = asyncio.create_task(receive_and_read())
    await asyncio.sleep(0)
    finishing = asyncio.create_task(drain.finish(60))
    await asyncio.sleep(0)
    arrived.set()
    await asyncio.sleep(0)
    end.set()

    assert await asyncio.wait_for(reading, DEADLINE_S) == "read"
    await asyncio.wait_for(finishing, DEADLINE_S)
