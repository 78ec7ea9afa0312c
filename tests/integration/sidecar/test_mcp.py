"""`ocr-sidecar mcp` as language models meet it: a process, asked by the SDK's own client, beside a real service."""

import asyncio
import os
import shutil
import signal
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import aiohttp
import httpx2
import pytest
from mcp import Client, StdioServerParameters
from mcp.client.streamable_http import streamable_http_client

from sidecar.api.app_keys import READER
from tests.conftest import until
from tests.integration.sidecar.documents import as_tiff, picture_of_text
from tests.integration.sidecar.test_cli import run
from tests.matrix import first

KEY = "k" * 40
NUMBER = "LCBP3-RFA-2025-9613-0"
"""Stands on the first page of digital.pdf."""
OWN = {name: value for name, value in os.environ.items() if not name.startswith("OCR_")}


@pytest.fixture
def shared(tmp_path, data) -> Path:
    """The folder that models may read from, and files beside it that they may not."""
    folder = tmp_path / "shared"
    (folder / "sub").mkdir(parents=True)
    for name in ("digital.pdf", "encrypted.pdf", "huge-page.pdf"):
        shutil.copy(data / name, folder)
    shutil.copy(data / "photo.png", folder / "sub" / "รูป.png")
    (folder / "notes.txt").write_text("not a document")
    shutil.copy(data / "digital.pdf", tmp_path / "secret.pdf")
    (folder / "link.pdf").symlink_to(tmp_path / "secret.pdf")
    (folder / "out").symlink_to(tmp_path)
    os.mkfifo(folder / "pipe.pdf")
    return folder


def over_stdio(url: str, *more: object, mode: str = "auto", **environ: str) -> Client:
    arguments = ["-m", "sidecar", "mcp", "--url", url, *map(str, more)]
    return Client(StdioServerParameters(command=sys.executable, args=arguments, env=OWN | environ), mode=mode)


@asynccontextmanager
async def http_server(url: str, *more: object, **environ: str) -> AsyncIterator[str]:
    """Run the server on a free port; give its URL. It is ended by SIGTERM, and has to end well."""
    arguments = ["-m", "sidecar", "mcp", "--url", url, "--http", "127.0.0.1:0", *map(str, more)]
    pipe = asyncio.subprocess.PIPE
    process = await asyncio.create_subprocess_exec(sys.executable, *arguments, env=OWN | environ, stderr=pipe)
    try:
        async with asyncio.timeout(30):
            line = (await process.stderr.readline()).decode()
        assert "MCP is served at http://127.0.0.1:" in line, line
        yield line.split(" at ")[1].strip()
    finally:
        process.send_signal(signal.SIGTERM)
        async with asyncio.timeout(30):
            await process.wait()


@asynccontextmanager
async def over_http(url: str, mode: str = "auto", **headers: str) -> AsyncIterator[Client]:
    async with (
        httpx2.AsyncClient(headers=headers, timeout=60) as http,
        Client(streamable_http_client(url, http_client=http), mode=mode) as client,
    ):
        yield client


@asynccontextmanager
async def transport(kind: str, url: str, folder: Path, mode: str = "auto") -> AsyncIterator[Client]:
    if kind == "stdio":
        async with over_stdio(url, "--folder", folder, mode=mode) as client:
            yield client
    else:
        async with http_server(url, "--folder", folder) as at, over_http(at, mode) as client:
            yield client


def text_of(result) -> str:
    return "\n".join(part.text for part in result.content)


BOTH = pytest.mark.parametrize("kind", ["stdio", "http"])


