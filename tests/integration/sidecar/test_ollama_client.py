"""The client of the model server against each thing that goes wrong with one."""

import asyncio
import json
import time

import pytest
from aiohttp import web

from sidecar.engines.servers.chat import ChatTimeouts
from sidecar.engines.servers.ollama import Ollama
from sidecar.errors import (
    DeadlineError,
    EngineFailedError,
    EngineRefusedError,
    EngineUnavailableError,
    GpuOutOfMemoryError,
    ModelMissingError,
)
from sidecar.gpu.vram import ResidentModel
from tests.conftest import until
from tests.integration.sidecar.chat_clients import OLLAMA, QUICK
from tests.integration.sidecar.odd_servers import answering, blackhole, server
from tools.fakes.ollama import OCR_MODEL, Answer, FakeOllama, ManualClock, Outcome, Trap
from tools.fakes.ollama_wire import digest

THAI = "ประกาศกระทรวง เรื่อง การจัดซื้อ <จัดจ้าง> & อื่น ๆ\n"
client, chat_with, refusal_of = OLLAMA.client, OLLAMA.chat_with, OLLAMA.refusal_of
REQUEST = OLLAMA.request


# ── as it should be ───────────────────────────────────────────────────────────────────────────────────────────────


async def test_the_request_is_sent_as_it_is_in_utf_8():
    request = REQUEST | {"messages": [{"role": "system", "content": THAI}, {"role": "user", "content": "read"}]}
    async with FakeOllama() as fake, client(fake.url) as ollama:
        await ollama.chat(request, QUICK)
        assert fake.chats[0].body == request


async def test_a_server_at_a_path_is_asked_there():
    last = b'{"done":true,"done_reason":"stop"}\n'
    async with server(web.post("/gpu/api/chat", answering(last))) as url, client(f"{url}/gpu/") as ollama:
        assert (await ollama.chat(REQUEST, QUICK)).done_reason == "stop"


# ── each trap ─────────────────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.alone
async def test_a_line_without_end_is_left_after_a_mebibyte():
    async with FakeOllama() as fake, client(fake.url) as ollama:
        fake.script([Answer("one two", trap=Trap.HUGE_LINE, after_chunks=0)])
        with pytest.raises(EngineFailedError, match="line that is too long"):
            await ollama.chat(REQUEST, QUICK)
        await until(lambda: fake.chats[0].outcome is Outcome.LEFT, 1)


