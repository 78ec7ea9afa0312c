"""Bad input gets the contract's status in the one shape, and the service goes on."""

import asyncio
import io
import json
import shutil
import zlib

import aiohttp
import pytest
import pytest_asyncio
from PIL import Image
from PIL.PngImagePlugin import PngInfo

from sidecar.api.app_keys import SPOOL
from sidecar.settings import MIB
from tests.conftest import until
from tests.integration.sidecar.documents import (
    PdfMaker,
    as_png,
    pdf_with_image,
    picture_of_text,
    png_header,
    raw_pdf,
    stream,
)
from tests.matrix import first

pytestmark = pytest.mark.asyncio(loop_scope="module")


@pytest.fixture
def service(shared_service):
    return shared_service


PART = b"--x\r\nContent-Disposition: form-data"


@pytest_asyncio.fixture(autouse=True, loop_scope="module")
async def still_well(service, data):
    """After whatever a test did: documents are read, the spool is empty, and nothing leaked into the answer."""
    yield
    status, _ = await service.upload(data / "digital.pdf")
    assert status == 200
    await until(lambda: not service.spooled)


def check_error(answer: tuple[int, dict[str, str]], status: int, code: str) -> None:
    got, body = answer
    assert (got, body.get("code")) == (status, code), body
    assert body.keys() == {"detail", "code", "requestId"}
    for leak in ("/tmp", "/home", "Traceback", ".py", "pdfium", "PIL", "0x"):
        assert leak not in body["detail"]


@pytest.mark.parametrize(
    ("name", "status", "code"),
    [
        ("broken-garbage.pdf", 422, "document_unreadable"),
        ("broken-truncated.pdf", 422, "document_unreadable"),
        ("encrypted.pdf", 422, "document_encrypted"),
        ("zero-pages.pdf", 422, "document_empty"),
        ("stream-bomb.pdf", 422, "decompression_bomb"),
        ("three-thousand-pages.pdf", 413, "too_many_pages"),
        ("huge-page.pdf", 413, "page_too_large"),
        ("not-a-pdf.pdf", 415, "unsupported_media_type"),
    ],
)
async def test_bad_documents_are_told_apart(service, data, name, status, code):
    check_error(await service.upload(data / name), status, code)


def bomb(layers: int, size: int = 64 * MIB) -> bytes:
    data = b" " * size
    for _ in range(layers):
        data = zlib.compress(data, 9)
    filters = b"/Filter [" + b"/FlateDecode " * layers + b"]"
    return raw_pdf(
        b"<< /Type /Catalog /Pages 2 0 R >>",
        b"<< /Type /Pages /Kids [3 0 R] /Count 1 >>",
        b"<< /Type /Page /Parent 2 0 R /MediaBox [0 0 595 842] /Contents 4 0 R >>",
        stream(filters, data),
    )


@pytest.mark.parametrize(
    ("content", "status", "code"),
    [
        pytest.param(b"", 422, "document_empty", id="no bytes"),
        pytest.param(b"%PDF-1.7", 422, "document_unreadable", id="a header alone"),
        pytest.param(b" " * 1024 + b"%PDF-1.7", 415, "unsupported_media_type", id="header too late"),
        pytest.param(b"\x89PNG\r\n\x1a\n" + b"\0" * 50, 422, "document_unreadable", id="no PNG behind its signature"),
        pytest.param(as_png(picture_of_text())[:-2000], 422, "document_unreadable", id="PNG that breaks off"),
        pytest.param(b"\xff\xd8\xff\xe0nonsense", 422, "document_unreadable", id="no JPEG behind its signature"),
        pytest.param(b"II*\0\x08\0\0\0\0\0", 422, "document_unreadable", id="TIFF without a page"),
        pytest.param(b"RIFF\0\0\0\0WEBP", 422, "document_unreadable", id="WebP without a picture"),
        pytest.param(b"BM" + b"\0" * 60, 422, "document_unreadable", id="BMP of nothing"),
        pytest.param(b"GIF89a" + b"\0" * 60, 415, "unsupported_media_type", id="GIF"),
        pytest.param(b"PK\x03\x04" + b"\0" * 60, 415, "unsupported_media_type", id="office document"),
        pytest.param(png_header(60_000, 60_000), 413, "page_too_large", id="PNG bomb"),
        pytest.param(bomb(1), 422, "decompression_bomb", id="deflated once"),
        pytest.param(bomb(2), 422, "decompression_bomb", id="deflated twice"),
        pytest.param(pdf_with_image(40_000, 40_000, b"\0" * MIB), 413, "page_too_large", id="image bomb in a PDF"),
    ],
)
async def test_hostile_documents_are_told_apart(service, content, status, code):
    check_error(await service.upload(content), status, code)


