"""Pages read by OpenAI-compatible servers: the same verdicts as with Ollama, what is sent, and several of them."""

import asyncio
import time
from contextlib import AsyncExitStack

import aiohttp
import pytest
from aiohttp import web

from sidecar.cli.doctor import examine
from sidecar.urls import public_url
from tests.conftest import until
from tests.integration.sidecar.model import PAGE, Governor, pages
from tests.integration.sidecar.odd_servers import answering, server
from tests.integration.sidecar.test_model_failures import BAD_PAGES, HALF, NONE
from tools.fakes.ollama import Trap
from tools.fakes.openai import Answer, FakeOpenAI, Kind, overflow

KINDS = pytest.mark.parametrize("fake", list(Kind), indirect=True)
VLLM = pytest.mark.parametrize("fake", [Kind.VLLM], indirect=True)
PARAMETERS = {"temperature": 0.1, "top_p": 0.5, "max_tokens": 77}


@pytest.fixture
async def fake(request):
    async with FakeOpenAI(getattr(request, "param", Kind.LLAMA_CPP)) as one:
        yield one


@pytest.fixture
def govern(fake, start, tmp_path):
    return Governor(start, fake, tmp_path / "profiles")


async def asked(governed, document: bytes = PAGE, **fields: str):
    return await governed.service.upload(document, **({"engine": "np-dms-ocr"} | fields))


def model_servers(governed):
    return governed.service.engine("np-dms-ocr").servers


# ── verdicts ──────────────────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(("answer", "verdict", "reason", "text"), BAD_PAGES)
async def test_a_page_that_is_not_whole_is_read_by_the_stand_in_and_says_so(governed, answer, verdict, reason, text):
    governed.fake.script([answer])
    body = await governed.read()

    (page,) = body["pages"]
    tries = [(attempt["engine"], attempt["verdict"], attempt["doneReason"]) for attempt in page["attempts"]]
    assert tries == [("np-dms-ocr", verdict, reason), ("tesseract", "good", "stop")]
    assert {"engine-fallback", f"page-{verdict}"} <= set(body["warnings"])


@pytest.mark.parametrize(("answer", "verdict", "reason", "text"), BAD_PAGES)
async def test_without_a_stand_in_the_text_that_came_is_kept_with_its_flag(govern, answer, verdict, reason, text):
    governed = await govern(OCR_PARALLEL_PAGES="1", **NONE)
    governed.fake.script([answer, Answer("the second page")])
    body = await governed.read(pages(2))

    bad = next(page for page in body["pages"] if page["doneReason"] != "stop" or not page["text"])
    assert (bad["text"], bad["doneReason"]) == (text, reason)
    assert f"page-{verdict}" in body["warnings"]


@pytest.mark.parametrize("reason", ["stop", "eos_token", "stop_sequence", ""])
@pytest.mark.parametrize("fake", [Kind.GENERIC], indirect=True)
async def test_however_a_server_says_that_its_model_stopped_the_page_is_whole(governed, reason):
    """Older text-generation-inference has words of its own; some say nothing but ``[DONE]``."""
    governed.fake.script([Answer("a page", done_reason=reason)])
    (page,) = (await governed.read())["pages"]
    assert (page["engine"], page["doneReason"], page["text"]) == ("np-dms-ocr", "stop", "a page")


async def test_a_stream_that_ends_without_a_word_of_the_page_is_not_whole(govern):
    governed = await govern(**NONE)
    governed.fake.script([Answer("", done_reason=""), Answer("", thinking="what is this?", done_reason="")])
    for _ in range(2):
        status, body = await asked(governed)
        assert (status, body["code"]) == (502, "engine_failed")
        assert "truncated" in body["detail"]


