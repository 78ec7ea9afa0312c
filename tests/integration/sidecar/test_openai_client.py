"""The client of OpenAI-compatible servers against each of them, and against what goes wrong with one."""

import json
from pathlib import Path

import pytest
from aiohttp import web
from openai import AsyncOpenAI

from sidecar.engines.servers.chat import ChatTimeouts
from sidecar.engines.servers.openai_request import ServerKind
from sidecar.errors import (
    DeadlineError,
    EngineFailedError,
    EngineRefusedError,
    EngineUnavailableError,
    GpuOutOfMemoryError,
    ModelMissingError,
)
from tests.integration.sidecar.chat_clients import APIS, QUICK
from tests.integration.sidecar.odd_servers import answering, server
from tools.fakes.openai import MODEL, Answer, FakeOpenAI, Kind, overflow

THAI = "ประกาศกระทรวง เรื่อง การจัดซื้อ <จัดจ้าง> & อื่น ๆ\n"
CHAT = "/v1/chat/completions"
LLAMA_CPP = APIS[Kind.LLAMA_CPP.value]
client, refusal_of, REQUEST = LLAMA_CPP.client, LLAMA_CPP.refusal_of, LLAMA_CPP.request
KINDS = pytest.mark.parametrize("kind", list(Kind))


# ── as it should be ───────────────────────────────────────────────────────────────────────────────────────────────


async def test_an_empty_first_event_is_no_first_token():
    """llama.cpp's server sends it at once, and then looks at the picture for seconds."""
    head = b'data: {"choices":[{"delta":{"role":"assistant","content":null},"finish_reason":null}]}\n\n'
    async with (
        server(web.post(CHAT, answering(head, head, head, pause_s=0.2))) as url,
        client(f"{url}/v1") as model,
    ):
        with pytest.raises(DeadlineError):
            await model.chat(REQUEST, ChatTimeouts(2, 0.3, 30))


@KINDS
async def test_the_request_arrives_as_it_is_in_utf_8(kind):
    request = REQUEST | {"messages": [{"role": "user", "content": THAI}], "temperature": 0.1}
    async with FakeOpenAI(kind) as fake, client(fake.url) as model:
        await model.chat(request, QUICK)
        assert fake.chats[0].body == request


@KINDS
async def test_no_connection_is_used_again_although_the_server_says_that_it_keeps_it(kind):
    """Two calls over one connection would be a ServerDisconnected each time: the server closes it all the same."""
    async with FakeOpenAI(kind) as fake, client(fake.url) as model:
        for _ in range(8):
            stream = await model.chat(REQUEST, QUICK)
            assert (stream.done_reason, stream.error) == ("stop", None)
        ports = {call.headers["Connection"] for call in fake.chats}
        assert ports == {"close"}


@KINDS
async def test_the_makers_own_client_reads_the_stand_in(kind):
    """So that it stays honest: its events have the form of OpenAI's own types."""
    async with FakeOpenAI(kind, key="sesame") as fake:
        fake.script([Answer("one two", done_reason="length")])
        async with AsyncOpenAI(base_url=fake.url, api_key="sesame", max_retries=0) as maker:
            assert [model.id for model in (await maker.models.list()).data] == [MODEL]
            stream = await maker.chat.completions.create(**REQUEST, stream_options={"include_usage": True})
            chunks = [chunk async for chunk in stream]
    said = [chunk.choices[0] for chunk in chunks if chunk.choices]
    assert "".join(choice.delta.content or "" for choice in said) == "one two"
    assert [choice.finish_reason for choice in said][-1] == "length"
    assert (chunks[-1].choices, chunks[-1].usage.completion_tokens) == ([], 2)


