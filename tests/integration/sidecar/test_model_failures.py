"""What goes wrong with a model: it is told, it is tried again where that helps, and somebody else reads, or nobody."""

import asyncio
import io
import time

import pytest

from sidecar.api.app_keys import PROFILE_STORE
from sidecar.wire.common import NDJSON
from tests.conftest import until
from tests.integration.sidecar.model import PAGE, Governor, pages
from tools.fakes.ollama import OCR_MODEL, Answer, FakeOllama, Model, Trap

NONE = {"OCR_FALLBACK_ENGINE": "none"}
HALF = Answer("half a page", done_reason="length")


async def asked(governed, document: bytes = PAGE, **fields: str):
    return await governed.service.upload(document, **({"engine": "np-dms-ocr"} | fields))


# ── a page that is not whole ──────────────────────────────────────────────────────────────────────────────────────

BAD_PAGES = [
    pytest.param(HALF, "truncated", "length", "half a page", id="length"),
    pytest.param(Answer("half a page", trap=Trap.CUT, after_chunks=2), "truncated", "cut", "half a", id="cut"),
    pytest.param(Answer('{"natural_text": "half a pa'), "truncated", "cut", "half a pa", id="json"),
    pytest.param(Answer("one two three", trap=Trap.RESET, after_chunks=2), "truncated", "error", "one two", id="reset"),
    pytest.param(Answer("one two", trap=Trap.ERROR_LINE, after_chunks=1), "truncated", "error", "one", id="error-line"),
    pytest.param(Answer("one two", trap=Trap.GARBAGE, after_chunks=1), "truncated", "error", "one", id="garbage"),
    pytest.param(Answer("", chunks=()), "empty", "stop", "", id="empty"),
    pytest.param(Answer("", chunks=(), thinking="Let me look at it."), "empty", "stop", "", id="thought"),
    pytest.param(Answer("Extract all text from this page."), "echoed", "stop", "", id="echo"),
    pytest.param(Answer("## Extract all text\nfrom this page\n"), "echoed", "stop", "", id="echo in Markdown"),
    pytest.param(Answer.failure(500, "token repeat limit reached"), "looped", "loop", "", id="repeats"),
]


@pytest.mark.parametrize(("answer", "verdict", "reason", "text"), BAD_PAGES)
async def test_a_page_that_is_not_whole_is_read_by_the_stand_in_and_says_so(governed, answer, verdict, reason, text):
    governed.fake.script([answer])

    body = await governed.read()

    (page,) = body["pages"]
    tries = [(attempt["engine"], attempt["verdict"], attempt["doneReason"]) for attempt in page["attempts"]]
    assert tries == [("np-dms-ocr", verdict, reason), ("tesseract", "good", "stop")]
    assert (page["engine"], page["fallbackFrom"], body["engineUsed"]) == ("tesseract", "np-dms-ocr", "tesseract")
    assert (page["truncated"], page["looped"], page["echoed"]) == (False, False, False)
    assert "page" in body["text"] or "contractor" in body["text"]
    assert {"engine-fallback", f"page-{verdict}"} <= set(body["warnings"])
    assert await governed.metric('ocr_fallbacks_total{used="tesseract",wanted="np-dms-ocr"}') == 1
    assert (
        await governed.metric(
            f'ocr_attempts_total{{engine="np-dms-ocr",error="{page["attempts"][0]["error"] or ""}"'
            f',verdict="{verdict}"}}'
        )
        == 1
    )


@pytest.mark.parametrize(("answer", "verdict", "reason", "text"), BAD_PAGES)
async def test_without_a_stand_in_the_text_that_came_is_kept_with_its_flag(govern, answer, verdict, reason, text):
    governed = await govern(OCR_PARALLEL_PAGES="1", **NONE)
    governed.fake.script([answer, Answer("the second page")])

    body = await governed.read(pages(2))

    bad = next(page for page in body["pages"] if page["doneReason"] != "stop" or not page["text"])
    assert (bad["text"], bad["doneReason"]) == (text, reason)
    assert [bad[flag] for flag in ("truncated", "looped", "echoed")] == [
        verdict == flag for flag in ("truncated", "looped", "echoed")
    ]
    assert (bad["engine"], bad["fallbackFrom"]) == ("np-dms-ocr", None)
    assert f"page-{verdict}" in body["warnings"]
    assert "engine-fallback" not in body["warnings"]
    assert "the second page" in body["text"]