@pytest.mark.parametrize(
    ("answer", "status", "code"),
    [
        (Answer.failure(500, "boom"), 502, "engine_failed"),
        (Answer(trap=Trap.RESET_BEFORE), 502, "engine_failed"),
        (Answer(trap=Trap.GARBAGE, after_chunks=0), 502, "engine_failed"),
        (Answer.failure(500, "CUDA out of memory"), 502, "gpu_out_of_memory"),
        (Answer.failure(500, "image input is not supported"), 502, "engine_refused"),
        (overflow(9120, 8192), 502, "engine_refused"),
        (Answer.failure(503, "Loading model"), 503, "engine_unavailable"),
        (Answer.failure(401, "Unauthorized"), 503, "engine_unavailable"),
        (Answer.failure(404, "The model `np-dms-ocr` does not exist."), 503, "model_missing"),
    ],
)
async def test_a_failure_is_a_warning_with_a_stand_in_and_an_error_without(govern, answer, status, code):
    governed = await govern()
    governed.fake.script([answer])
    body = await governed.read()
    assert (body["engineUsed"], body["pages"][0]["attempts"][0]["error"]) == ("tesseract", code)
    assert {"engine-fallback", code.replace("_", "-")} <= set(body["warnings"])

    alone = await govern(**NONE)
    alone.fake.script([answer])
    answered, body = await asked(alone)
    assert (answered, body["code"]) == (status, code)


@pytest.mark.alone
async def test_a_page_that_repeats_itself_for_ever_is_ended_at_once(governed):
    governed.fake.script([Answer("Title\n", trap=Trap.REPEAT, unit="ha ", per_token_s=0.01)])
    body = await governed.read()
    assert body["pages"][0]["attempts"][0]["verdict"] == "looped"
    (call,) = governed.fake.chats
    await until(lambda: call.disconnected, 1)
    assert call.chunks_sent.count("ha ") <= 64


@pytest.mark.alone
@pytest.mark.parametrize("settings", [{"OCR_FIRST_TOKEN_SECONDS": "0.5"}, {"OCR_TIMEOUT": "1"}])
async def test_a_model_that_says_nothing_is_given_up(govern, settings):
    governed = await govern(**NONE, **settings)
    governed.fake.script([Answer(trap=Trap.HANG, after_chunks=0)])
    status, body = await asked(governed)
    assert (status, body["code"]) == (504, "deadline_exceeded")
    await until(lambda: governed.fake.chats[0].disconnected, 1)


@pytest.mark.alone
async def test_a_caller_that_leaves_stops_the_model_and_is_no_failure_of_the_server(govern):
    governed = await govern(**NONE)
    governed.fake.latency_s = 30
    for n in range(6):
        request = asyncio.create_task(asked(governed))
        await until(lambda n=n: len(governed.fake.chats) == n + 1, 5)
        request.cancel()
        await until(lambda: governed.fake.chats[-1].disconnected, 1)
    assert not model_servers(governed).all[0].circuit.is_open


async def test_a_bad_page_is_no_failure_of_the_server_and_five_failures_are(govern):
    governed = await govern(OCR_PARALLEL_PAGES="1", **NONE)
    governed.fake.script([HALF] * 6 + [overflow(9120, 8192)] * 6 + [Answer.failure(500, "boom")] * 5)
    for _ in range(12):
        await asked(governed)
    assert not model_servers(governed).hold_back
    for _ in range(5):
        assert (await asked(governed))[1]["code"] == "engine_failed"
    calls = len(governed.fake.chats)
    status, body = await asked(governed)
    assert (status, body["code"], len(governed.fake.chats)) == (503, "engine_unavailable", calls)
    assert (await governed.ops("readyz"))["ocr"] == {"state": "unavailable", "reason": "circuit-open"}


BAD_SERVERS = {
    "html": answering(b"<html><body>Welcome to nginx!</body></html>"),
    "half": answering(b'data: {"choices":[{"del'),
    "error": answering(b'{"error":{"message":"boom"}}'),
    "redirect": answering(status=302, headers={"Location": "http://169.254.169.254/"}),
    "nothing": answering(*[b"\n" * 65_536] * 160),
    "empty": answering(b""),
}


@pytest.mark.parametrize("answer", BAD_SERVERS.values(), ids=BAD_SERVERS)
async def test_a_server_that_is_none_costs_its_page_and_not_the_service(start, tmp_path, answer):
    """Each of them answers so to everything: to pages, and to the question which models it has."""
    every = [web.route("*", "/{path:.*}", answer)]
    async with server(*every) as url:
        service = await start(OCR_MODEL_API="openai", OCR_MODEL_URL=f"{url}/v1", OCR_LANGUAGES="eng")
        for _ in range(2):
            status, body = await service.upload(PAGE, engine="np-dms-ocr")
            assert (status, body["engineUsed"]) == (200, "tesseract")
            assert "engine-fallback" in body["warnings"]
        async with service.client.get(f"{service.url}/health") as health:
            assert health.status == 200