async def test_one_bad_page_leaves_the_others(service, data):
    maker = PdfMaker().text_page()
    maker.canvas.setPageSize((200_000, 200_000))
    maker.empty_page()
    maker.canvas.setPageSize((595, 842))
    status, body = await service.upload(maker.text_page().finish())

    assert (status, body["warnings"], body["engineUsed"]) == (200, ["page-failed"], "fast-path")
    assert [page["error"] for page in body["pages"]] == [None, "page_too_large", None]
    assert [page["engine"] for page in body["pages"]] == ["fast-path", None, "fast-path"]


async def test_one_page_with_an_image_too_large_to_draw_leaves_the_others(service):
    maker = PdfMaker().text_page()
    maker.canvas.setPageSize((1_000_000, 1_000_000))
    maker.canvas.drawInlineImage(picture_of_text(2, (100, 100)), 0, 0, 1_000_000, 1_000_000)
    maker.canvas.drawString(50, 50, "x" * 200)

    status, body = await service.upload(maker.empty_page().finish())

    assert (status, [page["error"] for page in body["pages"]]) == (200, [None, "page_too_large"])


@pytest.mark.parametrize("filtered", [b"/DCTDecode", b"/JPXDecode", b"/FooDecode"])
async def test_a_scan_that_cannot_be_decoded_is_not_taken_for_a_blank_page(service, filtered):
    pdf = pdf_with_image(100, 100, b"\0" * 10_000).replace(b"/FlateDecode", filtered)

    check_error(await service.upload(pdf), 422, "page_unreadable")


@pytest.mark.parametrize("size", first(1, [pytest.param((40_000, 600)), pytest.param((600, 40_000))]))
async def test_a_picture_with_a_side_longer_than_tesseract_can_count_is_read(service, size):
    status, body = await service.upload(as_png(Image.new("1", size)))

    assert (status, body["pages"][0]["blank"]) == (200, True)


async def test_a_picture_is_not_enlarged_beyond_what_can_be_read(service):
    status, _ = await service.upload(as_png(Image.new("L", (12_000, 900), 255)))

    assert status == 200


@pytest.mark.alone
async def test_a_tiff_of_very_many_pages_is_refused_soon(service):
    frame = b"\x04\0\0\x01\x03\0\x01\0\0\0\x01\0\0\0\x01\x01\x03\0\x01\0\0\0\x01\0\0\0"
    frame += b"\x11\x01\x04\0\x01\0\0\0\x08\0\0\0\x17\x01\x04\0\x01\0\0\0\x01\0\0\0"
    header, length = b"II*\0\x08\0\0\0", len(frame) + 4
    nexts = (len(header) + number * length for number in range(1, 50_001))
    content = header + b"".join(frame + one.to_bytes(4, "little") for one in nexts)
    async with asyncio.timeout(10):
        check_error(await service.upload(content), 413, "too_many_pages")


async def test_a_png_that_mentions_pdf_is_a_png(service):
    info = PngInfo()
    info.add_text("Comment", "%PDF-1.7")
    out = io.BytesIO()
    picture_of_text(3).save(out, "PNG", pnginfo=info)

    status, _ = await service.upload(out.getvalue(), languages="eng")

    assert status == 200


