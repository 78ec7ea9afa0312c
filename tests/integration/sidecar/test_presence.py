"""Models are loaded and released over HTTP and when they are idle; no call is lost by it, and the memory goes back."""

import asyncio
from functools import partial

import pytest

from sidecar.api.app_keys import EMBEDDER, METRICS, PLACEMENT, RERANKER
from tests.conftest import until
from tests.integration.sidecar.retrieving import Gate, loaded, post, readyz, slowed
from tests.integration.sidecar.test_cpu_fallback import Card, Clock, replay
from tests.matrix import first

GONE = {"status": "unloaded", "bgeLoaded": False, "rerankerLoaded": False}
THERE = {"status": "loaded", "bgeLoaded": True, "rerankerLoaded": True}


async def get_status(running):
    async with running.client.get(f"{running.url}/bge/status") as response:
        return await response.json()


def counted(running, name, **labels):
    return running.service.api[METRICS].registry.get_sample_value(name, labels)


async def test_they_leave_and_come_back_as_in_the_old_service(retrieving):
    assert await post(retrieving, "/bge/load", {}) == (200, THERE)
    status = await get_status(retrieving)
    assert status.pop("idleSeconds") >= 0
    assert status == {"bgeLoaded": True, "rerankerLoaded": True, "keepAliveSeconds": 0, "autoUnloadIn": None}
    for _ in range(2):
        assert await post(retrieving, "/bge/unload", {}) == (200, GONE)
    assert await get_status(retrieving) == {
        "bgeLoaded": False,
        "rerankerLoaded": False,
        "keepAliveSeconds": 0,
        "idleSeconds": None,
        "autoUnloadIn": None,
    }
    status, ready = await readyz(retrieving)
    assert (status, ready["embed"], ready["rerank"]) == (200, *[{"state": "ready", "reason": None}] * 2)
    async with retrieving.client.post(f"{retrieving.url}/bge/load") as response:  # with no body at all
        assert (response.status, await response.json()) == (200, THERE)


@pytest.mark.parametrize(
    ("path", "body", "model"),
    first(
        2,
        [
            ("/embed", {"text": "a"}, "embed"),
            ("/rerank", {"query": "a", "chunks": ["b"]}, "rerank"),
            ("/embed_sparse", {"inputs": "a"}, "embed"),
            ("/v1/embeddings", {"input": "a"}, "embed"),
            ("/tokenize", {"inputs": "a"}, "embed"),
            ("/v1/score", {"text_1": "a", "text_2": "b"}, "rerank"),
        ],
    ),
)
async def test_the_first_call_after_it_waits_is_answered_and_told(retrieving, path, body, model):
    before = await post(retrieving, path, body)
    await post(retrieving, "/bge/unload", {})
    async with retrieving.client.post(f"{retrieving.url}{path}", json=body) as response:
        first = await response.json()
        assert (response.status, float(response.headers["X-Model-Load-Seconds"]) > 0) == (200, True)
    async with retrieving.client.post(f"{retrieving.url}{path}", json=body) as response:
        assert (response.status, "X-Model-Load-Seconds" in response.headers) == (200, False)
    assert {"id": 0, **first} == {"id": 0, **before[1]} if isinstance(first, dict) and "id" not in first else first
    assert counted(retrieving, "retrieval_calls_delayed_total", model=model) == 1
    assert counted(retrieving, "retrieval_model_loaded", model=model) == 1


async def test_calls_that_come_together_load_once(retrieving):
    await post(retrieving, "/bge/unload", {})
    answers = await asyncio.gather(*(post(retrieving, "/embed", {"text": "a"}) for _ in range(8)))
    assert [status for status, _ in answers] == [200] * 8
    assert counted(retrieving, "retrieval_loads_total", model="embed", cause="call", outcome="loaded") == 1


async def test_what_a_released_model_would_refuse_is_refused(retrieving):
    await post(retrieving, "/bge/unload", {})
    status, answer = await post(retrieving, "/v1/embeddings", {"input": "a", "dimensions": 7})
    assert (status, answer["code"]) == (422, "invalid_value")
    assert not retrieving.service.api[EMBEDDER].keeper.loaded.is_set()
    async with retrieving.client.get(f"{retrieving.url}/info") as response:
        assert (await response.json())["max_input_length"] == 8192


async def test_without_models_there_is_nothing_to_load_and_nothing_to_refuse(service):
    for _ in range(2):
        assert await post(service, "/bge/unload", {}) == (200, GONE)
    status, answer = await post(service, "/bge/load", {})
    assert (status, answer["code"]) == (503, "not_configured")
    assert answer["detail"] == (
        "the embed model is not there: not-configured; the rerank model is not there: not-configured"
    )


async def test_one_model_is_all_there_is_to_load(start, models):
    running = await start(**models.environment | {"RERANKER_MODEL": ""})
    assert await post(running, "/bge/load", {}) == (200, THERE | {"rerankerLoaded": False})


async def test_a_model_that_cannot_be_loaded_says_why_and_the_other_one_is_there(start, models):
    running = await start(**models.environment | {"RERANKER_MODEL": "/no/such/folder"})
    async with running.client.post(f"{running.url}/bge/load") as response:
        answer = await response.json()
        assert (response.status, answer["code"]) == (503, "engine_unavailable")
        assert answer["detail"] == "the rerank model is not there: model-missing: there is no such folder"
        assert "Retry-After" in response.headers
    assert (await get_status(running))["bgeLoaded"]


