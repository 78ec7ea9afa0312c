"""The client and the engine with a real llama.cpp's server, whose model writes words of no sense."""

import asyncio
import base64
import json
import time
from contextlib import asynccontextmanager

import aiohttp
import pytest

from sidecar.engines.servers.chat import ChatTimeouts
from sidecar.engines.servers.openai import OpenAIServer
from sidecar.engines.servers.openai_request import ServerKind
from sidecar.errors import EngineRefusedError, EngineUnavailableError
from tests.conftest import until
from tests.integration.sidecar.documents import as_png, picture_of_text
from tests.integration.sidecar.model import PAGE, pages, publish
from tests.realmodel.conftest import running
from tools.fakes.openai import Answer, FakeOpenAI, Kind, overflow
from tools.model_server.tiny_model import PROJECTOR

TIMEOUTS = ChatTimeouts(5, 60, 60)
WORDS = {"temperature": 1.0, "seed": 2}
"""The model ends after some words."""


def request(picture: bytes = PAGE, kind: str = "png", text: str = "Read it.", **parameters: object):
    url = f"data:image/{kind};base64,{base64.b64encode(picture).decode()}"
    parts = [{"type": "image_url", "image_url": {"url": url}}, {"type": "text", "text": text}]
    return {"model": "any", "messages": [{"role": "user", "content": parts}], "stream": True} | parameters


@asynccontextmanager
async def client(url: str):
    one = OpenAIServer(url, 5)
    async with one.open():
        yield one


# ── the client ────────────────────────────────────────────────────────────────────────────────────────────────────


async def test_it_is_known_by_its_list_and_answers_to_any_name(seeing):
    async with client(seeing.url) as model:
        installed = await model.installed()
        assert (model.kind, len(installed)) == (ServerKind.LLAMA_CPP, 1)
        assert model.missing("np-dms-ocr:latest", installed) is None


async def test_a_page_is_read_again_and_again(seeing):
    """Each time over a new connection: the server closes the one that it announced to keep."""
    async with client(seeing.url) as model:
        for _ in range(3):
            stream = await model.chat(request(**WORDS), TIMEOUTS)
            assert (stream.done_reason, stream.error) == ("stop", None)
            assert stream.content.strip()


async def test_out_of_tokens_is_length(seeing):
    async with client(seeing.url) as model:
        stream = await model.chat(request(temperature=1.0, seed=2, max_tokens=3), TIMEOUTS)
    assert (stream.done_reason, len(stream.content)) == ("length", 3)


async def test_a_model_that_repeats_itself_is_left(seeing):
    async with client(seeing.url) as model:
        stream = await model.chat(request(temperature=0), TIMEOUTS)
    assert (stream.done_reason, stream.error) == ("loop", None)


async def test_an_overflow_of_the_context_refuses_the_page_and_tells_the_tokens(seeing):
    async with client(seeing.url) as model:
        with pytest.raises(EngineRefusedError, match=r"take \d{4,} tokens"):
            await model.chat(request(text="word " * 4000), TIMEOUTS)
        assert (await model.chat(request(**WORDS), TIMEOUTS)).done_reason == "stop"


async def test_webp_is_refused_and_png_is_not(seeing):
    webp = b"RIFF\x1a\x00\x00\x00WEBPVP8L\x0d\x00\x00\x00\x2f\x00\x00\x00\x10\x07\x10\x11\x11\x88\x88\xfe\x07\x00"
    async with client(seeing.url) as model:
        with pytest.raises(EngineRefusedError):
            await model.chat(request(webp, "webp"), TIMEOUTS)


async def test_without_a_projector_the_page_is_refused_and_the_server_is_well(model):
    with running(model) as blind:
        async with client(blind.url) as one:
            with pytest.raises(EngineRefusedError, match="takes no pictures"):
                await one.chat(request(), TIMEOUTS)
            await one.installed()


async def test_a_server_that_is_killed_is_lost_and_found_again(model):
    with running(model, "--mmproj", str(model / PROJECTOR)) as server:
        async with client(server.url) as one:
            chat = asyncio.create_task(one.chat(request(temperature=1.0, logit_bias=[["<|im_end|>", False]]), TIMEOUTS))
            await until(lambda: (model / f"log-{server.port}").read_bytes().count(b"launch_slot") > 0)
            server.kill()
            result = (await asyncio.gather(chat, return_exceptions=True))[0]
            error = result if isinstance(result, Exception) else result.error
            assert error.is_lost
            with pytest.raises(EngineUnavailableError):
                await one.installed()
            with running(model, "--mmproj", str(model / PROJECTOR), port=server.port):
                assert (await one.chat(request(**WORDS), TIMEOUTS)).done_reason == "stop"


async def test_a_caller_that_leaves_frees_the_slot(seeing):
    """Two slots: two calls that never end are left, and the next one is answered at once."""
    endless = request(temperature=1.0, logit_bias=[["<|im_end|>", False]], max_tokens=8000)
    async with client(seeing.url) as model:
        chats = [asyncio.create_task(model.chat(endless, TIMEOUTS)) for _ in range(2)]
        await asyncio.wait(chats, timeout=0.5)
        for chat in chats:
            chat.cancel()
        await asyncio.wait(chats)
        started_s = time.monotonic()
        assert (await model.chat(request(max_tokens=2), TIMEOUTS)).done_reason == "length"
        assert time.monotonic() - started_s < 5


