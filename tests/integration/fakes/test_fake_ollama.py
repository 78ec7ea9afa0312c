"""The fake Ollama against Ollama's own client and its response models, and each of its traps."""

import asyncio
import base64
import contextlib
import itertools
import json
import signal
import sys
import time
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime
from pathlib import Path
from typing import Any

import aiohttp
import ollama
import pytest

from tests.conftest import until
from tools.fakes.ollama import OCR_MODEL, Answer, FakeOllama, ManualClock, Model, Outcome, Trap, main
from tools.fakes.ollama_wire import NEVER_S, parse_keep_alive

ROOT = Path(__file__).parents[3]
PNG = base64.b64encode(b"\x89PNG\r\n\x1a\n and so on").decode()
JPEG = base64.b64encode(b"\xff\xd8\xff and so on").decode()
THAI = "ประกาศกระทรวง เรื่อง การจัดซื้อ <จัดจ้าง> & อื่น ๆ"
LLM = "np-dms-ai:latest"
LINE_KEYS = {"model", "created_at", "message", "done"}
METRICS = {
    "total_duration",
    "load_duration",
    "prompt_eval_count",
    "prompt_eval_duration",
    "eval_count",
    "eval_duration",
}
LAST_KEYS = LINE_KEYS | {"done_reason"} | METRICS


@dataclass
class Caller:
    """Talks to a fake as the code under test would, without a library's help."""

    fake: FakeOllama
    session: aiohttp.ClientSession

    def request(self, **fields: Any) -> dict[str, Any]:
        messages = [{"role": "user", "content": "read the page", "images": [PNG]}]
        return {"model": OCR_MODEL, "messages": messages} | fields

    async def chat(self, **fields: Any) -> tuple[int, list[Any]]:
        """Status, and the lines of the answer; what is not JSON stays text."""
        async with self.session.post(f"{self.fake.url}/api/chat", json=self.request(**fields)) as response:
            return response.status, [parse_line(line) for line in (await response.read()).splitlines()]

    async def generate(self, **fields: Any) -> tuple[int, Any]:
        async with self.session.post(f"{self.fake.url}/api/generate", json={"model": OCR_MODEL} | fields) as response:
            return response.status, await response.json()

    async def get(self, path: str) -> tuple[int, Any]:
        async with self.session.get(f"{self.fake.url}{path}") as response:
            return response.status, await response.json()

    async def resident(self) -> dict[str, Any]:
        """The models in memory by their names, as /api/ps says."""
        return {model["name"]: model for model in (await self.get("/api/ps"))[1]["models"]}


def parse_line(line: bytes) -> Any:
    try:
        return json.loads(line)
    except ValueError:
        return line.decode()


def said(lines: list[Any]) -> str:
    return "".join(line["message"]["content"] for line in lines)


Start = Callable[..., Any]


@pytest.fixture
async def start() -> AsyncIterator[Start]:
    """Start fakes; each goes down at the end of the test."""
    async with contextlib.AsyncExitStack() as stack:

        async def _start(*models: str | Model, **settings: Any) -> Caller:
            fake = await stack.enter_async_context(FakeOllama(models or (OCR_MODEL,), **settings))
            session = await stack.enter_async_context(
                aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=10), read_bufsize=1 << 16)
            )
            return Caller(fake, session)

        yield _start


@pytest.fixture
async def caller(start: Start) -> Caller:
    return await start()


@pytest.fixture
async def client(caller: Caller) -> AsyncIterator[ollama.AsyncClient]:
    async with ollama.AsyncClient(caller.fake.url) as client:
        yield client


# The answers, against the response models of Ollama's own package


async def test_a_stream_has_the_fields_of_ollama(caller: Caller) -> None:
    caller.fake.script([Answer("two words")])
    status, lines = await caller.chat()
    parsed = [ollama.ChatResponse.model_validate(line) for line in lines]
    assert (status, [set(line) for line in lines]) == (200, [LINE_KEYS, LINE_KEYS, LAST_KEYS])
    assert [(one.message.role, one.message.content, one.done) for one in parsed] == [
        ("assistant", "two ", False),
        ("assistant", "words", False),
        ("assistant", "", True),
    ]
    assert (parsed[-1].done_reason, parsed[-1].eval_count, parsed[-1].prompt_eval_count) == ("stop", 2, 3 + 768)
    assert all(type(lines[-1][name]) is int and lines[-1][name] > 0 for name in METRICS)
    assert datetime.fromisoformat(parsed[0].created_at).utcoffset() == timedelta(0)


async def test_without_streaming_the_answer_is_one_object(caller: Caller) -> None:
    caller.fake.script([Answer(THAI, thinking="hm")])
    status, [whole] = await caller.chat(stream=False)
    parsed = ollama.ChatResponse.model_validate(whole)
    assert (status, set(whole), parsed.done_reason) == (200, LAST_KEYS, "stop")
    assert (parsed.message.content, parsed.message.thinking) == (THAI, "hm")


async def test_media_types_are_those_of_ollama(caller: Caller) -> None:
    for stream, expected in ((True, "application/x-ndjson"), (False, "application/json")):
        body = caller.request(stream=stream)
        async with caller.session.post(f"{caller.fake.url}/api/chat", json=body) as response:
            assert response.content_type == expected


