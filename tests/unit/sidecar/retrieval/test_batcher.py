"""The line and its worker: batches, callers that leave, texts that fail, a worker that dies."""

import asyncio
import gc
import weakref
from contextlib import asynccontextmanager

import pytest

from sidecar.errors import DeadlineError, EngineFailedError, EngineUnavailableError
from sidecar.retrieval.batch_policy import BatchLimits, Patience
from sidecar.retrieval.batcher import Batcher, PutBackError
from sidecar.retrieval.call import Answered
from sidecar.retrieval.model import AbandonedError, Tokens
from sidecar.retrieval.pace import ENOUGH
from sidecar.runtime.background import beside
from sidecar.runtime.cores import CoreLedger
from tests.conftest import until
from tools.fakes.ollama import ManualClock

LIMITS = BatchLimits(tokens=100, padding=0.5, max_wait_s=0.0)


class Model:
    """Answers each text with its first id, batch by batch, once the gate is open."""

    def __init__(self, poison: int = -1):
        self.batches: list[list[int]] = []
        self.cores: list[int] = []
        self.gate = asyncio.Event()
        self.gate.set()
        self.poison = poison
        self.limits = LIMITS

    async def run(self, batch, cores, is_wanted):
        ids = [one.ids[0] for one in batch]
        self.batches.append(ids)
        self.cores.append(cores)
        self.is_wanted = is_wanted
        await self.gate.wait()
        if self.poison in ids:
            raise ValueError("poison")
        return [Answered(one, "cpu", "cuda-not-available") for one in ids]


@asynccontextmanager
async def working(model, pace=lambda _took_s, _at_a_time: None):
    batcher = Batcher(model.run, lambda: model.limits, pace)
    async with beside(batcher.keep_working()):
        yield batcher


def text(number, length=10):
    return Tokens([number] * length)


async def results(call):
    return [answered.result for answered in await call]


async def test_texts_are_answered_in_the_order_they_were_given_whatever_the_batches():
    async with working(Model()) as batcher:
        texts = [text(number, length) for number, length in enumerate([5, 90, 7, 50, 6, 49])]
        assert await results(batcher.submit(texts)) == [0, 1, 2, 3, 4, 5]


async def test_what_arrives_while_a_batch_runs_forms_the_next_together():
    model = Model()
    model.gate.clear()
    async with working(model) as batcher, asyncio.TaskGroup() as tasks:
        calls = [tasks.create_task(results(batcher.submit([text(0)])))]
        await until(lambda: model.batches == [[0]])
        calls += [tasks.create_task(results(batcher.submit([text(number)]))) for number in (1, 2, 3)]
        await until(lambda: batcher.waiting == 3)
        model.gate.set()
    assert [call.result() for call in calls] == [[0], [1], [2], [3]]
    assert model.batches == [[0], [1, 2, 3]]


async def test_each_free_core_takes_a_batch_and_answers_without_waiting_for_the_others():
    model = Model()
    model.limits = BatchLimits(100, 0.5, 0.0, cores=3, idle=3)
    model.gate.clear()
    async with working(model) as batcher:
        calls = [asyncio.create_task(results(batcher.submit([text(number)]))) for number in range(5)]
        await until(lambda: len(model.batches) == 3)
        assert (model.batches, model.cores) == ([[0], [1, 2], [3, 4]], [1, 1, 1])
        model.gate.set()
        assert await asyncio.gather(*calls) == [[0], [1], [2], [3], [4]]
    assert not batcher.running


async def test_a_text_that_comes_alone_has_all_cores_and_those_that_come_meanwhile_wait():
    model = Model()
    model.limits = BatchLimits(100, 0.5, 0.0, cores=3, idle=3)
    model.gate.clear()
    async with working(model) as batcher:
        first = asyncio.create_task(results(batcher.submit([text(0)])))
        await until(lambda: model.batches)
        others = asyncio.create_task(results(batcher.submit([text(1), text(2)])))
        await until(lambda: batcher.waiting == 2)
        model.gate.set()
        assert (await first, await others) == ([0], [1, 2])
    assert (model.batches, model.cores) == ([[0], [1, 2]], [3, 3])


