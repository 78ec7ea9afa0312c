"""Mistral's OCR: data URIs that are decoded while they arrive, and files that wait a little while to be read."""

import asyncio
import base64
import json

import aiohttp
import pytest

from sidecar.api.app_keys import SPOOL
from sidecar.api.dialects.mistral import SHELF
from sidecar.api.dialects.shelf import MAX_FILES_EACH
from tests.conftest import Running, until
from tests.integration.sidecar.dialects.test_docling import asked
from tests.integration.sidecar.documents import PdfMaker, as_png, picture_of_text
from tests.integration.sidecar.raw import KEY, connected, head

MIB = 1024 * 1024
OTHER_KEY = "o" * 40


def uri(content: bytes, mime: str = "application/pdf") -> str:
    return f"data:{mime};base64,{base64.b64encode(content).decode()}"


async def send(service: Running, method: str, path: str, data=None, key: str = "any"):
    """Send a request as Mistral's client does; give status, headers and parsed answer."""
    headers = {"Authorization": f"Bearer {key}", "Accept": "application/json"}
    async with service.client.request(method, service.url + path, data=data, headers=headers) as response:
        return response.status, response.headers, await response.json()


async def ocr(service: Running, document: object, key: str = "any", **options: object):
    body = json.dumps({"model": "mistral-ocr-latest", "document": document} | options).encode()
    return await send(service, "POST", "/v1/ocr", body, key)


async def keep(service: Running, content: bytes, key: str = "any", **fields: str):
    form = aiohttp.FormData(quote_fields=False)  # as httpx and requests send names
    for name, value in fields.items():
        form.add_field(name, value)
    form.add_field("file", content, filename="ก 100%.pdf", content_type="application/pdf")
    return await send(service, "POST", "/v1/files", form, key)


@pytest.fixture
def pdf(data) -> bytes:
    return (data / "digital.pdf").read_bytes()


# ── a document in the body ────────────────────────────────────────────────────────────────────────────────────────


async def test_pages_hold_what_an_upload_gives(service, pdf):
    status, headers, body = await ocr(service, {"type": "document_url", "document_url": uri(pdf)})
    markdown = await asked(service, pdf, "markdown")

    assert (status, body["model"], body["document_annotation"]) == (200, "fast-path", None)
    assert "\n\n".join(page["markdown"] for page in body["pages"]) == markdown
    assert [(page["index"], page["images"], page["dimensions"]) for page in body["pages"]] == [
        (index, [], None) for index in range(4)
    ]
    assert body["usage_info"] == {"pages_processed": 4, "doc_size_bytes": len(pdf)}
    assert not {"X-Ignored-Fields", "X-Ocr-Warnings"} & headers.keys()


async def test_an_image_is_read_by_an_engine_which_is_named(start):
    service = await start(OCR_LANGUAGES="eng")
    png = uri(as_png(picture_of_text(1)), "image/png")
    for given in (png, {"url": png}):
        status, _, body = await ocr(service, {"type": "image_url", "image_url": given}, pages="0")
        assert (status, body["model"][:10], len(body["pages"])) == (200, "tesseract-", 1)
        assert "submits the shop drawing" in body["pages"][0]["markdown"]


async def test_pages_are_counted_from_0(service, pdf):
    _, _, body = await ocr(service, {"document_url": uri(pdf)}, pages=[3, 1])
    assert [page["index"] for page in body["pages"]] == [1, 3]
    status, _, body = await ocr(service, {"document_url": uri(pdf)}, pages=[4])
    assert (status, body["error"]["message"]) == (422, "pages asks for page 5, the document has 4")


async def test_options_that_mean_nothing_are_ignored_visibly(service, pdf):
    options = {"include_image_base64": True, "table_format": "html", "include_blocks": True, "image_limit": None}
    status, headers, _ = await ocr(service, {"document_url": uri(pdf)}, **options)
    assert (status, headers["X-Ignored-Fields"]) == (200, "include_image_base64, table_format, include_blocks")
    assert headers["X-Ocr-Warnings"] == "unknown-field"


