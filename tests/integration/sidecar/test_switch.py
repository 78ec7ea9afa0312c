"""docs/switch.md, tried: what the backend in production sends, with the settings of the service that it calls today.

The requests are those of production, field by field and in its order; once sent by Node's own FormData, and as the
bytes that Node's fetch and its axios were recorded to send, for machines without Node.
"""

import asyncio
import configparser
import json
import os
import re
import shlex
import shutil
import subprocess

import aiohttp
import pytest

from sidecar.settings import SettingsError, environment_names, parse_settings
from tests.conftest import DATA
from tests.integration.controller.mariadb import mariadb, mariadb_server  # noqa: F401 - fixtures
from tests.integration.host.compose_file import command, load
from tests.integration.host.processes import Host
from tests.integration.sidecar.retrieving import loaded, post
from tests.unit.test_docs import ROOT, rows

PAGE = ROOT / "docs" / "switch.md"
TEXT = PAGE.read_text(encoding="utf-8")
NODE_SCRIPT = ROOT / "tests" / "integration" / "sidecar" / "old_backend.mjs"
KEPT = {"text": str, "ocrUsed": bool, "pageCount": int, "charCount": int, "engineUsed": str}
PARAMETERS = {"temperature": 0.1, "top_p": 0.5, "repeat_penalty": 1.0, "max_tokens": 16000}
PROMPT = "อ่านเอกสารนี้\nตอบเป็น Markdown"
WHOLE = [
    ("engine", "np-dms-ocr"),
    ("systemPrompt", PROMPT),
    ("userPrompt", "อ่านหน้านี้\nทุกบรรทัด\n"),
    ("dmsTags", '{"documentNumber":true,"documentDate":""}'),
    ("runtimeParams", json.dumps(PARAMETERS, separators=(",", ":"))),
    ("temperature", "0.1"),
    ("topP", "0.5"),
    ("repeatPenalty", "1"),
]
BOUNDARIES = {
    "fetch": "----formdata-undici-078585382987",
    "axios": "axios-1.19.0-boundary-CDRZ_o2SHsf9u6Kcyz2hOOtuB",
}
"""As Node 20's fetch and axios write a FormData, which differ in this alone."""
Fields = list[tuple[str, str]]


def block(language: str) -> str:
    """The one block of the page in this language, without its indentation."""
    ((indent, text),) = re.findall(rf"^( *)```{language}\n(.*?)^\1```", TEXT, re.DOTALL | re.MULTILINE)
    return text.replace(f"\n{indent}", "\n").removeprefix(indent)


def dot_env() -> dict[str, str]:
    """What the page has an operator write into .env."""
    return dict(line.split("=", 1) for line in block("ini").splitlines())


# ── the requests ──────────────────────────────────────────────────────────────────────────────────────────────────


def recorded(boundary: str, document: bytes, fields: Fields) -> bytes:
    """A form as Node writes it: the file first, and line ends of texts as CR LF."""
    head = 'Content-Disposition: form-data; name="file"; filename="upload.pdf"\r\nContent-Type: application/pdf\r\n\r\n'
    parts = [head.encode() + document]
    for name, value in fields:
        text = re.sub(r"\r?\n", "\r\n", value)
        parts.append(f'Content-Disposition: form-data; name="{name}"\r\n\r\n{text}'.encode())
    return b"".join(f"--{boundary}\r\n".encode() + part + b"\r\n" for part in parts) + f"--{boundary}--\r\n".encode()


async def send_recorded(form: str, url: str, document: bytes, fields: Fields) -> tuple[int, dict]:
    boundary = BOUNDARIES[form]
    headers = {
        "Content-Type": f"multipart/form-data; boundary={boundary}",
        "Accept": "application/json, text/plain, */*",
        "Accept-Encoding": "gzip, compress, deflate, br",
    }
    async with (
        aiohttp.ClientSession() as client,
        client.post(url, data=recorded(boundary, document, fields), headers=headers) as answer,
    ):
        return answer.status, await answer.json()


async def send_with_node(url: str, document: bytes, fields: Fields, tmp_path) -> tuple[int, dict]:
    path = tmp_path / "document"
    path.write_bytes(document)
    process = await asyncio.create_subprocess_exec(
        "node", NODE_SCRIPT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, env={"PATH": os.environ["PATH"]}
    )
    async with asyncio.timeout(60):
        output, _ = await process.communicate(json.dumps([url, str(path), fields]).encode() + b"\n")
    status, body = json.loads(output)
    return status, body


@pytest.fixture(params=["node", *BOUNDARIES])
def send(request, tmp_path):
    """Sends a document and fields; gives status and parsed answer."""
    if request.param == "node" and shutil.which("node") is None:
        pytest.skip("there is no Node")

    async def _send(url: str, document: bytes, fields: Fields) -> tuple[int, dict]:
        if request.param == "node":
            return await send_with_node(f"{url}/ocr-upload", document, fields, tmp_path)
        return await send_recorded(request.param, f"{url}/ocr-upload", document, fields)

    return _send