@pytest.mark.parametrize(("keep_alive", "reason"), [(0, "unload"), ("0s", "unload"), (60, "load"), ("5m", "load")])
async def test_requests_without_words_load_and_unload(caller: Caller, keep_alive: object, reason: str) -> None:
    _, generated = await caller.generate(keep_alive=keep_alive)
    parsed = ollama.GenerateResponse.model_validate(generated)
    assert set(generated) == {"model", "created_at", "response", "done", "done_reason"}
    assert (parsed.model, parsed.response, parsed.done, parsed.done_reason) == (OCR_MODEL, "", True, reason)
    _, [chatted] = await caller.chat(messages=[], keep_alive=keep_alive)
    assert set(chatted) == LINE_KEYS | {"done_reason"}
    assert ollama.ChatResponse.model_validate(chatted).done_reason == reason
    assert caller.fake.resident == ([OCR_MODEL] if reason == "load" else [])


async def test_ps_has_the_fields_of_ollama(caller: Caller) -> None:
    await caller.chat(options={"num_ctx": 8192}, keep_alive=60)
    _, body = await caller.get("/api/ps")
    assert set(body["models"][0]) == {
        *("name", "model", "size", "digest", "details", "expires_at", "size_vram", "context_length"),
    }
    [model] = ollama.ProcessResponse.model_validate(body).models
    assert (model.name, model.model, model.context_length) == (OCR_MODEL, OCR_MODEL, 8192)
    assert model.size == model.size_vram == 5000 << 20
    assert len(model.digest) == 64
    assert model.details.format == "gguf"
    assert timedelta(seconds=50) < model.expires_at - datetime.now(UTC) < timedelta(seconds=61)


async def test_tags_and_show_have_the_fields_of_ollama(caller: Caller) -> None:
    _, body = await caller.get("/api/tags")
    [model] = ollama.ListResponse.model_validate(body).models
    assert {"name", "model", "modified_at", "size", "digest", "details"} <= set(body["models"][0])
    assert (model.model, model.size) == (OCR_MODEL, 5000 << 20)
    async with caller.session.post(f"{caller.fake.url}/api/show", json={"model": "np-dms-ocr"}) as response:
        shown = await response.json()
    assert {"modelfile", "template", "details", "model_info", "capabilities", "modified_at"} <= set(shown)
    assert ollama.ShowResponse.model_validate(shown).capabilities == ["completion", "vision"]


async def test_root_and_version_answer(caller: Caller) -> None:
    for method in ("GET", "HEAD"):
        async with caller.session.request(method, f"{caller.fake.url}/") as response:
            assert (response.status, await response.text()) == (200, "Ollama is running" if method == "GET" else "")
    status, body = await caller.get("/api/version")
    assert (status, list(body)) == (200, ["version"])
    assert caller.fake.requests == ["GET /", "HEAD /", "GET /api/version"]


# Ollama's own client


async def test_ollamas_client_chats(caller: Caller, client: ollama.AsyncClient) -> None:
    caller.fake.script([Answer(THAI, done_reason="length"), Answer(THAI)])
    messages = [{"role": "user", "content": "read", "images": [base64.b64decode(PNG)]}]
    whole = await client.chat("np-dms-ocr", messages=messages, options=ollama.Options(temperature=0.1))
    parts = [part async for part in await client.chat("np-dms-ocr", messages=messages, stream=True, keep_alive="10m")]
    assert (whole.message.content, whole.done_reason, whole.model) == (THAI, "length", "np-dms-ocr")
    assert "".join(part.message.content for part in parts) == THAI
    assert (parts[-1].done, parts[-1].done_reason) == (True, "stop")
    assert caller.fake.chats[0].options == {"temperature": 0.1}
    assert caller.fake.chats[1].images == [base64.b64decode(PNG)]
    assert [call.outcome for call in caller.fake.chats] == [Outcome.ANSWERED] * 2


async def test_ollamas_client_manages_models(caller: Caller, client: ollama.AsyncClient) -> None:
    assert (await client.generate("np-dms-ocr")).done_reason == "load"
    assert [model.name for model in (await client.ps()).models] == [OCR_MODEL]
    assert (await client.generate("np-dms-ocr", keep_alive=0)).done_reason == "unload"
    assert (await client.ps()).models == []
    assert [model.model for model in (await client.list()).models] == [OCR_MODEL]
    assert (await client.show("np-dms-ocr")).capabilities == ["completion", "vision"]
    assert (caller.fake.loads, caller.fake.unloads) == ([OCR_MODEL], [OCR_MODEL])


async def test_ollamas_client_understands_the_errors(caller: Caller, client: ollama.AsyncClient) -> None:
    caller.fake.script(
        [Answer.busy(), Answer.failure(500, "out of memory"), Answer(trap=Trap.ERROR_LINE, error="oops")]
    )
    messages = [{"role": "user", "content": "read"}]
    busy = "server busy, please try again.  maximum pending requests exceeded"
    for status, error in ((503, busy), (500, "out of memory"), (500, "oops")):
        with pytest.raises(ollama.ResponseError) as caught:
            await client.chat("np-dms-ocr", messages=messages)
        assert (caught.value.status_code, caught.value.error) == (status, error)
    with pytest.raises(ollama.ResponseError) as caught:
        await client.chat("other", messages=messages)
    assert (caught.value.status_code, caught.value.error) == (404, "model 'other' not found")


# Requests that are refused