# ── what is sent ──────────────────────────────────────────────────────────────────────────────────────────────────


@KINDS
async def test_what_nobody_set_is_not_sent(governed):
    body = await governed.read()
    (call,) = governed.fake.chats
    assert body["parameters"] == {}
    assert call.body.keys() <= {"model", "messages", "stream", "chat_template_kwargs"}
    assert (call.outcome.value, call.ignored) == ("answered", set())
    assert body["warnings"] == ["profile-missing"]


@pytest.mark.parametrize(
    ("fake", "penalty"), [(Kind.LLAMA_CPP, "repeat_penalty"), (Kind.VLLM, "repetition_penalty")], indirect=["fake"]
)
async def test_a_penalty_goes_under_the_name_that_the_server_knows(govern, penalty):
    govern.publish(runtimeParams=PARAMETERS | {"repeat_penalty": 1.1})
    body = await (await govern()).read()
    sent = PARAMETERS | {penalty: 1.1}
    assert body["parameters"] == sent
    assert {name: govern.fake.chats[0].body[name] for name in sent} == sent
    assert (govern.fake.chats[0].ignored, body["warnings"]) == (set(), [])


@pytest.mark.parametrize("fake", [Kind.GENERIC], indirect=True)
async def test_what_a_server_has_no_name_for_is_a_warning(govern):
    govern.publish(runtimeParams=PARAMETERS | {"repeat_penalty": 1.1})
    body = await (await govern()).read()
    assert (body["parameters"], body["warnings"]) == (PARAMETERS, ["parameters-not-applied"])


@pytest.mark.parametrize("fake", [Kind.GENERIC], indirect=True)
async def test_what_only_the_recipe_set_is_no_warning_where_it_has_no_name(govern):
    """Nobody asked for it, so nobody is disappointed."""
    govern.fake.models = ["typhoon-ocr1.5"]
    governed = await govern(OCR_MODEL="typhoon-ocr1.5")
    body = await governed.read()
    assert (body["recipe"], "repeat_penalty" in body["parameters"]) == ("typhoon-ocr-1.5", False)
    assert body["warnings"] == ["profile-missing"]
    body = await governed.read(repeatPenalty="1.3")
    assert "parameters-not-applied" in body["warnings"]


@KINDS
@pytest.mark.parametrize("said", [{"runtimeParams": {"num_ctx": 16384}}, {"keepAliveSeconds": 60}])
async def test_what_the_api_cannot_carry_is_a_warning_and_never_dropped_in_silence(govern, said):
    govern.publish(**said)
    body = await (await govern()).read()
    assert (body["parameters"], body["warnings"]) == ({}, ["parameters-not-applied"])


async def test_the_llm_profile_of_a_request_has_no_effect_and_says_so(govern):
    govern.publish()
    body = await (await govern()).read(activeProfile="deep-analysis")
    assert (body["engineUsed"], body["warnings"]) == ("np-dms-ocr", ["parameters-not-applied"])


@VLLM
async def test_the_settings_say_which_server_it_is(govern):
    govern.publish(runtimeParams={"repeat_penalty": 1.1})
    body = await (await govern(OCR_MODEL_SERVER="generic")).read()
    assert (body["parameters"], body["warnings"]) == ({}, ["parameters-not-applied"])


async def test_the_picture_is_a_png_and_the_prompt_stands_after_it(govern):
    govern.publish(systemPrompt="You read pages.", userPrompt="Read this one.", format="json")
    await (await govern()).read(tags="")
    (call,) = govern.fake.chats
    assert [picture[:4] for picture in call.images] == [b"\x89PNG"]
    system, user = call.messages
    assert system["content"].startswith("You read pages.")
    assert [part["type"] for part in user["content"]] == ["image_url", "text"]
    assert user["content"][1]["text"] == "Read this one."
    assert call.body["response_format"] == {"type": "json_object"}


async def test_a_further_try_has_a_seed_of_its_own(govern):
    govern.publish(runtimeParams={"temperature": 0.1}, retry={"maxAttempts": 2, "temperatureStep": 0.1})
    govern.fake.script([HALF, Answer("whole")])
    body = await (await govern()).read()
    assert [one["parameters"] for one in body["pages"][0]["attempts"]] == [
        {"temperature": 0.1},
        {"temperature": 0.2, "seed": 2},
    ]


