"""What a model server does, and what becomes of it: the same tests for stand-ins and for real servers.

`test_server_rows.py` here runs them with each stand-in, that of tests/realmodel with llama.cpp's own server. A module
that runs them has two fixtures, which start a server: ``staged``, and ``staged_any``, which may be an Ollama as well.

What a model has to say word by word can only be scripted, so that these rows are the stand-ins' alone: an echo of the
prompt, thinking, Thai letters that are cut on the wire, an answer that is HTML, half an event, an error in the middle
of a stream or 10 MB of nothing (`test_openai_client.py`, `test_openai_servers.py`), a connection that is reset. So are
words of other servers than llama.cpp's: a name that vLLM does not serve, a lack of memory of the GPU.
"""

import asyncio
import base64
from collections.abc import AsyncIterator

import pytest
from openai import AsyncOpenAI

from sidecar.engines.servers.chat import ChatTimeouts
from sidecar.engines.servers.openai_request import ServerKind
from sidecar.errors import (
    DeadlineError,
    EngineRefusedError,
    EngineUnavailableError,
    ModelMissingError,
    ServerState,
    SidecarError,
)
from tests.integration.sidecar.model import PAGE, Governed, Governor, pages, publish
from tests.integration.sidecar.stages import WEBP, Act, Stage, Staged
from tests.integration.sidecar.test_openai_servers import findings

PATIENT = ChatTimeouts(connect_s=5, first_token_s=60, whole_s=60)
NONE = {"OCR_FALLBACK_ENGINE": "none"}


@pytest.fixture
async def any_stage(staged_any: Staged) -> AsyncIterator[Stage]:
    async with staged_any() as one:
        yield one


@pytest.fixture
async def stage(staged: Staged) -> AsyncIterator[Stage]:
    async with staged() as one:
        yield one


# ── a chat ────────────────────────────────────────────────────────────────────────────────────────────────────────


async def test_a_stream_that_stops_is_its_text(any_stage):
    async with any_stage.client() as client:
        stream = await client.chat(any_stage.request(Act.STOP), PATIENT)
    assert (stream.done_reason, stream.error, bool(stream.content.strip())) == ("stop", None, True)
    assert stream.first_token_s >= 0


async def test_out_of_tokens_is_length_and_keeps_the_text(any_stage):
    async with any_stage.client() as client:
        stream = await client.chat(any_stage.request(Act.LENGTH), PATIENT)
    assert (stream.done_reason, stream.error, bool(stream.content)) == ("length", None, True)


async def test_an_answer_without_a_word_is_empty_and_stopped(any_stage):
    async with any_stage.client() as client:
        stream = await client.chat(any_stage.request(Act.NOTHING), PATIENT)
    assert (stream.content.strip(), stream.done_reason, stream.error) == ("", "stop", None)


async def test_a_model_that_repeats_itself_is_left_and_its_slot_is_free(any_stage):
    async with any_stage.client() as client:
        stream = await client.chat(any_stage.request(Act.LOOP), PATIENT)
        assert (stream.done_reason, stream.error) == ("loop", None)
        await any_stage.until_calls(0)


async def test_a_model_that_says_nothing_is_left_at_its_deadline(any_stage):
    async with any_stage.client() as client:
        with pytest.raises(DeadlineError, match=r"longer than 0\.2 s"):
            await client.chat(any_stage.request(Act.SILENCE), ChatTimeouts(5, 0.2, 60))
        await any_stage.until_calls(0)


async def test_a_model_that_comes_to_no_end_is_left_at_its_deadline_with_what_it_said(any_stage):
    async with any_stage.client() as client:
        for _ in range(2):  # the second time a real server knows the picture
            quick = await client.chat(any_stage.request(Act.STOP), PATIENT)
        deadline_s = 0.5 + 3 * quick.first_token_s  # sooner than the context is full, which is an end
        stream = await client.chat(any_stage.request(Act.ENDLESS), ChatTimeouts(5, 60, deadline_s))
        assert (stream.done_reason, bool(stream.content)) == ("deadline", True)
        await any_stage.until_calls(0)


async def test_a_caller_that_leaves_frees_the_slot(any_stage):
    async with any_stage.client() as client:
        chat = asyncio.create_task(client.chat(any_stage.request(Act.ENDLESS), PATIENT))
        await any_stage.until_calls(1)
        chat.cancel()
        await asyncio.wait([chat])
        assert chat.cancelled()
        await any_stage.until_calls(0)
        assert (await client.chat(any_stage.request(Act.STOP), PATIENT)).done_reason == "stop"


