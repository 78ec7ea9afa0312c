"""One day of a GPU that belongs to an LLM first, with the bodies that went over the wire as its log."""

import asyncio

import pytest

from tests.conftest import until
from tests.integration.sidecar.model import PAGE, Governor, pages
from tools.fakes.ollama import FakeOllama, Model

LLM = "np-dms-ai:latest"
OCR = "np-dms-ocr:latest"
SETTINGS = {"OCR_PARALLEL_PAGES": "1", "OCR_VRAM_SOURCE": "ollama", "OCR_RESIDENCY_WINDOW_SECONDS": "90"}


def log(fake: FakeOllama, since: int) -> list[tuple[int, str | None, dict[str, object]]]:
    """What each chat told the model: how long to stay, by which prompt, with which options."""
    return [
        (
            call.body["keep_alive"],
            next((m["content"] for m in call.messages if m["role"] == "system"), None),
            call.options,
        )
        for call in fake.chats[since:]
    ]


async def fresh(governed) -> None:
    """Wait until a reading newer than now would be taken: readings are shared for a quarter of a second."""
    monitor = governed.service.engine("np-dms-ocr").gate.monitor
    before = monitor._read_at_s
    async with asyncio.timeout(5):
        while monitor._read_at_s == before:
            await monitor.read()
            await asyncio.sleep(0.02)


PARAMS = {"temperature": 0.1, "num_ctx": 8192}


@pytest.mark.alone
async def test_a_day(start, tmp_path):
    async with FakeOllama([Model(OCR, size_mb=3900)], vram_mb=16_384, parallel=1) as fake:
        govern = Governor(start, fake, tmp_path / "profiles")
        govern.publish(systemPrompt="morning", dmsTags={}, runtimeParams=PARAMS)
        governed = await govern(**SETTINGS)

        await the_gpu_is_empty_and_the_model_may_stay(governed, fake)
        await the_llm_loads_and_there_is_room_for_both(governed, fake)
        await the_llm_grows_and_the_model_leaves_after_its_call(governed, fake)
        await calling_the_model_would_push_the_llm_out(governed, fake)
        await a_large_context_is_active(governed, fake)
        await the_prompt_is_edited_in_the_middle_of_a_report(governed, fake)
        await ollama_restarts_in_the_middle_of_a_document(governed, fake)

        assert fake.evictions == []
        assert fake.refusals == []
        assert {tuple(sorted(call.body)) for call in fake.chats} == {
            ("keep_alive", "messages", "model", "options", "shift", "stream", "think", "truncate")
        }


async def the_gpu_is_empty_and_the_model_may_stay(governed, fake):
    body = await governed.read()

    assert log(fake, 0) == [(90, "morning", PARAMS)]
    assert body["residency"] == {"keepAliveSeconds": 90, "vramHeadroomMb": 16_384, "reason": "headroom-sufficient"}
    assert fake.resident == [OCR]


async def the_llm_loads_and_there_is_room_for_both(governed, fake):
    """What the OCR model itself holds is not held against it."""
    fake.occupy(LLM, 9800)
    await fresh(governed)
    body = await governed.read()

    assert log(fake, 1) == [(90, "morning", PARAMS)]
    assert body["residency"]["vramHeadroomMb"] == 16_384 - 9800 - 3900


async def the_llm_grows_and_the_model_leaves_after_its_call(governed, fake):
    fake.free(LLM)
    fake.occupy(LLM, 12_100)
    await fresh(governed)
    body = await governed.read()

    assert body["residency"]["reason"] == "high-pressure"
    assert log(fake, 2) == [(0, "morning", PARAMS)]
    await until(lambda: fake.resident == [LLM])


async def calling_the_model_would_push_the_llm_out(governed, fake):
    fake.free(LLM)
    fake.occupy(LLM, 13_000)
    await fresh(governed)
    body = await governed.read()

    assert (body["engineUsed"], len(fake.chats)) == ("tesseract", 3)
    assert body["warnings"] == ["engine-fallback", "gpu-pressure"]
    assert [(a["engine"], a["error"]) for a in body["pages"][0]["attempts"]] == [
        ("np-dms-ocr", "gpu_pressure"),
        ("tesseract", None),
    ]
    assert fake.resident == [LLM]


async def a_large_context_is_active(governed, fake):
    """Nothing stays then, whatever room there is."""
    fake.free(LLM)
    fake.occupy(LLM, 7000, context_length=32_768)
    await fresh(governed)
    body = await governed.read()

    assert body["residency"] == {"keepAliveSeconds": 0, "vramHeadroomMb": -1, "reason": "large-context-active"}
    assert log(fake, 3) == [(0, "morning", PARAMS)]


async def the_prompt_is_edited_in_the_middle_of_a_report(governed, fake):
    """The report keeps the prompt it began with; relief has come, so the model may stay again."""
    fake.free(LLM)
    fake.latency_s = 0.15
    await fresh(governed)
    report = asyncio.create_task(governed.read(pages(6)))
    await until(lambda: len(fake.chats) == 6)

    governed.publish(systemPrompt="afternoon", dmsTags={}, runtimeParams=PARAMS)
    await asyncio.sleep(0.5)  # the bound within which a change must be applied
    letter = await governed.read(PAGE)

    assert letter["profile"]["revision"] != (await report)["profile"]["revision"]
    said = log(fake, 4)
    assert sorted(said, key=str) == [(90, "afternoon", PARAMS)] + [(90, "morning", PARAMS)] * 6


async def ollama_restarts_in_the_middle_of_a_document(governed, fake):
    """Its pages are read all the same, and the next document is read as before."""
    fake.latency_s = 0.3
    called = len(fake.chats)
    report = asyncio.create_task(governed.read(pages(3)))
    await until(lambda: len(fake.chats) == called + 1)
    await fake.go_down()
    body = await report

    assert (body["engineUsed"], all(page["text"] for page in body["pages"])) == ("tesseract", True)
    assert "engine-fallback" in body["warnings"]

    await fake.come_up()
    fake.latency_s = 0.0
    watch = governed.service.engine("np-dms-ocr").servers.all[0].watch
    await until(lambda: watch.failure is None, 5)
    assert (await governed.read())["engineUsed"] == "np-dms-ocr"
