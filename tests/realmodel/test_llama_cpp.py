"""The stand-in beside llama.cpp's own server, exchange by exchange; and what only the real one can show."""

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from urllib.parse import urlsplit

import aiohttp
import pytest

from sidecar.engines.servers.chat import ChatTimeouts
from tests.integration.sidecar.model import pages
from tests.integration.sidecar.stages import WEBP, Act, FakeStage, staged_fake
from tests.realmodel.conftest import LARGE, request, running
from tools.fakes.openai import Answer, overflow
from tools.model_server.tiny_model import PROJECTOR

TIMEOUTS = ChatTimeouts(5, 60, 60)
WORDS = {"temperature": 1.0, "seed": 2, "max_tokens": 3}

# ── the stand-in says what the real one says ──────────────────────────────────────────────────────────────────────

CHAT, MODELS, HEALTH = "/chat/completions", "/models", "/../health"
LOGPROBS = {"logprobs": True, "top_logprobs": 2}
USAGE = {"stream_options": {"include_usage": True}}
EXCHANGES = {
    "streamed": (CHAT, request(**WORDS)),
    "streamed with usage": (CHAT, request(**WORDS, **USAGE)),
    "streamed with logprobs": (CHAT, request(**WORDS, **LOGPROBS)),
    "whole": (CHAT, request(**WORDS) | {"stream": False}),
    "whole with logprobs": (CHAT, request(**WORDS, **LOGPROBS) | {"stream": False}),
    "another model": (CHAT, request(**WORDS) | {"model": "other"}),
    "a field that nobody knows": (CHAT, request(**WORDS, frobnicate=5)),
    "an overflow": (CHAT, request(text="word " * 4000)),
    "a picture that it cannot read": (CHAT, request(WEBP, "webp")),
    "the models": (MODELS, None),
    "the health": (HEALTH, None),
    "a path that it does not have": ("/nothing", None),
}
ONLY_REAL = ("timings", "models", "data[].aliases", "data[].tags", "data[].meta")
"""Fields that the stand-in leaves out: nothing reads them."""


def paths(value: object, at: str = "") -> set[str]:
    """Name the fields of an answer, wherever they stand; null is told apart."""
    match value:
        case dict():
            inner = [paths(one, f"{at}.{name}".lstrip(".")) for name, one in value.items()]
            return set().union(*inner) if inner else {at}
        case list():
            return set().union(*(paths(one, f"{at}[]") for one in value)) if value else {f"{at}[]"}
        case None:
            return {f"{at} null"}
    return {at}


def known(form: set[str]) -> set[str]:
    return {path for path in form if not path.startswith(ONLY_REAL)}


async def exchange(url: str, path: str, body: object, **headers: str) -> tuple[object, ...]:
    """Give an answer's status, type and form: the fields of each of its events, equal ones in a row once."""
    method = "GET" if body is None else "POST"
    where = f"{url.removesuffix('/v1')}{path.removeprefix('/..')}" if path.startswith("/..") else url + path
    async with (
        aiohttp.ClientSession(headers=headers) as session,
        session.request(method, where, json=body) as answer,
    ):
        raw = await answer.read()
        kind, is_kept = answer.content_type, "Keep-Alive" in answer.headers
    if kind != "text/event-stream":
        return answer.status, kind, [known(paths(json.loads(raw)))]
    events = [line.removeprefix(b"data: ") for line in raw.split(b"\n") if line.strip()]
    forms = [{event.decode()} if event == b"[DONE]" else known(paths(json.loads(event))) for event in events]
    return answer.status, kind, is_kept, [form for at, form in enumerate(forms) if not at or form != forms[at - 1]]


@pytest.fixture
async def stand_in() -> AsyncIterator[FakeStage]:
    async with staged_fake("llama.cpp")() as one:
        one.fake.script(lambda _: Answer("a b c", done_reason="length"))
        yield one


@pytest.mark.parametrize("name", EXCHANGES)
async def test_the_stand_in_answers_as_the_real_one_does(seeing, stand_in, name):
    path, body = EXCHANGES[name]
    if name == "an overflow":
        stand_in.fake.script([overflow(9120, 8192)])
    assert await exchange(stand_in.url, path, body) == await exchange(seeing.url, path, body)