@pytest.mark.parametrize(
    ("fields", "error"),
    [
        ({"temperature": 0.1}, 'unknown field "temperature"'),
        ({"max_tokens": 10}, 'unknown field "max_tokens"'),
        ({"options": {"repetition_penalty": 1.1}}, 'unknown option "repetition_penalty"'),
        ({"options": {"max_tokens": 10}}, 'unknown option "max_tokens"'),
        ({"options": {"keep_alive": 0}}, 'unknown option "keep_alive"'),
        ({"options": {"num_ctx": "8192"}}, 'option "num_ctx" must be of type integer'),
        ({"options": {"num_ctx": 8192.0}}, 'option "num_ctx" must be of type integer'),
        ({"options": {"temperature": "0"}}, 'option "temperature" must be of type float32'),
        ({"options": {"temperature": None}}, 'option "temperature" must be of type float32'),
        ({"options": {"stop": "a"}}, 'option "stop" must be of type array'),
        ({"options": {"stop": [1]}}, 'option "stop" must be of an array of strings'),
        ({"options": {"use_mmap": 1}}, 'option "use_mmap" must be of type boolean'),
        ({"stream": "yes"}, "stream: Input should be a valid boolean"),
        ({"keep_alive": "300"}, 'time: missing unit in duration "300"'),
        ({"keep_alive": "5 m"}, 'time: invalid duration "5 m"'),
        ({"keep_alive": None}, "keep_alive is None, a number of seconds or a duration such as 5m is accepted"),
        ({"format": "xml"}, 'invalid format: "xml"; expected "json" or a valid JSON Schema object'),
        ({"think": True}, f'"{OCR_MODEL}" does not support thinking'),
        ({"model": ""}, "model is required"),
        ({"messages": [{"role": "user", "text": "x"}]}, 'unknown field "messages.0.text"'),
        ({"messages": [{"role": "user", "images": ["data:image/png;base64," + PNG]}]}, "illegal base64 data"),
        ({"messages": [{"role": "user", "images": [PNG[:8] + "\n!" + PNG[8:]]}]}, "illegal base64 data"),
        ({"messages": [{"role": "user", "images": ["JVBERi0x"]}]}, "Failed to load image or audio file"),
    ],
)
async def test_what_ollama_would_ignore_is_refused(caller: Caller, fields: dict[str, Any], error: str) -> None:
    status = 500 if error.startswith("option ") else 400  # Ollama checks options where it schedules the model
    assert await caller.chat(**fields) == (status, [{"error": error}])
    assert (caller.fake.refusals, caller.fake.loads) == ([error], [])
    assert caller.fake.chats[0].body == caller.request(**fields)


async def test_every_known_parameter_is_accepted(caller: Caller) -> None:
    options = {
        "num_ctx": 8192,
        "num_predict": 100,
        "seed": 1,
        "temperature": 0,
        "top_k": 40,
        "top_p": 0.9,
        "min_p": 0.0,
    }
    options |= {"repeat_penalty": 1.1, "repeat_last_n": 64, "stop": ["</s>"], "num_gpu": 99, "num_keep": 4}
    options |= {"typical_p": 1.0, "presence_penalty": 0.0, "frequency_penalty": 0.0, "num_batch": 512, "main_gpu": 0}
    fields = {"options": options, "format": {"type": "object"}, "keep_alive": -1, "think": False, "tools": []}
    images = [{"role": "system", "content": "s"}, {"role": "user", "content": "u", "images": [PNG, JPEG]}]
    status, _ = await caller.chat(**fields, messages=images, truncate=False, shift=False, stream=False)
    assert (status, caller.fake.chats[0].options, len(caller.fake.chats[0].images)) == (200, options, 2)


@pytest.mark.parametrize("content", [b"", b"{", b"[]"])
async def test_bodies_that_are_no_request_are_refused(caller: Caller, content: bytes) -> None:
    async with caller.session.post(f"{caller.fake.url}/api/chat", data=content) as response:
        assert (response.status, list(await response.json())) == (400, ["error"])


async def test_a_model_that_is_not_installed_is_not_found(caller: Caller) -> None:
    assert [(await caller.chat(model=name))[0] for name in ("np-dms-ocr", "NP-DMS-OCR:latest")] == [200, 200]
    assert [(await caller.chat(model=name))[0] for name in ("np-dms-ocr", "NP-DMS-OCR:latest")] == [200, 200]
    assert (await caller.chat(model="np-dms-ocr:v2")) == (404, [{"error": "model 'np-dms-ocr:v2' not found"}])
    caller.fake.install("np-dms-ocr:v2")
    assert (await caller.chat(model="np-dms-ocr:v2"))[0] == 200
    caller.fake.uninstall("np-dms-ocr")
    assert (await caller.chat(model="np-dms-ocr"))[0] == 404
    assert await caller.generate() == (404, {"error": f"model '{OCR_MODEL}' not found"})
    assert [model["name"] for model in (await caller.get("/api/tags"))[1]["models"]] == ["np-dms-ocr:v2"]


# What goes wrong with an answer


async def test_a_script_is_used_up_in_order_and_then_the_text_is_always_the_same(caller: Caller) -> None:
    caller.fake.script([Answer("first"), Answer("")])
    await caller.chat(messages=[])
    await caller.chat(options={"no": 1})
    assert [said((await caller.chat())[1]) for _ in range(4)] == ["first", "", "page text\n", "page text\n"]


async def test_a_script_can_be_a_function_of_the_call(caller: Caller) -> None:
    caller.fake.script(lambda call: Answer(f"{call.options['seed']} {len(call.images)}"))
    assert said((await caller.chat(options={"seed": 7}))[1]) == "7 1"


async def test_an_answer_can_be_truncated(caller: Caller) -> None:
    caller.fake.script([Answer("a b c", done_reason="length"), Answer("a b c")])
    assert (await caller.chat())[1][-1]["done_reason"] == "length"
    _, lines = await caller.chat(options={"num_predict": 2})
    assert (said(lines), lines[-1]["done_reason"], lines[-1]["eval_count"]) == ("a b ", "length", 2)