async def test_a_load_that_fails_is_its_callers_error_and_the_next_call_tries_again(start, models, tmp_path):
    folder = tmp_path / "moving"
    folder.symlink_to(models.embedder)
    running = await loaded(await start(**models.environment | {"BGE_M3_MODEL": str(folder)}))
    await post(running, "/bge/unload", {})
    folder.unlink()
    for status, answer in await asyncio.gather(*(post(running, "/embed", {"text": "a"}) for _ in range(3))):
        assert (status, answer["code"]) == (503, "engine_unavailable")
        assert answer["detail"] == "the embed model is not there: model-missing: there is no such folder"
    folder.symlink_to(models.embedder)
    assert (await post(running, "/embed", {"text": "a"}))[0] == 200


async def test_to_unload_while_they_are_loaded_for_the_first_time_is_accepted(unstarted):
    import aiohttp  # noqa: PLC0415

    from tests.conftest import Running  # noqa: PLC0415

    service, settings = unstarted
    gate = Gate(service.api[EMBEDDER])
    await service.start()
    async with aiohttp.ClientSession() as client:
        running = Running(service, settings, client)
        embedder = service.api[EMBEDDER].keeper
        await until(lambda: embedder._loading)
        unloading = asyncio.create_task(post(running, "/bge/unload", {}))
        await until(lambda: embedder._releasing)
        gate.opened.set()
        assert (await unloading)[0] == 200
        assert embedder.model is None
        assert (await post(running, "/embed", {"text": "a"}))[0] == 200


async def test_what_runs_when_they_are_unloaded_is_answered(retrieving):
    slow = await slowed(retrieving)
    calls = [asyncio.create_task(post(retrieving, "/embed", {"text": "a"})) for _ in range(3)]
    await until(lambda: slow.batches)
    unloading = asyncio.create_task(post(retrieving, "/bge/unload", {}))
    await until(lambda: retrieving.service.api[EMBEDDER].keeper._releasing)
    late = asyncio.create_task(post(retrieving, "/embed", {"text": "late"}))
    slow.go.set()
    assert [status for status, _ in await asyncio.gather(*calls, late)] == [200] * 4
    assert (await unloading)[0] == 200


async def test_calls_that_take_longer_than_one_waits_are_told(start, models):
    running = await loaded(await start(**models.environment | {"RETRIEVAL_TIMEOUT_SECONDS": "0.2"}))
    with running.service.api[EMBEDDER].keeper.held():
        status, answer = await post(running, "/bge/unload", {})
        assert (status, answer) == (200, {"status": "unloading", "bgeLoaded": True, "rerankerLoaded": False})
    await until(lambda: not running.service.api[EMBEDDER].keeper.loaded.is_set())


async def test_idle_models_leave_and_the_next_call_brings_its_own_back(start, models):
    running = await start(**models.environment | {"BGE_KEEP_ALIVE_SECONDS": "0.5"})
    for model in ("embed", "rerank"):
        released = partial(counted, running, "retrieval_releases_total", model=model, cause="idle")
        await until(lambda released=released: released() == 1, 60)
    assert (await post(running, "/embed", {"text": "a"}))[0] == 200
    assert not running.service.api[RERANKER].keeper.loaded.is_set()
    await until(lambda: counted(running, "retrieval_releases_total", model="embed", cause="idle") == 2)


async def test_the_time_until_they_leave_is_told(start, models):
    running = await loaded(await start(**models.environment | {"BGE_KEEP_ALIVE_SECONDS": "300"}))
    status = await get_status(running)
    assert status["keepAliveSeconds"] == 300
    assert status["idleSeconds"] + status["autoUnloadIn"] == pytest.approx(300)


async def test_they_need_a_key_like_all_others(start, models):
    running = await start(**models.environment | {"OCR_AUTH_MODE": "api-key", "OCR_SIDECAR_API_KEY": "key-1"})
    for path in ("/bge/load", "/bge/unload"):
        assert (await post(running, path, {}))[0] == 401
    assert (await get_status(running))["code"] == "unauthorized"
    assert (await post(running, "/bge/unload", {}, **{"X-API-Key": "key-1"}))[0] == 200


async def test_the_gpu_is_left_as_well_and_the_model_comes_back_to_it(start, models):
    from sidecar.service.retrieval_wiring import GpuSeam  # noqa: PLC0415

    clock = Clock()
    running = await loaded(
        await start(
            GpuSeam(read=Card(), find=lambda _index: "cpu", clock=clock),
            **models.environment | {"RETRIEVAL_DEVICE": "auto"},
        )
    )
    await replay(running, clock, 11)
    placement = running.service.api[PLACEMENT]
    assert placement.is_on_gpu("embed")
    await post(running, "/bge/unload", {})
    assert not placement.is_on_gpu("embed")
    assert placement.where("embed") == (None, "model-released")
    await replay(running, clock, 11)
    assert not placement.is_on_gpu("embed")
    assert (await post(running, "/embed", {"text": "a"}))[1]["reason"] == "warming-up"
    await replay(running, clock, 11)
    assert (await post(running, "/embed", {"text": "a"}))[1]["device"] == "cuda"