@pytest.fixture
async def switched(govern, tmp_path):
    """A service with what the page has an operator write into .env; its Ollama is the fake."""
    told = {name: value for name, value in dot_env().items() if name in environment_names()}
    told["OCR_STATE_DIR"] = str(tmp_path / "state")  # as compose.yaml sets it
    return await govern(**{name: value for name, value in told.items() if name != "OLLAMA_API_URL"})


SCAN = (DATA / "scan-thai-english.pdf").read_bytes()
DIGITAL = (DATA / "digital.pdf").read_bytes()


def check_kept(body: dict) -> None:
    assert {name: type(body[name]) for name in KEPT} == KEPT
    assert body["charCount"] == len(body["text"])


async def test_what_the_backend_sends_first_is_read_as_before(send, switched):
    status, body = await send(switched.service.url, SCAN, WHOLE)
    assert status == 200, body
    check_kept(body)
    assert (body["engineUsed"], body["ocrUsed"], body["ignoredFields"]) == ("np-dms-ocr", True, [])
    (options,) = [json.loads(one) for one in {json.dumps(one, sort_keys=True) for one in switched.options}]
    assert options == {"temperature": 0.1, "top_p": 0.5, "repeat_penalty": 1.0, "num_predict": 16000}
    assert {one.split("\nAdditionally:")[0] for one in switched.system_prompts} == {PROMPT}
    assert all("<documentNumber>" in one for one in switched.system_prompts)
    assert set(switched.user_prompts) == {"อ่านหน้านี้\nทุกบรรทัด"}, "CR LF is LF, and the last one is gone"
    assert all("keep_alive" in call.body for call in switched.fake.chats)


async def test_the_migration_reads_three_pages(send, switched):
    status, body = await send(switched.service.url, DIGITAL, [*WHOLE, ("maxPages", "3")])
    assert (status, body["pageCount"], body["documentPageCount"]) == (200, 3, 4)


async def test_what_it_sends_when_all_else_has_failed_comes_from_the_text_layer(send, switched):
    status, body = await send(switched.service.url, DIGITAL, [("engine", "auto")])
    assert status == 200, body
    check_kept(body)
    assert (body["engineUsed"], body["ocrUsed"], body["pageCount"]) == ("fast-path", False, 4)
    assert switched.fake.chats == []


@pytest.mark.parametrize(
    ("document", "fields", "status"),
    [
        (SCAN, [("engine", "auto"), ("keep_alive", "0")], 400),
        (SCAN, [("engine", "np-dms-ocr"), ("systemPrompt", "  ")], 400),
        (SCAN, [("engine", "np-dms-ocr"), ("systemPrompt", "a" * 10_001)], 400),
        (SCAN, [("engine", "np-dms-ocr"), ("runtimeParams", "{")], 400),
        (SCAN, [("engine", "np-dms-ocr"), ("dmsTags", "{")], 400),
        (b"no document", [("engine", "auto")], 415),
        (b"%PDF-1.7 broken", [("engine", "auto")], 422),
    ],
)
async def test_what_was_refused_is_refused_with_the_same_status(send, switched, document, fields, status):
    found, body = await send(switched.service.url, document, fields)
    assert (found, isinstance(body["detail"], str)) == (status, True)


async def test_embed_rerank_and_health_have_the_fields_that_the_backend_reads(start, models):
    running = await loaded(await start(**models.environment))
    status, body = await post(running, "/embed", {"text": "ขออนุมัติแบบก่อสร้าง"})
    assert (status, len(body["sparse"]["indices"])) == (200, len(body["sparse"]["values"]))
    assert (body["device"], {type(one) for one in body["dense"]}) == ("cpu", {float})
    status, body = await post(running, "/rerank", {"query": "แบบ", "chunks": ["ก", "ข"]})
    assert (status, len(body["scores"]), sorted(body["ranked_indices"])) == (200, 2, [0, 1])
    async with running.client.get(f"{running.url}/health") as answer:
        health = await answer.json()
    assert health.keys() >= {"status", "engine", "ocrModel", "ollamaUrl"}
    assert (health["status"], health["engine"]) == ("ok", "np-dms-ocr")


async def test_the_models_leave_and_come_back_as_the_backend_and_its_admin_page_ask(start, models):
    running = await loaded(
        await start(**models.environment, BGE_KEEP_ALIVE_SECONDS=dot_env()["BGE_KEEP_ALIVE_SECONDS"])
    )

    async def ask(method: str, action: str) -> dict:
        async with running.client.request(method, f"{running.url}/bge/{action}") as answer:
            assert answer.status == 200, await answer.text()
            return await answer.json()

    there, away = ({"bgeLoaded": one, "rerankerLoaded": one} for one in (True, False))
    assert (await ask("GET", "status")).items() >= (there | {"keepAliveSeconds": 300}).items()
    assert await ask("POST", "unload") == {"status": "unloaded"} | away
    assert await ask("POST", "unload") == {"status": "unloaded"} | away
    status = await ask("GET", "status")
    assert status.keys() == {"bgeLoaded", "rerankerLoaded", "keepAliveSeconds", "idleSeconds", "autoUnloadIn"}
    assert status.items() >= away.items()
    assert await ask("POST", "load") == {"status": "loaded"} | there
    await ask("POST", "unload")
    assert (await post(running, "/embed", {"text": "ขออนุมัติ"}))[0] == 200, "the first call afterwards waits"