async def test_a_core_that_is_free_again_takes_what_waits_while_the_others_compute():
    class Uneven(Model):
        async def run(self, batch, cores, is_wanted):
            if batch[0].ids[0] == 0:
                await self.gate.wait()
            return await Model().run(batch, cores, is_wanted)

    model = Uneven()
    model.limits = BatchLimits(10, 0.5, 0.0, cores=2, idle=2)
    model.gate.clear()
    async with working(model) as batcher:
        slow, *quick = (asyncio.create_task(results(batcher.submit([text(number)]))) for number in range(4))
        assert await asyncio.gather(*quick) == [[1], [2], [3]]
        assert not slow.done()
        model.gate.set()
        assert await slow == [0]


async def test_the_next_batch_is_at_hand_when_it_is_full():
    model = Model()
    model.limits = BatchLimits(100, 0.5, 0.0, ahead=1)
    model.gate.clear()
    async with working(model) as batcher:
        calls = [asyncio.create_task(results(batcher.submit([text(0)])))]
        await until(lambda: model.batches == [[0]])
        calls += [asyncio.create_task(results(batcher.submit([text(number)]))) for number in range(1, 10)]
        await until(lambda: batcher.waiting == 9)
        calls.append(asyncio.create_task(results(batcher.submit([text(10)]))))  # with it they are a hundred tokens
        await until(lambda: len(model.batches) == 2)
        calls += [asyncio.create_task(results(batcher.submit([text(number)]))) for number in range(11, 31)]
        await until(lambda: batcher.waiting == 20)
        assert model.batches == [[0], list(range(1, 11))]
        model.gate.set()
        assert await asyncio.gather(*calls) == [[number] for number in range(31)]


async def test_one_text_is_not_kept_waiting_by_anothers_array():
    model = Model()
    model.limits = BatchLimits(10, 0.5, 0.0)  # one text a batch
    model.gate.clear()
    async with working(model) as batcher:
        first = asyncio.create_task(batcher.submit([text(number) for number in range(50)]))
        await until(lambda: model.batches == [[0]])
        second = asyncio.create_task(batcher.submit([text(number) for number in range(100, 103)]))
        third = asyncio.create_task(batcher.submit([text(200)]))
        await until(lambda: batcher.waiting == 53)
        model.gate.set()
        await asyncio.gather(first, second, third)
    assert [number for (number,) in model.batches[:7]] == [0, 200, 100, 101, 102, 1, 2]


async def test_an_array_is_not_kept_waiting_by_ever_new_texts():
    model = Model()
    model.limits = BatchLimits(10, 0.5, 0.0)
    async with working(model) as batcher:
        array = asyncio.create_task(batcher.submit([text(number) for number in range(20)]))

        async def ask_again():
            for _ in range(100):
                if not array.done():
                    await batcher.submit([text(99)])

        async with asyncio.TaskGroup() as tasks:
            for _ in range(3):
                tasks.create_task(ask_again())
    order = [number for (number,) in model.batches]
    # Twice as many others have passed as it is long itself, and then one for each of its texts.
    assert order.index(19) <= 20 + 2 * 20 + 20 + 1


async def test_a_caller_that_leaves_takes_its_texts_along():
    model = Model()
    model.gate.clear()
    async with working(model) as batcher:
        first = asyncio.create_task(batcher.submit([text(0)]))
        await until(lambda: model.batches == [[0]])
        leaving = asyncio.create_task(batcher.submit([text(1), text(2)]))
        staying = asyncio.create_task(results(batcher.submit([text(3)])))
        await until(lambda: batcher.waiting == 3)
        leaving.cancel()
        await until(lambda: batcher.waiting == 1)
        model.gate.set()
        assert await staying == [3]
        await first
    assert model.batches == [[0], [3]]


async def test_a_caller_that_leaves_while_its_batch_runs_leaves_the_others_their_answers():
    model = Model()
    model.gate.clear()
    async with working(model) as batcher:
        blocker = asyncio.create_task(batcher.submit([text(9)]))
        await until(lambda: model.batches)
        leaving, staying = (asyncio.create_task(results(batcher.submit([text(number)]))) for number in (1, 2))
        await until(lambda: batcher.waiting == 2)
        model.gate.set()
        await blocker
        leaving.cancel()
        assert await staying == [2]


