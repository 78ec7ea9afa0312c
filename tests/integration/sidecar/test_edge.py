"""The edge: ids, errors, authentication, health, metrics, the description."""

import asyncio
import re

import aiohttp
import pytest

from sidecar.api.app_keys import SPOOL
from sidecar.api.dialects.registry import DIALECTS
from sidecar.runtime.workers import sandbox
from sidecar.service.app import API_ROUTES
from sidecar.service.engines import ENGINES
from tests.conftest import until

ERROR_KEYS = {"detail", "code", "requestId"}


def _form(path) -> aiohttp.FormData:
    form = aiohttp.FormData()
    form.add_field("file", path.read_bytes(), filename="upload.pdf")
    return form


async def get(running, url: str, **headers: str):
    async with running.client.get(url, headers=headers) as response:
        return response, await response.text()


# ── request ids ───────────────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("presented", ["a", "trace-42/ü"[:8], "x" * 128, "~!"])
async def test_a_callers_request_id_is_echoed(service, presented):
    response, _ = await get(service, f"{service.url}/health", **{"X-Request-Id": presented})

    assert response.headers["X-Request-Id"] == presented


@pytest.mark.parametrize("presented", ["", "x" * 129, "two words", "ไทย"])
async def test_an_id_that_is_none_is_replaced(service, presented):
    response, _ = await get(service, f"{service.url}/health", **{"X-Request-Id": presented})

    assert re.fullmatch("[0-9a-f]{32}", response.headers["X-Request-Id"])


async def test_the_id_is_in_the_answer_and_in_its_header(service, data):
    status, body = await service.upload(data / "digital.pdf", {"X-Request-Id": "mine"})

    assert (status, body["requestId"]) == (200, "mine")


# ── the one error shape ───────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    ("method", "path", "status", "code"),
    [
        ("POST", "/normalize", 404, "not_found"),
        ("GET", "/", 404, "not_found"),
        ("GET", "/livez", 404, "not_found"),
        ("GET", "/metrics", 404, "not_found"),
        ("GET", "/ocr-upload", 405, "method_not_allowed"),
        ("DELETE", "/health", 405, "method_not_allowed"),
        ("POST", "/ocr-upload", 415, "unsupported_media_type"),
        ("POST", "/ocr", 400, "malformed_body"),
        ("POST", "/ocr?keepAlive=5", 400, "keep_alive_refused"),
    ],
)
async def test_every_error_has_the_one_shape(service, method, path, status, code):
    async with service.client.request(method, service.url + path) as response:
        body = await response.json()

        assert (response.status, body["code"]) == (status, code)
        assert body.keys() == ERROR_KEYS
        assert body["requestId"] == response.headers["X-Request-Id"]
        assert response.content_type == "application/json"


async def test_a_bug_is_opaque_and_leaves_the_service_standing(service, data):
    spool = service.service.api[SPOOL]
    folder, spool.folder = spool.folder, None  # what nobody thought of
    try:
        status, body = await service.upload(data / "digital.pdf")
    finally:
        spool.folder = folder

    assert status == 500
    assert body == {"detail": "internal error", "code": "internal_error", "requestId": body["requestId"]}
    assert (await service.upload(data / "digital.pdf"))[0] == 200


# ── authentication ────────────────────────────────────────────────────────────────────────────────────────────────


@pytest.fixture
async def guarded(start, tmp_path):
    """A service whose keys come from a file: the new one first, the old one still accepted."""
    (tmp_path / "keys").write_text("new-key\nold-key\n")
    return await start(OCR_AUTH_MODE="api-key", OCR_SIDECAR_API_KEY_FILE=str(tmp_path / "keys"))


@pytest.mark.parametrize("key", ["new-key", "old-key"])
async def test_every_key_of_the_ring_opens(guarded, data, key):
    assert (await guarded.upload(data / "digital.pdf", {"X-API-Key": key}))[0] == 200


@pytest.mark.parametrize("value", ["Bearer new-key", "bearer  old-key"])
async def test_a_key_may_come_as_a_bearer_s(guarded, data, value):
    assert (await guarded.upload(data / "digital.pdf", {"Authorization": value}))[0] == 200


@pytest.mark.parametrize(
    "headers",
    [
        {},
        {"X-API-Key": ""},
        {"X-API-Key": "wrong"},
        {"X-API-Key": "new-key\told-key"},
        {"Authorization": "new-key"},
        {"Authorization": "Bearer"},
        {"Authorization": "Bearer wrong"},
        {"Authorization": "Basic new-key"},
        {"Authorization": "Bearer new-key", "X-API-Key": "wrong"},
    ],
)
async def test_missing_and_wrong_keys_are_refused_alike(guarded, data, headers):
    status, body = await guarded.upload(data / "digital.pdf", headers)

    assert (status, body["code"]) == (401, "unauthorized")
    assert body["detail"] == "a valid API key is needed in the header X-API-Key"