@pytest.mark.parametrize("answer", [HALF, Answer("", chunks=()), Answer("a", trap=Trap.REPEAT, unit="ha ")])
async def test_a_document_whose_every_page_is_bad_is_no_success(govern, answer):
    governed = await govern(**NONE)
    governed.fake.script([answer] * 2)

    status, body = await asked(governed, pages(2))

    assert (status, body["code"]) == (502, "engine_failed")


@pytest.mark.alone
@pytest.mark.parametrize("unit", ["ha ", "The same line again.\n", "กก", "| - "])
async def test_a_page_that_repeats_itself_for_ever_is_ended_at_once(governed, unit):
    governed.fake.script([Answer("Title\n", trap=Trap.REPEAT, unit=unit, per_token_s=0.01)])
    started_s = time.monotonic()

    body = await governed.read()

    (page,) = body["pages"]
    assert (page["attempts"][0]["verdict"], page["engine"]) == ("looped", "tesseract")
    assert "page-looped" in body["warnings"]
    (call,) = governed.fake.chats
    await until(lambda: call.disconnected, 1)
    repeated = call.chunks_sent.count(unit)
    assert repeated <= 64 or call.disconnected_s - call.started_s <= 3
    assert time.monotonic() - started_s < 10


async def test_a_page_with_dot_leaders_and_rules_is_not_taken_for_one_that_repeats_itself(governed):
    leaders = "\n".join(f"{n}. Chapter {'.' * 110} {n}" for n in range(1, 9))
    rules = "|---|---|---|\n" + "| | | |\n" * 12 + "-" * 100 + "\n" + "_" * 80
    chunks = tuple(leaders + "\n" + rules)
    governed.fake.script([Answer(chunks=chunks)])

    body = await governed.read()

    assert (body["pages"][0]["looped"], body["engineUsed"]) == (False, "np-dms-ocr")


async def test_the_most_that_came_is_kept_when_nobody_reads_better(govern):
    govern.publish(retry={"maxAttempts": 3})
    governed = await govern(OCR_PARALLEL_PAGES="1", **NONE)
    governed.fake.script(
        [
            Answer("a b", done_reason="length"),
            Answer("a b c", done_reason="length"),
            Answer("", chunks=()),
            Answer("good"),
        ]
    )

    body = await governed.read(pages(2))

    first = body["pages"][0] if body["pages"][0]["attempts"][0]["verdict"] == "truncated" else body["pages"][1]
    assert (first["text"], first["truncated"], len(first["attempts"])) == ("a b c", True, 3)


# ── a server that fails ───────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    ("answer", "status", "code", "warning"),
    [
        (Answer.failure(500, "boom"), 502, "engine_failed", "engine-failed"),
        (Answer.busy(), 502, "engine_failed", "engine-failed"),
        (Answer(trap=Trap.RESET_BEFORE), 502, "engine_failed", "engine-failed"),
        (Answer(trap=Trap.GARBAGE, after_chunks=0), 502, "engine_failed", "engine-failed"),
        (Answer(trap=Trap.HUGE_LINE, after_chunks=0), 502, "engine_failed", "engine-failed"),
        (Answer.failure(500, "cudaMalloc failed: out of memory"), 502, "gpu_out_of_memory", "gpu-out-of-memory"),
        (Answer.failure(500, "image input is not supported"), 502, "engine_refused", "engine-refused"),
        (Answer.failure(400, "context is full"), 502, "engine_refused", "engine-refused"),
        (Answer.failure(404, "model 'np-dms-ocr' not found"), 503, "model_missing", "model-missing"),
    ],
)
async def test_a_failure_is_a_warning_with_a_stand_in_and_an_error_without(govern, answer, status, code, warning):
    governed = await govern()
    governed.fake.script([answer])
    body = await governed.read()
    assert (body["engineUsed"], body["pages"][0]["attempts"][0]["error"]) == ("tesseract", code)
    assert {"engine-fallback", warning} <= set(body["warnings"])

    alone = await govern(**NONE)
    alone.fake.script([answer])
    assert (await asked(alone))[0] == status
    alone.fake.script([answer])
    assert (await asked(alone))[1]["code"] == code