# ── the form ──────────────────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    ("fields", "status", "code"),
    [
        ({"engine": "paddle"}, 400, "unknown_engine"),
        ({"keep_alive": "5"}, 400, "keep_alive_refused"),
        ({"keepAlive": "-1"}, 400, "keep_alive_refused"),
        ({"Keep-Alive": "0"}, 400, "keep_alive_refused"),
        ({"runtimeParams": '{"keep_alive": 5}'}, 400, "keep_alive_refused"),
        ({"runtimeParams": '{"options": {"keepAliveSeconds": 5}}'}, 400, "keep_alive_refused"),
        ({"runtimeParams": "{"}, 400, "bad_json"),
        ({"dmsTags": "{'a': 1}"}, 400, "bad_json"),
        ({"dmsTags": '{"a b": true}'}, 400, "bad_tag_name"),
        ({"dmsTags": '"a"'}, 400, "bad_tag_name"),
        ({"systemPrompt": ""}, 400, "bad_system_prompt"),
        ({"systemPrompt": "  \n"}, 400, "bad_system_prompt"),
        ({"systemPrompt": "x" * 10_001}, 400, "bad_system_prompt"),
        ({"temperature": "2.1"}, 422, "invalid_value"),
        ({"temperature": "nan"}, 422, "invalid_value"),
        ({"topP": "inf"}, 422, "invalid_value"),
        ({"repeatPenalty": "0"}, 422, "invalid_value"),
        ({"maxTokens": "0"}, 422, "invalid_value"),
        ({"maxTokens": "many"}, 422, "invalid_value"),
        ({"runtimeParams": '{"num_ctx": 511}'}, 422, "invalid_value"),
        ({"runtimeParams": '{"temperature": NaN}'}, 422, "invalid_value"),
        ({"runtimeParams": '{"mirostat": 1}'}, 422, "invalid_value"),
        ({"runtimeParams": "[]"}, 422, "invalid_value"),
        ({"maxPages": "-1"}, 422, "invalid_value"),
        ({"maxPages": "501"}, 422, "invalid_value"),
        ({"pages": "0"}, 422, "invalid_value"),
        ({"pages": "3-2"}, 422, "invalid_value"),
        ({"pages": "1,,2"}, 422, "invalid_value"),
        ({"pages": ","}, 422, "invalid_value"),
        ({"pages": "5"}, 422, "invalid_value"),
        ({"pages": "1-999999"}, 422, "invalid_value"),
        ({"engine": "tesseract", "languages": "xyz"}, 422, "language_missing"),
        ({"engine": "tesseract", "languages": "../../etc/passwd"}, 422, "language_missing"),
        ({"engine": "tesseract", "languages": "osd"}, 422, "language_missing"),
        ({"engine": "tesseract", "languages": "eng+"}, 422, "invalid_value"),
        ({"profile": "ocr-nowhere"}, 422, "unknown_profile"),
        ({f"f{number}": "" for number in range(65)}, 422, "invalid_value"),
        ({"systemPrompt": "x" * 10 * MIB}, 413, "field_too_large"),
    ],
    ids=lambda value: str(value)[:40],
)
async def test_bad_fields_are_told_apart(service, data, fields, status, code):
    check_error(await service.upload(data / "digital.pdf", **fields), status, code)


async def test_a_field_that_means_nothing_is_named(service, data):
    status, body = await service.upload(data / "digital.pdf", temprature="0.1")

    assert (status, body["warnings"], body["ignoredFields"]) == (200, ["unknown-field"], ["temprature"])


async def post(service, data: object, **headers: str) -> tuple[int, dict[str, str]]:
    async with service.client.post(f"{service.url}/ocr-upload", data=data, headers=headers) as response:
        return response.status, await response.json()


async def test_a_form_without_a_file_is_refused(service):
    form = aiohttp.FormData({"engine": "auto"}, default_to_multipart=True)

    check_error(await post(service, form), 422, "file_missing")


@pytest.mark.parametrize("content", [b"\x89PNG\r\n\x1a\n", b"readable", bytes(100) + b"\xff" * 300_000])
async def test_a_file_in_another_field_is_told_with_the_right_one(service, content):
    form = aiohttp.FormData()
    form.add_field("document", content, filename="a.png")

    status, body = await post(service, form)

    check_error((status, body), 422, "file_missing")
    assert "the field file" in body["detail"]
    assert "the field document has a file" in body["detail"]