async def test_an_empty_answer_has_only_its_last_line(caller: Caller) -> None:
    caller.fake.script([Answer("")])
    _, [last] = await caller.chat()
    assert (last["message"]["content"], last["done_reason"], "eval_count" in last) == ("", "stop", False)


async def test_a_stream_can_end_without_its_last_line(caller: Caller) -> None:
    caller.fake.script([Answer("a b c d", trap=Trap.CUT), Answer("a b", trap=Trap.CUT, after_chunks=2)])
    status, lines = await caller.chat()
    assert (status, said(lines), [line["done"] for line in lines]) == (200, "a b ", [False, False])
    _, [whole] = await caller.chat(stream=False)
    assert (whole["message"]["content"], whole["done"], "done_reason" in whole) == ("a b", False, False)


@pytest.mark.parametrize("stream", [True, False])
@pytest.mark.parametrize("trap", [Trap.RESET_BEFORE, Trap.RESET, Trap.CLOSE])
async def test_a_connection_can_break(caller: Caller, trap: Trap, stream: bool) -> None:
    caller.fake.script([Answer("a b c d", trap=trap)])
    with pytest.raises(aiohttp.ClientError):
        await caller.chat(stream=stream)
    [call] = caller.fake.chats
    await until(lambda: call.ended_s)
    assert (call.outcome, call.disconnected) == (Outcome.DROPPED, False)


async def raw_answer(caller: Caller) -> tuple[bytes, bool]:
    """The bytes of an answer as they come from the socket, and whether a reset ended them."""
    body = json.dumps(caller.request()).encode()
    reader, writer = await asyncio.open_connection(caller.fake.host, caller.fake.port)
    writer.write(b"POST /api/chat HTTP/1.1\r\nHost: x\r\nContent-Length: %d\r\n\r\n" % len(body) + body)
    received, reset = b"", False
    try:
        while piece := await reader.read(1 << 16):
            received += piece
    except ConnectionResetError:
        reset = True
    writer.close()
    with contextlib.suppress(ConnectionResetError):
        await writer.wait_closed()
    return received, reset


async def test_connections_break_by_reset_or_by_close_in_the_middle_of_a_line(caller: Caller) -> None:
    caller.fake.script([Answer("a b", trap=trap) for trap in (Trap.CLOSE, Trap.RESET_BEFORE)])
    received, reset = await raw_answer(caller)
    last = received.split(b"\r\n")[-1]
    assert (reset, received[:15]) == (False, b"HTTP/1.1 200 OK")
    assert last.startswith(b'{"model":')
    assert not last.endswith(b"}\n")
    assert await raw_answer(caller) == (b"", True)
    caller.fake.script([Answer("a b", trap=Trap.RESET)])
    assert (await raw_answer(caller))[1]


async def test_an_error_can_come_in_the_middle_of_a_stream(caller: Caller) -> None:
    answer = Answer("a b", trap=Trap.ERROR_LINE, error="an error was encountered")
    caller.fake.script([answer, Answer(trap=Trap.ERROR_LINE, after_chunks=0, error="at once"), answer])
    status, lines = await caller.chat()
    assert (status, lines[0]["message"]["content"], lines[1:]) == (200, "a ", [{"error": "an error was encountered"}])
    assert await caller.chat() == (500, [{"error": "at once"}])
    assert await caller.chat(stream=False) == (500, [{"error": "an error was encountered"}])


async def test_ollama_can_be_busy_or_broken(caller: Caller) -> None:
    caller.fake.script([Answer.busy(), Answer.failure(500, "broken"), Answer.failure(404, "model 'x' not found")])
    busy = "server busy, please try again.  maximum pending requests exceeded"
    answers = [await caller.chat() for _ in range(3)]
    assert answers == [
        (503, [{"error": busy}]),
        (500, [{"error": "broken"}]),
        (404, [{"error": "model 'x' not found"}]),
    ]
    assert (caller.fake.refusals, caller.fake.loads) == ([], [])
    caller.fake.script([Answer(status=503, first_token_s=0.05)])
    began_s = time.monotonic()
    assert (await caller.chat())[0] == 503
    assert time.monotonic() - began_s >= 0.05


async def test_lines_can_be_garbage(caller: Caller) -> None:
    caller.fake.script([Answer("a b", trap=Trap.GARBAGE)] * 2)
    _, lines = await caller.chat()
    assert (lines[1], said([lines[0], *lines[2:]]), lines[-1]["done"]) == ("<html>502 Bad Gateway</html>", "a b", True)
    assert await caller.chat(stream=False) == (200, ["<html>502 Bad Gateway</html>"])


async def test_a_line_can_be_huge(caller: Caller) -> None:
    caller.fake.script([Answer("a b", trap=Trap.HUGE_LINE, huge_bytes=3 << 20)])
    _, lines = await caller.chat()
    assert [len(line["message"]["content"]) for line in lines] == [2, 3 << 20, 1, 0]


async def test_thai_letters_can_be_split_on_the_wire(caller: Caller) -> None:
    caller.fake.script([Answer(chunks=("ประ", "กาศ"), wire_bytes=1)])
    async with caller.session.post(f"{caller.fake.url}/api/chat", json=caller.request()) as response:
        pieces = [piece async for piece, _ in response.content.iter_chunks()]
    assert b"\xe0" in pieces
    assert said([json.loads(line) for line in b"".join(pieces).splitlines()]) == "ประกาศ"