@pytest.mark.parametrize(
    "answer", [Answer.failure(500, "llama runner process has terminated"), Answer(trap=Trap.RESET_BEFORE)]
)
@pytest.mark.parametrize(("vram_mb", "code"), [(3000, "gpu_out_of_memory"), (16_000, "engine_failed")])
async def test_a_runner_that_ends_ended_for_want_of_memory_where_memory_is_short(
    start, tmp_path, answer, vram_mb, code
):
    async with FakeOllama([Model(OCR_MODEL, size_mb=3900)], vram_mb=vram_mb) as fake:
        governed = await Governor(start, fake, tmp_path / "profiles")(GPU_TOTAL_VRAM_MB=str(vram_mb))
        fake.script([answer])
        body = await governed.read()
        assert body["pages"][0]["attempts"][0]["error"] == code


async def test_a_model_that_thinks_without_end_is_stopped(governed):
    governed.fake.script([Answer("", chunks=(), thinking="Wait, let me look again. " * 60)])
    body = await governed.read()
    assert body["pages"][0]["attempts"][0]["verdict"] == "looped"


async def test_the_needed_context_is_told(govern):
    governed = await govern(**NONE)
    said = '{"error":{"code":400,"type":"exceed_context_size_error","n_prompt_tokens":9120,"n_ctx":8192}}'
    governed.fake.script([Answer.failure(400, said)])
    _, body = await asked(governed)
    assert body["detail"] == "the page and its prompt take 9120 tokens: num_ctx must be larger than that"


async def test_no_word_of_the_server_reaches_the_caller(govern):
    governed = await govern(**NONE)
    governed.fake.script([Answer.failure(500, "secret of the server")])

    _, body = await asked(governed)

    assert "secret" not in str(body)
    assert governed.fake.url not in str(body)


async def test_a_missing_model_is_named_and_health_says_so(govern):
    govern.fake.uninstall("np-dms-ocr:latest")
    governed = await govern(**NONE)
    await until(watch(governed).polled.is_set)

    status, body = await asked(governed)

    assert (status, body["code"]) == (503, "model_missing")
    assert "np-dms-ocr:latest" in body["detail"]
    async with governed.service.client.get(f"{governed.service.url}/health") as response:
        assert (response.status, (await response.json())["reasons"]) == (503, ["model-missing: np-dms-ocr:latest"])


def watch(governed):
    return governed.service.engine("np-dms-ocr").servers.all[0].watch


async def test_health_follows_the_model_server(govern):
    governed = await govern(**NONE)
    await until(lambda: watch(governed).failure is None)
    assert (await governed.ops("readyz"))["ocr"] == {"state": "ready", "reason": None}

    await governed.fake.go_down()
    await until(lambda: watch(governed).failure == "model-server-unreachable", 8)
    ready = await governed.ops("readyz")
    assert ready["ocr"] == {"state": "unavailable", "reason": "model-server-unreachable"}
    assert ready["engines"]["tesseract"]["state"] == "ready"

    await governed.fake.come_up()
    await until(lambda: watch(governed).failure is None, 5)


async def test_with_a_stand_in_the_service_is_healthy_and_says_which_engine_is_not(govern):
    governed = await govern()
    await governed.fake.go_down()
    await until(lambda: watch(governed).failure == "model-server-unreachable", 8)

    async with governed.service.client.get(f"{governed.service.url}/health") as response:
        body = await response.json()
        assert (response.status, body["status"], body["reasons"]) == (200, "ok", ["model-server-unreachable"])


async def test_a_server_that_cannot_be_reached_says_when_to_come_back(govern):
    governed = await govern(**NONE)
    await governed.fake.go_down()

    form = {"engine": "np-dms-ocr"}
    status, body = await asked(governed, **form)

    assert (status, body["code"]) == (503, "engine_unavailable")


# ── time ──────────────────────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.alone
@pytest.mark.parametrize(
    ("answer", "settings"),
    [
        (Answer(trap=Trap.HANG, after_chunks=0), {"OCR_FIRST_TOKEN_SECONDS": "0.5"}),
        (Answer(trap=Trap.HANG, after_chunks=0), {"OCR_TIMEOUT": "1"}),
    ],
)
async def test_a_model_that_says_nothing_is_given_up(govern, answer, settings):
    governed = await govern(**NONE, **settings)
    governed.fake.script([answer])

    status, body = await asked(governed)

    assert (status, body["code"]) == (504, "deadline_exceeded")
    await until(lambda: governed.fake.chats[0].disconnected, 1)