async def test_a_form_with_two_files_is_refused(service, data):
    form = aiohttp.FormData()
    for _ in range(2):
        form.add_field("file", (data / "digital.pdf").read_bytes(), filename="a.pdf")

    check_error(await post(service, form), 422, "file_missing")


async def test_a_field_given_twice_is_refused(service):
    form = aiohttp.FormData(default_to_multipart=True)
    form.add_field("engine", "auto")
    form.add_field("engine", "tesseract")

    check_error(await post(service, form), 422, "invalid_value")


@pytest.mark.parametrize(
    "name", ["../../x.pdf", "/etc/passwd", "a\0b.pdf", "..\\..\\x", "x" * 5000, "\r\nX-Evil: 1", "แบบ.pdf", ""]
)
async def test_a_name_never_becomes_a_path(service, data, name):
    before = {path for path in service.folder.rglob("*") if "spool" not in str(path)}
    disposition = f'Content-Disposition: form-data; name="file"; filename="{name}"'.encode()
    body = b"--x\r\n" + disposition + b"\r\n\r\n" + (data / "digital.pdf").read_bytes() + b"\r\n--x--\r\n"

    status, _ = await post(service, body, **{"Content-Type": "multipart/form-data; boundary=x"})

    assert status in (200, 400, 422)
    assert {path for path in service.folder.rglob("*") if "spool" not in str(path)} == before


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"nonsense",
        b"--x\r\n\r\n",
        PART + b'; name="file"\r\n\r\n%PDF-1.7',
        PART + b"\r\n\r\nunnamed\r\n--x--\r\n",
        PART + b'; name="file"\r\nContent-Transfer-Encoding: base64\r\n\r\nJVBERi0=\r\n--x--\r\n',
        PART + b'; name="engine"\r\n\r\n\xff\xfe\r\n--x--\r\n',
        b"--x\r\nContent-Type: multipart/mixed; boundary=y\r\n\r\n--y\r\n\r\na\r\n--y--\r\n--x--\r\n",
        b"--x\r\n" + b"X-Many: 1\r\n" * 500 + b"\r\nvalue\r\n--x--\r\n",
    ],
    ids=lambda body: repr(body[:50]),
)
async def test_malformed_multipart_is_refused(service, body):
    answer = await post(service, body, **{"Content-Type": "multipart/form-data; boundary=x"})

    assert answer[0] in (400, 422)
    check_error(answer, answer[0], {400: "malformed_body", 422: "file_missing"}[answer[0]])


@pytest.mark.parametrize("content_type", ["application/json", "application/x-www-form-urlencoded", "text/plain"])
async def test_another_kind_of_body_is_refused(service, content_type):
    check_error(await post(service, b"{}", **{"Content-Type": content_type}), 415, "unsupported_media_type")


async def test_multipart_without_a_boundary_is_refused(service):
    check_error(await post(service, b"x", **{"Content-Type": "multipart/form-data"}), 400, "malformed_body")


# ── sizes ─────────────────────────────────────────────────────────────────────────────────────────────────────────


async def test_fifty_mib_are_read_and_one_byte_more_is_not(service, data):
    document = (data / "digital.pdf").read_bytes()
    padding = b"\n" * (50 * MIB - len(document))

    status, _ = await service.upload(document + padding)
    assert status == 200
    check_error(await service.upload(document + padding + b"\n"), 413, "too_large")


@pytest.mark.alone
async def test_a_declared_length_is_refused_before_the_body_is_read(service):
    reader, writer = await asyncio.open_connection(*service.url.removeprefix("http://").split(":"))
    writer.write(
        b"POST /ocr-upload HTTP/1.1\r\nHost: x\r\nContent-Type: multipart/form-data; boundary=x\r\n"
        b"Content-Length: 99999999\r\n\r\n"
    )
    async with asyncio.timeout(5):
        head = await reader.readuntil(b"\r\n\r\n")
    writer.close()

    assert b" 413 " in head.split(b"\r\n")[0]


