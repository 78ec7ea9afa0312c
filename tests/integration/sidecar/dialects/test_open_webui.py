"""Open WebUI's external document loader, whose requests are re-enacted here, down to the headers."""

import json
from urllib.parse import quote

import pytest

from tests.conftest import Running
from tests.integration.sidecar.documents import PdfMaker

pytestmark = pytest.mark.asyncio(loop_scope="module")


@pytest.fixture
def service(shared_service):
    return shared_service


async def put(service: Running, body: bytes, name: str = "a.pdf", mime: str = "application/pdf", **headers: str):
    """Send what `ExternalDocumentLoader.load` sends; give status, headers and parsed answer."""
    sent = {"Content-Type": mime, "Authorization": "Bearer any", "X-Filename": quote(name)} | headers
    async with service.client.put(f"{service.url}/process", data=body, headers=sent) as response:
        return response.status, response.headers, await response.json()


async def test_each_page_is_a_piece_with_its_number(service, data):
    status, _, pieces = await put(service, (data / "digital.pdf").read_bytes())
    _, body = await service.upload(data / "digital.pdf")

    assert status == 200
    assert [one["page_content"] for one in pieces] == [page["text"] for page in body["pages"]]
    assert [one["metadata"]["page"] for one in pieces] == [0, 1, 2, 3]
    assert [one["metadata"]["page_label"] for one in pieces] == ["1", "2", "3", "4"]
    assert {one["metadata"]["total_pages"] for one in pieces} == {4}
    assert {type(value) for one in pieces for value in one["metadata"].values()} == {str, int}


async def test_the_name_of_the_file_is_told_as_it_was_before_it_was_encoded(service, data):
    _, _, pieces = await put(service, (data / "digital.pdf").read_bytes(), "สัญญา 1/2.pdf")
    assert {one["metadata"]["source"] for one in pieces} == {"สัญญา 1/2.pdf"}
    _, _, pieces = await put(service, (data / "digital.pdf").read_bytes(), "a\nb\x00.pdf")
    assert {one["metadata"]["source"] for one in pieces} == {"a?b?.pdf"}


async def test_the_content_decides_what_a_document_is(service, data):
    status, _, pieces = await put(service, (data / "photo.png").read_bytes(), "a.pdf", "text/plain")
    assert (status, [one["metadata"]["engine"] for one in pieces]) == (200, ["tesseract"])


async def test_a_document_without_text_is_left_to_open_webui(service):
    status, _, body = await put(service, PdfMaker().empty_page().empty_page().finish())
    assert (status, body["code"]) == (422, "no_text")
    assert "No extractable text" in body["detail"]  # what its loader looks for


async def test_options_that_it_does_not_have_are_ignored_visibly(service, data):
    sent = (data / "digital.pdf").read_bytes()
    async with service.client.put(f"{service.url}/process?extract=1&ä=2", data=sent) as response:
        assert response.status == 200
        assert response.headers["X-Ignored-Fields"] == "extract, ?"
        assert response.headers["X-Ocr-Warnings"] == "unknown-field"


@pytest.mark.parametrize(
    ("body", "headers", "status", "code"),
    [
        (b"", {}, 422, "document_empty"),
        (b"words", {}, 415, "unsupported_media_type"),
        (b"%PDF-1.7 and no more", {}, 422, "document_unreadable"),
        (b"%PDF-1.7", {"Content-Encoding": "gzip"}, 415, "unsupported_media_type"),
    ],
)
async def test_what_is_no_document_is_refused_as_anywhere(service, body, headers, status, code):
    for _ in range(2):  # all empty bodies are one object to aiohttp, which the first of them changed
        answered, _, answer = await put(service, body, **headers)
        assert (answered, answer["code"]) == (status, code)
    assert not service.spooled


async def test_keep_alive_is_refused_here_too(service):
    async with service.client.put(f"{service.url}/process?keepAlive=5", data=b"a") as response:
        assert (response.status, json.loads(await response.read())["code"]) == (400, "keep_alive_refused")
