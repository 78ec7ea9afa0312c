"""The public client against the real service."""

import asyncio
import io
import json
import os
import subprocess
import sys
from contextlib import aclosing
from pathlib import Path

import pytest
import pytest_asyncio

from sidecar.api.app_keys import READER
from sidecar.client import (
    AsyncClient,
    Client,
    Opened,
    Page,
    ServiceError,
    Summary,
    TimedOutError,
)
from tests.conftest import until
from tests.integration.sidecar.documents import as_tiff, picture_of_text

NUMBER = "LCBP3-RFA-2025-9613-0"
"""Stands on the first page of digital.pdf."""


pytestmark = pytest.mark.asyncio(loop_scope="module")


@pytest.fixture
def service(shared_service):
    return shared_service


@pytest_asyncio.fixture(loop_scope="module")
async def client(service):
    async with AsyncClient(service.url) as one:
        yield one


async def test_a_document_comes_in_another_format_with_what_the_service_says_of_it(client, data):
    written = await client.read_as(data / "digital.pdf", output="pdf", pages="1-2")
    assert (written.media_type, written.content[:5]) == ("application/pdf", b"%PDF-")
    assert (written.engine_used, written.model_used, written.warnings) == ("fast-path", None, ())
    assert (written.page_count, written.document_page_count, written.failed_pages) == (2, 4, ())
    assert written.request_id


@pytest.mark.parametrize("fields", [{}, {"output": "json"}, {"output": None}])
async def test_another_format_must_be_named(client, data, fields):
    with pytest.raises(TypeError, match="read_as needs an output"):
        await client.read_as(data / "digital.pdf", **fields)


async def test_read_gives_no_other_format_than_json(client, data):
    with pytest.raises(TypeError, match="read_as gives other formats"):
        await client.read(data / "digital.pdf", output="pdf")


async def test_programs_without_asyncio_get_other_formats_too(service, data):
    def reading() -> str:
        with Client(service.url) as client:
            return client.read_as(data / "digital.pdf", output="text").content.decode()

    assert NUMBER in await asyncio.to_thread(reading)


class OneWay(io.RawIOBase):
    """A file that cannot be rewound, such as a pipe or another request's body."""

    def __init__(self, content: bytes) -> None:
        self._inner = io.BytesIO(content)

    def readable(self) -> bool:
        return True

    def readinto(self, buffer) -> int:
        return self._inner.readinto(buffer)


# ── documents ─────────────────────────────────────────────────────────────────────────────────────────────────────


def sources(path: Path) -> dict[str, object]:
    content = path.read_bytes()
    return {
        "path": path,
        "str": str(path),
        "bytes": content,
        "memoryview": memoryview(content),
        "file": io.BytesIO(content),
        "pipe": OneWay(content),
    }


@pytest.mark.parametrize("kind", ["path", "str", "bytes", "memoryview", "file", "pipe"])
async def test_a_document_may_be_a_path_or_bytes_or_a_file(client, data, kind):
    document = await client.read(sources(data / "digital.pdf")[kind])
    assert NUMBER in document.text
    assert (document.engine_used, len(document.pages), document.pages[0].page) == ("fast-path", 4, 1)


async def test_a_caller_s_file_is_read_from_where_it_stands_and_stays_open(client, data):
    with (data / "digital.pdf").open("rb") as file:
        await client.read(file)
        assert not file.closed
    before = bytes(2000)  # a PDF's header is looked for in 1024 bytes
    shifted = io.BytesIO(before + (data / "digital.pdf").read_bytes())
    shifted.seek(len(before))
    assert NUMBER in (await client.read(shifted)).text


async def test_fields_reach_the_service(client, data):
    document = await client.read(data / "digital.pdf", pages=[2, 1], engine="tesseract", languages=["eng"])
    assert [page.page for page in document.pages] == [1, 2]
    assert document.parameters["languages"] == "eng"
    assert document.pages[0].attempts[0].verdict == "good"


async def test_the_whole_answer_is_there_as_the_wire_has_it(client, service, data):
    ours = (await client.read(data / "digital.pdf")).as_json()
    _, theirs = await service.upload(data / "digital.pdf")
    changing = {"requestId", "processingTimeMs"}
    assert {name: ours[name] for name in ours.keys() - changing} == {
        name: theirs[name] for name in theirs.keys() - changing
    }


async def test_pages_come_as_they_are_read(client, service):
    pages = as_tiff([picture_of_text(8)] * 4)
    seen = []
    async for event in client.stream(pages):
        seen.append(event)
        if isinstance(event, Page) and event.page == 1:
            assert service.service.api[READER].admission.admitted == 4, "the others are still in work"
    assert [type(event) for event in seen] == [Opened, *[Page] * 4, Summary]
    assert seen[0].page_count == 4
    assert seen[-1].text == "\n\n".join(page.text for page in seen[1:-1])