# ── each trap ─────────────────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("nothing", [b"\n", b": keep-alive\n\n", b'data: {"choices":[{"delta":{"content":""}}]}\n\n'])
async def test_ten_megabytes_of_nothing_are_left_after_a_mebibyte(nothing):
    pieces = [nothing * (65_536 // len(nothing))] * 160
    async with server(web.post(CHAT, answering(*pieces))) as url, client(f"{url}/v1") as model:
        with pytest.raises(EngineFailedError, match="without a word"):
            await model.chat(REQUEST, QUICK)


# ── refused ───────────────────────────────────────────────────────────────────────────────────────────────────────

VLLM_TOO_LONG = (
    "This model's maximum context length is 8192 tokens. However, you requested 9120 tokens (9120 in the messages, "
    "0 in the completion). Please reduce the length of the messages or completion."
)


@pytest.mark.parametrize(
    ("answer", "kind"),
    [
        (overflow(9120, 8192), EngineRefusedError),
        (Answer.failure(400, VLLM_TOO_LONG), EngineRefusedError),
        (Answer.failure(400, "Failed to load image or audio file"), EngineRefusedError),
        (Answer.failure(413, "too large"), EngineRefusedError),
        (Answer.failure(500, "image input is not supported - hint: provide the mmproj"), EngineRefusedError),
        (Answer.failure(503, "Loading model"), EngineUnavailableError),
        (Answer.failure(401, "Unauthorized"), EngineUnavailableError),
        (Answer.failure(404, "The model `x` does not exist."), ModelMissingError),
        (Answer.failure(404, '{"message":"nope","code":"model_not_found"}'), ModelMissingError),
        (Answer.failure(404, "Not Found"), EngineFailedError),
        (Answer.failure(500, "CUDA out of memory. Tried to allocate 2.00 GiB"), GpuOutOfMemoryError),
        (Answer.failure(500, "boom"), EngineFailedError),
        (Answer.failure(502, "bad gateway"), EngineFailedError),
        (Answer.failure(503, "no slot"), EngineFailedError),
        (Answer.failure(429, "too many requests"), EngineFailedError),
    ],
)
async def test_a_status_says_whose_fault_it_is(answer, kind):
    assert type(await refusal_of(answer)) is kind


@pytest.mark.parametrize("answer", [overflow(9120, 8192), Answer.failure(400, VLLM_TOO_LONG)])
async def test_the_needed_context_is_told(answer):
    assert (await refusal_of(answer)).detail == (
        "the page and its prompt take 9120 tokens: the model server's context must be larger"
    )


async def test_a_server_with_several_models_does_not_answer_to_any_name():
    async with FakeOpenAI(Kind.LLAMA_CPP, ["a", "b"]) as fake, client(fake.url) as model:
        assert model.missing("other", await model.installed()) == "other"


@pytest.mark.parametrize("body", [b"", b"null", b'"x"', b"5", b"\xff\xfe", b"{", b'{"object":"list"}', b"<html>"])
async def test_a_200_that_is_not_the_api_s_is_a_failure(body):
    async with server(web.post(CHAT, answering(body + b"\n"))) as url, client(f"{url}/v1") as model:
        if not body:
            assert (await model.chat(REQUEST, QUICK)).done_reason == "cut"
            return
        with pytest.raises(EngineFailedError, match="not what the OpenAI API answers"):
            await model.chat(REQUEST, QUICK)


@pytest.mark.parametrize(
    ("event", "kind"),
    [
        (b'{"error":{"message":"boom"}}', EngineFailedError),
        (b'data: {"error":{"message":"CUDA out of memory"}}', GpuOutOfMemoryError),
        (b'data: {"error":"boom"}', EngineFailedError),
        (b'error: {"code":500,"message":"CUDA out of memory"}', GpuOutOfMemoryError),
        (b'data: {"choices":null}', EngineFailedError),
        (b"data: []", EngineFailedError),
        (b'data: {"choices":[', EngineFailedError),
        (b"data: " + b"[" * 100_000, EngineFailedError),
    ],
)
async def test_an_error_inside_a_200_and_half_an_event_are_a_failure(event, kind):
    async with server(web.post(CHAT, answering(event + b"\n\n"))) as url, client(f"{url}/v1") as model:
        with pytest.raises(kind):
            await model.chat(REQUEST, QUICK)


@pytest.mark.parametrize(
    ("events", "text", "reason"),
    [
        (b'data:{"choices":[{"delta":{"content":"a"},"finish_reason":"stop"}]}', "a", "stop"),
        (b'event: x\r\nid: 1\r\nretry: 5\r\ndata: {"choices":[{"delta":{"content":"a"}}]}\r\n\r\n', "a", "cut"),
        (b'data: {"choices":[{"delta":{"content":5}}]}\n\ndata: {"choices":[{"delta":null}]}\n\n', "", "cut"),
        (b'data: {"choices":[],"usage":{}}\n\ndata: {"choices":["x"]}\n\ndata: [DONE]\n\n', "", "cut"),
        (b'data: {"choices":[{"delta":{"content":"a"},"finish_reason":"content_filter"}]}\n\n', "a", "content_filter"),
    ],
)
async def test_events_are_believed_as_far_as_they_are_the_api_s(events, text, reason):
    async with server(web.post(CHAT, answering(events))) as url, client(f"{url}/v1") as model:
        stream = await model.chat(REQUEST, QUICK)
        assert (stream.content, stream.done_reason, stream.error) == (text, reason, None)


@pytest.mark.parametrize("status", [301, 302, 307, 308])
async def test_no_redirect_is_followed_and_no_key_goes_elsewhere(status, tmp_path):
    key = key_file(tmp_path, "sesame")
    async with FakeOpenAI() as elsewhere:
        there = answering(status=status, headers={"Location": f"{elsewhere.url}/chat/completions"})
        async with (
            server(web.post(CHAT, there), web.get("/v1/models", there)) as url,
            client(f"{url}/v1", key_file=key) as model,
        ):
            for ask in (model.chat(REQUEST, QUICK), model.installed()):
                with pytest.raises(EngineFailedError, match=f"{status}"):
                    await ask
        assert elsewhere.requests == []


# ── what it says of itself ────────────────────────────────────────────────────────────────────────────────────────


@KINDS
async def test_its_kind_is_told_by_its_list_of_models(kind):
    async with FakeOpenAI(kind, ["b", "a"]) as fake, client(fake.url) as model:
        assert model.kind is ServerKind.GENERIC
        assert await model.installed() == {"a": None, "b": None}
        assert model.kind == kind.value


async def test_the_settings_know_better_which_kind_it_is():
    async with FakeOpenAI(Kind.GENERIC) as fake, client(fake.url, kind=ServerKind.VLLM) as model:
        await model.installed()
        assert model.kind is ServerKind.VLLM


async def test_a_vllm_whose_engine_has_died_is_not_well_although_it_lists_its_models():
    async with FakeOpenAI(Kind.VLLM) as fake, client(fake.url) as model:
        fake.is_broken = True
        with pytest.raises(EngineFailedError, match="answered 503"):
            await model.installed()


@pytest.mark.parametrize("status", [200, 401, 404, 500])
async def test_a_gateway_that_does_not_pass_the_question_of_health_on_is_no_failure(status):
    models = answering(b'{"data":[{"id":"m","owned_by":"vllm"}]}')
    routes = [web.get("/gpu/v1/models", models), web.get("/gpu/health", answering(b"<html>", status=status))]
    async with server(*routes) as url, client(f"{url}/gpu/v1/") as model:
        assert await model.installed() == {"m": None}


@pytest.mark.parametrize("body", [b"", b"<html>", b"null", b"[]", b"{}", b'{"data": null}', b'{"data": ["m"]}'])
async def test_lists_that_are_not_the_api_s_are_a_failure(body):
    async with server(web.get("/v1/models", answering(body))) as url, client(f"{url}/v1") as model:
        with pytest.raises(EngineFailedError, match="not what the OpenAI API answers"):
            await model.installed()


# ── the key ───────────────────────────────────────────────────────────────────────────────────────────────────────


def key_file(folder: Path, key: str) -> Path:
    file = folder / "key"
    file.write_text(key)
    return file


async def test_the_key_is_sent_and_changes_with_its_file(tmp_path):
    file = key_file(tmp_path, "sesame\n")
    async with FakeOpenAI(Kind.VLLM, key="sesame") as fake, client(fake.url, key_file=file) as model:
        assert (await model.chat(REQUEST, QUICK)).done_reason == "stop"
        fake.key = "simsim"
        with pytest.raises(EngineUnavailableError, match="refuses the key") as refused:
            await model.chat(REQUEST, QUICK)
        assert refused.value.state == "key-refused"
        key_file(tmp_path, "simsim")
        await model.installed()
        assert (await model.chat(REQUEST, QUICK)).done_reason == "stop"
        file.unlink()
        await model.installed()


@pytest.mark.parametrize("content", [None, "", "two words", "a\nb", "ก"])
async def test_without_a_key_that_can_be_read_nothing_is_sent(tmp_path, content):
    file = tmp_path / "key"
    if content is not None:
        file.write_text(content, encoding="utf-8")
    async with FakeOpenAI(Kind.VLLM) as fake, client(fake.url, key_file=file) as model:
        for ask in (model.chat(REQUEST, QUICK), model.installed()):
            with pytest.raises(EngineUnavailableError, match="OCR_MODEL_KEY_FILE") as refused:
                await ask
            assert refused.value.state == "key-unreadable"
        assert fake.requests == []


async def test_a_refusal_is_read_whatever_its_form():
    body = json.dumps({"object": "error", "message": "The model `x` does not exist.", "code": 404}).encode()
    async with server(web.post(CHAT, answering(body, status=404))) as url, client(f"{url}/v1") as model:
        with pytest.raises(ModelMissingError):
            await model.chat(REQUEST, QUICK)
