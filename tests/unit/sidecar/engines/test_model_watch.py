"""The watch over the model server, with hand-written servers behind its seams."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress

import pytest

from sidecar.engines.model_watch import ModelWatch
from sidecar.engines.servers.ollama import Ollama
from sidecar.errors import EngineFailedError, EngineUnavailableError
from tests.conftest import until


class Server:
    """Has models, or raises."""

    def __init__(self, *models: str) -> None:
        self.answer: dict[str, str | None] | Exception = dict.fromkeys(models, "f00d")
        self.asked = 0

    async def installed(self) -> dict[str, str | None]:
        self.asked += 1
        if isinstance(self.answer, Exception):
            raise self.answer
        return self.answer

    missing = Ollama("http://127.0.0.1", 1).missing


class Beside:
    """What is read along."""

    def __init__(self, error: Exception | None = None) -> None:
        self.error = error
        self.reads = 0

    async def read(self) -> object:
        self.reads += 1
        if self.error:
            raise self.error
        return None


@asynccontextmanager
async def watching(
    server: Server, wanted: Callable[[], str] = lambda: "np-dms-ocr", beside: Beside | None = None
) -> AsyncIterator[ModelWatch]:
    watch = ModelWatch(server, wanted, (beside or Beside()).read)
    task = asyncio.create_task(watch.poll())
    try:
        async with asyncio.timeout(2):
            await watch.polled.wait()
        yield watch
    finally:
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task


async def test_digests_are_known_by_full_names():
    async with watching(Server("np-dms-ocr")) as watch:
        assert watch.digests == {"np-dms-ocr:latest": "f00d"}


def test_nothing_is_known_before_the_first_look():
    watch = ModelWatch(Server(), lambda: "m", Beside().read)
    assert (watch.failure, watch.polled.is_set()) == ("model-server-starting", False)


@pytest.mark.parametrize(
    ("installed", "wanted"),
    [
        (["np-dms-ocr:latest"], "np-dms-ocr"),
        (["np-dms-ocr"], "np-dms-ocr:latest"),
        (["a:q4", "np-dms-ocr:q4"], "np-dms-ocr:q4"),
    ],
)
async def test_a_server_that_has_the_model_is_ready(installed, wanted):
    async with watching(Server(*installed), lambda: wanted) as watch:
        assert watch.failure is None


@pytest.mark.parametrize("installed", [[], ["np-dms-ai:latest"], ["np-dms-ocr:q4"]])
async def test_a_model_that_is_not_installed_is_named_with_its_tag(installed):
    async with watching(Server(*installed)) as watch:
        assert watch.failure == "model-missing: np-dms-ocr:latest"


@pytest.mark.parametrize("error", [EngineUnavailableError(), EngineFailedError(), OSError(), KeyError()])
async def test_a_server_that_does_not_answer_is_unreachable(error):
    server = Server()
    server.answer = error
    async with watching(server) as watch:
        assert watch.failure == "model-server-unreachable"


@pytest.mark.alone
async def test_an_error_of_any_kind_ends_no_watch():
    server, model = Server("np-dms-ocr:latest"), []
    async with watching(server, lambda: model[0]) as watch:
        assert watch.failure == "model-server-unreachable"
        model.append("np-dms-ocr")
        await until(lambda: watch.failure is None, 4)


@pytest.mark.alone
async def test_what_comes_back_is_seen_soon_and_the_model_that_is_wanted_is_asked_anew():
    server, model = Server("np-dms-ocr:latest"), ["other"]
    server.answer = ZeroDivisionError()
    async with watching(server, lambda: model[0]) as watch:
        assert watch.failure == "model-server-unreachable"
        server.answer, model[0] = dict.fromkeys(["np-dms-ocr:latest"]), "np-dms-ocr"
        await until(lambda: watch.failure is None, 4)


async def test_the_gpu_is_read_in_each_round():
    beside = Beside()
    async with watching(Server("np-dms-ocr:latest"), beside=beside):
        assert beside.reads == 1


async def test_whoever_needs_a_digest_waits_for_the_first_answer_and_no_longer_than_it_may():
    watch = ModelWatch(Server("np-dms-ocr"), lambda: "np-dms-ocr", Beside().read)
    await watch.asked_once(0.01)
    assert watch.digests == {}
    task = asyncio.create_task(watch.poll())
    await watch.asked_once(20)
    assert watch.digests == {"np-dms-ocr:latest": "f00d"}
    task.cancel()
    await asyncio.wait([task])
