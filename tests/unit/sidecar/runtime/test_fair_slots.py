import asyncio
import random
from contextlib import AsyncExitStack

import pytest

from sidecar.runtime.fair_slots import FairSlots


async def settle() -> None:
    for _ in range(10):
        await asyncio.sleep(0)


class Readers:
    """Tasks that take a slot each and hold it until they are let go."""

    def __init__(self, turns: FairSlots) -> None:
        self.turns = turns
        self.order: list[str] = []
        self.release = asyncio.Semaphore(0)
        self.tasks: list[asyncio.Task[None]] = []

    def start(self, document: str, pages: int = 1, caller: str | None = None) -> None:
        self.tasks += [asyncio.create_task(self._read(document, caller)) for _ in range(pages)]

    async def _read(self, document: str, caller: str | None) -> None:
        async with self.turns.take(document, caller):
            self.order.append(document)
            await self.release.acquire()

    async def finish(self) -> None:
        for _ in self.tasks:
            self.release.release()
        await asyncio.gather(*self.tasks, return_exceptions=True)


async def test_slots_go_round_the_documents():
    readers = Readers(FairSlots(1))
    readers.start("report", 4)
    await settle()
    readers.start("letter", 2)
    readers.start("note", 1)
    await settle()

    await readers.finish()

    assert readers.order == ["report", "report", "letter", "note", "report", "letter", "report"]


async def test_slots_go_round_the_callers_first_and_then_round_each_caller_s_documents():
    readers = Readers(FairSlots(1))
    for document in ("a1", "a2", "a3"):
        readers.start(document, 2, caller="a")
    await settle()
    readers.start("b1", 3, caller="b")
    readers.start("c1", 1, caller="c")
    await settle()

    await readers.finish()

    assert readers.order == ["a1", "a1", "b1", "c1", "a2", "b1", "a3", "b1", "a2", "a3"]


async def test_no_more_pages_are_read_at_a_time_than_there_are_slots():
    turns = FairSlots(3)
    readers = Readers(turns)
    readers.start("a", 10)
    await settle()

    assert (len(readers.order), turns.busy, turns.waiting) == (3, 3, 7)
    await readers.finish()
    assert (len(readers.order), turns.busy, turns.waiting) == (10, 0, 0)


async def test_a_page_that_gives_up_waiting_leaves_its_place():
    turns = FairSlots(1)
    readers = Readers(turns)
    readers.start("a", 3)
    await settle()

    readers.tasks[1].cancel()
    await settle()

    assert turns.waiting == 1
    await readers.finish()
    assert (turns.busy, len(readers.order)) == (0, 2)


async def test_a_slot_that_comes_in_the_moment_its_page_is_given_up_is_not_lost():
    turns = FairSlots(1)
    async with AsyncExitStack() as stack:
        await stack.enter_async_context(turns.take("a"))
        readers = Readers(turns)
        readers.start("b")
        readers.start("c")
        await settle()
        await stack.aclose()  # the slot is b's now, but b has not run yet
        readers.tasks[0].cancel()
        await settle()

    assert readers.order == ["c"]
    await readers.finish()
    assert turns.busy == 0


async def test_an_error_gives_the_slot_back():
    turns = FairSlots(1)
    with pytest.raises(ZeroDivisionError):
        async with turns.take("a"):
            raise ZeroDivisionError

    assert turns.busy == 0


@pytest.mark.parametrize("seed", range(20))
async def test_whatever_happens_no_slot_is_lost_or_made(seed):
    choice = random.Random(seed)
    turns = FairSlots(3)
    readers = Readers(turns)
    for _ in range(200):
        match choice.randrange(3):
            case 0:
                readers.start(choice.choice("abcd"), choice.randrange(1, 4), choice.choice([None, "x", "y"]))
            case 1:
                readers.release.release()
            case 2 if readers.tasks:
                choice.choice(readers.tasks).cancel()
        if choice.random() < 0.7:
            await asyncio.sleep(0)
        assert 0 <= turns.busy <= 3
    await readers.finish()

    assert (turns.busy, turns.waiting) == (0, 0)
