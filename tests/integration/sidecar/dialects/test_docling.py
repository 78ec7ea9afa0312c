"""docling-serve's synchronous conversion of a file."""

import base64

import aiohttp
import pytest

from tests.conftest import Running
from tests.integration.sidecar.documents import PdfMaker, picture_of_text

OPTIONS = {"image_export_mode": "placeholder"}
"""What Open WebUI's loader for docling sends."""


async def convert(service: Running, content: bytes, fields: object = (), name: str = "สัญญา.pdf", field: str = "files"):
    """Send a form as docling's clients do; give status, headers and parsed answer."""
    form = aiohttp.FormData(quote_fields=False)
    for key, value in dict(fields).items():
        for one in value if isinstance(value, list) else [value]:
            form.add_field(key, one)
    form.add_field(field, content, filename=name, content_type="application/pdf")
    async with service.client.post(f"{service.url}/v1/convert/file", data=form) as response:
        return response.status, response.headers, await response.json()


async def asked(service: Running, content: bytes, output: str) -> str:
    """What our own upload gives in a format."""
    form = aiohttp.FormData({"output": output})
    form.add_field("file", content, filename="a.pdf")
    async with service.client.post(f"{service.url}/ocr-upload", data=form) as response:
        return await response.text()


@pytest.fixture
def pdf(data) -> bytes:
    return (data / "digital.pdf").read_bytes()


async def test_markdown_is_what_an_upload_gives(service, pdf):
    status, headers, body = await convert(service, pdf, OPTIONS)

    assert (status, body["status"], body["errors"], body["timings"]) == (200, "success", [], {})
    assert body["document"] == {
        "filename": "สัญญา.pdf",
        "md_content": await asked(service, pdf, "markdown"),
        "json_content": None,
        "html_content": None,
        "text_content": None,
        "doctags_content": None,
    }
    assert 0 <= body["processing_time"] < 60
    assert (headers["X-Ignored-Fields"], headers["X-Ocr-Warnings"]) == ("image_export_mode", "unknown-field")


async def test_every_format_that_is_asked_for_is_there(service, pdf):
    names = ["md", "json", "html", "text", "doctags"]
    _, _, body = await convert(service, pdf, {"to_formats": names})
    document = body["document"]
    assert all(document[f"{name}_content"] for name in names)
    assert document["json_content"]["schema_name"] == "DoclingDocument"


async def test_pages_are_cut_at_the_documents_end(service, pdf):
    fields = {"page_range": ["3", "9223372036854775807"], "to_formats": ["json"]}
    _, _, body = await convert(service, pdf, fields)
    assert [one["name"] for one in body["document"]["json_content"]["groups"]] == ["page 3", "page 4"]
    status, _, body = await convert(service, pdf, {"page_range": ["5", "9"]})
    assert (status, body["detail"]) == (422, "pages asks for page 5, the document has 4")


async def test_the_engine_reads_every_page_where_it_is_forced(start):
    service = await start(OCR_LANGUAGES="eng")
    page = PdfMaker().text_page(1).finish()
    for fields in ({}, {"force_ocr": "false"}, {"force_ocr": "true"}):
        _, _, body = await convert(service, page, fields)
        assert "submits the shop drawing" in body["document"]["md_content"]
    async with service.client.get(f"{service.ops}/metrics") as response:
        told = await response.text()
    assert 'ocr_pages_total{engine="fast-path",verdict="good"} 2.0' in told
    assert 'ocr_pages_total{engine="tesseract",verdict="good"} 1.0' in told


async def test_a_language_that_is_not_there_is_refused(service, pdf):
    status, _, body = await convert(service, pdf, {"ocr_lang": ["eng", "vol"]})
    assert (status, body["code"]) == (422, "language_missing")


async def test_pages_that_could_not_be_read_are_told(start):
    service = await start(OCR_TIMEOUT="0.001", OCR_FALLBACK_ENGINE="none")
    pages = PdfMaker().text_page().scan_page(picture_of_text()).finish()
    status, headers, body = await convert(service, pages)
    assert (status, body["status"]) == (200, "partial_success")
    assert body["errors"] == [
        {"component_type": "pipeline", "module_name": "ocr-sidecar", "error_message": "page 2: deadline_exceeded"}
    ]
    assert "page-failed" in headers["X-Ocr-Warnings"]


