"""What all dialects have in common: which ones are on, keys, quota, drain; and that bodies cut off leave nothing."""

import base64
import json

import aiohttp
import pytest

from sidecar.api.app_keys import DRAIN
from sidecar.api.dialects.dialect import chosen
from sidecar.api.dialects.registry import DIALECTS
from sidecar.settings import SettingsError
from tests.conftest import until
from tests.integration.sidecar.raw import KEY, connected, head
from tests.integration.sidecar.test_openapi import Described, check

ROUTES = [(route.described.method, route.described.path) for one in DIALECTS for route in one.routes]
WORKING = [(method, path) for method, path in ROUTES if method in {"POST", "PUT"}]
TAKES_JSON = {"/v1/ocr", "/v1/convert/source", "/v1/convert/source/async"}
READING = [
    (route.described.method, route.described.path)
    for one in DIALECTS
    for route in one.routes
    if "413" in route.described.errors
]
"""Those that receive a document."""
NAMES = [one.name for one in DIALECTS]


async def asked(service, method: str, path: str, **options):
    async with service.client.request(method, service.url + path, **options) as response:
        return response.status, await response.json()


@pytest.mark.parametrize("name", NAMES)
async def test_a_dialect_that_is_off_is_not_there(start, name):
    service = await start(OCR_DIALECTS=",".join(one for one in NAMES if one != name) or "none")
    (off,) = (one for one in DIALECTS if one.name == name)
    for route in off.routes:
        status, body = await asked(service, route.described.method, route.described.path, data=b"a")
        assert (status, body["code"]) == (404, "not_found")
    _, description = await asked(service, "GET", "/openapi.json")
    assert not {route.described.path for route in off.routes} & description["paths"].keys()
    assert not {route.described.answer.__name__ for route in off.routes} & description["components"]["schemas"].keys()


@pytest.mark.parametrize(("names", "on"), [("all", NAMES), ("none", []), (f" {NAMES[0]} ,", NAMES[:1])])
def test_names_choose(names, on):
    assert [one.name for one in chosen(names, DIALECTS)] == on


def test_an_unknown_name_is_refused_with_those_there_are():
    with pytest.raises(SettingsError, match=rf"OCR_DIALECTS is 'tika': tika is unknown, .*{NAMES[0]}"):
        chosen("tika", DIALECTS)


@pytest.mark.parametrize(("method", "path"), ROUTES)
async def test_no_route_answers_without_a_key(start, method, path):
    service = await start(OCR_AUTH_MODE="api-key", OCR_SIDECAR_API_KEY=KEY)
    status, body = await asked(service, method, path, data=b"a" if method != "GET" else None)
    assert (status, body["code"]) == (401, "unauthorized")


@pytest.mark.parametrize(("method", "path"), ROUTES)
async def test_a_packed_body_is_refused_on_every_route(service, method, path):
    status, body = await asked(service, method, path, data=b"a", headers={"Content-Encoding": "gzip"})
    assert (status, body["code"]) == (415, "unsupported_media_type")


@pytest.mark.parametrize(("method", "path"), WORKING)
async def test_while_the_service_drains_new_connections_get_no_work(start, method, path):
    service = await start()
    service.service.api[DRAIN].start([])
    status, body = await asked(service, method, path, data=b"a")
    assert (status, body["code"]) == (503, "shutting_down")


def queue(path, folder):
    """What a route needs that hands documents over for later."""
    return {"OCR_JOBS": "embedded", "OCR_JOBS_DIR": str(folder / "jobs")} if path.endswith("/async") else {}


@pytest.mark.parametrize(("method", "path"), READING)
async def test_a_body_that_is_cut_off_leaves_nothing_behind(start, tmp_path, method, path):
    service = await start(**queue(path, tmp_path))
    headers = {"Content-Length": "5000", "Content-Type": "multipart/form-data; boundary=x"}
    async with connected(service.url) as (_, writer):
        begun = (
            b'{"document": ' if path in TAKES_JSON else b'--x\r\nContent-Disposition: form-data; name="file"\r\n\r\n'
        )
        writer.write(head(method, path, headers) + begun)
        await writer.drain()
        await until(lambda: service.spooled)
    await until(lambda: not service.spooled)


@pytest.mark.parametrize(("method", "path"), READING)
async def test_a_key_has_no_more_documents_at_a_time_than_by_upload(start, tmp_path, method, path):
    keys = {"OCR_AUTH_MODE": "api-key", "OCR_SIDECAR_API_KEY": KEY, "OCR_KEY_MAX_DOCUMENTS": "1"}
    service = await start(**keys, **queue(path, tmp_path))
    headers = {"X-API-Key": KEY, "Content-Length": "5000", "Content-Type": "multipart/form-data; boundary=x"}
    async with connected(service.url) as (_, writer):
        writer.write(head(method, path, headers))
        await until(lambda: service.spooled)
        status, body = await asked(service, "POST", "/ocr-upload", data=b"a", headers={"X-API-Key": KEY})
        assert (status, body["code"]) == (429, "quota_exhausted")


async def test_a_document_over_the_limit_is_refused_by_its_length_and_as_it_arrives(start):
    service = await start(OCR_MAX_DOCUMENT_BYTES=str(1024 * 1024))
    too_long = bytes(1024 * 1024 + 1)

    async def chunks():
        yield too_long

    for body in (too_long, chunks()):
        status, answer = await asked(service, "PUT", "/process", data=body)
        assert (status, answer["code"]) == (413, "too_large")
    assert not service.spooled


async def test_warnings_are_in_a_header(start, data):
    service = await start(OCR_MAX_PAGES="1")
    async with service.client.put(f"{service.url}/process", data=(data / "digital.pdf").read_bytes()) as response:
        (page,) = await response.json()
    assert (response.headers["X-Ocr-Warnings"], page["metadata"]["warnings"]) == ("pages-limited", "pages-limited")
    assert "X-Ignored-Fields" not in response.headers


async def test_every_answer_and_error_is_as_described(service, data):
    content = (data / "digital.pdf").read_bytes()
    described = Described(service, (await asked(service, "GET", "/openapi.json"))[1])
    encoded = base64.b64encode(content).decode()
    form, files = aiohttp.FormData(), aiohttp.FormData()
    form.add_field("file", content, filename="a.pdf")
    files.add_field("files", content, filename="a.pdf")
    files.add_field("to_formats", "json")
    ocr = {"document": {"document_url": f"data:;base64,{encoded}"}}
    source = {"sources": [{"base64_string": encoded}]}
    _, _, kept = await described.ask("post", "/v1/files", form)
    file_id = json.loads(kept)["id"]

    for method, path, body in (
        ("put", "/process", content),
        ("post", "/v1/ocr", json.dumps(ocr).encode()),
        ("post", "/v1/convert/file", files),
        ("post", "/v1/convert/source", json.dumps(source).encode()),
    ):
        assert (await described.ask(method, path, body))[0] == 200
        assert (await described.ask(method, path, b"a"))[0] in {400, 415}
    for method, path in (("get", "/v1/files/{id}/url"), ("delete", "/v1/files/{id}")):
        for status in (200, 404):
            url = service.url + path.format(id=file_id if status == 200 else "nothing")
            async with service.client.request(method, url) as response:
                answer = response.status, response.content_type, await response.read()
            assert answer[0] == status
            check(described.document, method, path, answer)
    assert (await described.ask("post", "/v1/ocr", b'{"document": {}}'))[0] == 422