async def test_a_caller_that_leaves_early_stops_the_work(client, service):
    async with aclosing(client.stream(as_tiff([picture_of_text(34)] * 12))) as events:
        async for event in events:
            if isinstance(event, Page):
                break
    await until(lambda: service.service.api[READER].admission.admitted == 0)


async def test_an_error_after_the_first_page_comes_as_one(client, data):
    events = client.stream(data / "huge-page.pdf")
    seen = [await anext(events), await anext(events)]
    with pytest.raises(ServiceError) as raised:
        await anext(events)
    assert [type(event) for event in seen] == [Opened, Page]
    assert (raised.value.status, raised.value.code) == (413, "page_too_large")
    assert raised.value.request_id == seen[0].request_id


@pytest.mark.parametrize(
    ("name", "status", "code"),
    [("encrypted.pdf", 422, "document_encrypted"), ("not-a-pdf.pdf", 415, "unsupported_media_type")],
)
async def test_a_refusal_tells_code_and_detail(client, data, name, status, code):
    with pytest.raises(ServiceError) as raised:
        await client.read(data / name)
    assert (raised.value.status, raised.value.code) == (status, code)
    assert raised.value.detail
    assert raised.value.request_id


async def test_a_field_that_does_not_exist_is_told_before_anything_is_sent(client, data):
    with pytest.raises(TypeError, match="there is no field 'page'"):
        client.stream(data / "digital.pdf", page=1)


async def test_a_file_that_cannot_be_opened_is_the_oserror_that_it_is(client, tmp_path):
    with pytest.raises(FileNotFoundError):
        await client.read(tmp_path / "absent.pdf")
    with pytest.raises(IsADirectoryError):
        await client.read(tmp_path)


async def test_a_file_that_fails_while_it_is_sent_is_told_as_that(client, tmp_path):
    class Failing(io.BytesIO):
        def read(self, *_):
            raise OSError(5, "Input/output error")

    with pytest.raises(OSError, match="Input/output error"):
        await client.read(Failing(b"%PDF-" + bytes(1_000_000)))


async def test_a_file_that_becomes_shorter_is_told(client):
    class Shrinking(io.BytesIO):
        def read(self, size=-1):
            return b"" if self.tell() else super().read(size)

    with pytest.raises(OSError, match="became shorter"):
        await client.read(Shrinking(b"%PDF-" + bytes(1_000_000)))


async def test_a_file_of_text_is_refused(client):
    with pytest.raises(TypeError, match="reading bytes"):
        await client.read(io.StringIO("text"))


async def test_the_caller_s_time_bounds_everything(client, service):
    report = as_tiff([picture_of_text(34)] * 12)
    with pytest.raises(TimedOutError):
        await client.read(report, timeout_s=1.0)
    with pytest.raises(TimedOutError):
        async for _ in client.stream(report, timeout_s=1.0):
            pass
    await until(lambda: service.service.api[READER].admission.admitted == 0)


async def test_one_text_is_not_taken_for_many(client):
    for call in (client.embed("text"), client.rerank("query", "text")):
        with pytest.raises(TypeError, match="a sequence of texts"):
            await call


async def test_the_blocking_client_stops_the_work_when_its_loop_is_left(service):
    def leave() -> None:
        with Client(service.url) as client:
            for event in client.stream(as_tiff([picture_of_text(34)] * 12)):
                if isinstance(event, Page):
                    break

    await asyncio.to_thread(leave)
    await until(lambda: service.service.api[READER].admission.admitted == 0)


SCRIPT = """
import json, sys
from sidecar.client import Client
loaded = sorted(name for name in sys.modules if name.startswith(("sidecar", "torch", "numpy", "PIL", "pypdfium2")))
client = Client(sys.argv[1])
print(json.dumps([loaded, client.read(sys.argv[2]).page_count]))
"""


async def test_it_loads_nothing_of_the_service_and_a_client_left_open_does_not_hold_the_program(service, data):
    own = {name: value for name, value in os.environ.items() if not name.startswith("OCR_")}
    command = [sys.executable, "-c", SCRIPT, service.url, str(data / "digital.pdf")]
    ended = await asyncio.to_thread(subprocess.run, command, env=own, capture_output=True, timeout=60, check=False)
    assert ended.returncode == 0, ended.stderr
    loaded, pages = json.loads(ended.stdout)
    assert pages == 4
    assert {name for name in loaded if not name.startswith("sidecar.client")} == {"sidecar"}