async def test_a_server_that_is_killed_cuts_the_stream_and_is_found_again(staged_any):
    async with staged_any() as one, one.client() as client:
        chat = asyncio.create_task(client.chat(one.request(Act.ENDLESS), PATIENT))
        await one.until_calls(1)
        await asyncio.wait([chat], timeout=0.3)
        await one.go_down()
        (result,) = await asyncio.gather(chat, return_exceptions=True)
        error = result if isinstance(result, SidecarError) else result.error
        assert (error.code, error.is_lost) == ("engine_failed", True)
        with pytest.raises(EngineUnavailableError):
            await client.installed()
        await one.come_up()
        assert (await client.chat(one.request(Act.STOP), PATIENT)).done_reason == "stop"


async def test_no_connection_is_used_again_although_the_server_says_that_it_keeps_it(stage):
    async with stage.client() as client:
        for _ in range(5):
            assert (await client.chat(stage.request(Act.STOP), PATIENT)).done_reason == "stop"


async def test_an_overflow_of_the_context_refuses_the_page_and_tells_the_tokens(stage):
    async with stage.client() as client:
        with pytest.raises(EngineRefusedError, match=r"take \d{4,} tokens"):
            await client.chat(stage.request(Act.OVERFLOW), PATIENT)
        assert (await client.chat(stage.request(Act.STOP), PATIENT)).done_reason == "stop"


async def test_without_a_projector_the_page_is_refused_and_the_server_is_well(staged):
    async with staged(has_vision=False) as blind, blind.client() as client:
        with pytest.raises(EngineRefusedError, match="takes no pictures"):
            await client.chat(blind.request(Act.STOP), PATIENT)
        assert await client.installed()


@pytest.mark.parametrize("asks", ["a chat", "the models"])
async def test_a_server_that_loads_its_model_says_so(staged, asks):
    async with staged(is_loading=True) as loading, loading.client() as client:
        while True:
            with pytest.raises(EngineUnavailableError) as refused:
                await (client.installed() if asks == "the models" else client.chat(loading.request(Act.STOP), PATIENT))
            if refused.value.state is not ServerState.UNREACHABLE:
                break
    assert (refused.value.state, refused.value.retry_after_s) == (ServerState.LOADING, 10)


async def test_its_kind_is_told_by_its_list_and_llama_cpp_s_answers_to_any_name(stage):
    async with stage.client() as client:
        installed = await client.installed()
        assert (client.kind, len(installed)) == (stage.kind, 1)
        other = stage.request(Act.STOP) | {"model": "other"}
        if stage.kind is ServerKind.LLAMA_CPP:
            assert client.missing("other", installed) is None
            assert (await client.chat(other, PATIENT)).done_reason == "stop"
        else:
            assert client.missing("other", installed) == "other"
            with pytest.raises(ModelMissingError):
                await client.chat(other, PATIENT)


@pytest.mark.parametrize("given", [None, "wrong", "sesame"])
async def test_a_key_is_asked_for(staged, tmp_path, given):
    file = tmp_path / "key"
    file.write_text(given or "")
    async with staged(key="sesame") as locked, locked.client(key_file=file if given else None) as client:
        if given == "sesame":
            await client.installed()
            assert (await client.chat(locked.request(Act.STOP), PATIENT)).done_reason == "stop"
            return
        for ask in (client.installed, lambda: client.chat(locked.request(Act.STOP), PATIENT)):
            with pytest.raises(EngineUnavailableError, match="refuses the key") as refused:
                await ask()
            assert refused.value.state is ServerState.KEY_REFUSED


async def test_the_makers_own_client_reads_it(stage):
    """Streamed and whole: its answers have the form of OpenAI's own types."""
    asked = stage.request(Act.LENGTH) | {"stream": False, "logprobs": True, "top_logprobs": 2}
    async with AsyncOpenAI(base_url=stage.url, api_key="any", max_retries=0) as maker:
        whole = await maker.chat.completions.create(**asked)
        stage.request(Act.LENGTH)
        usage = {"stream_options": {"include_usage": True}, "stream": True}
        chunks = [chunk async for chunk in await maker.chat.completions.create(**(asked | usage))]
    (choice,) = whole.choices
    assert (choice.finish_reason, bool(choice.message.content)) == ("length", True)
    assert len(choice.logprobs.content) == whole.usage.completion_tokens == 3
    said = [chunk.choices[0] for chunk in chunks if chunk.choices]
    assert "".join(one.delta.content or "" for one in said)
    assert [one.finish_reason for one in said][-2:] == [None, "length"]
    assert [len(one.logprobs.content[0].top_logprobs) for one in said if one.logprobs] == [2] * 3
    assert (chunks[-1].choices, chunks[-1].usage.completion_tokens) == ([], 3)


