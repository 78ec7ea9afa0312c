"""How embedding and reranking come up, refuse, fail and end, with the service they belong to."""

import asyncio
import base64
import json
import math
import os
import shutil
import struct
import threading

import pytest

from sidecar.api.app_keys import EMBEDDER, READER, RERANKER, WORKERS
from sidecar.retrieval.bge import hub
from sidecar.retrieval.keeper import FIRST_RETRY_S, LAST_RETRY_S
from sidecar.retrieval.model import ModelLoadError
from sidecar.retrieval.portions import PORTION_TEXTS
from sidecar.runtime.cores import usable_cores
from tests.conftest import until
from tests.integration.sidecar import misdeeds
from tests.integration.sidecar.retrieving import Gate, loaded, post, readyz, slowed
from tools.fakes.model_texts import NAN_TOKEN, POISON_TOKEN

# ── coming up ─────────────────────────────────────────────────────────────────────────────────────────────────────


async def test_a_model_that_is_loaded_is_ready(retrieving):
    status, body = await readyz(retrieving)
    assert status == 200
    assert body["embed"] == body["rerank"] == {"state": "ready", "reason": None}


async def test_without_models_documents_are_read_and_nothing_is_embedded(start):
    running = await start()
    status, body = await readyz(running)
    assert status == 200
    assert body["embed"] == body["rerank"] == {"state": "unavailable", "reason": "not-configured"}
    for path, asked in (("/embed", {"text": "a"}), ("/v1/rerank", {"query": "a", "documents": ["b"]})):
        async with running.client.post(f"{running.url}{path}", json=asked) as response:
            assert (response.status, (await response.json())["code"]) == (503, "not_configured")
            assert "Retry-After" not in response.headers


async def test_while_a_model_is_loaded_documents_are_read_and_callers_told_to_come_back(unstarted):
    import aiohttp  # noqa: PLC0415

    from tests.conftest import Running  # noqa: PLC0415

    service, settings = unstarted
    gate = Gate(service.api[EMBEDDER])
    await service.start()
    async with aiohttp.ClientSession() as client:
        running = Running(service, settings, client)
        async with asyncio.timeout(20):
            await service.api[READER].loaded()
        status, body = await readyz(running)
        assert (status, body["embed"]) == (200, {"state": "loading", "reason": "model-loading"})
        async with client.post(f"{running.url}/embed", json={"text": "a"}) as response:
            assert (response.status, (await response.json())["code"]) == (503, "model_loading")
            assert response.headers["Retry-After"] == "15"
        gate.opened.set()
        await loaded(running)
        assert (await post(running, "/embed", {"text": "a"}))[0] == 200


async def test_a_model_that_is_not_whole_is_told_and_the_other_one_works(start, models, tmp_path):
    half = tmp_path / "half"
    shutil.copytree(models.embedder, half)
    (half / "sparse_linear.pt").unlink()
    running = await start(**models.environment | {"BGE_M3_MODEL": str(half)})
    async with asyncio.timeout(60):
        await running.service.api[RERANKER].keeper.loaded.wait()
    await until(lambda: running.service.api[EMBEDDER].capability.state == "unavailable")
    _, body = await readyz(running)
    assert body["embed"] == {"state": "unavailable", "reason": "model-unusable: sparse_linear.pt is missing"}
    assert body["rerank"]["state"] == "ready"
    async with running.client.post(f"{running.url}/embed", json={"text": "a"}) as response:
        answer = await response.json()
        assert (response.status, answer["code"]) == (503, "engine_unavailable")
        assert "Retry-After" in response.headers
        assert str(half) not in answer["detail"]


async def test_a_model_whose_files_cannot_be_read_says_which(start, models, tmp_path):
    """Here the file is a link that leads nowhere, since whoever runs this may be allowed to read everything."""
    folder = tmp_path / "unreadable"
    shutil.copytree(models.embedder, folder)
    (folder / "model.safetensors").unlink()
    (folder / "model.safetensors").symlink_to(tmp_path / "nowhere")
    running = await start(**models.environment | {"BGE_M3_MODEL": str(folder)})
    await until(lambda: running.service.api[EMBEDDER].capability.state == "unavailable", 30)
    reason = running.service.api[EMBEDDER].capability.reason
    assert reason == f"model-unusable: model.safetensors cannot be read by user {os.getuid()}"
    assert not hub.is_at_hand(str(folder))
    assert hub.is_at_hand(str(models.embedder))


