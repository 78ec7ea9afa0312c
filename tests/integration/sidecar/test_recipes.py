"""The recipes of docs/integrations.md that are no Python library's: a stand-in does what the other program would do.

The stand-ins are written after what the programs send; those for Python libraries run with the libraries themselves
(`make test-clients`).
"""

import asyncio
import base64
import json
import os
import re
import sys
from urllib.parse import urljoin

import aiohttp
import pytest
import yaml
from aiohttp import web

from tests.conftest import Running, Start
from tests.integration.sidecar.retrieving import Models, loaded
from tests.unit.test_docs import ROOT
from tools.clients.recipes import PAGE, code_of

KEY = "k" * 40
WRITTEN = "http://ocr-sidecar:8765"
"""How the recipes call the service."""
NUMBER = "LCBP3-RFA-2025-9613-0"
"""Stands on the first page of digital.pdf."""
TEXTS = ["one", "two", "ข้อความ"]


@pytest.fixture
async def keyed(start: Start, models: Models) -> Running:
    """A service with both models that wants a key, as the recipes say."""
    return await loaded(await start(**models.environment, OCR_AUTH_MODE="api-key", OCR_SIDECAR_API_KEY=KEY))


async def send(method: str, url: str, **more: object) -> dict:
    async with aiohttp.ClientSession() as session, session.request(method, url, **more) as response:
        assert response.status == 200, await response.text()
        return await response.json()


def form(parts: dict[str, bytes | str]) -> aiohttp.FormData:
    data = aiohttp.FormData()
    for name, value in parts.items():
        data.add_field(name, value, filename="scan.pdf" if isinstance(value, bytes) else None)
    return data


async def test_n8n_reads_a_file_of_the_node_before(keyed, data):
    node = json.loads(code_of("n8n", "json"))
    asked = node["parameters"]
    binary = {"data": (data / "digital.pdf").read_bytes()}
    parts = {
        one["name"]: binary[one["inputDataFieldName"]] if one["parameterType"] == "formBinaryData" else one["value"]
        for one in asked["bodyParameters"]["parameters"]
    }
    assert (asked["contentType"], asked["genericAuthType"]) == ("multipart-form-data", "httpHeaderAuth")

    answer = await send(
        asked["method"],
        asked["url"].replace(WRITTEN, keyed.url),
        data=form(parts),
        headers={"X-API-Key": KEY},  # the credential that the text describes
        timeout=aiohttp.ClientTimeout(asked["options"]["timeout"] / 1000),
    )
    assert NUMBER in answer["text"]
    assert answer["ignoredFields"] == []


async def test_dify_reads_a_file_of_the_start_node(keyed, data):
    node = yaml.safe_load(code_of("dify", "yaml"))
    variables = {("start", "document"): (data / "digital.pdf").read_bytes()}
    config = node["authorization"]["config"]
    assert (node["type"], node["body"]["type"], config["type"]) == ("http-request", "form-data", "custom")
    parts = {
        one["key"]: variables[tuple(one["file"])] if one["type"] == "file" else one["value"]
        for one in node["body"]["data"]
    }

    answer = await send(
        node["method"],
        node["url"].replace(WRITTEN, keyed.url),
        data=form(parts),
        headers={config["header"]: config["api_key"].replace("{{#env.OCR_SIDECAR_API_KEY#}}", KEY)},
        timeout=aiohttp.ClientTimeout(sock_connect=node["timeout"]["connect"], sock_read=node["timeout"]["read"]),
    )
    assert NUMBER in answer["text"]
    assert answer["ignoredFields"] == []


def base_url_of(name: str) -> str:
    """The base URL that a recipe's text gives for models."""
    section = PAGE.read_text(encoding="utf-8").partition(f"\n## {name}\n")[2].partition("\n## ")[0]
    return re.search(rf"`({WRITTEN}/v1)`", section)[1]


async def embed(url: str) -> None:
    body = {"model": "BAAI/bge-m3", "input": TEXTS, "encoding_format": "float"}
    found = (await send("POST", url, json=body, headers={"Authorization": f"Bearer {KEY}"}))["data"]
    assert [len(one["embedding"]) for one in sorted(found, key=lambda one: one["index"])] == [32] * 3


async def rerank(url: str) -> None:
    body = {"model": "any", "query": "one", "documents": TEXTS, "top_n": len(TEXTS)}
    found = (await send("POST", url, json=body, headers={"Authorization": f"Bearer {KEY}"}))["results"]
    assert sorted(one["index"] for one in found) == [0, 1, 2]
    assert all(0 <= one["relevance_score"] <= 1 for one in found)


@pytest.mark.parametrize("name", ["dify", "RAGFlow"])
async def test_models_are_found_below_the_base_url_that_a_recipe_gives(keyed, name):
    base = base_url_of(name).replace(WRITTEN, keyed.url)
    await embed(f"{base}/embeddings")
    for url in {f"{base}/rerank", urljoin(base, "/rerank")} if name == "RAGFlow" else {f"{base}/rerank"}:
        await rerank(url)