@BOTH
@pytest.mark.parametrize("mode", ["auto", "legacy"])  # the protocol of 2026, and the handshake before it
async def test_a_model_sees_what_there_is_and_reads_it(service, shared, kind, mode):
    async with transport(kind, service.url, shared, mode) as client:
        tools = (await client.list_tools()).tools
        assert {tool.name for tool in tools} == {"describe_service", "read_document", "rerank_texts", "embed_texts"}
        assert all(tool.description and tool.output_schema and tool.annotations.read_only_hint for tool in tools)

        described = (await client.call_tool("describe_service", {})).structured_content
        assert (described["status"], described["engine"], described["retrieval_models"]) == ("ok", "tesseract", [])
        assert described["documents"] == ["digital.pdf", "encrypted.pdf", "huge-page.pdf", "sub/รูป.png"]
        assert ".pdf" in described["formats"]

        progress = []

        async def told(done: float, total: float | None, _: str | None) -> None:
            progress.append((done, total))

        whole = await client.call_tool("read_document", {"path": "digital.pdf"}, progress_callback=told)
        assert not whole.is_error
        assert [page["page"] for page in whole.structured_content["pages"]] == [1, 2, 3, 4]
        assert NUMBER in whole.structured_content["pages"][0]["text"]
        assert text_of(whole).startswith("## Page 1 of 4\n\n")
        assert NUMBER in text_of(whole)
        await until(lambda: (4.0, 4.0) in progress)

        some = await client.call_tool("read_document", {"path": "digital.pdf", "pages": "2,4"})
        assert [page["page"] for page in some.structured_content["pages"]] == [2, 4]


async def test_what_a_model_says_of_the_reading_reaches_the_service(service, shared):
    async with over_stdio(service.url, "--folder", shared) as client:
        asked = {"path": "digital.pdf", "pages": "4", "engine": "tesseract"}
        (page,) = (await client.call_tool("read_document", asked)).structured_content["pages"]
        assert (page["page"], page["engine"]) == (4, "tesseract")
        picture = await client.call_tool("read_document", {"path": "sub/รูป.png", "languages": "eng"})
        assert "LCBP3-RFA-2025-5932-7" in text_of(picture)


@pytest.mark.parametrize("kind", first(1, ["stdio", "http"]))
async def test_texts_are_ranked_and_embedded(retrieving, tmp_path, kind):
    async with transport(kind, retrieving.url, tmp_path) as client:
        assert len((await client.call_tool("describe_service", {})).structured_content["retrieval_models"]) == 2
        asked = {"query": "first", "texts": ["one", "two", "ข้อความ"], "top_n": 2}
        ranking = (await client.call_tool("rerank_texts", asked)).structured_content["ranking"]
        assert len(ranking) == 2
        assert ranking[0]["score"] >= ranking[1]["score"]
        (one,) = (await client.call_tool("embed_texts", {"texts": ["one"]})).structured_content["embeddings"]
        assert len(one["dense"]) == 32
        assert one["sparse"]


OUTSIDE = [
    "../secret.pdf",
    "sub/../../secret.pdf",
    "link.pdf",
    "out/secret.pdf",
    "%2e%2e/secret.pdf",
    "..\\secret.pdf",
    "/etc/passwd",
    "{base}/secret.pdf",
    "file://{base}/secret.pdf",
    "digital.pdf\0.png",
    "pipe.pdf",
    "sub",
    "",
    ".",
    "x" * 5000,
]


async def test_nothing_outside_the_folder_can_be_read_and_nothing_is_told_of_it(service, shared):
    async with over_stdio(service.url, "--folder", shared) as client:
        for path in [*OUTSIDE, "absent.pdf", "../absent.pdf"]:
            asked = path.replace("{base}", str(shared.parent))
            result = await client.call_tool("read_document", {"path": asked})
            assert result.is_error, path
            assert "in the folder that is shared" in text_of(result) or "inside the folder" in text_of(result)
            assert str(shared.parent) not in text_of(result)
        inside = await client.call_tool("read_document", {"path": str(shared / "digital.pdf")})
        assert not inside.is_error
        outside = [
            text_of(await client.call_tool("read_document", {"path": f"../{name}.pdf"})) for name in ("secret", "no")
        ]
        assert outside[0] == outside[1], "whether it is there is not told"


async def test_without_a_folder_there_is_no_tool_that_reads(service):
    async with over_stdio(service.url) as client:
        assert "read_document" not in {tool.name for tool in (await client.list_tools()).tools}
        assert (await client.call_tool("describe_service", {})).structured_content["documents"] is None
        assert (await client.call_tool("read_document", {"path": "/etc/passwd"})).is_error