# ── variable by variable ──────────────────────────────────────────────────────────────────────────────────────────

VARIABLES = rows(PAGE, "## Variable by variable")


@pytest.mark.parametrize(("name", "value", "said"), VARIABLES, ids=[row[0] for row in VARIABLES])
def test_a_variable_is_kept_ignored_or_refused_as_the_page_says(name, value, said):
    written = value if re.fullmatch(r"[\w.:/+-]+", value) and value != "empty" else value.split(",")[0].strip()
    told = {"OCR_AUTH_MODE": "api-key", name: "" if value == "empty" else written}
    if said.startswith("Kept"):
        assert name in environment_names()
        parse_settings(told)
    elif "refuses it" in said:
        with pytest.raises(SettingsError, match=name):
            parse_settings(told)
    else:
        assert "It is ignored" in said
        assert parse_settings(told) == parse_settings({"OCR_AUTH_MODE": "api-key"})


def test_the_file_that_the_page_writes_holds_the_old_values():
    told = dot_env()
    before = {name: "" if value == "empty" else value for name, value, _ in VARIABLES}
    assert {name: value for name, value in told.items() if name in before} == {
        name: before[name] for name in told if name in before
    }
    own = {name for name in told if name not in before}
    assert own == {"RETRIEVAL_MAX_TOKENS", "OCR_ON_PRESSURE", "SHARED_NETWORK", "SHARED_NETWORK_EXTERNAL"}
    network = load(told)["networks"]["default"]
    assert network == {"name": "lcbp3", "external": "true"}
    assert load(told)["services"]["ocr-sidecar"]["environment"]["BGE_KEEP_ALIVE_SECONDS"] == "300"
    parse_settings(load(told)["services"]["ocr-sidecar"]["environment"] | {"OCR_ON_PRESSURE": told["OCR_ON_PRESSURE"]})
    parser = configparser.ConfigParser(interpolation=None)
    parser.optionxform = str
    parser.read_string("[env]\n" + block("ini"))
    assert dict(parser["env"]) == told, "each line once"


# ── the page's own commands ───────────────────────────────────────────────────────────────────────────────────────

COMMANDS = [line.strip() for line in re.findall(r"^ *(curl .+)$", TEXT, re.MULTILINE)]


@pytest.mark.parametrize("line", COMMANDS)
async def test_a_command_of_the_page_works(line, switched, tmp_path):
    if shutil.which("curl") is None:
        pytest.skip("there is no curl")
    line = line.replace("http://127.0.0.1:8765", switched.service.url)
    line = line.replace("http://127.0.0.1:9090", switched.service.ops)
    process = await asyncio.create_subprocess_exec(
        *shlex.split(line), stdout=subprocess.PIPE, stderr=subprocess.PIPE, cwd=ROOT
    )
    async with asyncio.timeout(60):
        output, said = await process.communicate()
    assert process.returncode == 0, said
    json.loads(output)


def test_there_are_commands_to_try():
    assert len(COMMANDS) == 5


async def test_the_user_that_the_page_makes_suffices_for_the_mirror(mariadb, tmp_path):  # noqa: F811 - the fixture
    mariadb.execute("DROP USER IF EXISTS 'ocr_mirror'@'%'")
    for statement in filter(str.strip, block("sql").split(";")):
        mariadb.execute(statement.replace("lcbp3.", "dms."))
    (wanted,) = re.findall(r"docker compose run .* ocr-mirror (mirror .*)", TEXT)
    url = re.search(r"DATABASE_URL=(\S+?)'", TEXT)[1].replace("mariadb:3306/lcbp3", f"127.0.0.1:{mariadb.port}/dms")
    (tmp_path / "profiles").mkdir()
    async with Host(tmp_path) as host:
        arguments = [*command("ocr-mirror", {"command": []}), *wanted.split()]
        assert await host.run([host.here(one, ["/profiles"]) for one in arguments], {"DATABASE_URL": url}) == 0
        assert not list((tmp_path / "profiles").glob("*.json")), "a dry run"
        assert await host.run([host.here(one, ["/profiles"]) for one in arguments[:-1]], {"DATABASE_URL": url}) == 0
    assert [path.name for path in (tmp_path / "profiles").glob("*.json")] == ["ocr-extract.json"]


def test_what_it_has_compose_run_is_what_the_file_has():
    services = load()["services"]
    named = re.findall(r"docker compose run --rm --no-deps (\S+)", TEXT)
    assert named == ["ocr-sidecar", "ocr-mirror"]
    assert set(named) <= services.keys()