# ── what is sent ──────────────────────────────────────────────────────────────────────────────────────────────────

COMMON = {
    "temperature": 0.5,
    "top_p": 0.75,
    "max_tokens": 4,
    "seed": 7,
    "frequency_penalty": 0.25,
    "presence_penalty": 0.125,
}


async def test_parameters_reach_the_model_under_their_names(stage):
    async with stage.client() as client:
        await client.installed()
        own = client.parameters({"repeat_penalty": 1.25})
        form = {"response_format": {"type": "json_object"}, "stop": ["zzz"]}
        stream = await client.chat(stage.request(Act.STOP) | COMMON | form | own, PATIENT)
        assert stream.error is None
    understood = await stage.last_parameters()
    assert {name: understood[name] for name in (*COMMON, *own)} == COMMON | dict(own)


async def test_webp_is_refused_by_llama_cpp_s_and_png_by_none(stage):
    request = stage.request(Act.STOP)
    (message,) = request["messages"]
    parts = [_picture(WEBP, "webp") if part["type"] == "image_url" else part for part in message["content"]]
    webp = request | {"messages": [message | {"content": parts}]}
    async with stage.client() as client:
        if stage.kind is ServerKind.LLAMA_CPP:
            with pytest.raises(EngineRefusedError):
                await client.chat(webp, PATIENT)
        assert (await client.chat(stage.request(Act.STOP), PATIENT)).done_reason == "stop"


def _picture(content: bytes, kind: str) -> dict[str, object]:
    encoded = base64.b64encode(content).decode()
    return {"type": "image_url", "image_url": {"url": f"data:image/{kind};base64,{encoded}"}}


# ── a document ────────────────────────────────────────────────────────────────────────────────────────────────────


@pytest.fixture
def govern_by(start, tmp_path):
    """Start a service that has pages read by a server."""

    async def govern(one: Stage, **environ: str) -> Governed:
        governed = await Governor(start, one, tmp_path / "profiles")(**environ)
        server = governed.service.engine("np-dms-ocr").servers.all[0]
        await server.watch.polled.wait()
        return governed

    return govern


def circuit(governed: Governed):
    return governed.service.engine("np-dms-ocr").servers.all[0].circuit


async def test_a_document_is_read_and_the_answer_says_how(stage, govern_by):
    governed = await govern_by(stage, **NONE)
    body = await governed.read(pages(3), temperature="1", **stage.fields(Act.STOP))
    assert (body["engineUsed"], body["residency"]["reason"]) == ("np-dms-ocr", "not-governed")
    assert body["parameters"] == {"temperature": 1}
    assert any(page["text"] and page["doneReason"] == "stop" for page in body["pages"])
    assert (await governed.ops("readyz"))["ocr"] == {"state": "ready", "reason": None}
    assert [ok for ok, _ in (await findings(**stage.environment)).values()] == [stage.kind is not None]


@pytest.mark.parametrize(("act", "verdicts"), [(Act.LENGTH, {"truncated", "empty"}), (Act.LOOP, {"looped"})])
async def test_a_page_that_is_not_whole_is_read_by_the_stand_in_and_says_so(stage, govern_by, act, verdicts):
    governed = await govern_by(stage)
    body = await governed.read(**stage.fields(act))
    ((first, second),) = [page["attempts"] for page in body["pages"]]
    assert (first["engine"], second["engine"], second["verdict"]) == ("np-dms-ocr", "tesseract", "good")
    assert first["verdict"] in verdicts
    assert {"engine-fallback", f"page-{first['verdict']}"} <= set(body["warnings"])