# ── residency, the GPU, health ────────────────────────────────────────────────────────────────────────────────────


async def test_residency_is_not_governed(governed):
    body = await governed.read()
    assert body["residency"] == {"keepAliveSeconds": None, "vramHeadroomMb": -1, "reason": "not-governed"}
    assert "keep_alive" not in governed.fake.chats[0].body
    assert await governed.metric('ocr_residency_decisions_total{reason="not-governed"}') == 1


async def test_pages_are_read_whatever_else_holds_the_card(govern):
    """The server holds its model all the time: a call evicts nobody, so there is nothing to stand back from."""
    governed = await govern(OCR_REQUIRED_VRAM_MB="100000", GPU_TOTAL_VRAM_MB="1000", **NONE)
    assert (await governed.read())["engineUsed"] == "np-dms-ocr"


async def test_health_shows_which_server_is_used_and_no_word_more(start):
    url = "http://me:secret@model.example:8000/gpu/v1?key=1"
    service = await start(OCR_MODEL_API="openai", OCR_MODEL_URL=f"{url}, https://other.example/v1")
    async with service.client.get(f"{service.url}/health") as response:
        body = await response.json()
    shown = ["http://model.example:8000", "https://other.example"]
    assert (body["modelApi"], body["modelUrls"], body["ollamaUrl"]) == ("openai", shown, None)
    assert "secret" not in str(body)


async def test_health_shows_ollama_as_before(start):
    service = await start(OLLAMA_API_URL="http://ollama.example:11434/x")
    async with service.client.get(f"{service.url}/health") as response:
        body = await response.json()
    url = "http://ollama.example:11434"
    assert (body["modelApi"], body["modelUrls"], body["ollamaUrl"]) == ("ollama", [url], url)


async def test_a_server_that_loads_its_model_makes_us_load_too(govern):
    govern.fake.is_loading = True
    governed = await govern(**NONE)
    await until(lambda: model_servers(governed).all[0].watch.failure == "model-server-loading")
    assert (await governed.ops("readyz"))["ocr"] == {"state": "loading", "reason": "model-server-loading"}
    status, body = await asked(governed)
    assert (status, body["code"]) == (503, "engine_unavailable")
    governed.fake.is_loading = False
    await until(lambda: model_servers(governed).all[0].watch.failure is None, 5)


@VLLM
async def test_a_model_that_is_not_served_and_a_key_that_is_refused_are_told(govern, tmp_path):
    missing = await govern(OCR_MODEL="other", **NONE)
    await until(lambda: model_servers(missing).all[0].watch.failure == "model-missing: other")
    govern.fake.key = "sesame"
    refused = await govern(**NONE)
    await until(lambda: model_servers(refused).all[0].watch.failure == "model-server-key-refused")
    (tmp_path / "key").write_text("sesame\n")
    keyed = await govern(OCR_MODEL_KEY_FILE=str(tmp_path / "key"), **NONE)
    assert (await keyed.read())["engineUsed"] == "np-dms-ocr"


async def test_a_key_that_cannot_be_read_is_told_as_such_and_found_when_it_is_there(govern, tmp_path):
    govern.fake.key = "sesame"
    governed = await govern(OCR_MODEL_KEY_FILE=str(tmp_path / "key"), **NONE)
    await until(model_servers(governed).all[0].watch.polled.is_set)
    ready = await governed.ops("readyz")
    assert ready["ocr"] == {"state": "unavailable", "reason": "model-server-key-unreadable"}
    (tmp_path / "key").write_text("sesame\n")
    await until(lambda: model_servers(governed).all[0].watch.failure is None, 4)


# ── several servers ───────────────────────────────────────────────────────────────────────────────────────────────


@pytest.fixture
async def two(start, tmp_path):
    """Two servers, and what starts a service that uses both."""
    async with AsyncExitStack() as stack:
        fakes = [await stack.enter_async_context(FakeOpenAI(kind)) for kind in (Kind.VLLM, Kind.LLAMA_CPP)]

        async def _start(**environ: str):
            environ["OCR_MODEL_URL"] = ",".join(fake.url for fake in fakes)
            return await Governor(start, fakes[0], tmp_path / "profiles")(**environ)

        yield fakes, _start