@pytest.mark.parametrize(
    ("source", "reason"),
    [
        ("/no/such/folder", "model-missing: there is no such folder"),
        ("no-such-owner/no-such-model", "model-missing: it is not in the cache, and the hub does not give it"),
    ],
)
async def test_a_model_that_cannot_be_had_says_so_soon(start, source, reason):
    running = await start(BGE_M3_MODEL=source)
    await until(lambda: running.service.api[EMBEDDER].capability.state == "unavailable", 30)
    _, body = await readyz(running)
    assert body["embed"] == {"state": "unavailable", "reason": reason}


async def test_a_reranker_is_no_embedder(start, models):
    running = await start(**models.environment | {"BGE_M3_MODEL": str(models.reranker)})
    await until(lambda: running.service.api[EMBEDDER].capability.state == "unavailable", 30)
    assert running.service.api[EMBEDDER].capability.reason.startswith("model-unusable: ")


async def test_a_load_that_failed_is_tried_again(unstarted):
    service, _ = unstarted
    embedder = service.api[EMBEDDER]
    embedder.keeper.first_retry_s = 0.01
    load, tries = embedder.keeper.load, []

    def flaky():
        tries.append(1)
        if len(tries) < 3:
            raise ModelLoadError("model-missing: not yet") if len(tries) == 1 else OSError("broken")
        return load()

    embedder.keeper.load = flaky
    await service.start()
    async with asyncio.timeout(60):
        await embedder.keeper.loaded.wait()
    assert len(tries) == 3
    assert embedder.capability.ready


# ── refusing and failing ──────────────────────────────────────────────────────────────────────────────────────────


async def test_a_text_the_model_fails_on_fails_alone(retrieving):
    texts = ["good one", f"bad {POISON_TOKEN}", "good two"]
    answers = await asyncio.gather(*(post(retrieving, "/embed", {"text": text}) for text in texts * 3))
    assert [status for status, _ in answers] == [200, 502, 200] * 3
    assert {answer["code"] for status, answer in answers if status == 502} == {"engine_failed"}
    status, answer = await post(retrieving, "/embed", {"texts": texts})
    assert (status, answer["detail"]) == (502, "the model failed on text 1 of the request, from 0")
    assert (await readyz(retrieving))[1]["embed"]["state"] == "ready"


async def test_a_text_without_numbers_is_an_error_and_no_nan(retrieving):
    status, answer = await post(retrieving, "/embed", {"texts": ["good", f"bad {NAN_TOKEN}"]})
    assert (status, answer["code"]) == (502, "engine_failed")
    assert answer["detail"] == "the model gave no numbers for text 1 of the request, from 0"
    together = await asyncio.gather(
        *(post(retrieving, "/embed", {"text": text}) for text in ("good", NAN_TOKEN, "fine"))
    )
    assert [status for status, _ in together] == [200, 502, 200]


async def test_more_than_may_wait_is_refused_with_a_time_to_come_back(start, models):
    running = await loaded(await start(**models.environment | {"RETRIEVAL_MAX_QUEUED_ITEMS": "4"}))
    slow = await slowed(running)
    embedder = running.service.api[EMBEDDER]
    first = [asyncio.create_task(post(running, "/embed", {"text": "a"})) for _ in range(2)]
    await until(lambda: embedder.admission.admitted == 2)
    for body in ({"texts": ["a", "b", "c"]}, {"texts": ["a"] * 2000}):
        async with running.client.post(f"{running.url}/embed", json=body) as response:
            assert (response.status, (await response.json())["code"]) == (429, "queue_full")
            assert 1 <= int(response.headers["Retry-After"]) <= 600
    more = asyncio.create_task(post(running, "/embed", {"texts": ["a", "b"]}))
    await until(lambda: embedder.admission.admitted == 4)
    assert (await post(running, "/embed", {"text": "a"}))[0] == 429
    slow.go.set()
    assert [status for status, _ in await asyncio.gather(*first, more)] == [200, 200, 200]
    assert embedder.admission.admitted == 0
    assert (await post(running, "/embed", {"texts": ["a"] * 9}))[0] == 200  # one request is let in when nothing waits


async def test_a_deadline_frees_the_place(start, models):
    running = await loaded(
        await start(**models.environment | {"RETRIEVAL_TIMEOUT_SECONDS": "0.3", "RETRIEVAL_THREADS": "1"})
    )
    slow = await slowed(running)
    embedder = running.service.api[EMBEDDER]
    answers = await asyncio.gather(*(post(running, "/embed", {"text": "a"}) for _ in range(3)))
    assert [(status, answer["code"]) for status, answer in answers] == [(504, "deadline_exceeded")] * 3
    assert (embedder.admission.admitted, embedder.batcher.waiting) == (0, 0)
    slow.go.set()
    await until(lambda: not embedder.batcher.running)
    assert slow.batches == 1  # what waited was never computed
    assert (await post(running, "/embed", {"text": "a"}))[0] == 200