@pytest.mark.parametrize("path", ["/ocr", "/ocr-upload", "/nothing"])
async def test_no_path_but_the_open_ones_tells_anything_without_a_key(guarded, path):
    async with guarded.client.post(guarded.url + path) as response:
        assert response.status == 401


@pytest.mark.parametrize("path", ["/health", "/openapi.json"])
async def test_open_paths_need_no_key(guarded, path):
    response, _ = await get(guarded, guarded.url + path)

    assert response.status == 200


async def test_a_key_rotates_without_a_restart(guarded, data, tmp_path):
    (tmp_path / "next").write_text("newest-key\nnew-key\n")
    (tmp_path / "next").rename(tmp_path / "keys")

    async def status_of(key: str) -> int:
        return (await guarded.upload(data / "digital.pdf", {"X-API-Key": key}))[0]

    async with asyncio.timeout(5):
        while await status_of("newest-key") != 200:
            await asyncio.sleep(0.05)
    assert [await status_of(key) for key in ("new-key", "old-key")] == [200, 401]


async def test_the_names_of_keys_show_in_metrics_and_stay_while_keys_rotate(start, tmp_path):
    keys = tmp_path / "keys"
    keys.write_text("archive: one\nsearch: two\nthree\nfour\n")
    guarded = await start(OCR_AUTH_MODE="api-key", OCR_SIDECAR_API_KEY_FILE=str(keys))

    async def ask(key: str) -> int:
        response, _ = await get(guarded, f"{guarded.url}/nothing", **{"X-API-Key": key})
        return response.status

    assert [await ask(key) for key in ("one", "three", "four", "wrong", "archive: one")] == [404, 404, 404, 401, 401]
    (tmp_path / "next").write_text("archive: five\narchive: one\n")
    (tmp_path / "next").rename(keys)
    async with asyncio.timeout(5):
        while await ask("five") != 404:
            await asyncio.sleep(0.05)
    await ask("one")
    _, text = await get(guarded, f"{guarded.ops}/metrics")

    counted = re.findall(r'^ocr_key_requests_total\{key="(.*)",status="(.*)"\} (.*)$', text, re.MULTILINE)
    assert sorted(counted) == [("archive", "404", "3.0"), ("unnamed", "404", "2.0")]


async def test_network_mode_asks_nobody(service, data):
    assert (await service.upload(data / "digital.pdf"))[0] == 200


# ── health ────────────────────────────────────────────────────────────────────────────────────────────────────────


async def test_health_keeps_its_contract(start):
    service = await start(OLLAMA_API_URL="http://user:secret@ollama.example:11434/path?x=1")
    async with service.client.get(f"{service.url}/health") as response:
        body = await response.json()

    assert response.status == 200
    assert {key: body[key] for key in ("status", "engine", "ocrModel", "ollamaUrl")} == {
        "status": "ok",
        "engine": "np-dms-ocr",
        "ocrModel": "np-dms-ocr:latest",
        "ollamaUrl": "http://ollama.example:11434",
    }


async def test_without_language_data_health_says_why_and_text_layers_are_still_read(start, tmp_path, data):
    (tmp_path / "nothing").mkdir()
    service = await start(TESSDATA_PREFIX=str(tmp_path / "nothing"))
    async with service.client.get(f"{service.url}/health") as response:
        assert (response.status, (await response.json())["reasons"]) == (503, ["tesseract-data-missing"])
    async with service.client.get(f"{service.ops}/readyz") as response:
        assert (response.status, (await response.json())["ocr"]["state"]) == (503, "unavailable")
    async with service.client.get(f"{service.ops}/livez") as response:
        assert response.status == 200

    assert (await service.upload(data / "digital.pdf"))[0] == 200
    async with service.client.post(f"{service.url}/ocr-upload", data=_form(data / "photo.png")) as response:
        assert (response.status, (await response.json())["code"]) == (503, "engine_unavailable")
        assert int(response.headers["Retry-After"]) > 0


async def test_a_default_language_that_is_missing_is_named(start):
    service = await start(OCR_LANGUAGES="eng+xyz")
    async with service.client.get(f"{service.ops}/readyz") as response:
        assert (response.status, (await response.json())["ocr"]["reason"]) == (503, "language-missing: xyz")