async def test_pages_that_its_time_did_not_suffice_for_are_told(service):
    many = PdfMaker().text_page()
    for _ in range(20):
        many.scan_page(picture_of_text(40))
    status, _, body = await convert(service, many.finish(), {"document_timeout": "2"})
    assert (status, body["status"]) == (200, "partial_success")
    assert body["errors"][-1]["error_message"].endswith("-21: deadline_exceeded")


@pytest.mark.parametrize(
    ("fields", "code"),
    [
        ({"to_formats": ["md", "yaml"]}, "invalid_value"),
        ({"target_type": "zip"}, "invalid_value"),
        ({"page_range": ["2", "1"]}, "invalid_value"),
        ({"ocr_lang": ["e" * 300]}, "invalid_value"),
    ],
)
async def test_what_there_is_not_is_refused(service, pdf, fields, code):
    status, _, body = await convert(service, pdf, fields)
    assert (status, body["code"], body["error"]["message"]) == (422, code, body["detail"])
    assert not service.spooled


async def test_keep_alive_is_refused_here_too(service, pdf):
    status, _, body = await convert(service, pdf, {"keep_alive": "5"})
    assert (status, body["code"]) == (400, "keep_alive_refused")


async def test_one_document_is_needed(service, pdf):
    status, _, body = await convert(service, b"text", field="file")
    assert (status, body["code"], body["detail"]) == (
        422,
        "file_missing",
        "the field files is missing; the field file has a file",
    )
    form = aiohttp.FormData()
    for _ in range(2):
        form.add_field("files", pdf, filename="a.pdf")
    async with service.client.post(f"{service.url}/v1/convert/file", data=form) as response:
        body = await response.json()
    assert body["detail"] == "the field files is given twice, one document a request is accepted"


async def test_a_form_with_too_many_fields_is_refused(service, pdf):
    status, _, body = await convert(service, pdf, {"from_formats": ["pdf"] * 65})
    assert (status, body["detail"]) == (422, "there are more than 64 fields, which is the limit")


async def convert_source(service: Running, *sources: object, **options: object):
    body = {"options": options, "sources": list(sources)}
    async with service.client.post(f"{service.url}/v1/convert/source", json=body) as response:
        return response.status, response.headers, await response.json()


async def test_a_file_in_json_is_read_as_ragflow_sends_it(service, pdf):
    file = {"kind": "file", "filename": "a.pdf", "base64_string": base64.b64encode(pdf).decode()}
    chunking = {"do_chunking": True, "chunking_options": {"max_tokens": 512}}
    status, headers, body = await convert_source(
        service, file, from_formats=["pdf"], to_formats=["json", "md", "text"], **chunking
    )
    assert (status, body["status"], body["document"]["filename"]) == (200, "success", "a.pdf")
    assert body["document"]["md_content"] == await asked(service, pdf, "markdown")
    assert body["document"]["text_content"] == await asked(service, pdf, "text")
    assert headers["X-Ignored-Fields"] == "from_formats, do_chunking, chunking_options"
    assert not service.spooled


@pytest.mark.parametrize(
    ("encoded", "status", "code"), [("AAAA", 415, "unsupported_media_type"), ("AAA", 422, "invalid_value")]
)
async def test_a_file_in_json_that_is_no_document_is_refused(service, encoded, status, code):
    answered, _, body = await convert_source(service, {"kind": "file", "base64_string": encoded})
    assert (answered, body["code"]) == (status, code)


@pytest.mark.parametrize(
    "source",
    [
        {"sources": [{"kind": "http", "url": "http://169.254.169.254/"}]},
        {"sources": [{"kind": "s3", "endpoint": "127.0.0.1", "access_key": "a", "secret_key": "b", "bucket": "c"}]},
        {"http_sources": [{"url": "https://example.com/a.pdf"}]},
    ],
)
async def test_nothing_is_fetched_from_a_source(service, source):
    async with service.client.post(f"{service.url}/v1/convert/source", json=source) as response:
        body = await response.json()
    assert (response.status, body["code"]) == (422, "invalid_value")
    assert body["detail"].startswith("nothing is fetched here")