async def test_a_text_that_the_model_fails_on_fails_alone():
    model = Model(poison=2)
    model.gate.clear()
    async with working(model) as batcher:
        blocker = asyncio.create_task(batcher.submit([text(0)]))
        await until(lambda: model.batches)
        calls = [asyncio.create_task(results(batcher.submit([text(number)]))) for number in (1, 2, 3)]
        await until(lambda: batcher.waiting == 3)
        model.gate.set()
        first, poisoned, third = await asyncio.gather(*calls, return_exceptions=True)
        assert (first, third) == ([1], [3])
        assert isinstance(poisoned, EngineFailedError)
        assert poisoned.detail == "the model failed on text 0 of the request, from 0"
        await blocker
        assert batcher.alive


async def test_an_array_with_such_a_text_names_its_place_and_computes_no_further():
    model = Model(poison=1)
    async with working(model) as batcher:
        with pytest.raises(EngineFailedError, match="text 1 of the request"):
            await batcher.submit([text(0), text(1), *(text(number) for number in range(2, 30))])
        assert batcher.waiting == 0
        assert await results(batcher.submit([text(5)])) == [5]
    assert sum(map(len, model.batches)) < 30


async def test_what_is_put_back_is_planned_anew_in_batches_as_they_are_now():
    class Leaving(Model):
        """Leaves its device with the first batch; where it goes batches are small."""

        async def run(self, batch, cores, is_wanted):
            if self.limits.tokens > 20:
                await self.gate.wait()
                self.limits = BatchLimits(20, 0.5, 0.0)
                raise PutBackError
            return await super().run(batch, cores, is_wanted)

    model = Leaving()
    model.gate.clear()
    async with working(model) as batcher:
        first = asyncio.create_task(results(batcher.submit([text(number) for number in range(5)])))
        await until(lambda: batcher.running)
        later = asyncio.create_task(results(batcher.submit([text(9)])))
        await until(lambda: batcher.waiting == 1)
        model.gate.set()
        assert (await first, await later) == ([0, 1, 2, 3, 4], [9])
    assert model.batches == [[9, 0], [1, 2], [3, 4]]  # the shortest request first


async def test_what_one_device_computes_takes_nothing_from_another():
    model = Model()
    model.limits = BatchLimits(100, 0.5, 0.0, "cuda", ahead=1)
    model.gate.clear()
    async with working(model) as batcher:
        on_gpu = asyncio.create_task(batcher.submit([text(0)]))
        await until(lambda: model.batches == [[0]])
        model.limits = BatchLimits(100, 0.5, 0.0, "cpu", cores=1)
        on_cpu = asyncio.create_task(results(batcher.submit([text(1)])))
        await until(lambda: model.batches == [[0], [1]])  # though the other one still hangs
        model.gate.set()
        await asyncio.gather(on_gpu, on_cpu)


async def test_what_was_not_computed_teaches_no_pace():
    class Giving(Model):
        async def run(self, batch, cores, is_wanted):
            if self.limits.tokens > 50:
                self.limits = BatchLimits(50, 0.5, 0.0)
                raise PutBackError
            return await super().run(batch, cores, is_wanted)

    learnt = []
    async with working(Giving(), lambda took_s, _at_a_time: learnt.append(took_s)) as batcher:
        await batcher.submit([text(1), text(2)])
    assert len(learnt) == 1


async def test_nothing_of_a_batch_that_failed_outlives_its_failure():
    """It may hold a copy on the GPU, whose memory has to go while its texts are computed apart."""

    class Copy:
        pass

    class Failing(Model):
        async def run(self, batch, cores, is_wanted):
            if len(batch) > 1:
                copy = Copy()
                self.copy = weakref.ref(copy)
                raise ValueError("poison")
            gc.collect()
            self.alive = self.copy() is not None
            return await super().run(batch, cores, is_wanted)

    model = Failing()
    async with working(model) as batcher:
        assert await results(batcher.submit([text(1), text(2)])) == [1, 2]
    assert model.alive is False


async def test_a_batch_is_wanted_while_any_of_its_callers_waits():
    model = Model()
    model.gate.clear()
    async with working(model) as batcher:
        blocker = asyncio.create_task(batcher.submit([text(0)]))
        await until(lambda: model.batches)
        first, second = (asyncio.create_task(batcher.submit([text(number)])) for number in (1, 2))
        await until(lambda: batcher.waiting == 2)
        model.gate.set()
        await blocker
        model.gate.clear()
        await until(lambda: len(model.batches) == 2)
        first.cancel()
        await asyncio.wait({first})
        assert model.is_wanted()
        second.cancel()
        await asyncio.wait({second})
        assert not model.is_wanted()
        model.gate.set()