async def refusal(url: str, body: object, **headers: str) -> tuple[int, object]:
    async with (
        aiohttp.ClientSession(headers=headers) as session,
        session.post(url + CHAT, json=body) as answer,
    ):
        return answer.status, await answer.json()


@pytest.mark.parametrize("traits", [{"has_vision": False}, {"key": "sesame"}], ids=["no projector", "no key"])
async def test_the_stand_in_refuses_in_the_real_one_s_words(staged, traits):
    async with staged(**traits) as real, staged_fake("llama.cpp")(**traits) as fake:
        assert await refusal(fake.url, request()) == await refusal(real.url, request())


async def test_the_stand_in_says_in_the_real_one_s_words_that_a_page_does_not_fit(seeing, stand_in):
    status, said = await refusal(seeing.url, request(text="word " * 4000))
    stand_in.fake.script([overflow(said["error"]["n_prompt_tokens"], said["error"]["n_ctx"])])
    assert await refusal(stand_in.url, request(text="word " * 4000)) == (status, said)


async def test_the_stand_in_loads_as_the_real_one_does(staged):
    async with staged(is_loading=True) as real, staged_fake("llama.cpp")(is_loading=True) as fake:
        for _ in range(1000):
            try:
                loading = await refusal(real.url, request())
                break
            except aiohttp.ClientConnectionError:
                await asyncio.sleep(0.005)
        assert await refusal(fake.url, request()) == loading


async def streamed_until_its_end(url: str) -> bytes:
    """Ask for a stream over a connection that is to be kept; give all that comes until the server closes it."""
    parts = urlsplit(url)
    reader, writer = await asyncio.open_connection(parts.hostname, parts.port)
    body = json.dumps(request(**WORDS)).encode()
    head = f"POST /v1{CHAT} HTTP/1.1\r\nHost: a\r\nConnection: keep-alive\r\nContent-Length: {len(body)}\r\n\r\n"
    writer.write(head.encode() + body)
    async with asyncio.timeout(60):
        said = await reader.read(-1)
    writer.close()
    return said


async def test_both_close_the_connection_of_a_stream_that_they_announced_to_keep(seeing, stand_in):
    for url in (seeing.url, stand_in.url):
        said = await streamed_until_its_end(url)
        assert b"Keep-Alive: timeout" in said
        assert said.endswith(b"data: [DONE]\n\n\r\n0\r\n\r\n")


# ── what only the real one can show ───────────────────────────────────────────────────────────────────────────────


@asynccontextmanager
async def two_calls(stage) -> AsyncIterator[list[asyncio.Task]]:
    """Two slots: two calls that never end."""
    async with stage.client() as client:
        calls = [asyncio.create_task(client.chat(stage.request(Act.ENDLESS), TIMEOUTS)) for _ in range(2)]
        await stage.until_calls(2)
        yield calls


async def test_callers_that_leave_free_their_slots_at_once(shared_stage, record_property):
    async with two_calls(shared_stage) as calls:
        for call in calls:
            call.cancel()
        await asyncio.wait(calls)
        freed_s = await shared_stage.until_calls(0)
    record_property("seconds until two slots were free", round(freed_s, 2))
    assert freed_s < 5


async def test_two_real_servers_share_the_pages(start, seeing, model, shared_stage):
    with running(model, "--mmproj", str(model / PROJECTOR)) as second:
        both = shared_stage.environment | {"OCR_MODEL_URL": f"{seeing.url},{second.url}"}
        service = await start(OCR_LANGUAGES="eng", OCR_PARALLEL_PAGES="1", **both)
        before = [_calls(model, one) for one in (seeing, second)]
        await service.upload(pages(4), engine="np-dms-ocr", temperature="1", maxTokens="200")
        after = [_calls(model, one) for one in (seeing, second)]
        assert all(later > earlier for earlier, later in zip(before, after, strict=True))


def _calls(model, server) -> int:
    return (model / f"log-{server.port}").read_bytes().count(b"launch_slot")


async def test_a_large_page_is_seen(shared_stage):
    """An A4 page at 1800 pixels, as the service draws it."""
    async with shared_stage.client() as client:
        stream = await client.chat(request(LARGE, max_tokens=2, temperature=1.0, seed=3), TIMEOUTS)
    assert stream.done_reason in ("stop", "length")