async def test_a_url_is_not_fetched_and_the_answer_says_so_where_the_client_looks(service):
    asked_for = []

    async def listen(reader, writer):
        asked_for.append(await reader.readline())
        writer.close()

    server = await asyncio.start_server(listen, "127.0.0.1", 0)
    async with server:
        url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/a.pdf"
        status, _, body = await ocr(service, {"type": "document_url", "document_url": url})
    ((problem,), error) = body["detail"], body["error"]
    assert (status, problem["type"], problem["loc"], asked_for) == (422, "invalid_value", ["body"], [])
    assert problem["msg"] == error["message"]
    assert problem["msg"].startswith(
        "document.document_url is a URL, and nothing is fetched here: send the document as"
    )


@pytest.mark.parametrize(
    ("content", "mime", "status", "code"),
    [
        (b"<html>", "text/html", 415, "unsupported_media_type"),
        (b"", "application/pdf", 422, "document_empty"),
        (b"%PDF-1.7 and no more", "application/pdf", 422, "document_unreadable"),
    ],
)
async def test_what_is_no_document_is_refused_as_anywhere(service, content, mime, status, code):
    answered, _, body = await ocr(service, {"document_url": uri(content, mime)})
    assert (answered, body["code"]) == (status, code)
    assert not service.spooled


async def test_the_content_decides_what_a_document_is(service, pdf):
    status, _, body = await ocr(service, {"image_url": uri(pdf, "image/png")})
    assert (status, len(body["pages"])) == (200, 4)


@pytest.mark.parametrize(
    ("body", "status", "code"),
    [
        (b"", 400, "malformed_body"),
        (b"[]", 400, "malformed_body"),
        (b"\x89PNG" * 50_000, 400, "malformed_body"),
        (b'--x\r\nContent-Disposition: form-data; name="file"\r\n\r\n' + b"a" * 100_000, 400, "malformed_body"),
        (b'{"document": {"document_url": "data:application/pdf;base64,JVBERi0', 400, "malformed_body"),
        (b'{"document": {"document_url": "data:application/pdf;base64,JVBERi0"}}', 422, "invalid_value"),
        (b'{"document": {"document_url": "data:application/pdf;base64,JVB*Ri0="}}', 422, "invalid_value"),
        (b'{"document": {"document_url": "data:application/pdf,words"}}', 422, "invalid_value"),
        (b'{"document": {"document_url": "data:;base64,AAAA", "x": "data:;base64,AAAA"}}', 422, "invalid_value"),
        (b'{"document": {"document_url": "data:;base64,AAAA"}, "keep_alive": 5}', 400, "keep_alive_refused"),
        (
            b'{"document": {"file_id": "a"}, "pages": [0%s]}' % b"".join(b",%d" % n for n in range(2, 4000, 2)),
            422,
            "invalid_value",
        ),
        (b'{"x": "' + b"x" * 70_000, 413, "field_too_large"),
        (b'{"document": {"file_id": "nothing"}}', 404, "file_not_found"),
    ],
)
async def test_a_bad_body_is_refused_with_its_reason(service, body, status, code):
    answered, _, answer = await send(service, "POST", "/v1/ocr", body)
    assert (answered, answer["code"], answer["error"]["code"]) == (status, code, code)
    assert not service.spooled


async def test_a_document_over_the_limit_is_refused_by_its_length_and_as_it_is_decoded(start):
    service = await start(OCR_MAX_DOCUMENT_BYTES=str(MIB))
    body = json.dumps({"document": {"document_url": uri(bytes(MIB + 3))}}).encode()

    async def chunks():
        yield body

    for sent in (body, chunks()):
        status, _, answer = await send(service, "POST", "/v1/ocr", sent)
        assert (status, answer["code"]) == (413, "too_large")
    _, _, answer = await send(service, "POST", "/v1/ocr", json.dumps({"document": {"document_url": uri(bytes(MIB))}}))
    assert answer["code"] == "unsupported_media_type", "this one is not too large"
    status, _, answer = await send(service, "POST", "/v1/ocr", bytes(2 * MIB))
    assert (status, answer["detail"]) == (413, f"the body has {2 * MIB} bytes, the limit is {MIB}")


