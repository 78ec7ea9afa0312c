"""docling-serve's tasks: handed over, polled, fetched; the same document as at once."""

import base64
import io

import aiohttp
import pytest

ASKED = {"to_formats": "md", "page_range": ["1", "99"]}


@pytest.fixture
async def service(start, tmp_path):
    return await start(OCR_JOBS="embedded", OCR_JOBS_DIR=str(tmp_path / "jobs"), OCR_JOBS_SLICE_PAGES="1")


async def hand_over(service, path, content: bytes, **fields):
    form = aiohttp.FormData()
    for name, values in fields.items():
        for value in values if isinstance(values, list) else [values]:
            form.add_field(name, io.BytesIO(value.encode()))
    form.add_field("files", io.BytesIO(content), filename="a.pdf", content_type="application/pdf")
    async with service.client.post(f"{service.url}{path}", data=form) as response:
        return response.status, await response.json()


async def get(service, path):
    async with service.client.get(f"{service.url}{path}") as response:
        return response.status, await response.json()


async def ended(service, task):
    for _ in range(60):
        status, body = await get(service, f"/v1/status/poll/{task}?wait=10")
        assert status == 200
        if body["task_status"] in ("success", "failure"):
            return body
    raise AssertionError(body)


async def test_a_task_gives_what_a_call_gives(service, data):
    content = (data / "mixed.pdf").read_bytes()
    _, at_once = await hand_over(service, "/v1/convert/file", content, **ASKED)
    status, task = await hand_over(service, "/v1/convert/file/async", content, **ASKED)
    assert (status, task["task_type"], task["task_status"] in ("pending", "started")) == (200, "convert", True)
    assert (await ended(service, task["task_id"]))["task_status"] == "success"
    status, later = await get(service, f"/v1/result/{task['task_id']}")
    assert status == 200
    assert later["document"] == at_once["document"]
    assert later["document"]["md_content"]


async def test_a_document_in_json_is_handed_over_too(service, data):
    text = base64.b64encode((data / "digital.pdf").read_bytes()).decode()
    body = {
        "sources": [{"kind": "file", "base64_string": text, "filename": "b.pdf"}],
        "options": {"to_formats": ["text"]},
    }
    async with service.client.post(f"{service.url}/v1/convert/source/async", json=body) as response:
        task = await response.json()
    await ended(service, task["task_id"])
    _, later = await get(service, f"/v1/result/{task['task_id']}")
    assert (later["document"]["filename"], later["status"]) == ("b.pdf", "success")
    assert later["document"]["text_content"]


async def test_what_cannot_be_opened_is_a_failure_with_its_reason(service):
    _, task = await hand_over(service, "/v1/convert/file/async", b"%PDF-1.4 nothing")
    told = await ended(service, task["task_id"])
    assert told["task_status"] == "failure"
    assert told["error_message"]
    assert (await get(service, f"/v1/result/{task['task_id']}"))[0] == 422


async def test_what_is_refused_at_once_is_refused_here_under_its_name(service, data):
    status, told = await hand_over(
        service, "/v1/convert/file/async", (data / "digital.pdf").read_bytes(), ocr_lang="xxx", force_ocr="true"
    )
    assert status == 422
    assert "ocr_lang" in str(told["detail"])


@pytest.mark.parametrize("path", ["/v1/status/poll/nothing", f"/v1/result/{'0' * 44}"])
async def test_there_is_no_such_task(service, path):
    assert (await get(service, path))[0] == 404


async def test_without_the_queue_it_is_said_what_is_missing(start, data):
    service = await start()
    status, told = await hand_over(service, "/v1/convert/file/async", (data / "digital.pdf").read_bytes())
    assert status == 503
    assert "OCR_JOBS" in str(told)
    assert (await get(service, "/v1/status/poll/1"))[0] == 404