async def test_a_batch_that_is_abandoned_harms_nobody():
    class Abandoning(Model):
        async def run(self, batch, cores, is_wanted):
            if batch[0].ids[0] == 0:
                await self.gate.wait()
                raise AbandonedError
            return await super().run(batch, cores, is_wanted)

    model = Abandoning()
    model.gate.clear()
    async with working(model) as batcher:
        leaving = asyncio.create_task(batcher.submit([text(0)]))
        await until(lambda: batcher.running)
        leaving.cancel()
        staying = asyncio.create_task(results(batcher.submit([text(1)])))
        model.gate.set()
        assert await staying == [1]
        assert batcher.alive


class DyingModel(Model):
    """Gives fewer answers than there were texts, which no worker survives."""

    async def run(self, batch, cores, is_wanted):
        await super().run(batch, cores, is_wanted)
        return []


async def test_a_worker_that_dies_fails_those_who_wait_and_starts_anew():
    model = DyingModel()
    model.gate.clear()
    async with working(model) as batcher:
        running = asyncio.create_task(batcher.submit([text(0)]))
        await until(lambda: model.batches)
        waiting = asyncio.create_task(batcher.submit([text(1)]))
        await until(lambda: batcher.waiting == 1)
        model.gate.set()
        for call in (running, waiting):
            with pytest.raises(EngineFailedError, match="worker of this model died"):
                await call
        assert not batcher.alive
        with pytest.raises(EngineUnavailableError):
            await batcher.submit([text(2)])
        await until(lambda: batcher.alive)
        with pytest.raises(EngineFailedError):
            await batcher.submit([text(3)])


async def test_the_pace_is_learnt_in_seconds_a_text():
    learnt = []
    model = Model()
    model.limits = BatchLimits(1000, 0.5, 0.0)
    async with working(model, lambda took_s, at_a_time: learnt.append((took_s, at_a_time))) as batcher:
        await batcher.submit([text(number) for number in range(4)])
    assert [at_a_time for _, at_a_time in learnt] == [1]
    assert 0 <= learnt[0][0] < 1


async def test_callers_just_answered_go_together_again():
    model, clock = Model(), ManualClock()
    model.limits = BatchLimits(1000, 0.5, 5.0)
    model.gate.clear()
    batcher = Batcher(model.run, lambda: model.limits, lambda _took_s, _at_a_time: None, clock)

    async def ask(number):
        assert await results(batcher.submit([text(number)])) == [number]
        for _ in range(20 * number):
            await asyncio.sleep(0)
        assert await results(batcher.submit([text(10 + number)])) == [10 + number]

    async with beside(batcher.keep_working()), asyncio.TaskGroup() as tasks:
        for number in (1, 2, 3):
            tasks.create_task(ask(number))
        await until(lambda: model.batches)
        clock.advance(100)  # so long does the batch take; a tenth of it is more than may be waited
        model.gate.set()
    assert model.batches == [[1, 2, 3], [11, 12, 13]]


# ── patience and estimates ────────────────────────────────────────────────────────────────────────────────────────


async def test_a_caller_waits_as_long_as_anything_is_computed():
    """Five batches, each of which takes most of the patience: it counts from what was computed last."""
    clock = ManualClock()

    class Slow(Model):
        async def run(self, batch, cores, is_wanted):
            clock.advance(0.04)
            await asyncio.sleep(0.06)  # so that the patience is looked at in each
            return await super().run(batch, cores, is_wanted)

    model = Slow()
    model.limits = BatchLimits(10, 0.5, 0.0)  # one text a batch
    batcher = Batcher(model.run, lambda: model.limits, lambda _took_s, _at_a_time: None, clock)
    async with beside(batcher.keep_working()):
        texts = [text(number) for number in range(5)]
        assert await results(batcher.submit(texts, Patience(stall_s=0.05))) == [0, 1, 2, 3, 4]