async def test_the_limit_bites_while_bytes_arrive_without_a_length(service):
    sent = 0

    async def endless():
        nonlocal sent
        yield PART + b'; name="file"\r\n\r\n%PDF-1.7\n'
        while sent < 200:
            sent += 1
            yield b"\0" * MIB

    headers = {"Content-Type": "multipart/form-data; boundary=x"}
    try:
        answer = await post(service, endless(), **headers)
    except aiohttp.ClientError:
        answer = None  # the service closed while we were still sending: as good a refusal

    assert sent < 80
    if answer:
        check_error(answer, 413, "too_large")


# ── time ──────────────────────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.asyncio(loop_scope="function")
@pytest.mark.alone
async def test_a_body_that_stops_half_way_is_given_up(start, data):
    service = await start(OCR_RECEIVE_SECONDS="0.5")
    reader, writer = await asyncio.open_connection(*service.url.removeprefix("http://").split(":"))
    writer.write(
        b"POST /ocr-upload HTTP/1.1\r\nHost: x\r\nContent-Type: multipart/form-data; boundary=x\r\n"
        b'Content-Length: 5000\r\n\r\n--x\r\nContent-Disposition: form-data; name="file"\r\n\r\n%PDF-1.7 half'
    )
    async with asyncio.timeout(5):
        head = await reader.readuntil(b"\r\n\r\n")
    writer.close()

    assert b" 408 " in head.split(b"\r\n")[0]
    await until(lambda: not service.spooled)


async def test_a_caller_that_leaves_while_sending_leaves_nothing(service):
    _, writer = await asyncio.open_connection(*service.url.removeprefix("http://").split(":"))
    writer.write(
        b"POST /ocr-upload HTTP/1.1\r\nHost: x\r\nContent-Type: multipart/form-data; boundary=x\r\n"
        b'Content-Length: 5000\r\n\r\n--x\r\nContent-Disposition: form-data; name="file"\r\n\r\n%PDF-1.7 half'
    )
    await until(lambda: service.spooled)
    writer.close()

    await until(lambda: not service.spooled)


async def test_a_field_whose_name_is_no_text_is_refused(service):
    body = b'--x\r\nContent-Disposition: form-data; name="\xff\xfe"\r\n\r\n1\r\n--x--\r\n'

    check_error(await post(service, body, **{"Content-Type": "multipart/form-data; boundary=x"}), 400, "malformed_body")


async def test_an_expectation_nobody_knows_gets_an_answer(service):
    reader, writer = await asyncio.open_connection(*service.url.removeprefix("http://").split(":"))
    writer.write(b"POST /ocr HTTP/1.1\r\nHost: x\r\nExpect: nonsense\r\nContent-Length: 2\r\n\r\n{}")
    async with asyncio.timeout(5):
        head = await reader.readuntil(b"\r\n\r\n")
    writer.close()

    assert b" 417 " in head.split(b"\r\n")[0]


async def test_a_caller_that_leaves_during_the_copy_leaves_nothing(service, uploads):
    with (uploads / "large.pdf").open("wb") as large:
        large.truncate(50 * MIB)
    for _ in range(10):
        asking = asyncio.create_task(post_path(service, {"pdfPath": str(uploads / "large.pdf")}))
        await until(lambda: service.service.api[SPOOL].used_bytes)
        asking.cancel()

    await until(lambda: (service.spooled, service.service.api[SPOOL].used_bytes) == ([], 0))


@pytest.mark.alone
async def test_two_hundred_callers_that_send_a_byte_at_a_time_hold_nobody_up(service, data):
    head = (
        b"POST /ocr-upload HTTP/1.1\r\nHost: x\r\nContent-Type: multipart/form-data; boundary=x\r\n"
        b"Content-Length: 5000\r\n\r\n"
    )
    body = PART + b'; name="file"\r\n\r\n%PDF-1.7 '
    slow = [await asyncio.open_connection(*service.url.removeprefix("http://").split(":")) for _ in range(200)]

    async def trickle(writer: asyncio.StreamWriter) -> None:
        writer.write(head)
        for at in range(len(body)):
            writer.write(body[at : at + 1])
            await asyncio.sleep(0.05)

    trickling = [asyncio.create_task(trickle(writer)) for _, writer in slow]
    try:
        await until(lambda: len(service.spooled) == 200)
        async with asyncio.timeout(3):
            for _ in range(5):
                assert (await service.upload(data / "digital.pdf"))[0] == 200
    finally:
        for task in trickling:
            task.cancel()
        for _, writer in slow:
            writer.close()