async def test_a_document_is_in_the_spool_before_its_body_is_complete(service):
    body = b'{"document": {"document_url": "data:application/pdf;base64,' + b"AAAA" * MIB
    headers = {"Content-Length": str(len(body) + 10)}
    async with connected(service.url) as (_, writer):
        writer.write(head("POST", "/v1/ocr", headers) + body)
        await until(lambda: sum(path.stat().st_size for path in service.spooled) > 2 * MIB)
    await until(lambda: not service.spooled)  # it was cut off half-way


async def test_a_packed_body_is_refused(service):
    async with service.client.post(
        f"{service.url}/v1/ocr", data=b"a", headers={"Content-Encoding": "gzip"}
    ) as response:
        assert (response.status, (await response.json())["code"]) == (415, "unsupported_media_type")


# ── files ─────────────────────────────────────────────────────────────────────────────────────────────────────────


async def test_a_file_is_kept_named_read_and_removed(service, pdf):
    status, _, kept = await keep(service, pdf, purpose="ocr")
    assert (status, kept["object"], kept["bytes"], kept["purpose"]) == (200, "file", len(pdf), "ocr")
    assert (kept["filename"], kept["expires_at"] - kept["created_at"]) == ("ก 100%.pdf", 600)
    status, headers, given = await send(service, "GET", f"/v1/files/{kept['id']}/url?expiry=24")
    assert (status, given["url"], headers["X-Ignored-Fields"]) == (200, f"ocr-sidecar://files/{kept['id']}", "expiry")

    for document in ({"document_url": given["url"]}, {"file_id": kept["id"]}, {"image_url": given["url"]}):
        status, _, body = await ocr(service, document)
        assert (status, len(body["pages"]), body["usage_info"]["doc_size_bytes"]) == (200, 4, len(pdf))

    assert (await send(service, "DELETE", f"/v1/files/{kept['id']}"))[2] == {
        "id": kept["id"],
        "object": "file",
        "deleted": True,
    }
    for method, path in (("GET", f"/v1/files/{kept['id']}/url"), ("DELETE", f"/v1/files/{kept['id']}")):
        status, _, body = await send(service, method, path)
        assert (status, body["code"]) == (404, "file_not_found")
    assert not service.spooled


async def test_a_file_may_be_read_twice_at_once_and_removed_meanwhile(start):
    service = await start(OCR_LANGUAGES="eng")
    _, _, kept = await keep(service, as_png(picture_of_text(6)))
    reading = [asyncio.create_task(ocr(service, {"file_id": kept["id"]})) for _ in range(2)]
    await until(lambda: len(service.spooled) == 3)
    await until(lambda: {path.stat().st_size for path in service.spooled} == {kept["bytes"]})
    assert (await send(service, "DELETE", f"/v1/files/{kept['id']}"))[0] == 200
    assert [answer[0] for answer in await asyncio.gather(*reading)] == [200, 200]
    assert not service.spooled


async def test_files_leave_when_their_time_is_over_whether_or_not_anybody_calls(start, pdf):
    service = await start(OCR_FILE_SECONDS="0.3")
    _, _, kept = await keep(service, pdf)
    assert len(service.spooled) == 1
    await until(lambda: not service.spooled)
    status, _, body = await ocr(service, {"file_id": kept["id"]})
    assert (status, body["code"]) == (404, "file_not_found")
    assert body["detail"].endswith("files are kept for 0.3 s")


async def test_another_keys_file_is_not_there(start, tmp_path, pdf):
    (tmp_path / "keys").write_text(f"one: {KEY}\ntwo: {OTHER_KEY}\n", encoding="utf-8")
    service = await start(OCR_AUTH_MODE="api-key", OCR_SIDECAR_API_KEY_FILE=str(tmp_path / "keys"))
    _, _, kept = await keep(service, pdf, KEY)
    path = f"/v1/files/{kept['id']}"
    for method, of in (("GET", f"{path}/url"), ("DELETE", path)):
        assert (await send(service, method, of, key=OTHER_KEY))[0] == 404
    assert (await ocr(service, {"file_id": kept["id"]}, OTHER_KEY))[0] == 404
    assert (await ocr(service, {"file_id": kept["id"]}, KEY))[0] == 200