async def test_ragflow_reads_by_docling_s_api_without_a_key(service, data):
    settings = dict(line.split("=", 1) for line in code_of("RAGFlow", "sh").splitlines())
    url = settings["DOCLING_SERVER_URL"].replace(WRITTEN, service.url)
    async with service.client.head(f"{url}/openapi.json") as response:  # how it finds out whether the server is there
        assert response.status == 200
    file = {"kind": "file", "filename": "scan.pdf"}
    file["base64_string"] = base64.b64encode((data / "digital.pdf").read_bytes()).decode()
    chunking = {"do_chunking": True, "chunking_options": {"max_tokens": 512, "overlap": 50}}
    options = {"from_formats": ["pdf"], "to_formats": ["json", "md", "text"], "page_range": [1, 2]} | chunking
    answer = await send("POST", f"{url}/v1/convert/source", json={"options": options, "sources": [file]})
    document = answer["document"]
    assert NUMBER in document["md_content"]
    assert document["json_content"]["body"]["children"], "what it walks through"
    assert any(NUMBER in one["text"] for one in document["json_content"]["texts"])


async def test_open_webui_reads_embeds_and_reranks(keyed, data):
    lines = code_of("Open WebUI", "sh").replace(WRITTEN, keyed.url).replace("the-key", KEY).splitlines()
    settings = dict(line.split("=", 1) for line in lines)
    keys = ("RAG_OPENAI_API_KEY", "RAG_EXTERNAL_RERANKER_API_KEY", "EXTERNAL_DOCUMENT_LOADER_API_KEY")
    assert {settings[name] for name in keys} == {KEY}
    pages = await send(
        "PUT",
        f"{settings['EXTERNAL_DOCUMENT_LOADER_URL']}/process",
        data=(data / "digital.pdf").read_bytes(),
        headers={
            "Authorization": f"Bearer {settings['EXTERNAL_DOCUMENT_LOADER_API_KEY']}",
            "Content-Type": "application/pdf",
            "X-Filename": "scan.pdf",
        },
        timeout=aiohttp.ClientTimeout(float(settings["EXTERNAL_DOCUMENT_LOADER_TIMEOUT"])),
    )
    assert NUMBER in pages[0]["page_content"]
    await embed(f"{settings['RAG_OPENAI_API_BASE_URL']}/embeddings")
    await rerank(settings["RAG_EXTERNAL_RERANKER_URL"])


# ── paperless-ngx ─────────────────────────────────────────────────────────────────────────────────────────────────


@pytest.fixture
async def paperless(aiohttp_server):
    """Its API, as far as the script calls it; ``changed`` holds what was asked of it."""

    async def patch(request: web.Request) -> web.Response:
        request.app[CHANGED].append((request.path, request.headers["Authorization"], await request.json()))
        return web.json_response({})

    app = web.Application()
    app[CHANGED] = []
    app.router.add_patch("/api/documents/{id}/", patch)
    return await aiohttp_server(app)


CHANGED = web.AppKey("changed", list)


async def consume(url: str, paperless, document, script) -> tuple[int, str]:
    """Run the script as paperless does after a document."""
    own = {name: value for name, value in os.environ.items() if not name.startswith("OCR_")}
    environ = {
        "DOCUMENT_ID": "7",
        "DOCUMENT_SOURCE_PATH": str(document),
        "SIDECAR_URL": url,
        "OCR_SIDECAR_API_KEY": KEY,
        "PAPERLESS_API": str(paperless.make_url("")).rstrip("/"),
        "PAPERLESS_TOKEN": "token",
        "PYTHONPATH": str(ROOT),
    }
    script.write_text(code_of("paperless-ngx"))
    process = await asyncio.create_subprocess_exec(
        sys.executable, script, env=own | environ, stderr=asyncio.subprocess.PIPE
    )
    async with asyncio.timeout(60):
        _, told = await process.communicate()
    return process.returncode, told.decode()


async def test_paperless_gets_our_text_after_each_document(keyed, paperless, data, tmp_path):
    assert await consume(keyed.url, paperless, data / "digital.pdf", tmp_path / "script.py") == (0, "")
    ((path, authorization, sent),) = paperless.app[CHANGED]
    assert (path, authorization, sent.keys()) == ("/api/documents/7/", "Token token", {"content"})
    assert NUMBER in sent["content"]


async def test_paperless_keeps_its_text_where_a_document_cannot_be_read(keyed, paperless, data, tmp_path):
    status, told = await consume(keyed.url, paperless, data / "encrypted.pdf", tmp_path / "script.py")
    assert (status, paperless.app[CHANGED]) == (1, [])
    assert "422 document_encrypted" in told
    assert "Traceback" not in told