async def test_models_can_answer_json_and_thoughts(caller: Caller) -> None:
    texts = [Answer.natural_text(THAI), Answer.natural_text(THAI, cut=True), Answer("page", thinking="let me see")]
    caller.fake.script(texts)
    assert json.loads(said((await caller.chat())[1])) == {"natural_text": THAI}
    _, lines = await caller.chat()
    assert said(lines).startswith('{"natural_text": "ประกาศ')
    assert not said(lines).endswith("}")
    assert lines[-1]["done_reason"] == "length"
    _, lines = await caller.chat()
    assert ("".join(line["message"].get("thinking", "") for line in lines), said(lines)) == ("let me see", "page")


# Clients that leave


async def leave(caller: Caller, ready: Callable[[], object], **fields: Any) -> float:
    """Ask, leave when it is `ready`, and give how long the fake took to see it."""
    calls = len(caller.fake.chats)
    asking = asyncio.create_task(caller.chat(**fields))
    await until(lambda: len(caller.fake.chats) > calls and ready())
    left_s = time.monotonic()
    asking.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await asking
    call = caller.fake.chats[calls]
    await until(lambda: call.ended_s)
    assert (call.outcome, call.disconnected) == (Outcome.LEFT, True)
    assert call.disconnected_s is not None
    return call.disconnected_s - left_s


ENDLESS = Answer("a ", trap=Trap.REPEAT, unit=". ")


@pytest.mark.parametrize("stream", [True, False])
@pytest.mark.parametrize(
    ("answer", "chunks"),
    [
        (Answer(trap=Trap.HANG, after_chunks=0), 0),
        (Answer("a b", trap=Trap.HANG), 1),
        (Answer(first_token_s=60), 0),
        (Answer("a b", per_token_s=60), 1),
        (ENDLESS, 100),
    ],
)
async def test_a_model_stops_when_its_client_leaves(caller: Caller, answer: Answer, chunks: int, stream: bool) -> None:
    caller.fake.script([answer])
    seen = lambda: caller.fake.chats[0].speaking_s and len(caller.fake.chats[0].chunks_sent) >= chunks  # noqa: E731
    assert await leave(caller, seen, stream=stream) < 0.2
    [call] = caller.fake.chats
    sent = len(call.chunks_sent)
    assert call.chunks_sent[1:] in ([], [ENDLESS.unit] * (sent - 1))
    assert call.status == (200 if stream and chunks else None)
    assert (await caller.chat())[0] == 200
    assert len(call.chunks_sent) == sent
    assert caller.fake.memory.residents()[0].running == 0


async def test_a_client_that_leaves_during_the_load_stops_the_load(start: Start) -> None:
    caller = await start(Model(OCR_MODEL, load_s=60))
    assert await leave(caller, lambda: True) < 0.2
    assert (caller.fake.aborted_loads, caller.fake.loads, caller.fake.resident) == ([OCR_MODEL], [], [])


async def test_a_client_that_leaves_the_queue_is_never_served(caller: Caller) -> None:
    caller.fake.script([Answer(trap=Trap.HANG), Answer("second")])
    first = asyncio.create_task(caller.chat())
    await until(lambda: caller.fake.chats and caller.fake.chats[0].speaking_s)
    assert await leave(caller, lambda: True) < 0.2
    assert caller.fake.chats[1].speaking_s is None
    first.cancel()
    assert (await caller.chat())[0] == 200


# Speed and parallelism


async def test_the_model_reads_as_many_pages_at_a_time_as_it_may(start: Start) -> None:
    caller = await start(latency_s=0.2, parallel=4)
    began_s = time.monotonic()
    await asyncio.gather(*(caller.chat() for _ in range(4)))
    calls = caller.fake.chats
    assert max(call.speaking_s for call in calls) < min(call.ended_s for call in calls)
    assert time.monotonic() - began_s >= 0.2


async def test_other_pages_wait_for_their_turn(start: Start) -> None:
    caller = await start(latency_s=0.05, parallel=1)
    await asyncio.gather(*(caller.chat() for _ in range(3)))
    spoken = sorted((call.speaking_s, call.ended_s) for call in caller.fake.chats)
    assert all(before[1] <= after[0] for before, after in itertools.pairwise(spoken))


async def test_tokens_drip_slowly(caller: Caller) -> None:
    caller.fake.script([Answer("a b c", first_token_s=0.01, per_token_s=0.05)])
    _, lines = await caller.chat()
    stamps = [datetime.fromisoformat(line["created_at"]) for line in lines]
    pauses = [after - before for before, after in itertools.pairwise(stamps[:3])]
    assert min(pauses) >= timedelta(seconds=0.049)


# What is in memory


async def test_a_model_leaves_when_its_keep_alive_has_run_out(start: Start) -> None:
    clock = ManualClock()
    caller = await start(clock=clock)
    await caller.chat(keep_alive=60)
    clock.advance(59)
    assert list(await caller.resident()) == [OCR_MODEL]
    await caller.chat()
    clock.advance(59)
    assert list(await caller.resident()) == [OCR_MODEL]
    clock.advance(2)
    assert (await caller.resident(), caller.fake.unloads, caller.fake.loads) == ({}, [OCR_MODEL], [OCR_MODEL])


async def test_without_keep_alive_a_model_stays_five_minutes_and_with_a_negative_one_for_ever(start: Start) -> None:
    clock = ManualClock()
    caller = await start(clock=clock)
    await caller.chat()
    clock.advance(299)
    assert await caller.resident()
    clock.advance(2)
    assert not await caller.resident()
    await caller.chat(keep_alive="-1s")
    clock.advance(1e6)
    assert datetime.fromisoformat((await caller.resident())[OCR_MODEL]["expires_at"]).year > 2300


