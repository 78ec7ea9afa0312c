import asyncio
import random
from contextlib import AsyncExitStack

import pytest

from sidecar.errors import QueueFullError
from sidecar.page_queue import MAX_RETRY_AFTER_S, PageQueue


async def settle() -> None:
    for _ in range(10):
        await asyncio.sleep(0)


class Readers:
    """Tasks that take a slot each and hold it until they are let go."""

    def __init__(self, queue: PageQueue) -> None:
        self.queue = queue
        self.order: list[str] = []
        self.release = asyncio.Semaphore(0)
        self.tasks: list[asyncio.Task[None]] = []

    def start(self, document: str, pages: int = 1) -> None:
        self.tasks += [asyncio.create_task(self._read(document)) for _ in range(pages)]

    async def _read(self, document: str) -> None:
        async with self.queue.slot(document):
            self.order.append(document)
            await self.release.acquire()

    async def finish(self) -> None:
        for _ in self.tasks:
            self.release.release()
        await asyncio.gather(*self.tasks, return_exceptions=True)


async def test_slots_go_round_the_documents():
    readers = Readers(PageQueue(slots=1, max_pages=100))
    readers.start("report", 4)
    await settle()
    readers.start("letter", 2)
    readers.start("note", 1)
    await settle()

    await readers.finish()

    assert readers.order == ["report", "report", "letter", "note", "report", "letter", "report"]


async def test_no_more_pages_are_read_at_a_time_than_there_are_slots():
    queue = PageQueue(slots=3, max_pages=100)
    readers = Readers(queue)
    readers.start("a", 10)
    await settle()

    assert (len(readers.order), queue.busy, queue.waiting) == (3, 3, 7)
    await readers.finish()
    assert (len(readers.order), queue.busy, queue.waiting) == (10, 0, 0)


async def test_a_page_that_gives_up_waiting_leaves_its_place():
    queue = PageQueue(slots=1, max_pages=100)
    readers = Readers(queue)
    readers.start("a", 3)
    await settle()

    readers.tasks[1].cancel()
    await settle()

    assert queue.waiting == 1
    await readers.finish()
    assert (queue.busy, len(readers.order)) == (0, 2)


async def test_a_slot_that_comes_in_the_moment_its_page_is_given_up_is_not_lost():
    queue = PageQueue(slots=1, max_pages=100)
    async with AsyncExitStack() as stack:
        await stack.enter_async_context(queue.slot("a"))
        readers = Readers(queue)
        readers.start("b")
        readers.start("c")
        await settle()
        await stack.aclose()  # the slot is b's now, but b has not run yet
        readers.tasks[0].cancel()
        await settle()

    assert readers.order == ["c"]
    await readers.finish()
    assert queue.busy == 0


async def test_an_error_gives_the_slot_back():
    queue = PageQueue(slots=1, max_pages=100)
    with pytest.raises(ZeroDivisionError):
        async with queue.slot("a"):
            raise ZeroDivisionError

    assert queue.busy == 0


@pytest.mark.parametrize("seed", range(20))
async def test_whatever_happens_no_slot_is_lost_or_made(seed):
    choice = random.Random(seed)
    queue = PageQueue(slots=3, max_pages=1000)
    readers = Readers(queue)
    for _ in range(200):
        match choice.randrange(3):
            case 0:
                readers.start(choice.choice("abcd"), choice.randrange(1, 4))
            case 1:
                readers.release.release()
            case 2 if readers.tasks:
                choice.choice(readers.tasks).cancel()
        if choice.random() < 0.7:
            await asyncio.sleep(0)
        assert 0 <= queue.busy <= 3
    await readers.finish()

    assert (queue.busy, queue.waiting) == (0, 0)


def test_pages_are_admitted_up_to_the_limit():
    queue = PageQueue(slots=1, max_pages=10)
    with queue.admit(6):
        with queue.admit(4):
            assert queue.is_full
            with pytest.raises(QueueFullError, match="10 pages are in work, 1 more do not fit; the limit is 10"):
                queue.refuse_if_full()
        queue.refuse_if_full()
        with pytest.raises(QueueFullError), queue.admit(5):
            pass
    assert queue.admitted == 0


def test_one_document_is_let_in_whatever_its_size_when_nothing_else_is_there():
    queue = PageQueue(slots=1, max_pages=10)
    with queue.admit(500):
        assert queue.admitted == 500


def test_a_document_that_needs_no_engine_is_never_refused():
    queue = PageQueue(slots=1, max_pages=10)
    with queue.admit(10), queue.admit(0):
        assert queue.admitted == 10


async def test_the_time_to_come_back_follows_the_recent_pace():
    now = 0.0
    queue = PageQueue(slots=2, max_pages=10_000, clock=lambda: now)
    with queue.admit(20):
        assert queue.retry_after_s == 10  # a second a page, until it is known better
        for _ in range(50):
            async with queue.slot("a"):
                now += 4
        assert queue.retry_after_s == 40
    assert queue.retry_after_s == 1
    with queue.admit(9000):
        assert queue.retry_after_s == MAX_RETRY_AFTER_S