async def test_the_same_document_twice_is_two_files(service, pdf):
    ids = {(await keep(service, pdf))[2]["id"] for _ in range(2)}
    assert len(ids) == len(service.spooled) == 2


async def test_files_have_no_more_bytes_together_than_they_may(start):
    service = await start(OCR_MAX_FILES_BYTES=str(MIB))
    assert (await keep(service, bytes(MIB - 10)))[0] == 200
    status, headers, body = await keep(service, bytes(11))
    assert (status, body["code"], "Retry-After" in headers) == (429, "queue_full", True)
    assert len(service.spooled) == 1
    assert (await keep(service, bytes(10)))[0] == 200


async def test_a_key_has_no_more_files_than_it_may(service):
    shelf = service.service.api[SHELF]
    for _ in range(MAX_FILES_EACH):
        with shelf.receiving(10) as (file, held):
            shelf.keep(file, held, "a", None)
    status, _, body = await keep(service, b"a")
    assert (status, body["code"]) == (429, "quota_exhausted")
    with shelf.receiving(10) as (file, held):
        shelf.keep(file, held, "a", "another key")


@pytest.mark.parametrize(
    ("fields", "content", "status", "code"),
    [
        ({"purpose": "fine-tune"}, b"a", 422, "invalid_value"),
        ({}, b"", 422, "document_empty"),
    ],
)
async def test_what_is_not_kept_is_refused(service, fields, content, status, code):
    answered, _, body = await keep(service, content, **fields)
    assert (answered, body["code"], body["detail"][0]["type"]) == (status, code, code)
    assert not service.spooled


async def test_options_of_an_upload_are_ignored_visibly(service, pdf):
    _, headers, _ = await keep(service, pdf, purpose="ocr", visibility="workspace")
    assert headers["X-Ignored-Fields"] == "visibility"


async def test_an_upload_that_is_no_form_or_has_no_file_is_refused(service):
    status, _, body = await send(service, "POST", "/v1/files", b"a")
    assert (status, body["code"]) == (415, "unsupported_media_type")
    status, _, body = await send(
        service, "POST", "/v1/files", aiohttp.FormData({"purpose": "ocr"}, default_to_multipart=True)
    )
    assert (status, body["error"]["message"]) == (422, "the field file is missing")


async def test_nothing_of_the_shelf_outlives_the_service(start, pdf):
    service = await start()
    await keep(service, pdf)
    spool = service.settings.spool_dir
    await service.stop()
    assert (spool.exists(), service.service.api[SPOOL].used_bytes) == (False, 0)


async def test_every_answer_is_as_described(service, pdf):
    _, _, description = await send(service, "GET", "/openapi.json")
    schemas = description["components"]["schemas"]
    _, _, kept = await keep(service, pdf)
    _, _, read = await ocr(service, {"file_id": kept["id"]})
    _, _, given = await send(service, "GET", f"/v1/files/{kept['id']}/url")
    for answer, model in ((kept, "FileBody"), (read, "OcrBody"), (given, "FileUrlBody")):
        assert answer.keys() == schemas[model]["properties"].keys()
    assert read["pages"][0].keys() == schemas["OcrPageBody"]["properties"].keys()
    responses = description["paths"]["/v1/ocr"]["post"]["responses"]
    assert responses["422"]["content"]["application/json"]["schema"]["$ref"].endswith("/ListedErrorBody")


async def test_a_document_without_text_is_an_answer_with_empty_pages(service):
    status, _, body = await ocr(service, {"document_url": uri(PdfMaker().empty_page().finish())})
    assert (status, [page["markdown"] for page in body["pages"]]) == (200, [""])
