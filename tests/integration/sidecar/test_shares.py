"""What several keys share: quotas for each, turns between them, and no caller that keeps another out."""

import asyncio

import aiohttp
import pytest

from sidecar.api.app_keys import EMBEDDER, TEXT_QUOTA
from tests.conftest import until
from tests.integration.sidecar.model import PAGE, Governed, pages
from tests.integration.sidecar.raw import ask, head, status_of
from tests.integration.sidecar.retrieving import loaded, post, slowed

KEYS = "archive: one\narchive: two\nsearch: three\nfour\n"
ONE, TWO, THREE, FOUR = ({"X-API-Key": key} for key in ("one", "two", "three", "four"))


@pytest.fixture
def keyed(govern, tmp_path):
    """Start services that ask for a key, beside a model that takes a minute for a page."""
    (tmp_path / "keys").write_text(KEYS)
    govern.fake.latency_s = 60

    async def start(**environ: str) -> Governed:
        return await govern(OCR_AUTH_MODE="api-key", OCR_SIDECAR_API_KEY_FILE=str(tmp_path / "keys"), **environ)

    return start


def send(governed: Governed, key: dict[str, str], document: bytes = PAGE) -> asyncio.Task:
    return asyncio.create_task(governed.service.upload(document, headers=key, engine="np-dms-ocr"))


async def test_a_key_has_as_many_documents_as_its_quota_and_others_have_theirs(keyed):
    governed = await keyed(OCR_KEY_MAX_DOCUMENTS="2", OCR_PARALLEL_PAGES="8")
    reading = [send(governed, ONE), send(governed, TWO)]
    await until(lambda: len(governed.fake.chats) == 2)

    form = {"X-API-Key": "one", "Content-Type": "multipart/form-data; boundary=x"}
    async with governed.service.client.post(f"{governed.service.url}/ocr-upload", headers=form) as response:
        assert (response.status, (await response.json())["code"]) == (429, "quota_exhausted")
        assert int(response.headers["Retry-After"]) > 0
    reading += [send(governed, THREE), send(governed, THREE), send(governed, FOUR)]
    await until(lambda: len(governed.fake.chats) == 5)
    for one in reading:
        one.cancel()


@pytest.mark.parametrize("accept", ["application/json", "application/x-ndjson"])
async def test_a_place_is_free_as_soon_as_the_document_is_answered(keyed, accept):
    governed = await keyed(OCR_KEY_MAX_DOCUMENTS="1")
    governed.fake.latency_s = 0
    url, sent = f"{governed.service.url}/ocr-upload", ONE | {"Accept": accept, "Connection": "close"}
    for _ in range(10):
        form = aiohttp.FormData()
        form.add_field("file", PAGE, filename="page.png")
        async with governed.service.client.post(url, data=form, headers=sent) as response:
            assert response.status == 200
            async for line in response.content:
                if b"charCount" in line:
                    break  # the connection is still open: the next document comes by another


async def test_a_place_is_free_as_soon_as_its_caller_leaves(keyed):
    governed = await keyed(OCR_KEY_MAX_DOCUMENTS="1")
    reading = send(governed, ONE)
    await until(lambda: governed.fake.chats)
    reading.cancel()
    await until(lambda: governed.fake.chats[0].disconnected)
    governed.fake.latency_s = 0

    assert (await governed.service.upload(PAGE, headers=ONE))[0] == 200


async def test_pages_of_one_key_do_not_wait_for_all_that_another_has_sent(keyed):
    governed = await keyed(OCR_PARALLEL_PAGES="2")
    governed.fake.latency_s = 0.5
    reports = [send(governed, ONE, pages(6)) for _ in range(5)]
    await until(lambda: len(governed.fake.chats) == 2)

    assert (await governed.service.upload(PAGE, headers=THREE, engine="np-dms-ocr"))[0] == 200

    assert len(governed.fake.chats) <= 10
    assert not any(report.done() for report in reports)
    for report in reports:
        report.cancel()


async def test_a_queue_that_one_key_has_filled_lets_another_key_in(keyed):
    governed = await keyed(OCR_MAX_QUEUED_PAGES="4", OCR_PARALLEL_PAGES="8")
    reading = [send(governed, ONE, pages(4))]
    await until(lambda: len(governed.fake.chats) == 4)

    status, body = await governed.service.upload(PAGE, headers=TWO)
    assert (status, body["code"]) == (429, "queue_full")
    reading.append(send(governed, THREE))
    await until(lambda: len(governed.fake.chats) == 5)
    for one in reading:
        one.cancel()


# ── texts ─────────────────────────────────────────────────────────────────────────────────────────────────────────