async def test_readiness_tells_each_capability(service):
    async with service.client.get(f"{service.ops}/readyz") as response:
        assert (response.status, await response.json()) == (
            200,
            {
                "ocr": {"state": "ready", "reason": None},
                "embed": {"state": "unavailable", "reason": "not-configured"},
                "rerank": {"state": "unavailable", "reason": "not-configured"},
                "engines": {
                    one.traits.name: {"state": "unavailable", "reason": f"engine-missing: {one.traits.name}"}
                    for one in ENGINES
                }
                | {
                    "tesseract": {"state": "ready", "reason": None},
                    "rapidocr": {"state": "ready", "reason": "language-missing: tha"},
                },
                "sandbox": list(sandbox.available()),
                "state": {"state": "off", "reason": None},
                "audit": {"state": "off", "reason": None, "lostLines": 0},
                "jobs": {"state": "off", "reason": None},
                "lease": {"phase": "off", "reason": None, "owed": [], "forgiven": [], "awaySeconds": None},
                "profiles": {"loaded": 0, "refused": {}},
            },
        )


async def test_readiness_tells_what_confines_the_workers_once_one_has_told(service, data):
    await service.upload(data / "photo.png")
    async with service.client.get(f"{service.ops}/readyz") as response:
        assert (await response.json())["sandbox"] == list(sandbox.available())


async def test_the_ops_port_serves_probes_and_nothing_else(service):
    for path, status in (("/livez", 200), ("/readyz", 200), ("/metrics", 200), ("/health", 404), ("/ocr", 404)):
        response, _ = await get(service, service.ops + path)
        assert response.status == status, path


# ── metrics and description ───────────────────────────────────────────────────────────────────────────────────────


async def test_metrics_count_requests_pages_and_errors(service, data):
    await service.upload(data / "digital.pdf")
    await service.upload(b"nothing")
    _, text = await get(service, f"{service.ops}/metrics")

    assert 'ocr_http_requests_total{method="POST",route="/ocr-upload",status="200"} 1.0' in text
    assert 'ocr_pages_total{engine="fast-path",verdict="good"} 4.0' in text
    assert 'ocr_documents_total{engine="fast-path"} 1.0' in text
    assert 'ocr_errors_total{code="unsupported_media_type"} 1.0' in text
    assert "ocr_documents_running 0.0" in text


async def test_the_description_tells_the_ranges(service):
    async with service.client.get(f"{service.url}/openapi.json") as response:
        schemas = (await response.json())["components"]["schemas"]

    (number, _) = schemas["RuntimeParams"]["properties"]["temperature"]["anyOf"]
    assert (number["minimum"], number["maximum"]) == (0, 2)


async def test_no_answer_tells_versions(service):
    for url in (f"{service.url}/health", f"{service.url}/nothing", f"{service.ops}/livez"):
        response, _ = await get(service, url)
        assert response.headers["Server"] == "ocr-sidecar"


async def test_callers_cannot_invent_metrics(service):
    for path in ("/one", "/two", "/three"):
        await get(service, service.url + path)
    _, text = await get(service, f"{service.ops}/metrics")

    assert 'ocr_http_requests_total{method="GET",route="unknown",status="404"} 3.0' in text
    assert "/two" not in text


async def test_the_description_names_every_route_and_every_field_of_an_answer(service, data):
    async with service.client.get(f"{service.url}/openapi.json") as response:
        description = await response.json()
    _, answer = await service.upload(data / "digital.pdf", include="receipt")

    assert description["openapi"].startswith("3.1")
    spoken = {route.described.path for one in DIALECTS for route in one.routes}
    assert description["paths"].keys() == {route.path for route in API_ROUTES} | spoken
    schemas = description["components"]["schemas"]
    assert schemas["DocumentBody"]["properties"].keys() == answer.keys()
    assert schemas["PageBody"]["properties"].keys() == answer["pages"][0].keys()
    references = set(re.findall(r"#/components/schemas/(\w+)", str(description)))
    assert references <= schemas.keys()


async def test_a_connection_that_never_finishes_its_head_does_not_hold_others_up(service, data):
    slow = [await asyncio.open_connection(*service.url.removeprefix("http://").split(":")) for _ in range(200)]
    try:
        for _, writer in slow:
            writer.write(b"POST /ocr-upload HTTP/1.1\r\nHo")
        assert (await service.upload(data / "digital.pdf"))[0] == 200
    finally:
        for _, writer in slow:
            writer.close()
    await until(lambda: not service.spooled)