async def test_keep_alive_runs_from_the_end_of_the_last_request(start: Start) -> None:
    clock = ManualClock()
    caller = await start(clock=clock)
    caller.fake.script([Answer(trap=Trap.HANG)])
    asking = asyncio.create_task(caller.chat(keep_alive=60))
    await until(lambda: caller.fake.chats and caller.fake.chats[0].speaking_s)
    clock.advance(1000)
    asking.cancel()
    await until(lambda: caller.fake.chats[0].ended_s)
    clock.advance(59)
    assert list(await caller.resident()) == [OCR_MODEL]
    clock.advance(2)
    assert await caller.resident() == {}


async def test_keep_alive_runs_out_in_plain_time_too(caller: Caller) -> None:
    await caller.chat(keep_alive="50ms")
    await until(lambda: caller.fake.unloads == [OCR_MODEL])
    assert await caller.resident() == {}


@pytest.mark.parametrize(
    ("value", "seconds"),
    [("1h30m", 5400), ("1.5s", 1.5), ("0", 0), (0, 0), (300, 300), (0.5, 0.5), ("-1m", NEVER_S), (-1, NEVER_S)],
)
def test_keep_alive_is_a_number_of_seconds_or_a_duration(value: object, seconds: float) -> None:
    assert parse_keep_alive(value) == seconds


async def test_with_keep_alive_zero_a_model_leaves_with_its_last_request(caller: Caller) -> None:
    caller.fake.script([Answer(trap=Trap.HANG)])
    asking = asyncio.create_task(caller.chat())
    await until(lambda: caller.fake.chats and caller.fake.chats[0].speaking_s)
    assert (await caller.generate(keep_alive=0))[1]["done_reason"] == "unload"
    assert list(await caller.resident()) == [OCR_MODEL]
    asking.cancel()
    await until(lambda: caller.fake.unloads == [OCR_MODEL])
    await caller.chat(keep_alive=0)
    assert (await caller.resident(), caller.fake.unloads) == ({}, [OCR_MODEL] * 2)


@pytest.mark.parametrize(
    "change", [{"options": {"num_ctx": 16_384}}, {"shift": False}, {"options": {"num_ctx": 8192, "num_batch": 8}}]
)
async def test_another_context_reloads_the_model(start: Start, change: dict[str, Any]) -> None:
    caller = await start(Model(OCR_MODEL, load_s=0.05))
    same = {"options": {"num_ctx": 8192}}
    load_s = []
    for fields in (same, {"options": {"num_ctx": 8192, "temperature": 0.5}}, same | change, same | change):
        _, lines = await caller.chat(**fields)
        load_s.append(lines[-1]["load_duration"] / 1e9)
    assert [one >= 0.05 for one in load_s] == [True, False, True, False]
    assert (caller.fake.loads, caller.fake.reloads, caller.fake.unloads) == ([OCR_MODEL] * 2, [OCR_MODEL], [])


async def test_a_context_is_bounded_by_what_the_model_can(start: Start) -> None:
    caller = await start(Model(OCR_MODEL, max_context=8192))
    for asked, given in ((100, 2048), (32_768, 8192)):
        await caller.chat(options={"num_ctx": asked})
        assert (await caller.resident())[OCR_MODEL]["context_length"] == given


async def test_an_idle_model_is_evicted_when_room_is_needed(caller: Caller) -> None:
    caller.fake.occupy(LLM, 12_000, context_length=32_768)
    llm = (await caller.resident())[LLM]
    assert (llm["size_vram"], llm["context_length"]) == (12_000 << 20, 32_768)
    await caller.chat()
    assert (list(await caller.resident()), caller.fake.evictions) == ([OCR_MODEL], [LLM])
    assert caller.fake.vram_used_mb == 5000
    assert (caller.fake.loads, caller.fake.unloads) == ([OCR_MODEL], [])


async def test_models_that_fit_stay_and_the_first_by_name_leaves_first(start: Start) -> None:
    caller = await start("a", "b", "c", vram_mb=10_000)
    for name in ("b", "a", "b", "c"):
        await caller.chat(model=name)
    assert (sorted(await caller.resident()), caller.fake.evictions) == (["b:latest", "c:latest"], ["a:latest"])


async def test_the_shortest_keep_alive_leaves_before_the_first_by_name(start: Start) -> None:
    caller = await start("a", "b", "c", vram_mb=10_000)
    for name, keep_alive in (("a", 600), ("b", 60), ("c", 60)):
        await caller.chat(model=name, keep_alive=keep_alive)
    assert caller.fake.evictions == ["b:latest"]


async def test_a_request_waits_while_only_busy_models_are_in_memory(caller: Caller) -> None:
    caller.fake.occupy(LLM, 12_000, busy=True)
    asking = asyncio.create_task(caller.chat())
    await until(lambda: caller.fake.chats)
    assert list(await caller.resident()) == [LLM]
    assert caller.fake.chats[0].outcome is Outcome.RUNNING
    caller.fake.free(LLM)
    assert (await asking)[0] == 200
    assert (list(await caller.resident()), caller.fake.evictions) == ([OCR_MODEL], [])