class Watched:
    """A copy whose batches tell how they ended."""

    device = "cpu"

    def __init__(self, copy):
        self.copy = copy
        self.ended: list[str] = []
        self.asked = threading.Event()
        self.go = threading.Event()

    def run(self, batch, is_wanted):
        def is_wanted_later():
            """The first layer asks, and is held up there as long as a long text takes."""
            self.asked.set()
            assert self.go.wait(30)
            return is_wanted()

        try:
            results = self.copy.run(batch, is_wanted_later)
        except BaseException as exc:
            self.ended.append(type(exc).__name__)
            raise
        self.ended.append("computed")
        return results


async def test_what_nobody_waits_for_any_more_is_not_computed_to_its_end(start, models):
    running = await loaded(
        await start(**models.environment | {"RETRIEVAL_TIMEOUT_SECONDS": "0.3", "RETRIEVAL_THREADS": "1"})
    )
    model = running.service.api[EMBEDDER].keeper.model
    model.cpu = watched = Watched(model.cpu)
    assert (await post(running, "/embed", {"text": "long " * 500}))[0] == 504
    watched.go.set()
    await until(lambda: watched.ended)
    assert watched.ended == ["AbandonedError"]
    assert (await post(running, "/embed", {"text": "short"}))[0] == 200
    assert watched.ended == ["AbandonedError", "computed"]


async def test_a_long_text_leaves_a_core_to_others(start, models):
    running = await loaded(await start(**models.environment | {"RETRIEVAL_THREADS": "2"}))
    model = running.service.api[EMBEDDER].keeper.model
    model.cpu = watched = Watched(model.cpu)
    long = asyncio.create_task(post(running, "/embed", {"text": "long " * 5000}))
    await until(watched.asked.is_set)
    model.cpu = watched.copy  # for those that come meanwhile
    assert (await post(running, "/embed", {"text": "short"}))[0] == 200
    assert not long.done()
    watched.go.set()
    assert (await long)[0] == 200


async def test_a_lone_text_takes_no_core_that_a_page_is_read_on(start, models):
    """It would wait for that one at each of a hundred steps."""
    cores = usable_cores()
    running = await loaded(await start(**models.environment | {"OCR_WORKERS": str(cores)}))
    embedder, workers = running.service.api[EMBEDDER], running.service.api[WORKERS]
    assert embedder.limits().idle == cores
    page = asyncio.create_task(workers.run(misdeeds.hang, deadline_s=60))
    await until(lambda: workers.busy == 1)
    assert embedder.limits().idle == max(1, cores - 1)
    assert (await post(running, "/embed", {"text": "a"}))[0] == 200
    page.cancel()
    await until(lambda: workers.busy == 0)
    assert embedder.limits().idle == cores


async def test_a_caller_that_leaves_takes_its_texts_out_of_the_line(retrieving):
    slow = await slowed(retrieving)
    embedder = retrieving.service.api[EMBEDDER]
    staying = asyncio.create_task(post(retrieving, "/embed", {"text": "a"}))
    await until(lambda: slow.batches == 1)
    leaving = asyncio.create_task(post(retrieving, "/embed", {"texts": ["b"] * 50}))
    await until(lambda: embedder.batcher.waiting == 50)
    leaving.cancel()
    await until(lambda: embedder.batcher.waiting == 0)
    await until(lambda: embedder.admission.admitted == 1)
    slow.go.set()
    assert (await staying)[0] == 200
    assert slow.batches == 1


async def test_a_long_array_is_tokenised_in_portions_with_others_in_between(retrieving):
    """One thread makes tokens; while it is at a large array's, a single text has its turn."""
    embedder = retrieving.service.api[EMBEDDER]
    asked, held, tokenize = [], threading.Event(), embedder.keeper.model.tokenize

    def slowly(inputs):
        asked.append(len(inputs))
        assert held.wait(30)
        return tokenize(inputs)

    embedder.keeper.model.tokenize = slowly
    try:
        array = asyncio.create_task(embedder.answer(["many"] * (3 * PORTION_TEXTS), truncate=True))
        await until(lambda: asked)
        single = asyncio.create_task(embedder.answer(["one"], truncate=True))
        await asyncio.sleep(0)  # it stands in the thread's line now
        held.set()
        await asyncio.gather(array, single)
    finally:
        del embedder.keeper.model.tokenize
    assert asked == [PORTION_TEXTS, 1, PORTION_TEXTS, PORTION_TEXTS]