async def test_what_came_before_the_deadline_is_kept_where_other_pages_worked(govern):
    governed = await govern(OCR_TIMEOUT="2", OCR_PARALLEL_PAGES="1", **NONE)
    governed.fake.script([Answer("one two three four", trap=Trap.HANG, after_chunks=2), Answer("whole")])

    body = await governed.read(pages(2))

    bad = next(page for page in body["pages"] if page["error"])
    assert (bad["error"], bad["text"], bad["truncated"]) == ("deadline_exceeded", "one two", True)
    assert "deadline-exceeded" in body["warnings"]


async def test_where_no_page_worked_in_time_it_is_a_timeout(govern):
    governed = await govern(OCR_TIMEOUT="1", **NONE)
    governed.fake.script([Answer("one two three four", trap=Trap.HANG, after_chunks=2)] * 2)

    status, body = await asked(governed, pages(2))

    assert (status, body["code"]) == (504, "deadline_exceeded")


@pytest.mark.alone
async def test_further_tries_share_the_pages_deadline(govern):
    govern.publish(retry={"maxAttempts": 10})
    governed = await govern(OCR_TIMEOUT="1", **NONE)
    governed.fake.script([Answer("half", done_reason="length", first_token_s=0.3)] * 10)
    started_s = time.monotonic()

    assert (await asked(governed))[0] in (502, 504)

    assert time.monotonic() - started_s < 3
    assert len(governed.fake.chats) < 10


# ── the circuit ───────────────────────────────────────────────────────────────────────────────────────────────────


async def test_after_five_failures_in_a_row_calls_fail_fast_and_readiness_says_so(govern):
    governed = await govern(OCR_PARALLEL_PAGES="1", **NONE)
    governed.fake.script([Answer.failure(500, "boom")] * 5)
    for _ in range(5):
        assert (await asked(governed))[1]["code"] == "engine_failed"
    calls = len(governed.fake.chats)

    status, body = await asked(governed)

    assert (status, body["code"], len(governed.fake.chats)) == (503, "engine_unavailable", calls)
    assert (await governed.ops("readyz"))["ocr"] == {"state": "unavailable", "reason": "circuit-open"}
    assert await governed.metric("ocr_circuit_open") == 1


async def test_the_answer_to_a_failed_fast_call_says_when_to_come_back(govern):
    governed = await govern(OCR_PARALLEL_PAGES="1", **NONE)
    circuit = governed.service.engine("np-dms-ocr").servers.all[0].circuit
    for _ in range(5):
        circuit.failed()

    form = {"engine": "np-dms-ocr", "file": io.BytesIO(PAGE)}
    async with governed.service.client.post(f"{governed.service.url}/ocr-upload", data=form) as response:
        assert response.status == 503
        assert 1 <= int(response.headers["Retry-After"]) <= 10


async def test_a_bad_page_is_no_failure_of_the_server(govern):
    governed = await govern(OCR_PARALLEL_PAGES="1", **NONE)
    governed.fake.script([HALF] * 6)
    for _ in range(6):
        await asked(governed)

    assert not governed.service.engine("np-dms-ocr").servers.all[0].circuit.is_open


@pytest.mark.alone
async def test_callers_that_leave_are_no_failure_of_the_server(govern):
    govern.fake.latency_s = 30
    governed = await govern(**NONE)
    for n in range(6):
        request = asyncio.create_task(asked(governed))
        await until(lambda n=n: len(governed.fake.chats) == n + 1, 5)
        request.cancel()
        await until(lambda: governed.fake.chats[-1].disconnected, 1)

    assert not governed.service.engine("np-dms-ocr").servers.all[0].circuit.is_open


async def test_scanned_backs_do_not_hide_that_nobody_could_read(govern, data):
    governed = await govern(**NONE)
    await governed.fake.go_down()

    status, body = await asked(governed, (data / "blank-pages.pdf").read_bytes())

    assert (status, body["code"]) == (503, "engine_unavailable")


async def test_a_document_of_blank_pages_claims_no_model_and_no_profile(govern, data):
    govern.publish(runtimeParams={"temperature": 0.1})
    governed = await govern()

    body = await governed.read((data / "blank-pages.pdf").read_bytes(), pages="1,3", systemPrompt="read")

    assert governed.fake.chats == []
    assert (body["profile"], body["parameters"], body["modelUsed"], body["residency"]) == (None, {}, None, None)
    assert body["warnings"] == ["parameters-not-applied"]