@pytest.mark.parametrize("nothing", [b"\n", b" \n", b'{"message":{"content":""},"done":false}\n'])
async def test_ten_megabytes_of_nothing_are_left_after_a_mebibyte(nothing):
    pieces = [nothing * (65_536 // len(nothing))] * 160
    async with server(web.post("/api/chat", answering(*pieces))) as url, client(url) as ollama:
        with pytest.raises(EngineFailedError, match="without a word"):
            await ollama.chat(REQUEST, QUICK)


async def test_a_long_answer_of_small_pieces_is_not_nothing():
    word = b'{"message":{"content":"%d "},"padding":"' + b"x" * 2000 + b'","done":false}\n'
    pieces = [word % number for number in range(1000)]
    last = b'{"done":true,"done_reason":"stop"}\n'
    async with server(web.post("/api/chat", answering(*pieces, last))) as url, client(url) as ollama:
        stream = await ollama.chat(REQUEST, QUICK)
    assert (stream.done_reason, len(stream.content.split())) == ("stop", 1000)


async def test_an_answer_longer_than_any_page_is_left():
    async with FakeOllama() as fake, client(fake.url) as ollama:
        fake.script([Answer(chunks=tuple(f"{n * 7919 % 100_003:>800} " for n in range(1000)))])
        stream = await ollama.chat(REQUEST, QUICK)
        assert (stream.done_reason, stream.error) == ("too-long", None)
        assert 400_000 < stream.chars < 402_000


# ── time ──────────────────────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.alone
async def test_a_model_that_falls_silent_is_left_at_the_deadline_with_what_it_said():
    async with FakeOllama() as fake, client(fake.url) as ollama:
        fake.script([Answer("one two three", trap=Trap.HANG, after_chunks=2)])
        stream = await ollama.chat(REQUEST, ChatTimeouts(2, 5, 0.4))
        assert (stream.content, stream.done_reason) == ("one two ", "deadline")
        assert isinstance(stream.error, DeadlineError)
        await until(lambda: fake.chats[0].outcome is Outcome.LEFT, 1)


async def test_the_deadline_of_the_first_token_is_for_the_first_token_alone():
    stream = await chat_with(Answer("one two three four five", per_token_s=0.1), ChatTimeouts(2, 0.3, 5))
    assert (stream.content, stream.done_reason) == ("one two three four five", "stop")


async def test_the_first_token_waits_for_the_model_to_load():
    async with FakeOllama(load_s=0.3) as fake, client(fake.url) as ollama:
        assert (await ollama.chat(REQUEST, QUICK)).first_token_s >= 0.3
        with pytest.raises(DeadlineError):
            await ollama.chat(REQUEST, ChatTimeouts(2, 0.1, 5))


@pytest.mark.alone
async def test_cancelling_stops_the_load_of_the_model():
    async with FakeOllama(load_s=60) as fake, client(fake.url) as ollama:
        chat = asyncio.create_task(ollama.chat(REQUEST, ChatTimeouts(2, 60, 60)))
        await until(lambda: fake.chats)
        chat.cancel()
        await asyncio.wait([chat])
        await until(lambda: fake.aborted_loads == [OCR_MODEL], 1)


# ── no server ─────────────────────────────────────────────────────────────────────────────────────────────────────


async def test_a_server_that_is_down_and_one_that_is_no_address_cannot_be_reached():
    fake = FakeOllama()
    async with fake:
        pass
    for url in (fake.url, "http://host.invalid:11434"):
        async with client(url) as ollama:
            for ask in (ollama.chat(REQUEST, QUICK), ollama.resident(), ollama.installed()):
                with pytest.raises(EngineUnavailableError):
                    await ask


async def test_a_client_that_is_not_open_says_so():
    ollama = Ollama("http://127.0.0.1:1", 1)
    with pytest.raises(EngineUnavailableError, match="not started"):
        await ollama.resident()
    async with ollama.open():
        pass
    with pytest.raises(EngineUnavailableError, match="not started"):
        await ollama.chat(REQUEST, QUICK)


# ── refused ───────────────────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    ("answer", "kind"),
    [
        (Answer.busy(), EngineFailedError),
        (Answer.failure(500, "out of memory"), GpuOutOfMemoryError),
        (Answer.failure(500, "boom"), EngineFailedError),
        (Answer.failure(502, "bad gateway"), EngineFailedError),
        (Answer.failure(400, "the input exceeds the context length"), EngineRefusedError),
        (Answer.failure(413, "too large"), EngineRefusedError),
        (Answer.failure(404, "model 'x' not found"), ModelMissingError),
    ],
)
async def test_a_status_says_whose_fault_it_is(answer, kind):
    error = await refusal_of(answer)
    assert type(error) is kind
    assert error.retry_after_s == (10 if kind.retryable and kind is not ModelMissingError else None)


async def test_a_model_that_is_not_installed_is_named():
    async with FakeOllama([]) as fake, client(fake.url) as ollama:
        with pytest.raises(ModelMissingError, match=f"the model {OCR_MODEL} is not installed"):
            await ollama.chat(REQUEST, QUICK)


@pytest.mark.parametrize("body", [b"404 page not found", b"", b'{"message": "no route"}', b"[]"])
async def test_a_404_that_is_not_ollama_s_is_no_missing_model(body):
    async with server(web.post("/api/chat", answering(body, status=404))) as url, client(url) as ollama:
        with pytest.raises(EngineFailedError):
            await ollama.chat(REQUEST, QUICK)


async def test_a_refusal_that_arrives_in_pieces_is_read_whole():
    pieces = answering(b'{"error":"model ', b"'x' not found\"}", status=404, pause_s=0.05)
    async with server(web.post("/api/chat", pieces)) as url, client(url) as ollama:
        with pytest.raises(ModelMissingError):
            await ollama.chat(REQUEST, QUICK)


@pytest.mark.parametrize("status", [301, 302, 307, 308])
async def test_no_redirect_is_followed(status):
    async with FakeOllama() as elsewhere:
        there = answering(status=status, headers={"Location": f"{elsewhere.url}/api/chat"})
        routes = [web.post("/api/chat", there), web.get("/api/ps", there), web.get("/api/tags", there)]
        async with server(*routes) as url, client(url) as ollama:
            for ask in (ollama.chat(REQUEST, QUICK), ollama.resident(), ollama.installed()):
                with pytest.raises(EngineFailedError, match=f"{status}"):
                    await ask
        assert elsewhere.requests == []


@pytest.mark.parametrize(
    ("lines", "text", "reason"),
    [
        (b'{"message":{"content":"a"}}\n{"done":true,"done_reason":"stop"}', "a", "stop"),
        (b'\n\r\n{"message":{"content":"a"}}\r\n\n{"done":true,"done_reason":"stop"}\n', "a", "stop"),
        (b'{"message":{"content":"a"},"done":true}\n', "a", "cut"),
        (b'{"message":{"content":"a"},"done":true,"done_reason":null}\n', "a", "cut"),
        (b'{"message":{"content":"a"},"done":"yes","done_reason":"stop"}\n', "a", "cut"),
        (b'{"message":{"content":"a"}}\n{"message":{"content":5}}\n{"message":null}\n{"message":"b"}\n', "a", "cut"),
        (b'{"message":{"content":"a"},"done":true,"done_reason":"load"}\n', "a", "load"),
        (b'{"message":{"content":"a"},"done":true,"done_reason":"stop"}\n{"message":{"content":"b"}}\n', "a", "stop"),
    ],
)
async def test_lines_are_believed_as_far_as_they_are_ollama_s(lines, text, reason):
    async with server(web.post("/api/chat", answering(lines))) as url, client(url) as ollama:
        stream = await ollama.chat(REQUEST, QUICK)
        assert (stream.content, stream.done_reason, stream.error) == (text, reason, None)


@pytest.mark.parametrize("line", [b"[]\n", b"null\n", b'"x"\n', b"5\n", b"\xff\xfe\n", b"[" * 100_000 + b"\n", b"{\n"])
async def test_lines_that_are_not_ollama_s_are_a_failure(line):
    async with server(web.post("/api/chat", answering(line))) as url, client(url) as ollama:
        with pytest.raises(EngineFailedError, match="not what Ollama answers"):
            await ollama.chat(REQUEST, QUICK)


# ── the small questions ───────────────────────────────────────────────────────────────────────────────────────────


async def test_what_is_resident_and_what_is_installed_is_told():
    async with FakeOllama() as fake, client(fake.url) as ollama:
        fake.occupy("np-dms-ai", 9000, 32_768)
        assert await ollama.resident() == (ResidentModel("np-dms-ai:latest", 9000, 32_768),)
        assert await ollama.installed() == {name: digest(name) for name in ("np-dms-ai:latest", OCR_MODEL)}


async def test_how_long_a_model_stays_is_told_by_the_server_s_clock():
    clock = ManualClock()
    async with FakeOllama(clock=clock) as fake, client(fake.url) as ollama:
        fake.occupy("np-dms-ai", 9000, keep_alive_s=300)
        clock.advance(1_000_000 + 100)  # days away from ours; the model has been busy since
        fake.occupy("np-dms-ai", 9000, keep_alive_s=300)
        [model] = await ollama.resident()
        assert 300 <= model.remaining_s < 301
        clock.advance(100)
        [later] = await ollama.resident()
        assert (later.expires_at, 200 <= later.remaining_s < 201) == (model.expires_at, True)


@pytest.mark.parametrize("said", [None, "", "soon", 5, "2026-11-28T05:00:00"])
async def test_a_time_that_is_none_is_not_known(said):
    body = json.dumps({"models": [{"name": "a", "expires_at": said}]}).encode()
    async with server(web.get("/api/ps", answering(body))) as url, client(url) as ollama:
        [model] = await ollama.resident()
        assert model.remaining_s is None


async def test_a_model_is_unloaded_and_loaded_as_it_was():
    async with FakeOllama() as fake, client(fake.url) as ollama:
        fake.occupy("np-dms-ai", 9000, 16_384)
        await ollama.unload("np-dms-ai:latest")
        assert fake.resident == []
        await ollama.load("np-dms-ai:latest", 119.5, 16_384, 5)
        [model] = fake.memory.residents()
        assert (model.runner.context_length, model.keep_alive_s) == (16_384, 120)
        await ollama.load("np-dms-ai:latest", -1, 16_384, 5)
        assert fake.memory.residents()[0].keep_alive_s > 1e9
        assert fake.loads == ["np-dms-ai:latest"]


async def test_an_embedder_is_loaded_too():
    async with FakeOllama() as fake, client(fake.url) as ollama:
        fake.install("bge", capabilities=("embedding",))
        await ollama.load("bge", 60, 0, 5)
        assert fake.resident == ["bge:latest"]


async def test_a_model_that_cannot_be_loaded_is_an_error():
    async with FakeOllama(load_s=60) as fake, client(fake.url) as ollama:
        with pytest.raises(ModelMissingError):
            await ollama.load("other", 60, 0, 5)
        with pytest.raises(DeadlineError):
            await ollama.load(OCR_MODEL, 60, 0, 0.1)
        await fake.go_down()
        with pytest.raises(EngineUnavailableError):
            await ollama.unload(OCR_MODEL)


async def test_only_what_lies_in_vram_counts():
    async with FakeOllama(vram_mb=4000) as fake, client(fake.url) as ollama:
        fake.occupy("np-dms-ai", 9000)
        assert [model.vram_mb for model in await ollama.resident()] == [4000]


async def test_a_server_that_fails_does_not_say():
    async with FakeOllama() as fake, client(fake.url) as ollama:
        fake.ps_fails = 500
        with pytest.raises(EngineFailedError, match="answered 500"):
            await ollama.resident()


@pytest.mark.alone
async def test_a_question_that_nobody_answers_and_one_that_takes_too_long_end_within_four_seconds():
    with blackhole() as nobody:
        async with FakeOllama() as fake, client(fake.url) as slow, client(nobody) as unheard:
            fake.ps_delay_s = 60
            started_s = time.monotonic()
            asked = (slow.resident(), unheard.resident(), unheard.installed())
            errors = await asyncio.gather(*asked, return_exceptions=True)
            assert [type(error) for error in errors] == [EngineUnavailableError] * 3
            assert time.monotonic() - started_s < 4


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"<html>",
        b"null",
        b"[]",
        b"{}",
        b'{"models": null}',
        b'{"models": {}}',
        b'{"models": ["np-dms-ai"]}',
        b'{"models": [null]}',
        b"\xff",
        b"[" * 100_000,
    ],
)
async def test_lists_that_are_not_ollama_s_are_a_failure(body):
    routes = [web.get("/api/ps", answering(body)), web.get("/api/tags", answering(body))]
    async with server(*routes) as url, client(url) as ollama:
        for ask in (ollama.resident(), ollama.installed()):
            with pytest.raises(EngineFailedError, match="not what Ollama answers"):
                await ask


