"""What several keys share: a quota of documents for each, turns between them, and no caller that keeps another out."""

import asyncio

import aiohttp
import pytest

from tests.conftest import until
from tests.integration.sidecar.model import PAGE, Governed, pages

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