async def test_what_the_service_refuses_is_told_in_its_words(service, shared):
    async with over_stdio(service.url, "--folder", shared) as client:
        for arguments, said in (
            ({"path": "encrypted.pdf"}, "422 document_encrypted"),
            ({"path": "notes.txt"}, "415 unsupported_media_type"),
            ({"path": "huge-page.pdf"}, "413 page_too_large"),
            ({"path": "digital.pdf", "pages": "9-"}, "invalid_value"),
            ({"path": "digital.pdf", "engine": "magic"}, "400 unknown_engine"),
            ({"path": "digital.pdf", "profile": "none"}, "422 unknown_profile"),
        ):
            result = await client.call_tool("read_document", arguments)
            assert result.is_error, arguments
            assert said in text_of(result)
        for name in ("embed_texts", "rerank_texts"):
            result = await client.call_tool(name, {"texts": ["a"], "query": "q"})
            assert "503" in text_of(result)
        assert (await client.call_tool("read_document", {})).is_error


WRONG_ARGUMENTS = [
    ("read_document", {}, "path is missing"),
    ("read_document", {"path": 5}, "path is 5, accepted: text"),
    ("read_document", {"path": "digital.pdf", "pages": [1, 2]}, "pages is [1, 2], accepted: text"),
    ("read_document", {"path": "digital.pdf", "pages": "9"}, "pages asks for page 9, the document has 4"),
    ("read_document", {"path": "digital.pdf", "languages": "xyz"}, "languages asks for 'xyz'"),
    ("rerank_texts", {"query": "q", "texts": ["a"], "top_n": -1}, "top_n is -1, accepted: greater than or equal to 0"),
    ("rerank_texts", {"query": "q", "texts": {"a": 1}}, 'texts is {"a": 1}, accepted: a list'),
    ("rerank_texts", {"query": "q", "texts": ["a", 5]}, "texts.1 is 5, accepted: text"),
    ("rerank_texts", {"query": "q", "texts": ["a", ""]}, "texts.1 is empty"),
    ("rerank_texts", {"query": "", "texts": ["a"]}, "query is empty"),
    ("embed_texts", {"texts": []}, "texts is empty"),
    ("rerank_texts", {"query": "q", "texts": ["a"] * 2049}, "texts has 2049 items, the limit is 2048"),
    ("embed_texts", {"texts": ["a"] * 2049}, "texts has 2049 items, the limit is 2048"),
]


async def test_an_argument_is_named_as_its_tool_names_it_and_in_no_library_s_words(retrieving, shared):
    async with over_stdio(retrieving.url, "--folder", shared) as client:
        for name, arguments, said in WRONG_ARGUMENTS:
            result = await client.call_tool(name, arguments)
            assert result.is_error, arguments
            told = text_of(result).removeprefix(f"Error executing tool {name}: ")
            assert told.startswith(said), text_of(result)
            assert not any(word in told for word in ("pydantic", "Input should", "validation error", "chunks"))


async def test_a_service_that_is_not_there_is_told(shared):
    async with over_stdio("http://127.0.0.1:9", "--folder", shared) as client:
        for name, arguments in (("describe_service", {}), ("read_document", {"path": "digital.pdf"})):
            result = await client.call_tool(name, arguments)
            assert result.is_error
            assert "cannot be reached" in text_of(result)


@BOTH
async def test_a_call_that_is_given_up_stops_the_work(service, shared, kind):
    (shared / "long.tiff").write_bytes(as_tiff([picture_of_text(34)] * 12))
    async with transport(kind, service.url, shared) as client:
        call = asyncio.create_task(client.call_tool("read_document", {"path": "long.tiff"}))
        await until(lambda: service.service.api[READER].admission.admitted == 12)
        call.cancel()
        await until(lambda: service.service.api[READER].admission.admitted == 0)
        assert not (await client.call_tool("read_document", {"path": "digital.pdf"})).is_error


# ── keys ──────────────────────────────────────────────────────────────────────────────────────────────────────────