# ── the stand-in says what the real one says ──────────────────────────────────────────────────────────────────────


async def events_of(url: str, body: dict) -> list[str]:
    """The forms of a stream's events, in order, equal ones once: what is null, what is empty, what is there."""
    async with aiohttp.ClientSession() as session, session.post(f"{url}/chat/completions", json=body) as answer:
        lines = [line.strip() async for line in answer.content if line.strip()]
    forms = [_form(line.partition(b":")[2].strip()) for line in lines]
    return [form for at, form in enumerate(forms) if at == 0 or form != forms[at - 1]]


def _form(event: bytes) -> str:
    if event == b"[DONE]":
        return "done"
    choices = json.loads(event)["choices"]
    if not choices:
        return "usage"
    delta, reason = choices[0]["delta"], choices[0]["finish_reason"]
    content = "no content" if "content" not in delta else "null" if delta["content"] is None else "text"
    return f"{content}, {reason}"


async def test_the_stand_in_streams_as_the_real_one_does(seeing):
    asked = request(stream_options={"include_usage": True}, **WORDS)
    async with FakeOpenAI(Kind.LLAMA_CPP) as fake:
        fake.script([Answer("some words")])
        assert await events_of(fake.url, asked) == await events_of(seeing.url, asked)


async def refusal_of(url: str, body: dict) -> tuple[int, dict]:
    async with aiohttp.ClientSession() as session, session.post(f"{url}/chat/completions", json=body) as answer:
        return answer.status, (await answer.json())["error"]


async def test_the_stand_in_refuses_as_the_real_one_does(seeing, model):
    too_long = request(text="word " * 4000)
    status, real = await refusal_of(seeing.url, too_long)
    async with FakeOpenAI(Kind.LLAMA_CPP) as fake:
        fake.script([overflow(real["n_prompt_tokens"], real["n_ctx"])])
        assert await refusal_of(fake.url, too_long) == (status, real)
    with running(model) as blind:
        async with FakeOpenAI(Kind.LLAMA_CPP, has_vision=False) as fake:
            assert await refusal_of(fake.url, request()) == await refusal_of(blind.url, request())


# ── the engine ────────────────────────────────────────────────────────────────────────────────────────────────────


@pytest.fixture
async def service(start, seeing, tmp_path):
    folder = tmp_path / "profiles"
    folder.mkdir()

    async def _start(url: str = seeing.url, **environ: str):
        settings = {"OCR_MODEL_API": "openai", "OCR_MODEL_URL": url, "OCR_PROFILE_DIR": str(folder)}
        small = {"OCR_IMAGE_LONGEST_SIDE": "448"}  # without a GPU a larger one takes seconds to look at
        return await start(**(settings | small | {"OCR_LANGUAGES": "eng"} | environ))

    _start.folder = folder
    return _start


async def read(service, document: bytes = PAGE, **fields: str):
    return await service.upload(document, engine="np-dms-ocr", **fields)


async def test_a_document_is_read_by_it(service):
    running_service = await service(OCR_FALLBACK_ENGINE="none")
    status, body = await read(running_service, pages(6), temperature="1")
    assert (status, body["engineUsed"], body["residency"]["reason"]) == (200, "np-dms-ocr", "not-governed")
    assert body["parameters"] == {"temperature": 1}
    assert any(page["text"] and page["doneReason"] == "stop" for page in body["pages"])


async def test_the_verdicts_are_those_of_any_server(service):
    publish(service.folder, runtimeParams={"temperature": 0, "repeat_penalty": 1.0})
    running_service = await service()
    _, looped = await read(running_service)
    attempt = looped["pages"][0]["attempts"][0]
    assert (attempt["verdict"], looped["engineUsed"]) == ("looped", "tesseract")
    assert attempt["parameters"] == {"temperature": 0, "repeat_penalty": 1.0}
    _, cut = await read(running_service, temperature="1", maxTokens="2")
    assert cut["pages"][0]["attempts"][0]["verdict"] in ("truncated", "empty")


async def test_a_page_that_does_not_fit_is_refused_and_the_server_stays_well(service):
    running_service = await service(OCR_FALLBACK_ENGINE="none")
    for _ in range(6):
        status, body = await read(running_service, userPrompt="word " * 1900)
        assert (status, body["code"]) == (502, "engine_refused")
    async with running_service.client.get(f"{running_service.url}/health") as health:
        assert health.status == 200


async def test_two_real_servers_share_the_pages(service, seeing, model):
    with running(model, "--mmproj", str(model / PROJECTOR)) as second:
        running_service = await service(f"{seeing.url},{second.url}", OCR_PARALLEL_PAGES="1")
        before = [(model / f"log-{one.port}").read_bytes().count(b"launch_slot") for one in (seeing, second)]
        await read(running_service, pages(4), temperature="1", maxTokens="200")
        after = [(model / f"log-{one.port}").read_bytes().count(b"launch_slot") for one in (seeing, second)]
        assert all(later > earlier for earlier, later in zip(before, after, strict=True))


async def test_a_large_page_is_seen(seeing):
    """An A4 page at 1800 pixels, as the service draws it."""
    async with client(seeing.url) as model:
        picture = as_png(picture_of_text(lines=30, size=(1272, 1800)))
        stream = await model.chat(request(picture, max_tokens=2, temperature=1.0, seed=3), TIMEOUTS)
        assert stream.done_reason in ("stop", "length")