async def test_each_page_goes_to_the_least_busy_server(two):
    fakes, _start = two
    governed = await _start(OCR_PARALLEL_PAGES="2", **NONE)
    for fake in fakes:
        fake.latency_s = 60
    reading = asyncio.create_task(asked(governed, pages(5)))
    await until(lambda: sum(fake.most_at_a_time for fake in fakes) == 4)
    assert [fake.most_at_a_time for fake in fakes] == [2, 2], "so many pages at a time are each server's"
    reading.cancel()


async def test_a_page_goes_on_where_its_server_cannot_be_reached(two):
    fakes, _start = two
    governed = await _start(OCR_PARALLEL_PAGES="1", **NONE)
    await until(lambda: all(one.watch.failure is None for one in model_servers(governed).all))
    await fakes[0].go_down()
    body = await governed.read(pages(6))
    assert (body["engineUsed"], body["warnings"]) == ("np-dms-ocr", ["profile-missing"])
    assert len(fakes[1].chats) == 6


async def test_pages_wait_for_the_server_that_lives_and_never_come_to_it_beyond_its_number(two):
    fakes, _start = two
    governed = await _start(OCR_PARALLEL_PAGES="2", **NONE)
    await until(lambda: all(one.watch.failure is None for one in model_servers(governed).all))
    await fakes[0].go_down()
    fakes[1].latency_s = 0.2
    body = await governed.read(pages(8))
    assert (body["engineUsed"], len(fakes[1].chats)) == ("np-dms-ocr", 8)
    assert fakes[1].most_at_a_time == 2


@pytest.mark.alone
async def test_a_page_that_waits_for_a_server_goes_to_one_that_comes_back(two):
    fakes, _start = two
    await fakes[0].go_down()
    governed = await _start(OCR_PARALLEL_PAGES="1", **NONE)
    servers = model_servers(governed)
    await until(lambda: [one.watch.failure for one in servers.all] == ["model-server-unreachable", None], 5)
    fakes[1].latency_s = 60
    reading = asyncio.create_task(asked(governed, pages(2)))
    await until(lambda: fakes[1].chats)
    await fakes[0].come_up()
    await until(lambda: fakes[0].chats, 5)
    assert len(fakes[1].chats) == 1
    reading.cancel()


async def test_each_server_is_sent_parameters_by_its_own_names(two):
    fakes, _start = two
    governed = await _start(OCR_PARALLEL_PAGES="1", **NONE)
    await until(lambda: all(one.watch.failure is None for one in model_servers(governed).all))
    for fake in fakes:
        fake.latency_s = 60
    reading = asyncio.create_task(asked(governed, pages(2), repeatPenalty="1.1"))
    await until(lambda: all(fake.chats for fake in fakes))
    reading.cancel()
    assert [fake.chats[0].body.get("repetition_penalty") for fake in fakes] == [1.1, None]
    assert [fake.chats[0].body.get("repeat_penalty") for fake in fakes] == [None, 1.1]


async def test_a_page_that_ends_one_server_is_not_tried_on_the_next(two):
    """It would end them all, one after the other."""
    fakes, _start = two
    governed = await _start(OCR_PARALLEL_PAGES="1", **NONE)
    for fake in fakes:
        fake.script([Answer(trap=Trap.RESET_BEFORE)])
    status, body = await asked(governed)
    assert (status, body["code"]) == (502, "engine_failed")
    assert sum(len(fake.chats) for fake in fakes) == 1


async def test_each_server_has_a_circuit_of_its_own(two):
    fakes, _start = two
    governed = await _start(OCR_PARALLEL_PAGES="1", **NONE)
    fakes[0].script(lambda _: Answer.failure(500, "boom"))
    for _ in range(5):
        assert (await asked(governed))[1]["code"] == "engine_failed"
    assert [one.circuit.holds_back for one in model_servers(governed).all] == [True, False]
    for _ in range(3):
        assert (await governed.read())["engineUsed"] == "np-dms-ocr"
    assert [len(fake.chats) for fake in fakes] == [5, 3]
    assert (await governed.ops("readyz"))["ocr"] == {"state": "ready", "reason": None}
    first, second = (public_url(fake.url) for fake in fakes)
    assert await governed.metric(f'ocr_model_server_ready{{server="{first}"}}') == 0
    assert await governed.metric(f'ocr_model_server_ready{{server="{second}"}}') == 1
    assert await governed.metric("ocr_circuit_open") == 0


