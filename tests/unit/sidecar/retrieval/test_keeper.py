"""A model is loaded once, stays while it is used, leaves when it is idle or asked to, and comes back."""

import asyncio
import threading

import pytest

from sidecar.errors import EngineUnavailableError, ModelLoadingError
from sidecar.retrieval.keeper import BY_REQUEST, NOT_CONFIGURED, KeeperMeans, ModelKeeper
from sidecar.retrieval.model import EMBED, AbandonedError, ModelLimits, ModelLoadError
from sidecar.retrieval.placement import Placement, PlacementLimits
from sidecar.runtime.capability import Capability
from sidecar.runtime.daemon_thread import DaemonThread
from sidecar.telemetry import Metrics
from tests.conftest import PATIENCE_S, until
from tools.fakes.ollama import ManualClock


class Model:
    name = EMBED
    max_tokens, max_query_tokens, dimensions = 8192, 0, 1024
    gpu_mb = 1
    backend = "torch"
    can_use_gpu = False


class Clock(ManualClock):
    """Counts how often it was looked at."""

    looks = 0

    def __call__(self):
        self.looks += 1
        return super().__call__()


class Loads:
    """Loads a model each time it is let, or fails as it is told to."""

    def __init__(self):
        self.begun = 0
        self.go = threading.Event()
        self.go.set()
        self.error = None

    def __call__(self):
        self.begun += 1
        assert self.go.wait(PATIENCE_S)
        if self.error:
            raise self.error
        return Model()


@pytest.fixture
def loads():
    return Loads()


@pytest.fixture
def metrics():
    return Metrics()


@pytest.fixture
def reclaimed():
    return []


@pytest.fixture
async def make(loads, metrics, reclaimed):
    thread = DaemonThread("test-gpu")
    made = []

    def make_one(absent=None, **more):
        placement = Placement((EMBED,), None, thread, PlacementLimits(3000, 0))
        means = KeeperMeans(placement, metrics, **{"keep_alive_s": 0, "reclaim": lambda: reclaimed.append(1)} | more)
        made.append(ModelKeeper(EMBED, loads, absent, means))
        return made[-1]

    yield make_one
    loads.go.set()
    for one in made:
        one.close()
    thread.stop(5)


@pytest.fixture
async def keeper(make):
    one = make()
    await one.load_now(PATIENCE_S)
    return one


async def use(keeper, within_s=PATIENCE_S):
    """Use the model as a call does; give the seconds that it waited."""
    async with keeper.using(within_s) as (_, waited_s):
        return waited_s


def counted(metrics, name, **labels):
    return metrics.registry.get_sample_value(name, {"model": EMBED, **labels})


async def test_what_is_there_is_given_at_once(keeper, loads):
    assert (await use(keeper), loads.begun) == (0, 1)
    assert keeper.limits == ModelLimits(8192, 0, 1024, "torch")


async def test_a_released_model_is_ready_and_its_first_call_waits_for_it(keeper, loads, metrics, reclaimed):
    assert await keeper.release(BY_REQUEST)
    assert (keeper.model, keeper.idle_s, keeper.capability.state) == (None, None, "ready")
    assert reclaimed == [1]
    assert keeper.limits == ModelLimits(8192, 0, 1024, "torch")
    assert await use(keeper) > 0
    assert loads.begun == 2
    assert counted(metrics, "retrieval_loads_total", cause="call", outcome="loaded") == 1
    assert counted(metrics, "retrieval_calls_delayed_total") == 1
    assert counted(metrics, "retrieval_releases_total", cause="request") == 1


async def test_first_calls_that_come_together_load_once(keeper, loads):
    await keeper.release(BY_REQUEST)
    loads.go.clear()
    calls = [asyncio.create_task(use(keeper)) for _ in range(5)]
    await until(lambda: loads.begun == 2)
    loads.go.set()
    assert all(waited_s > 0 for waited_s in await asyncio.gather(*calls))
    assert loads.begun == 2


async def test_a_load_that_fails_is_every_waiting_call_s_error_and_the_next_tries_again(keeper, loads, metrics):
    await keeper.release(BY_REQUEST)
    loads.error = ModelLoadError("model-missing: there is no such folder")
    loads.go.clear()
    calls = [asyncio.create_task(use(keeper)) for _ in range(3)]
    await until(lambda: loads.begun == 2)
    loads.go.set()
    errors = await asyncio.gather(*calls, return_exceptions=True)
    assert {type(error) for error in errors} == {EngineUnavailableError}
    assert {error.detail for error in errors} == {
        "the embed model is not there: model-missing: there is no such folder"
    }
    assert keeper.capability.state == "unavailable"
    loads.error = None
    assert await use(keeper) > 0
    assert (loads.begun, keeper.capability.ready) == (3, True)
    assert counted(metrics, "retrieval_loads_total", cause="call", outcome="failed") == 1


async def test_a_call_that_loses_patience_leaves_the_load_to_the_next(keeper, loads):
    await keeper.release(BY_REQUEST)
    loads.go.clear()
    with pytest.raises(ModelLoadingError) as caught:
        await use(keeper, 0.05)
    assert caught.value.retry_after_s
    loads.go.set()
    await use(keeper)
    assert loads.begun == 2