@pytest.fixture
def keyed_texts(start, models, tmp_path):
    """Start services that ask for a key and embed, on one core, once they are let."""
    (tmp_path / "keys").write_text(KEYS)
    keys = {"OCR_AUTH_MODE": "api-key", "OCR_SIDECAR_API_KEY_FILE": str(tmp_path / "keys")}

    async def started(**environ: str):
        running = await loaded(await start(**models.environment | keys | {"RETRIEVAL_THREADS": "1"} | environ))
        return running, await slowed(running)

    return started


def embed(running, key: dict[str, str], count: int, path: str = "/embed") -> asyncio.Task:
    return asyncio.create_task(post(running, path, {"texts": ["a"] * count}, **key))


@pytest.mark.parametrize(
    ("path", "body"),
    [
        ("/embed", {"texts": ["a", "b"]}),
        ("/rerank", {"query": "a", "chunks": ["a", "b"]}),
        ("/v1/embeddings", {"input": ["a", "b"], "model": "any"}),
        ("/tokenize", {"inputs": ["a", "b"]}),
    ],
)
async def test_a_key_has_as_many_texts_as_its_quota_and_others_have_theirs(keyed_texts, path, body):
    running, slow = await keyed_texts(RETRIEVAL_KEY_MAX_ITEMS="4")
    quota = running.service.api[TEXT_QUOTA]
    waiting = [embed(running, ONE, 3)]
    await until(lambda: quota.held.total() == 3)
    async with running.client.post(f"{running.url}{path}", json=body, headers=TWO) as response:
        assert (response.status, (await response.json())["code"]) == (429, "quota_exhausted")
        assert int(response.headers["Retry-After"]) > 0
    waiting += [embed(running, TWO, 1), embed(running, THREE, 4), embed(running, FOUR, 9)]
    await until(lambda: quota.held.total() == 17)
    slow.go.set()
    assert [status for status, _ in await asyncio.gather(*waiting)] == [200] * 4
    assert (await post(running, path, body, **TWO))[0] == 200
    assert not quota.held


async def test_a_key_without_places_for_texts_hears_so_before_its_body_is_read(keyed_texts):
    running, slow = await keyed_texts(RETRIEVAL_KEY_MAX_ITEMS="1")
    waiting = embed(running, ONE, 1)
    await until(lambda: running.service.api[TEXT_QUOTA].held.total() == 1)
    said = head("POST", "/embed", TWO | {"Content-Length": "8000000", "Content-Type": "application/json"})
    assert status_of(await ask(running.url, said)) == 429
    slow.go.set()
    assert (await waiting)[0] == 200


async def test_texts_of_one_key_do_not_wait_for_all_that_another_has_sent(keyed_texts):
    running, slow = await keyed_texts(RETRIEVAL_BATCH_TOKENS="64")
    arrays = [embed(running, ONE, 20) for _ in range(50)]
    embedder = running.service.api[EMBEDDER]
    await until(lambda: slow.batches and embedder.admission.admitted == 1000)
    other = embed(running, THREE, 30)
    await until(lambda: embedder.admission.admitted == 1030)
    slow.go.set()

    assert (await other)[0] == 200

    assert slow.batches <= 30  # all of the others would be 47
    assert [status for status, _ in await asyncio.gather(*arrays)] == [200] * 50


async def test_tokens_are_made_in_turn_between_keys(keyed_texts):
    running, _ = await keyed_texts()
    embedder = running.service.api[EMBEDDER]
    asked = {"inputs": ["long " * 500] * 20}
    arrays = [asyncio.create_task(post(running, "/tokenize", asked, **ONE)) for _ in range(60)]
    await until(lambda: embedder.admission.admitted == 1200)

    assert (await post(running, "/tokenize", asked, **THREE))[0] == 200

    assert not any(array.done() for array in arrays)
    for array in arrays:
        array.cancel()


async def test_bodies_and_a_queue_that_one_key_has_filled_let_another_key_in(keyed_texts):
    running, slow = await keyed_texts(RETRIEVAL_MAX_QUEUED_ITEMS="4", RETRIEVAL_MAX_BODIES_BYTES="2000")
    waiting = [asyncio.create_task(post(running, "/embed", {"texts": ["a" * 1900]}, **ONE)), embed(running, ONE, 3)]
    embedder = running.service.api[EMBEDDER]
    await until(lambda: embedder.admission.admitted == 4)

    assert (await embed(running, TWO, 1))[0] == 429
    assert (await post(running, "/embed", {"texts": ["a" * 200]}, **TWO))[0] == 429
    waiting.append(asyncio.create_task(post(running, "/embed", {"texts": ["a" * 1900] * 2}, **THREE)))
    await until(lambda: embedder.admission.admitted == 6)
    slow.go.set()
    assert [status for status, _ in await asyncio.gather(*waiting)] == [200] * 3