async def test_a_dead_worker_is_seen_by_readiness(retrieving):
    embedder = retrieving.service.api[EMBEDDER]
    embedder.batcher.alive = False
    assert (await readyz(retrieving))[1]["embed"] == {"state": "unavailable", "reason": "worker-died"}
    assert (await post(retrieving, "/embed", {"text": "a"}))[1]["code"] == "engine_unavailable"


async def test_what_runs_is_answered_when_the_service_stops_and_nothing_new_is_taken(retrieving):
    slow = await slowed(retrieving)
    running = asyncio.create_task(post(retrieving, "/embed", {"text": "a"}))
    await until(lambda: slow.batches == 1)
    stopping = asyncio.create_task(retrieving.service.stop(10))
    await asyncio.sleep(0)
    status, answer = await post(retrieving, "/embed", {"text": "b"})
    assert (status, answer["code"]) == (503, "shutting_down")
    slow.go.set()
    assert (await running)[0] == 200
    await stopping


# ── the ecosystem's clients ───────────────────────────────────────────────────────────────────────────────────────


@pytest.fixture
async def openai_client(start, models):
    import openai  # noqa: PLC0415 - a second, and only these tests need it

    running = await loaded(
        await start(**models.environment | {"OCR_AUTH_MODE": "api-key", "OCR_SIDECAR_API_KEY": "key-1"})
    )
    async with openai.AsyncOpenAI(base_url=f"{running.url}/v1", api_key="key-1", max_retries=0) as client:
        yield client


async def test_openai_s_client_gets_the_same_vectors_in_both_forms(openai_client):
    texts = ["one text", "ข้อความ", "👩‍👩‍👧"]
    as_base64 = await openai_client.embeddings.create(model="any", input=texts)
    as_floats = await openai_client.embeddings.create(model="any", input=texts, encoding_format="float")
    assert [one.index for one in as_base64.data] == [0, 1, 2]
    for one, other in zip(as_base64.data, as_floats.data, strict=True):
        assert one.embedding == pytest.approx(other.embedding, abs=1e-6)
        assert math.fsum(number * number for number in one.embedding) == pytest.approx(1, abs=1e-5)
    assert as_floats.model == "embedder"
    assert as_floats.usage.total_tokens == as_floats.usage.prompt_tokens > 6
    single = await openai_client.embeddings.create(model="any", input="one text", dimensions=32)
    assert single.data[0].embedding == pytest.approx(as_base64.data[0].embedding, abs=1e-6)


async def test_openai_s_client_meets_its_own_errors(openai_client):
    import openai  # noqa: PLC0415

    for wrong in ({"input": [1, 2, 3]}, {"input": "a", "dimensions": 7}, {"input": ""}):
        with pytest.raises(openai.UnprocessableEntityError) as caught:
            await openai_client.embeddings.create(model="any", **wrong)
        assert caught.value.body["code"] == "invalid_value"
    with pytest.raises(openai.AuthenticationError):
        await openai_client.with_options(api_key="wrong").embeddings.create(model="any", input="a")


async def test_base64_is_little_endian_float32(retrieving):
    _, answer = await post(retrieving, "/v1/embeddings", {"input": "a", "encoding_format": "base64"})
    _, plain = await post(retrieving, "/embed", {"text": "a"})
    raw = base64.b64decode(answer["data"][0]["embedding"])
    assert struct.unpack(f"<{len(raw) // 4}f", raw) == pytest.approx(plain["dense"], abs=1e-6)


async def test_v1_rerank_has_the_shape_of_cohere_and_jina(retrieving):
    documents = ["first one", {"text": "second one"}, "third"]
    body = {"model": "any", "query": "what", "documents": documents, "top_n": 2, "return_documents": True}
    status, answer = await post(retrieving, "/v1/rerank", body, **{"X-Request-Id": "id-1"})
    assert status == 200
    assert (answer["id"], answer["model"]) == ("id-1", "reranker")
    assert len(answer["results"]) == 2
    scores = [one["relevance_score"] for one in answer["results"]]
    assert scores == sorted(scores, reverse=True)
    texts = ["first one", "second one", "third"]
    assert all(one["document"] == {"text": texts[one["index"]]} for one in answer["results"])
    _, raw = await post(retrieving, "/rerank", {"query": "what", "chunks": texts})
    expected = [1 / (1 + math.exp(-raw["scores"][one["index"]])) for one in answer["results"]]
    assert scores == pytest.approx(expected, abs=1e-5)
    _, without = await post(retrieving, "/v1/rerank", json.loads(json.dumps(body)) | {"return_documents": False})
    assert "document" not in without["results"][0]


def test_the_pauses_between_loads_grow_and_have_an_end():
    assert FIRST_RETRY_S < LAST_RETRY_S <= 600