# ── POST /ocr ─────────────────────────────────────────────────────────────────────────────────────────────────────


async def post_path(service, body: object) -> tuple[int, dict]:
    content = body if isinstance(body, bytes) else json.dumps(body).encode()
    async with service.client.post(f"{service.url}/ocr", data=io.BytesIO(content)) as response:
        return response.status, await response.json()


@pytest.fixture
def uploads(service, data):
    folder = service.folder / "uploads"
    folder.mkdir()
    (folder / "แบบ.pdf").write_bytes((data / "digital.pdf").read_bytes())
    (service.folder / "secret.pdf").write_bytes((data / "digital.pdf").read_bytes())
    (folder / "link.pdf").symlink_to(service.folder / "secret.pdf")
    yield folder
    shutil.rmtree(folder)


@pytest.mark.parametrize("spelling", ["pdfPath", "pdf_path"])
async def test_a_file_of_the_shared_volume_is_read(service, uploads, spelling):
    status, body = await post_path(service, {spelling: str(uploads / "แบบ.pdf"), "maxPages": 1, "max_tokens": None})

    assert (status, body["engineUsed"], body["pageCount"]) == (200, "fast-path", 1)


@pytest.mark.parametrize(
    ("path", "status", "code"),
    [
        ("{uploads}/absent.pdf", 404, "file_not_found"),
        ("{uploads}/link.pdf", 403, "path_forbidden"),
        ("{uploads}/../secret.pdf", 403, "path_forbidden"),
        ("{uploads}/../absent.pdf", 403, "path_forbidden"),
        ("{uploads}/%2e%2e/secret.pdf", 403, "path_forbidden"),
        ("{uploads}", 403, "path_forbidden"),
        ("/etc/passwd", 403, "path_forbidden"),
        ("", 403, "path_forbidden"),
        ("a\0b", 403, "path_forbidden"),
        ("\ud800", 403, "path_forbidden"),
    ],
)
async def test_paths_are_confined(service, uploads, path, status, code):
    check_error(await post_path(service, {"pdfPath": path.format(uploads=uploads)}), status, code)


@pytest.mark.parametrize(
    ("body", "status", "code"),
    [
        (b"", 400, "malformed_body"),
        (b"{", 400, "malformed_body"),
        (b"[]", 400, "malformed_body"),
        (b"[" * 100_000, 400, "malformed_body"),
        ({}, 422, "invalid_value"),
        ({"pdfPath": 5}, 422, "invalid_value"),
        ({"pdfPath": "/x", "pdf_path": "/x"}, 422, "invalid_value"),
        ({"pdfPath": "/x", "colour": "red"}, 422, "invalid_value"),
        ({"pdfPath": "/x", "keepAlive": 5}, 400, "keep_alive_refused"),
        ({"pdfPath": "/x", "runtimeParams": {"KEEP_ALIVE": 5}}, 400, "keep_alive_refused"),
        ({"pdfPath": "/x", "temperature": True}, 422, "invalid_value"),
        (b" " * (MIB + 1), 413, "too_large"),
        ({"pdfPath": "/x", "bogus": None}, 422, "invalid_value"),
        ({"pdfPath": "/x", "keep_alive\ud800": 1}, 400, "keep_alive_refused"),
        ({"pdfPath": "/x", "\ud800x": 1}, 422, "invalid_value"),
        ({"pdfPath": "/x", "dmsTags": {"a": [[[[[[[[[[{"keepAlive": 1}]]]]]]]]]]}}, 400, "keep_alive_refused"),
    ],
    ids=lambda value: str(value)[:40],
)
async def test_bad_json_bodies_are_told_apart(service, body, status, code):
    check_error(await post_path(service, body), status, code)


async def test_an_unknown_field_of_the_json_body_is_named(service):
    _, body = await post_path(service, {"pdfPath": "/x", "colour": "red"})

    assert body["detail"] == "colour is not a field that is known here"