async def test_a_further_try_has_a_seed_of_its_own(stage, govern_by, tmp_path):
    retry = {"maxAttempts": 2, "temperatureStep": 0.25}
    publish(tmp_path / "profiles", runtimeParams={"temperature": 0.5, "max_tokens": 2}, retry=retry)
    governed = await govern_by(stage)
    stage.fields(Act.LENGTH)  # for a stand-in's script; a real server has it from the profile
    body = await governed.read()
    tried = [one["parameters"] for one in body["pages"][0]["attempts"] if one["engine"] == "np-dms-ocr"]
    assert tried[1] == {"temperature": 0.75, "max_tokens": 2, "seed": 2}
    assert (await stage.last_parameters())["seed"] == 2


async def test_a_page_that_does_not_fit_is_refused_and_the_server_stays_well(stage, govern_by):
    governed = await govern_by(stage, **NONE)
    for _ in range(6):
        status, body = await governed.service.upload(PAGE, engine="np-dms-ocr", **stage.fields(Act.OVERFLOW))
        assert (status, body["code"]) == (502, "engine_refused")
    assert not circuit(governed).is_open


async def test_a_page_that_a_blind_model_refuses_is_read_by_the_stand_in(staged, govern_by):
    async with staged(has_vision=False) as blind:
        governed = await govern_by(blind)
        body = await governed.read(**blind.fields(Act.STOP))
        assert (body["engineUsed"], body["pages"][0]["attempts"][0]["error"]) == ("tesseract", "engine_refused")
        assert {"engine-fallback", "engine-refused"} <= set(body["warnings"])
        assert not circuit(governed).is_open


async def test_what_the_api_cannot_carry_is_a_warning(stage, govern_by, tmp_path):
    asked = {"num_ctx": 16384, "temperature": 1, "repeat_penalty": 1.25, "max_tokens": 40}
    publish(tmp_path / "profiles", runtimeParams=asked)
    governed = await govern_by(stage, **NONE)
    body = await governed.read(pages(2), **stage.fields(Act.STOP))
    assert "parameters-not-applied" in body["warnings"]
    names = {ServerKind.LLAMA_CPP: {"repeat_penalty": 1.25}, ServerKind.VLLM: {"repetition_penalty": 1.25}}
    sent = {"temperature": 1, "max_tokens": 40} | names.get(stage.kind, {})
    assert body["parameters"] == sent
    understood = await stage.last_parameters()
    assert {name: understood[name] for name in sent} == sent


async def test_a_caller_that_leaves_frees_the_slot_and_opens_no_circuit(staged, govern_by):
    async with staged(is_endless=True) as endless:
        governed = await govern_by(endless, **NONE)
        for _ in range(6):
            reading = asyncio.create_task(governed.service.upload(PAGE, engine="np-dms-ocr"))
            await endless.until_calls(1)
            reading.cancel()
            await endless.until_calls(0)
        assert not circuit(governed).is_open


async def test_a_server_that_is_killed_costs_its_page_and_reads_again_when_it_is_back(staged, govern_by):
    async with staged(is_endless=True) as endless:
        governed = await govern_by(endless)
        reading = asyncio.create_task(governed.read())
        await endless.until_calls(1)
        await endless.go_down()
        body = await reading
        assert (body["engineUsed"], "engine-fallback" in body["warnings"]) == ("tesseract", True)
        await endless.come_up()
        reading = asyncio.create_task(governed.read())
        await endless.until_calls(1)
        reading.cancel()


async def test_pages_go_on_at_the_other_server_where_one_was_killed(staged, govern_by):
    async with staged() as first, staged() as second:
        both = {"OCR_MODEL_URL": f"{first.url},{second.url}"}
        governed = await govern_by(first, OCR_PARALLEL_PAGES="1", **NONE, **both)
        fields = first.fields(Act.STOP) | second.fields(Act.STOP)
        for one in governed.service.engine("np-dms-ocr").servers.all:
            await one.watch.polled.wait()
        await first.go_down()
        body = await governed.read(pages(4), **fields)
        assert (body["engineUsed"], body["pageCount"]) == ("np-dms-ocr", 4)
        assert {attempt["error"] for page in body["pages"] for attempt in page["attempts"]} == {None}


async def test_a_key_that_is_refused_is_told(staged, govern_by):
    async with staged(key="sesame") as locked:
        governed = await govern_by(locked, **NONE)
        reason = {"state": "unavailable", "reason": "model-server-key-refused"}
        assert (await governed.ops("readyz"))["ocr"] == reason
        status, body = await governed.service.upload(PAGE, engine="np-dms-ocr")
        assert (status, body["code"]) == (503, "engine_unavailable")
