"""Answers that arrive page by page, and callers that leave."""

import asyncio
import io
import json
import socket

import pytest

from sidecar.api.app_keys import READER
from tests.conftest import until
from tests.integration.sidecar.documents import PdfMaker, as_tiff, picture_of_text

NDJSON = {"Accept": "application/x-ndjson"}


def upload_request(service, content: bytes, **headers: str):
    body = b'--x\r\nContent-Disposition: form-data; name="file"\r\n\r\n' + content + b"\r\n--x--\r\n"
    headers = {"Content-Type": "multipart/form-data; boundary=x", **headers}
    return service.client.post(f"{service.url}/ocr-upload", data=io.BytesIO(body), headers=headers)


@pytest.fixture(scope="module")
def many_pages() -> bytes:
    """Twelve dense pages: several seconds of work."""
    return as_tiff([picture_of_text(34)] * 12)


def tesseract(service):
    return service.engine("tesseract")


def waiting(service) -> int:
    return tesseract(service).prepare_slots.waiting + tesseract(service).read_slots.waiting


async def test_pages_arrive_in_order_and_the_end_holds_the_whole(service, data):
    async with upload_request(service, (data / "mixed.pdf").read_bytes(), **NDJSON) as response:
        assert response.content_type == "application/x-ndjson"
        events = [json.loads(line) async for line in response.content]

    assert [event["event"] for event in events] == ["document", "page", "page", "page", "done"]
    assert [event["page"] for event in events[1:4]] == [1, 2, 3]
    assert events[0]["pageCount"] == 3
    assert events[4]["text"] == "\n\n".join(event["text"] for event in events[1:4])
    whole = {key for key in (await service.upload(data / "digital.pdf"))[1] if key != "pages"}
    assert events[4].keys() == whole | {"event"}
    assert len({event["requestId"] for event in (events[0], events[4])}) == 1


async def test_the_first_page_arrives_before_the_last_is_read(service, many_pages):
    async with upload_request(service, many_pages, **NDJSON) as response:
        await response.content.readline()
        await response.content.readline()

        assert service.service.api[READER].admission.admitted == 12
        assert tesseract(service).read_slots.busy > 0


async def test_an_error_before_the_first_page_is_a_plain_error(service):
    async with upload_request(service, b"nothing", **NDJSON) as response:
        assert (response.status, (await response.json())["code"]) == (415, "unsupported_media_type")


async def test_an_error_after_the_first_line_is_the_last_line(service, data):
    async with upload_request(service, (data / "huge-page.pdf").read_bytes(), **NDJSON) as response:
        events = [json.loads(line) async for line in response.content]

    assert [event["event"] for event in events] == ["document", "page", "error"]
    assert events[1]["error"] == events[2]["code"] == "page_too_large"
    assert events[2]["status"] == 413
    assert {"detail", "requestId"} <= events[2].keys()


@pytest.mark.alone
@pytest.mark.parametrize("headers", [{}, NDJSON], ids=["whole", "streamed"])
async def test_a_caller_that_leaves_frees_its_slots_within_a_second(service, many_pages, headers):
    turns, admission = tesseract(service).read_slots, service.service.api[READER].admission
    request = asyncio.create_task(_send_and_wait(service, many_pages, headers))
    await until(lambda: turns.busy == 2, 10)

    request.cancel()

    await until(lambda: (turns.busy, admission.admitted, waiting(service)) == (0, 0, 0), 1.0)
    await until(lambda: not service.spooled, 1.0)


@pytest.mark.alone
async def test_the_workers_are_free_for_others_soon_after_a_caller_left(service, many_pages, data):
    turns = tesseract(service).read_slots
    request = asyncio.create_task(_send_and_wait(service, many_pages, {}))
    await until(lambda: turns.busy == 2, 10)
    request.cancel()

    async with asyncio.timeout(2):
        assert (await service.upload(data / "digital.pdf"))[0] == 200


async def _send_and_wait(service, content: bytes, headers: dict[str, str]) -> None:
    async with upload_request(service, content, **headers) as response:
        await response.read()


async def test_a_letter_does_not_wait_for_the_report_before_it(service, many_pages, data):
    """Slots go round the documents: the letter's one page is read after at most the pages in hand."""
    report = asyncio.create_task(_send_and_wait(service, many_pages, {}))
    await until(lambda: waiting(service) >= 8, 10)

    assert (await service.upload(data / "photo.png"))[0] == 200
    assert waiting(service) >= 4
    assert not report.done()
    report.cancel()


async def test_a_full_queue_says_when_to_come_back(start, many_pages, data):
    service = await start(OCR_MAX_QUEUED_PAGES="12")
    admission = service.service.api[READER].admission
    report = asyncio.create_task(_send_and_wait(service, many_pages, {}))
    await until(lambda: admission.admitted == 12, 10)

    async with upload_request(service, (data / "photo.png").read_bytes()) as response:
        assert (response.status, (await response.json())["code"]) == (429, "queue_full")
        assert 1 <= int(response.headers["Retry-After"]) <= 600
    report.cancel()
    await until(lambda: admission.admitted == 0)


async def test_as_many_documents_as_may_be_are_in_work(start, many_pages, data):
    service = await start(OCR_MAX_DOCUMENTS="1")
    report = asyncio.create_task(_send_and_wait(service, many_pages, {}))
    await until(lambda: tesseract(service).read_slots.busy, 10)

    async with upload_request(service, (data / "photo.png").read_bytes()) as response:
        assert (response.status, (await response.json())["code"]) == (429, "queue_full")
        assert response.headers["Retry-After"] == "1"
    report.cancel()


async def test_a_full_spool_refuses_documents_while_they_arrive(start, many_pages, data):
    service = await start(OCR_MAX_SPOOL_BYTES=str(1024 * 1024))

    async with upload_request(service, b"%PDF-" + bytes(1024 * 1024)) as response:
        assert (response.status, (await response.json())["code"]) == (429, "queue_full")
    assert (await service.upload(data / "digital.pdf"))[0] == 200


async def test_a_line_of_a_stream_begins_with_what_it_is(service, data):
    async with upload_request(service, (data / "huge-page.pdf").read_bytes(), **NDJSON) as response:
        lines = [line async for line in response.content]

    assert [line.split(b",")[0] for line in lines] == [
        b'{"event":"document"',
        b'{"event":"page"',
        b'{"event":"error"',
    ]


async def test_a_reader_that_stalls_is_given_up(start, data):
    """It takes the head of the answer and nothing more, while megabytes wait for it."""
    maker = PdfMaker()
    for _ in range(40):
        maker.text_page(30, "x" * 4000)
    service = await start(OCR_RECEIVE_SECONDS="1")
    host, port = service.url.removeprefix("http://").split(":")
    caller = socket.socket()
    caller.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)  # else the kernel would take megabytes for it
    caller.setblocking(False)
    await asyncio.get_running_loop().sock_connect(caller, (host, int(port)))
    _, writer = await asyncio.open_connection(sock=caller, limit=1024)
    body = b'--x\r\nContent-Disposition: form-data; name="file"\r\n\r\n' + maker.finish() + b"\r\n--x--\r\n"
    writer.write(
        b"POST /ocr-upload HTTP/1.1\r\nHost: x\r\nAccept: application/x-ndjson\r\n"
        b"Content-Type: multipart/form-data; boundary=x\r\nContent-Length: %d\r\n\r\n" % len(body) + body
    )
    await until(lambda: service.spooled)

    await until(lambda: not service.spooled, 60)  # its 5 MB of text are opened first, in 4 s of a core
    writer.close()