@pytest.mark.parametrize(
    ("model", "told"),
    [
        ({"name": "a", "size_vram": 5 << 20, "context_length": 4096}, ResidentModel("a", 5, 4096)),
        ({"model": "a"}, ResidentModel("a", 0, 0)),
        ({"name": "a", "size_vram": None, "context_length": None}, ResidentModel("a", 0, 0)),
        ({"name": "a", "size_vram": 0, "context_length": "4096"}, ResidentModel("a", 0, 0)),
        ({"name": "a", "size_vram": 0, "context_length": {}}, ResidentModel("a", 0, 0)),
        ({"name": "a", "digest": 5, "new_field": []}, ResidentModel("a", 0, 0)),
    ],
)
async def test_fields_of_the_wrong_type_are_not_told(model, told):
    body = answering(json.dumps({"models": [model]}).encode())
    async with server(web.get("/api/ps", body)) as url, client(url) as ollama:
        assert await ollama.resident() == (told,)


@pytest.mark.parametrize("size_vram", ["5", [1], 2.5e9, -1])
async def test_memory_that_is_no_number_of_bytes_is_no_reading(size_vram):
    body = answering(json.dumps({"models": [{"name": "a", "size_vram": size_vram}]}).encode())
    async with server(web.get("/api/ps", body)) as url, client(url) as ollama:
        with pytest.raises(EngineFailedError):
            await ollama.resident()


