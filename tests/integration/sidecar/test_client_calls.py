"""The public client with services that are set up for one test each: keys, limits, models."""

import asyncio

import pytest

from sidecar.client import (
    AsyncClient,
    BusyError,
    Client,
    NotConfiguredError,
    Opened,
    Page,
    ServiceError,
    Summary,
    UnauthorizedError,
)
from tests.conftest import until
from tests.integration.sidecar.documents import as_tiff, picture_of_text
from tests.integration.sidecar.model import PAGE
from tools.fakes.openai import FakeOpenAI, Kind

NUMBER = "LCBP3-RFA-2025-9613-0"
"""Stands on the first page of digital.pdf."""


async def test_a_document_that_is_too_large_is_refused_though_it_was_not_sent_to_its_end(start, data):
    service = await start(OCR_MAX_DOCUMENT_BYTES=str(1024 * 1024))
    async with AsyncClient(service.url) as client:
        with pytest.raises(ServiceError) as raised:
            await client.read(b"%PDF-" + bytes(20 * 1024 * 1024))
        assert (raised.value.status, raised.value.code) == (413, "too_large")
        assert (await client.read(data / "digital.pdf")).page_count == 4


async def test_a_busy_service_is_asked_again(start, data):
    """One document may be in work; the second waits for the first by Retry-After."""
    service = await start(OCR_MAX_DOCUMENTS="1")
    report = as_tiff([picture_of_text(34)] * 4)
    async with AsyncClient(service.url) as client, AsyncClient(service.url, patience_s=0) as impatient:
        first = asyncio.create_task(client.read(report))
        await until(lambda: service.engine("tesseract").read_slots.busy)
        with pytest.raises(BusyError) as raised:
            await impatient.read(data / "digital.pdf")
        assert (raised.value.code, raised.value.retry_after_s) == ("queue_full", 1)
        assert (await client.read(data / "digital.pdf")).page_count == 4
        assert first.done()
        await first


async def test_a_key_is_sent_and_a_wrong_one_is_told(start, data):
    service = await start(OCR_AUTH_MODE="api-key", OCR_SIDECAR_API_KEY="the-key")
    async with AsyncClient(service.url, "the-key\n") as client:
        assert (await client.read(data / "digital.pdf")).page_count == 4
    for key in ("another", None):
        async with AsyncClient(service.url, key) as client:
            assert (await client.health()).status == "ok"
            with pytest.raises(UnauthorizedError) as raised:
                await client.read(data / "digital.pdf")
            assert (raised.value.status, raised.value.code) == (401, "unauthorized")
            assert "another" not in str(raised.value)


@pytest.mark.parametrize("url", ["", "host:8765", "me:secret@host", "ftp://host", "http://", "http://host:99999"])
@pytest.mark.parametrize("kind", [AsyncClient, Client])
def test_what_is_no_url_is_told_where_the_client_is_made_and_not_repeated(kind, url):
    with pytest.raises(ValueError, match=r"begins with http:// or https://") as raised:
        kind(url)
    assert "secret" not in str(raised.value)


def test_a_key_that_cannot_stand_in_a_header_is_not_repeated():
    with pytest.raises(ValueError, match="printable") as raised:
        AsyncClient("http://127.0.0.1:1", "a\r\nX-Other: 1")
    assert "X-Other" not in str(raised.value)


async def test_being_unwell_is_an_answer(start):
    service = await start(OLLAMA_API_URL="http://127.0.0.1:9", OCR_FALLBACK_ENGINE="none", OCR_ENGINE="np-dms-ocr")
    async with AsyncClient(service.url) as client:
        health = await client.health()
    assert (health.status, bool(health.reasons)) == ("unavailable", True)


async def test_what_a_server_with_the_openai_api_read_is_an_answer(start):
    """Nobody decides there how long the model stays loaded: keepAliveSeconds is null."""
    async with FakeOpenAI(Kind.LLAMA_CPP) as fake:
        service = await start(
            OCR_MODEL_API="openai", OCR_MODEL_URL=fake.url, OCR_ENGINE="np-dms-ocr", OCR_FALLBACK_ENGINE="none"
        )
        async with AsyncClient(service.url) as client:
            document = await client.read(PAGE)
            *_, page, summary = [event async for event in client.stream(PAGE)]
    assert (document.engine_used, document.residency.keep_alive_seconds) == ("np-dms-ocr", None)
    assert (page.attempts[0].residency, summary.residency) == (document.residency, document.residency)


async def test_what_is_not_configured_is_told_at_once(start, data):
    service = await start(OCR_FALLBACK_ENGINE="none")
    async with AsyncClient(service.url) as client:
        calls = (client.embed(["a"]), client.rerank("q", ["a"]), client.read(data / "photo.png", engine="np-dms-ocr"))
        for call in calls:
            with pytest.raises(NotConfiguredError) as raised:
                await call
            assert (raised.value.status, raised.value.code) == (503, "not_configured")


async def test_an_argument_is_named_as_the_caller_wrote_it(retrieving):
    async with AsyncClient(retrieving.url) as client:
        for asked, said in (
            (client.rerank("q", [""]), "texts.0 is empty"),
            (client.rerank("q", ["a"], top_n=-1), "top_n is -1"),
            (client.rerank("", ["a"]), "query is empty"),
        ):
            with pytest.raises(ServiceError) as raised:
                await asked
            assert raised.value.detail.startswith(said)


async def test_texts_are_embedded_and_ranked(retrieving):
    async with AsyncClient(retrieving.url) as client:
        found = await client.embed(["a first text", "ข้อความ"])
        assert [len(one.dense) for one in found.embeddings] == [32, 32]
        assert len(found.embeddings[0].sparse.indices) == len(found.embeddings[0].sparse.values) > 0
        assert found.device == "cpu"
        ranking = await client.rerank("first", ["one", "two", "three"], top_n=2)
        assert len(ranking.scores) == 3
        best = sorted(range(3), key=lambda place: -ranking.scores[place])
        assert ranking.ranked_indices == best[:2]
        assert len(await client.models()) == 2
        with pytest.raises(ServiceError) as raised:
            await client.embed([])
        assert raised.value.code == "invalid_value"
        with pytest.raises(ServiceError) as raised:
            await client.embed(["half a pair: \ud800"])
        assert raised.value.status in {400, 422}


async def test_the_blocking_client_does_the_same(retrieving, data):
    """It is called beside a running loop, as in Jupyter, and shared by threads."""

    def use() -> None:
        with Client(retrieving.url) as client:
            assert client.health().status == "ok"
            assert len(client.models()) == 2
            assert NUMBER in client.read(data / "digital.pdf", pages="1").text
            kinds = [type(event) for event in client.stream(data / "digital.pdf")]
            assert kinds == [Opened, *[Page] * 4, Summary]
            assert len(client.embed(["a"]).embeddings) == 1
            assert client.rerank("q", ["a"]).ranked_indices == [0]
            with pytest.raises(ServiceError, match="document_encrypted"):
                client.read(data / "encrypted.pdf")
            with pytest.raises(TypeError, match="'page'"):
                client.stream(data / "digital.pdf", page=1)
        client.close()
        with pytest.raises(RuntimeError, match="the client is closed"):
            client.read(data / "digital.pdf")

    await asyncio.gather(*(asyncio.to_thread(use) for _ in range(2)))