async def test_on_standard_input_the_key_is_the_operator_s(start, shared):
    service = await start(OCR_AUTH_MODE="api-key", OCR_SIDECAR_API_KEY=KEY)
    async with over_stdio(service.url, "--folder", shared, OCR_SIDECAR_API_KEY=KEY) as client:
        assert not (await client.call_tool("read_document", {"path": "digital.pdf"})).is_error
    async with over_stdio(service.url, "--folder", shared, OCR_SIDECAR_API_KEY="another") as client:
        result = await client.call_tool("read_document", {"path": "digital.pdf"})
        assert "401 unauthorized" in text_of(result)
        assert "another" not in text_of(result)


INITIALIZE = {
    "jsonrpc": "2.0",
    "id": 1,
    "method": "initialize",
    "params": {"protocolVersion": "2025-06-18", "capabilities": {}, "clientInfo": {"name": "t", "version": "1"}},
}
ACCEPT = {"Accept": "application/json, text/event-stream"}


async def post(url: str, **headers: str) -> tuple[int, dict[str, str]]:
    async with (
        aiohttp.ClientSession() as session,
        session.post(url, json=INITIALIZE, headers=ACCEPT | headers) as response,
    ):
        return response.status, dict(response.headers)


async def test_over_http_each_caller_brings_a_key_of_the_service(start, shared, tmp_path):
    keys = tmp_path / "keys"
    keys.write_text(f"one: {KEY}\n")
    service = await start(OCR_AUTH_MODE="api-key", OCR_SIDECAR_API_KEY_FILE=str(keys))
    async with http_server(service.url, "--folder", shared, OCR_SIDECAR_API_KEY=KEY) as url:
        for headers in ({"Authorization": f"Bearer {KEY}"}, {"X-API-Key": KEY}):
            async with over_http(url, **headers) as client:
                assert not (await client.call_tool("read_document", {"path": "digital.pdf"})).is_error
        for headers in ({}, {"Authorization": "Bearer another"}, {"Authorization": f"Basic {KEY}"}, {"X-API-Key": "é"}):
            status, answered = await post(url, **headers)
            assert (status, answered["WWW-Authenticate"]) == (401, "Bearer"), headers
        keys.write_text("another-key\n")
        async with asyncio.timeout(20):
            while (await post(url, **{"X-API-Key": KEY}))[0] != 401:  # the service looks once a second
                await asyncio.sleep(0.1)
        assert (await post(url, **{"X-API-Key": "another-key"}))[0] == 200


async def test_over_http_nobody_is_let_in_while_the_service_cannot_be_asked(shared):
    async with http_server("http://127.0.0.1:9", "--folder", shared) as url:
        assert (await post(url, **{"X-API-Key": KEY}))[0] == 503


async def test_a_web_page_cannot_speak_to_a_server_on_this_machine(service, shared):
    """By a name that it let point here, or from its own origin."""
    async with http_server(service.url, "--folder", shared) as url:
        assert (await post(url))[0] == 200
        assert (await post(url, Host="evil.example:80"))[0] in {403, 421}
        assert (await post(url, Origin="http://evil.example"))[0] == 403


# ── the command ───────────────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    ("arguments", "said"),
    first(
        3,
        [
            (["--folder", "/nowhere/at/all"], "there is no folder /nowhere/at/all"),
            (["--http", "8766"], "--http is 8766, accepted is HOST:PORT"),
            (["--http", "192.0.2.1:8766"], "cannot be listened at"),
            (["--http", "127.0.0.1:99999"], "accepted is HOST:PORT"),
        ],
    ),
)
async def test_what_cannot_be_done_is_one_line(arguments, said):
    status, out, err = await run("mcp", *arguments)
    assert (status, out, len(err.splitlines())) == (2, "", 1)
    assert said in err


async def test_standard_output_holds_the_protocol_and_nothing_else(service):
    arguments = ["-m", "sidecar", "mcp", "--url", service.url]
    null, pipe = asyncio.subprocess.DEVNULL, asyncio.subprocess.PIPE
    process = await asyncio.create_subprocess_exec(
        sys.executable, *arguments, env=OWN, stdin=null, stdout=pipe, stderr=pipe
    )
    async with asyncio.timeout(30):
        assert await process.communicate() == (b"", b"")
    assert process.returncode == 0