async def test_models_without_a_proper_name_are_no_obstacle():
    body = answering(json.dumps({"models": [{"name": "a:latest"}, {}, {"name": None}, {"name": 5}]}).encode())
    async with server(web.get("/api/tags", body), web.get("/api/ps", body)) as url, client(url) as ollama:
        assert "a:latest" in await ollama.installed()
        assert "a:latest" in [model.name for model in await ollama.resident()]


async def test_a_list_that_arrives_in_pieces_is_read_whole():
    pieces = answering(b'{"models": [{"name":', b' "a:latest"}]}', pause_s=0.05)
    async with server(web.get("/api/tags", pieces)) as url, client(url) as ollama:
        assert await ollama.installed() == {"a:latest": None}


async def test_nothing_packed_is_asked_for():
    seen = []

    async def answer(request: web.Request) -> web.Response:
        seen.append(request.headers.get("Accept-Encoding"))
        return web.json_response({"models": []})

    async with server(web.get("/api/ps", answer)) as url, client(url) as ollama:
        await ollama.resident()
    assert seen == ["identity"]


@pytest.mark.parametrize("status", [408, 429])
async def test_a_refusal_that_passes_is_a_failure_and_no_refusal_of_the_page(status):
    async with server(web.post("/api/chat", answering(b"", status=status))) as url, client(url) as ollama:
        with pytest.raises(EngineFailedError) as failed:
            await ollama.chat(REQUEST, QUICK)
    assert failed.value.code == "engine_failed"


async def test_a_query_in_the_address_is_no_part_of_a_path():
    async with server(web.get("/api/ps", answering(b'{"models": []}'))) as url, client(url + "/?a=b#c") as ollama:
        assert await ollama.resident() == ()