async def test_a_model_that_is_used_leaves_after_that(keeper, reclaimed):
    async with keeper.using(PATIENCE_S):
        assert not await keeper.release(BY_REQUEST, 0.05)
        assert (keeper.model is not None, reclaimed) == (True, [])
    await until(lambda: reclaimed)
    assert keeper.model is None


async def test_a_batch_holds_the_model_after_its_call_has_gone(keeper):
    with keeper.held():
        assert not await keeper.release(BY_REQUEST, 0.05)
    await until(lambda: keeper.model is None)
    with pytest.raises(AbandonedError), keeper.held():
        pytest.fail("there is nothing to hold")


async def test_a_call_that_comes_while_the_model_leaves_gets_the_next_one(keeper, loads):
    """Else it would never leave under a stream of calls, and whoever asked needs its memory."""
    async with keeper.using(PATIENCE_S):
        leaving = asyncio.create_task(keeper.release(BY_REQUEST))
        await until(lambda: keeper._releasing)
        late = asyncio.create_task(use(keeper))
    assert await late > 0
    await leaving
    assert loads.begun == 2


async def test_to_release_twice_is_to_release_once(keeper, reclaimed):
    assert await asyncio.gather(keeper.release(BY_REQUEST), keeper.release(BY_REQUEST)) == [True, True]
    assert await keeper.release(BY_REQUEST)
    assert reclaimed == [1]


async def test_a_model_that_is_being_loaded_leaves_as_soon_as_it_is_there(make, loads):
    keeper = make()
    loads.go.clear()
    starting = asyncio.create_task(keeper.keep_loading())
    await until(lambda: loads.begun)
    assert not await keeper.release(BY_REQUEST, 0.05)
    loads.go.set()
    assert await keeper.release(BY_REQUEST)
    await starting
    assert (keeper.model, keeper.capability.state, loads.begun) == (None, "ready", 1)


async def test_a_call_that_waits_for_a_load_is_served_before_the_model_leaves(keeper, loads):
    await keeper.release(BY_REQUEST)
    loads.go.clear()
    call = asyncio.create_task(use(keeper))
    await until(lambda: loads.begun == 2)
    leaving = asyncio.create_task(keeper.release(BY_REQUEST))
    await asyncio.sleep(0)
    loads.go.set()
    assert await call > 0
    assert await leaving
    assert loads.begun == 2


async def test_without_a_model_there_is_nothing_to_release_and_nothing_to_load(make, loads):
    keeper = make(absent=NOT_CONFIGURED)
    assert await keeper.release(BY_REQUEST)
    with pytest.raises(EngineUnavailableError) as caught:
        await keeper.load_now(PATIENCE_S)
    assert (caught.value.detail, caught.value.retry_after_s) == ("the embed model is not there: not-configured", None)
    assert keeper.capability.state == "unavailable"
    assert loads.begun == 0


async def test_to_release_a_model_that_cannot_be_loaded_ends_the_tries_until_its_next_call(make, loads):
    """Else it came, with the next try, into the memory that somebody had just asked for."""
    keeper = make()
    keeper.first_retry_s = 0.01
    loads.error = ModelLoadError("model-missing: not yet")
    starting = asyncio.create_task(keeper.keep_loading())
    await until(lambda: loads.begun)
    assert await keeper.release(BY_REQUEST)
    assert keeper.capability == Capability("unavailable", "model-missing: not yet")
    loads.error = None
    await starting
    assert keeper.model is None
    await use(keeper)
    assert keeper.capability.ready


async def test_to_release_a_model_before_its_first_load_leaves_that_to_its_next_call(make, loads):
    keeper = make()
    assert await keeper.release(BY_REQUEST)
    await keeper.keep_loading()
    assert (keeper.capability.state, loads.begun) == ("ready", 0)
    await use(keeper)
    assert loads.begun == 1


async def test_an_idle_model_leaves_and_one_in_use_stays(make, metrics):
    clock = Clock()
    keeper = make(keep_alive_s=0.01, clock=clock)
    await keeper.load_now(PATIENCE_S)
    watching = asyncio.create_task(keeper.keep_releasing())
    async with keeper.using(PATIENCE_S):
        clock.now_s += 1000
        assert keeper.idle_s == 0
    clock.now_s += 0.009
    assert keeper.idle_s == pytest.approx(0.009)
    looks = clock.looks
    await until(lambda: clock.looks > looks + 2)
    assert keeper.model is not None
    clock.now_s += 0.002
    await until(lambda: counted(metrics, "retrieval_releases_total", cause="idle") == 1)
    assert await use(keeper) == 0.0  # by this clock
    assert keeper.model is not None
    clock.now_s += 1
    await until(lambda: counted(metrics, "retrieval_releases_total", cause="idle") == 2)
    watching.cancel()


async def test_without_a_time_a_model_stays_for_ever(make):
    keeper = make(keep_alive_s=0, clock=(clock := ManualClock()))
    await keeper.load_now(PATIENCE_S)
    clock.now_s += 10**9
    await keeper.keep_releasing()
    assert keeper.model is not None


async def test_a_model_does_not_leave_under_a_batch_that_follows_another_at_once(keeper):
    with keeper.held():
        leaving = asyncio.create_task(keeper.release(BY_REQUEST))
        await until(lambda: keeper._releasing)
        await asyncio.sleep(0.05)
    with keeper.held() as model:  # before whoever waits for the end of the first has had its turn
        await asyncio.sleep(0.05)
        assert keeper.model is model
    assert await leaving
    assert keeper.model is None