async def test_a_layer_that_is_computed_is_progress_too():
    model, clock = Model(), ManualClock()
    model.gate.clear()
    batcher = Batcher(model.run, lambda: model.limits, lambda _took_s, _at_a_time: None, clock)
    async with beside(batcher.keep_working()):
        call = asyncio.create_task(batcher.submit([text(0)], Patience(stall_s=0.2)))
        await until(lambda: model.batches)
        for _ in range(5):
            clock.advance(0.15)
            assert model.is_wanted()
        assert not call.done()
        clock.advance(0.3)
        with pytest.raises(DeadlineError, match=r"it took longer than 0\.2 s"):
            await call
        assert not model.is_wanted()
        model.gate.set()


async def test_no_progress_makes_a_caller_wait_longer_than_altogether():
    model = Model()
    model.gate.clear()
    async with working(model) as batcher:
        with pytest.raises(DeadlineError, match=r"it took longer than 0\.1 s"):
            await batcher.submit([text(0)], Patience(stall_s=60, total_s=0.1))
        assert batcher.waiting == 0
        model.gate.set()


async def test_an_estimate_counts_what_comes_before_and_what_runs():
    model, clock = Model(), ManualClock()
    model.limits = BatchLimits(10, 0.5, 0.0)
    batcher = Batcher(model.run, lambda: model.limits, lambda _took_s, _at_a_time: None, clock)
    async with beside(batcher.keep_working()):
        assert batcher.estimate([text(0)]).own_s == 0  # nothing is known yet
        for number in range(ENOUGH):
            model.gate.clear()
            first = asyncio.create_task(batcher.submit([text(0)]))
            await until(lambda number=number: len(model.batches) == number + 1)
            clock.advance(2)  # ten tokens take two seconds
            model.gate.set()
            await first
        model.gate.clear()
        running = asyncio.create_task(batcher.submit([text(1)]))
        await until(lambda: len(model.batches) == ENOUGH + 1)
        waiting = [asyncio.create_task(batcher.submit([text(2)] * count)) for count in (3, 9)]
        await until(lambda: batcher.waiting == 12)
        clock.advance(0.5)
        estimate = batcher.estimate([text(3)] * 5)
        assert (estimate.wait_s, estimate.own_s) == pytest.approx((1.5 + 3 * 2, 5 * 2))
        model.gate.set()
        await asyncio.gather(running, *waiting)


# ── two models ────────────────────────────────────────────────────────────────────────────────────────────────────


@asynccontextmanager
async def two_working(cores, first, second):
    """Two models with one ledger of so many cores."""
    ledger, batchers = CoreLedger(cores, lambda: 0), []

    def batcher_of(model):
        def limits():
            return BatchLimits(
                100, 0.5, 0.0, cores=cores, idle=max(1, ledger.idle_for(one)), claimed=ledger.claimed_beside(one)
            )

        one = Batcher(model.run, limits, lambda _took_s, _at_a_time: None, given_back=lambda: ledger.given_back(one))
        ledger.join(one)
        batchers.append(one)
        return one

    async with beside(batcher_of(first).keep_working()), beside(batcher_of(second).keep_working()):
        yield batchers


async def test_a_lone_text_takes_no_core_that_another_model_computes_on():
    one, other = Model(), Model()
    one.gate.clear()
    async with two_working(2, one, other) as (first, second):
        load = asyncio.create_task(first.submit([text(1), text(2)]))
        await until(lambda: first.held_cores == [1, 1])
        assert await results(second.submit([text(9)])) == [9]
        assert other.cores == [1]
        one.gate.set()
        await load
        assert await results(second.submit([text(9)])) == [9]
        assert other.cores == [1, 2]  # now nobody else computes


async def test_a_batch_on_several_cores_is_not_disturbed_and_the_other_model_comes_next():
    one, other = Model(), Model()
    one.gate.clear()
    async with two_working(2, one, other) as (first, second):
        alone = asyncio.create_task(first.submit([text(1)]))
        await until(lambda: first.held_cores == [2])
        waiting = asyncio.create_task(results(second.submit([text(9)])))
        more = asyncio.create_task(first.submit([text(2)]))
        await until(lambda: first.waiting == second.waiting == 1)
        assert other.batches == []
        one.gate.set()
        await asyncio.gather(alone, more)
        assert await waiting == [9]
    assert one.cores == [2, 1]  # the second shares the cores with the other model's
    assert other.cores == [1]