async def test_a_request_waits_until_another_model_is_idle(start: Start) -> None:
    caller = await start("a", "b", vram_mb=8000)
    caller.fake.script([Answer(trap=Trap.HANG), Answer("second")])
    first = asyncio.create_task(caller.chat(model="a"))
    await until(lambda: caller.fake.chats and caller.fake.chats[0].speaking_s)
    second = asyncio.create_task(caller.chat(model="b"))
    await until(lambda: len(caller.fake.chats) == 2)
    assert list(await caller.resident()) == ["a:latest"]
    first.cancel()
    assert said((await second)[1]) == "second"
    assert (list(await caller.resident()), caller.fake.evictions) == (["b:latest"], ["a:latest"])


async def test_a_model_that_stays_off_the_card_evicts_none(caller: Caller) -> None:
    caller.fake.occupy(LLM, 16_000)
    await caller.chat(options={"num_gpu": 0})
    assert (sorted(await caller.resident()), caller.fake.evictions) == ([LLM, OCR_MODEL], [])


async def test_no_more_than_three_models_are_in_memory(start: Start) -> None:
    names = ("a:latest", "b:latest", "c:latest", "d:latest")
    caller = await start(*(Model(name, size_mb=100) for name in names))
    for name in names:
        await caller.chat(model=name)
    assert (sorted(await caller.resident()), caller.fake.evictions) == ([*names[1:]], ["a:latest"])


async def test_ps_names_first_what_stays_longest_and_dates_models_at_work(caller: Caller) -> None:
    caller.fake.occupy("short", 100, keep_alive_s=10)
    caller.fake.occupy("long", 100, keep_alive_s=1000)
    caller.fake.script([Answer(trap=Trap.HANG)])
    asking = asyncio.create_task(caller.chat(keep_alive=100))
    await until(lambda: caller.fake.chats and caller.fake.chats[0].speaking_s)
    resident = await caller.resident()
    assert list(resident) == ["long:latest", OCR_MODEL, "short:latest"]
    left = datetime.fromisoformat(resident[OCR_MODEL]["expires_at"]) - datetime.now(UTC)
    assert timedelta(seconds=90) < left <= timedelta(seconds=100)
    asking.cancel()


async def test_occupying_keeps_what_else_is_known_of_the_model(start: Start) -> None:
    caller = await start(Model(LLM, parallel=2, capabilities=("completion",)))
    caller.fake.occupy("np-dms-ai", 12_000)
    assert caller.fake.installed(LLM) == Model(LLM, size_mb=12_000, parallel=2, capabilities=("completion",))


async def test_a_model_larger_than_the_card_is_partly_elsewhere(start: Start) -> None:
    caller = await start(Model(OCR_MODEL, size_mb=20_000), vram_mb=16_000)
    await caller.chat()
    model = (await caller.resident())[OCR_MODEL]
    assert (model["size"], model["size_vram"]) == (20_000 << 20, 16_000 << 20)
    await caller.chat(options={"num_gpu": 0})
    assert (await caller.resident())[OCR_MODEL]["size_vram"] == 0


async def test_ps_can_be_slow_or_fail(caller: Caller) -> None:
    caller.fake.ps_fails = 500
    assert await caller.get("/api/ps") == (500, {"error": "internal error"})
    caller.fake.ps_fails, caller.fake.ps_delay_s = None, 0.05
    began_s = time.monotonic()
    assert await caller.get("/api/ps") == (200, {"models": []})
    assert time.monotonic() - began_s >= 0.05


async def test_ollama_restarts_on_the_same_port(caller: Caller) -> None:
    caller.fake.script([Answer("a b", trap=Trap.HANG)])
    asking = asyncio.create_task(raw_answer(caller))
    await until(lambda: caller.fake.chats and caller.fake.chats[0].chunks_sent)
    await caller.fake.go_down()
    received, reset = await asking
    assert (reset, b"a " in received, b"0\r\n" in received) == (True, True, False)
    with pytest.raises(aiohttp.ClientConnectorError):
        await caller.get("/api/version")
    assert caller.fake.chats[0].outcome is Outcome.DROPPED
    await caller.fake.come_up()
    assert await caller.resident() == {}
    assert said((await caller.chat())[1]) == "page text\n"
    assert caller.fake.loads == [OCR_MODEL] * 2


# The command line


@contextlib.asynccontextmanager
async def process(*arguments: str) -> AsyncIterator[asyncio.subprocess.Process]:
    pipe = asyncio.subprocess.PIPE
    command = [sys.executable, "-m", "tools.fakes.ollama", *arguments]
    started = await asyncio.create_subprocess_exec(*command, cwd=ROOT, stdout=pipe, stderr=pipe)
    try:
        yield started
    finally:
        with contextlib.suppress(ProcessLookupError):
            started.kill()
        await started.wait()


@pytest.mark.parametrize("stop", [signal.SIGTERM, signal.SIGINT])
async def test_the_command_serves_a_script_until_it_is_stopped(tmp_path: Path, stop: signal.Signals) -> None:
    script = tmp_path / "script.json"
    script.write_text(json.dumps([{"chunks": ["ประ", "กาศ"], "done_reason": "length"}, {"trap": "cut"}]))
    options = ("--port", "0", "--latency", "0.1", "--parallel", "4", "--script", str(script))
    async with process(*options) as running, asyncio.timeout(10):
        assert running.stdout is not None
        url = (await running.stdout.readline()).decode().strip()
        async with ollama.AsyncClient(url) as client:
            answer = await client.chat("np-dms-ocr", messages=[{"role": "user", "content": "read"}])
        running.send_signal(stop)
        assert (await running.wait(), answer.message.content, answer.done_reason) == (0, "ประกาศ", "length")
        assert answer.total_duration >= 0.1e9