async def test_a_server_that_is_not_well_is_asked_last(two):
    fakes, _start = two
    fakes[0].is_broken = True
    governed = await _start(OCR_PARALLEL_PAGES="2", **NONE)
    await until(model_servers(governed).all[0].watch.polled.is_set)
    await governed.read(pages(3))
    assert [len(fake.chats) for fake in fakes] == [0, 3]


async def test_where_all_are_away_the_answer_says_so(two):
    fakes, _start = two
    governed = await _start(**NONE)
    for fake in fakes:
        await fake.go_down()
    await until(lambda: model_servers(governed).capability.state == "unavailable", 8)
    assert (await governed.ops("readyz"))["ocr"]["reason"] == "model-server-unreachable"
    status, body = await asked(governed)
    assert (status, body["code"]) == (503, "engine_unavailable")


@pytest.mark.alone
async def test_a_server_that_nobody_reaches_slows_no_page_down_for_longer_than_its_connection(two):
    fakes, _start = two
    governed = await _start(OCR_PARALLEL_PAGES="1", **NONE)
    await until(lambda: all(one.watch.failure is None for one in model_servers(governed).all))
    await fakes[0].go_down()
    started_s = time.monotonic()
    await governed.read()
    assert time.monotonic() - started_s < 5


async def test_a_client_that_goes_through_the_answer_sees_nulls_where_nothing_is_decided(governed):
    """The stream's page lines have the residency as well."""
    form = aiohttp.FormData({"engine": "np-dms-ocr"})
    form.add_field("file", PAGE, filename="a.png")
    async with governed.service.client.post(f"{governed.service.url}/ocr-upload", data=form) as response:
        body = await response.json()
    assert body["pages"][0]["attempts"][0]["residency"]["keepAliveSeconds"] is None


# ── the doctor ────────────────────────────────────────────────────────────────────────────────────────────────────


async def findings(**environ: str) -> dict[str, tuple[bool, str]]:
    """What the doctor says of model servers."""
    found = await asyncio.to_thread(lambda: list(examine({"OCR_AUTH_MODE": "network"} | environ)))
    return {one.detail: (one.ok, one.remedy) for one in found if one.what in ("model server", "Ollama")}


@KINDS
async def test_the_doctor_asks_the_server_and_names_the_model(fake):
    assert await findings(**fake.environment) == {
        "answers; np-dms-ocr:latest is installed": (True, "set OCR_MODEL to a name that it serves")
    }


async def test_the_doctor_tells_of_each_server_what_is_wrong_with_it(two):
    fakes, _ = two
    fakes[1].key = "sesame"
    urls = [*(fake.url for fake in fakes), "http://127.0.0.1:9/v1"]
    told = await findings(OCR_MODEL_API="openai", OCR_MODEL_URL=",".join(urls), OCR_MODEL="other")
    first, second, third = map(public_url, urls)
    refused = "the model server refuses the key of OCR_MODEL_KEY_FILE, or wants one"
    assert told == {
        f"{first}: answers; other is not installed": (False, "set OCR_MODEL to a name that it serves"),
        f"{second}: {refused}": (
            False,
            "set OCR_MODEL_KEY_FILE to a file with the key that this server accepts",
        ),
        f"{third}: does not answer at OCR_MODEL_URL": (False, "start it, or correct OCR_MODEL_URL"),
    }


async def test_the_doctor_s_remedy_is_for_what_is_wrong(fake, tmp_path):
    fake.key = "sesame"
    unreadable = await findings(**fake.environment, OCR_MODEL_KEY_FILE=str(tmp_path / "absent"))
    assert unreadable == {
        "OCR_MODEL_KEY_FILE holds no key that can be read": (
            False,
            "write the key into that file as one line, and let the service's user read it",
        )
    }
    fake.is_loading = True
    ((detail, (_, remedy)),) = (await findings(**fake.environment)).items()
    assert (detail, remedy) == ("the model server loads its model", "wait until it has loaded its model")
    fake.is_loading, fake.key = False, ""
    ((detail, (_, remedy)),) = (await findings(OCR_MODEL_API="openai", OCR_MODEL_URL=fake.root)).items()
    assert (detail, remedy) == ("the model server answered 404", "correct OCR_MODEL_URL")