async def test_what_was_sent_for_a_try_that_failed_is_listed(govern):
    governed = await govern()
    governed.fake.script([Answer.failure(500, "boom")])

    body = await governed.read(temperature="0.4")

    attempt = body["pages"][0]["attempts"][0]
    assert (attempt["verdict"], attempt["parameters"]) == ("failed", {"temperature": 0.4})
    assert attempt["residency"]["keepAliveSeconds"] == governed.fake.chats[0].body["keep_alive"]


async def test_a_page_that_waits_for_a_worker_loses_none_of_its_time(govern):
    """Twelve pages for Tesseract keep the only worker busy for longer than a page of the model may take."""
    governed = await govern(OCR_WORKERS="1", OCR_TIMEOUT="1.5", OCR_PARALLEL_PAGES="4", **NONE)
    others = [asyncio.create_task(governed.service.upload(pages(3), engine="tesseract")) for _ in range(4)]
    body = await governed.read(pages(4))

    assert [page["error"] for page in body["pages"]] == [None] * 4
    assert all(page["durationMs"] < 1500 for page in body["pages"])
    assert not governed.service.engine("np-dms-ocr").servers.all[0].circuit.is_open
    await asyncio.gather(*others)


# ── the deadline of a document ────────────────────────────────────────────────────────────────────────────────────


async def read_by(governed, seconds: str, count: int, **fields: str):
    """Have pages read one after the other, a third of a second each."""
    governed.fake.latency_s = 0.33
    return await asked(governed, pages(count), deadlineSeconds=seconds, **fields)


async def test_what_is_read_by_the_documents_deadline_is_the_answer(govern):
    governed = await govern(OCR_PARALLEL_PAGES="1")

    status, body = await read_by(governed, "1.2", 9)

    assert status == 200
    read = [page["page"] for page in body["pages"]]
    assert 1 <= len(read) < 9
    assert body["unreadPages"] == [page for page in range(1, 10) if page not in read]
    assert (body["pageCount"], body["documentPageCount"]) == (len(read), 9)
    assert "deadline-partial" in body["warnings"]
    assert "engine-fallback" not in body["warnings"], "nothing is kept back for the stand-in"
    assert body["processingTimeMs"] < 3000
    await until(lambda: governed.fake.chats[-1].outcome is not None, 3)
    assert len(governed.fake.chats) <= len(read) + 1, "the engine has stopped"

    again = await governed.read(pages(9), pages=",".join(map(str, body["unreadPages"])))
    assert [page["page"] for page in again["pages"]] == body["unreadPages"]
    assert again["unreadPages"] == []


async def test_a_streamed_document_ends_with_the_pages_that_it_left(govern):
    governed = await govern(OCR_PARALLEL_PAGES="1")
    governed.fake.latency_s = 0.2
    fields = {"engine": "np-dms-ocr", "deadlineSeconds": "4"}
    asking = asyncio.create_task(governed.service.upload(pages(9), headers={"Accept": NDJSON}, **fields))
    await until(lambda: len(governed.fake.chats) >= 2)
    governed.fake.latency_s = 60
    status, lines = await asking
    assert status == 200
    *read, done = [event for event in lines if event["event"] != "document"]
    assert done["event"] == "done"
    assert sorted([event["page"] for event in read] + done["unreadPages"]) == list(range(1, 10))


async def test_a_document_of_which_nothing_is_read_in_time_is_a_timeout(govern):
    governed = await govern()
    status, body = await read_by(governed, "0.1", 2)
    assert (status, body["code"]) == (504, "deadline_exceeded")


async def test_the_deadline_is_the_requests_else_the_profiles_else_the_settings(govern):
    govern.publish(deadlineSeconds=0.1)
    governed = await govern(OCR_DEADLINE_SECONDS="60")
    governed.fake.latency_s = 0.5
    assert (await asked(governed))[0] == 504
    assert (await asked(governed, deadlineSeconds="30"))[0] == 200
    governed.publish()
    await until(lambda: governed.service.service.api[PROFILE_STORE].current.get("ocr-extract").deadline_seconds is None)
    assert (await asked(governed))[0] == 200


async def test_a_text_layer_is_there_before_any_deadline(govern, data):
    governed = await govern(OCR_DEADLINE_SECONDS="30")
    body = await governed.read((data / "digital.pdf").read_bytes(), engine="auto")
    assert (body["unreadPages"], body["engineUsed"]) == ([], "fast-path")