async def test_the_command_refuses_a_port_that_is_taken(caller: Caller) -> None:
    async with process("--port", str(caller.fake.port)) as refused, asyncio.timeout(10):
        out, err = await refused.communicate()
    assert (refused.returncode, out, err.count(b"\n")) == (2, b"", 1)


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        ("[", "the whole file: Invalid JSON"),
        ("{}", "the whole file: Input should be a valid array"),
        ('[{"text": "a"}, {"txt": "b"}]', "1.txt: Unexpected keyword argument"),
        ('[{"trap": "sometimes"}]', "0.trap: Input should be 'cut'"),
        ('[{"per_token_s": -1}]', "0.per_token_s: Input should be greater than or equal to 0"),
        (None, "No such file or directory"),
    ],
)
def test_a_script_that_cannot_be_used_is_one_line_and_status_two(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], content: str | None, reason: str
) -> None:
    script = tmp_path / "script.json"
    if content is not None:
        script.write_text(content)
    assert main(["--port", "0", "--script", str(script)]) == 2
    out, err = capsys.readouterr()
    assert (out, err.count("\n"), reason in err) == ("", 1, True)


# The vision encoder, and memory that runs out


def with_vision(**fields: Any) -> Model:
    return Model(OCR_MODEL, **{"size_mb": 5000, "image_mb": 3000, "parallel": 4} | fields)


async def test_each_call_with_a_picture_takes_the_encoder_s_buffer_while_it_runs(start: Start) -> None:
    caller = await start(with_vision(), vram_mb=16_384)
    caller.fake.script([Answer(trap=Trap.HANG), Answer(trap=Trap.HANG)])
    asking = [asyncio.create_task(caller.chat()) for _ in range(2)]
    await until(lambda: caller.fake.memory.used_mb == 11_000)
    assert (await caller.resident())[OCR_MODEL]["size_vram"] == 5000 << 20
    for one in asking:
        one.cancel()
    await until(lambda: caller.fake.memory.used_mb == 5000)
    assert caller.fake.memory.most_used_mb == 11_000


async def test_a_call_without_a_picture_takes_none(start: Start) -> None:
    caller = await start(with_vision())
    await caller.chat(messages=[{"role": "user", "content": "hello"}])
    assert caller.fake.memory.most_used_mb == 5000


async def test_a_call_that_finds_no_room_aborts_its_runner_and_all_models_leave(start: Start) -> None:
    """`expireRunnersForRuntimeOOM`: the LLM too, although it only stood by."""
    caller = await start(with_vision(), vram_mb=16_384)
    caller.fake.occupy(LLM, 9000)
    status, [answer] = await caller.chat()
    assert (status, "out of memory" in answer["error"]) == (500, True)
    assert (caller.fake.aborts, caller.fake.unloads, caller.fake.resident) == ([OCR_MODEL], [LLM], [])


async def test_the_other_calls_of_an_aborted_runner_fail_too(start: Start) -> None:
    caller = await start(with_vision(image_mb=6000), vram_mb=16_384, latency_s=0.5)
    answers = await asyncio.gather(*(caller.chat() for _ in range(2)))
    assert sorted(status for status, _ in answers) == [500, 500]
    assert any("unexpectedly stopped" in lines[0]["error"] for _, lines in answers)


async def test_a_picture_for_a_model_without_vision_is_an_error_of_the_runner(start: Start) -> None:
    caller = await start(Model(OCR_MODEL, capabilities=("completion",)))
    status, [answer] = await caller.chat()
    assert (status, answer["error"].partition(" - ")[0]) == (500, "image input is not supported")


async def test_an_embedder_is_loaded_by_its_own_route(start: Start) -> None:
    caller = await start(Model("bge", capabilities=("embedding",)))
    refused = await caller.generate(model="bge", keep_alive=60)
    assert refused == (400, {"error": '"bge" does not support generate'})
    body = {"model": "bge", "input": [], "keep_alive": 60}
    async with caller.session.post(f"{caller.fake.url}/api/embed", json=body) as response:
        assert (response.status, await response.json()) == (200, {"model": "bge", "embeddings": []})
    assert list(await caller.resident()) == ["bge:latest"]
    assert (await caller.generate(model="bge", keep_alive=0))[1]["done_reason"] == "unload"


@pytest.mark.parametrize(("vram_mb", "tokens"), [(16_384, 4096), (24_564, 32_768), (81_920, 131_072)])
async def test_a_context_that_nobody_sets_is_the_card_s(start: Start, vram_mb: int, tokens: int) -> None:
    caller = await start(vram_mb=vram_mb)
    await caller.chat()
    assert (await caller.resident())[OCR_MODEL]["context_length"] == tokens


async def test_a_model_may_have_to_fit_with_room_to_spare(start: Start) -> None:
    """Ollama 0.33 evicts where it predicts more than 0.8 of the free memory."""
    caller = await start(vram_mb=16_384)
    caller.fake.memory.fit_share = 0.8
    caller.fake.occupy(LLM, 10_200)  # 6,184 MiB free for 5,000: 4,947 are 0.8 of it
    await caller.chat()
    assert caller.fake.evictions == [LLM]


async def test_the_server_tells_its_own_time(start: Start) -> None:
    clock = ManualClock()
    caller = await start(clock=clock)
    caller.fake.occupy(LLM, 9000, keep_alive_s=600)
    clock.advance(100)
    async with caller.session.get(f"{caller.fake.url}/api/ps") as response:
        date = parsedate_to_datetime(response.headers["Date"])
        [model] = (await response.json())["models"]
    left_s = (datetime.fromisoformat(model["expires_at"]) - date).total_seconds()
    assert 500 <= left_s < 501
