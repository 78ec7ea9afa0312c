"""The lease on scripted days: the real engine and client, against a fake Ollama that counts what is in its memory."""

import asyncio
import itertools
import json
import os
import signal
import sys
import time
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from dataclasses import replace
from pathlib import Path

import aiohttp
import pytest

from bench.harness.service import free_ports
from sidecar.errors import GpuOutOfMemoryError, GpuPressureError
from sidecar.gpu.call_gate import Asked
from sidecar.gpu.lease.debts import Debts
from sidecar.gpu.lease.state import Owed, Phase
from sidecar.gpu.need import learn_idle, learn_lack, learn_peak
from sidecar.gpu.state_folder import StateFolder
from sidecar.gpu.vram import ResidentModel
from sidecar.runtime.blocking_pool import BlockingPool
from tests.conftest import until
from tests.integration.sidecar.documents import as_png, picture_of_text
from tests.integration.sidecar.leasing import LLM, QUICK, Rig, card, texts, unloads_of_llm
from tools.fakes.ollama import OCR_MODEL, FakeOllama, Model
from tools.fakes.ollama_wire import NEVER_S


@pytest.fixture
async def fake() -> AsyncIterator[FakeOllama]:
    async with card() as one:
        yield one


@pytest.fixture
async def rig(fake: FakeOllama, tmp_path: Path) -> AsyncIterator[Rig]:
    async with Rig(fake, tmp_path / "state").open() as one:
        yield one


def is_back(fake: FakeOllama, rig: Rig) -> bool:
    return fake.resident == [LLM] and rig.lease.state.phase is Phase.FREE


def llm(fake: FakeOllama):
    [resident] = [one for one in fake.memory.residents() if one.model.name == LLM]
    return resident


async def test_a_queue_of_documents_is_one_batch(fake, rig):
    readings = await asyncio.gather(*(rig.document(3) for _ in range(5)))
    ended_s = time.monotonic()
    assert [texts(one) for one in readings] == [["page text"] * 3] * 5
    assert {page.residency.reason for one in readings for page in one} == {"lease"}
    assert all(0 < page.residency.keep_alive_seconds <= 60 for one in readings for page in one)
    await until(lambda: is_back(fake, rig))
    assert time.monotonic() - ended_s < 20
    assert (unloads_of_llm(fake), fake.loads.count(LLM), fake.loads.count(OCR_MODEL)) == (1, 1, 1)
    assert (fake.evictions, fake.aborts, fake.reloads) == ([], [], [])
    assert fake.memory.most_used_mb <= 16_384


async def test_the_llm_is_back_as_it_was(fake, rig):
    fake.occupy(LLM, 13_000, 16_384, keep_alive_s=480)
    await rig.document(2)
    await until(lambda: is_back(fake, rig))
    assert (llm(fake).runner.context_length, llm(fake).size_vram_mb) == (16_384, 13_000)
    assert 470 <= llm(fake).keep_alive_s <= 481
    assert type(fake.generates[-1].body["keep_alive"]) is int  # "480" would be a 400


async def test_an_llm_that_was_to_stay_for_ever_does(fake, rig):
    fake.occupy(LLM, 13_000, keep_alive_s=NEVER_S)
    await rig.document(1)
    await until(lambda: is_back(fake, rig))
    assert llm(fake).keep_alive_s == NEVER_S


async def test_where_both_fit_nothing_is_borrowed(fake, rig):
    fake.occupy(LLM, 5000)
    assert texts(await rig.document(3)) == ["page text"] * 3
    assert (rig.lease.counts.taken, unloads_of_llm(fake)) == (0, 0)


async def test_documents_that_come_meanwhile_share_the_lease(fake, rig):
    first = asyncio.create_task(rig.document(4))
    await until(lambda: rig.lease.is_held)
    later = [await rig.document(2) for _ in range(4)]
    assert [texts(one) for one in [await first, *later]] == [["page text"] * 4] + [["page text"] * 2] * 4
    await until(lambda: is_back(fake, rig))
    assert (unloads_of_llm(fake), fake.loads.count(LLM)) == (1, 1)


async def test_a_busy_llm_is_not_sent_away(fake, tmp_path):
    async with Rig(fake, tmp_path / "state", replace(QUICK, wait_s=1.5)).open() as rig:
        expiries = itertools.count(1)

        async def answer_questions() -> None:
            while True:
                fake.occupy(LLM, 13_000, keep_alive_s=600 + next(expiries))
                await asyncio.sleep(0.1)

        asking = asyncio.create_task(answer_questions())
        [refused] = await rig.document(1)
        asking.cancel()
        assert isinstance(refused, GpuPressureError)
        assert "np-dms-ai:latest did not become idle within 1.5 s" in refused.detail
        assert (unloads_of_llm(fake), rig.lease.counts.taken) == (0, 0)


async def test_a_long_answer_of_the_llm_ends_undisturbed_and_its_time_is_given_back(fake, tmp_path):
    fake.occupy(LLM, 13_000, keep_alive_s=600, busy=True)
    async with Rig(fake, tmp_path / "state", replace(QUICK, wait_s=1.5)).open() as rig:
        [refused] = await rig.document(1)
        assert isinstance(refused, GpuPressureError)
        await until(lambda: rig.lease.state.phase is Phase.FREE)
        assert (unloads_of_llm(fake), fake.resident) == (0, [LLM])
        assert 590 < llm(fake).keep_alive_s <= 601


async def test_a_model_too_large_for_the_card_is_refused_at_once(fake, rig):
    await rig.document(1)
    await until(lambda: is_back(fake, rig))
    [known] = rig.gate.book.all()
    rig.gate.book.change(known.key, lambda need, now_s: learn_lack(need, 1, 20_000, now_s))
    [refused] = await rig.document(1)
    assert "needs 21024 MiB for a page, the GPU has 16384" in refused.detail
    assert unloads_of_llm(fake) == 1


async def test_an_llm_leaves_that_the_server_would_evict_though_there_is_room(fake, rig):
    """Ollama loads a model beside others only if it takes at most 0.8 of what is free."""
    await rig.document(1)
    await until(lambda: is_back(fake, rig))
    fake.occupy(LLM, 10_384)  # 6000 MiB are free: enough for 5500 with a call, but not 5000 / 0.8
    assert texts(await rig.document(2)) == ["page text"] * 2
    await until(lambda: is_back(fake, rig))
    assert (rig.lease.counts.taken, fake.evictions) == (2, [])


# ── two OCR models ────────────────────────────────────────────────────────────────────────────────────────────────


SECOND = "second-ocr:latest"


@pytest.fixture
async def two(tmp_path: Path) -> AsyncIterator[Rig]:
    """A card with two OCR models installed, which fit beside each other but not beside the LLM."""
    models = [Model(OCR_MODEL, size_mb=8000, image_mb=500, parallel=4), Model(SECOND, size_mb=5000, image_mb=500)]
    async with FakeOllama(models, vram_mb=16_384, latency_s=0.1, load_s=0.3) as fake:
        fake.occupy(LLM, 13_000, 8192, keep_alive_s=600)
        async with Rig(fake, tmp_path / "state").open() as rig:
            yield rig


async def teach(rig: Rig, model: str, page_mb: int, idle_mb: int) -> None:
    """Have it known what a model takes with one page, and without."""
    asked = Asked(model, model, 0, None, 0, time.monotonic())
    key = rig.gate.key(asked, await rig.monitor.read_anew())
    rig.gate.book.change(key, lambda need, now_s: learn_peak(learn_idle(need, idle_mb, now_s), 1, page_mb, now_s))


async def test_a_second_ocr_model_is_read_in_the_same_lease_and_leaves_with_the_first(two):
    """It is not taken for somebody else's, who calls the lease back."""
    first = asyncio.create_task(two.document(6))
    await until(lambda: two.lease.is_held)
    second = await two.document(4, SECOND)
    assert [texts(await first), texts(second)] == [["page text"] * 6, ["page text"] * 4]
    await until(lambda: is_back(two.fake, two))
    assert (two.lease.counts.taken, unloads_of_llm(two.fake), two.fake.loads.count(LLM)) == (1, 1, 1)


async def test_of_two_ocr_models_the_one_that_can_never_fit_costs_the_other_nothing(two):
    await teach(two, OCR_MODEL, 20_000, 8000)
    await teach(two, SECOND, 5500, 5000)
    results = await asyncio.gather(*(two.document(1, model) for model in [SECOND, OCR_MODEL, SECOND, OCR_MODEL]))
    assert [texts(one) for one in results] == [["page text"], ["gpu_pressure"]] * 2
    assert "needs 20000 MiB for a page" in results[1][0].detail
    await until(lambda: is_back(two.fake, two))
    assert two.lease.counts.taken == 1


async def test_of_two_ocr_models_that_wait_the_larger_need_decides_whom_the_lease_sends_away(two):
    await teach(two, OCR_MODEL, 8500, 8000)
    await teach(two, SECOND, 5600, 5300)
    two.fake.occupy(LLM, 6000, 8192, keep_alive_s=600)
    two.fake.occupy("small:latest", 4000, keep_alive_s=600)  # neither fits beside both
    results = await asyncio.gather(two.document(2), two.document(2, SECOND))
    assert [texts(one) for one in results] == [["page text"] * 2] * 2
    await until(lambda: sorted(two.fake.resident) == sorted([LLM, "small:latest"]))
    assert (two.lease.counts.taken, two.fake.evictions) == (1, [])
    assert two.fake.unloads.count("small:latest") == 1  # else it or the LLM would be evicted for one of the two


async def test_out_of_memory_in_the_middle_costs_pages_not_the_llm(tmp_path):
    async with card(image_mb=3000) as fake, Rig(fake, tmp_path / "state").open() as rig:
        results = await asyncio.gather(*(rig.document(2) for _ in range(4)))
        pages = [page for one in results for page in one]
        assert sum(isinstance(page, GpuOutOfMemoryError) for page in pages) >= 1
        assert texts(pages).count("page text") >= 4
        await until(lambda: is_back(fake, rig))
        assert (unloads_of_llm(fake), fake.loads.count(LLM), fake.aborts) == (1, 1, [OCR_MODEL])
        again = await asyncio.gather(*(rig.document(2) for _ in range(2)))
        assert [texts(one) for one in again] == [["page text"] * 2] * 2
        assert fake.aborts == [OCR_MODEL]


async def test_an_llm_that_left_because_our_call_lacked_memory_is_loaded_again(tmp_path):
    async with card(image_mb=3000) as fake, Rig(fake, tmp_path / "state").open() as rig:
        fake.occupy(LLM, 9000, 8192, keep_alive_s=600)  # the weights fit beside it, the first call does not
        [failed] = await rig.document(1)
        assert isinstance(failed, GpuOutOfMemoryError)
        await until(lambda: is_back(fake, rig))
        assert 590 < llm(fake).keep_alive_s <= 601  # the server's clock is told in whole seconds
        assert texts(await rig.document(3)) == ["page text"] * 3
        await until(lambda: is_back(fake, rig))
        assert fake.aborts == [OCR_MODEL]


async def test_an_ollama_that_restarts_gets_its_llm_back(fake, rig):
    fake.latency_s = 5
    reading = asyncio.create_task(rig.document(4))
    await until(lambda: len(fake.chats) == 4)
    await fake.go_down()
    assert set(texts(await reading)) <= {"engine_failed", "gpu_out_of_memory", "engine_unavailable"}
    await fake.come_up()
    await until(lambda: is_back(fake, rig))
    assert fake.loads.count(LLM) == 1


async def test_whoever_calls_the_llm_ends_the_lease(fake, rig):
    """Ollama loads it between two pages; the pages that wait are not read beside it."""
    fake.latency_s = 0.3
    await rig.document(1)
    assert rig.lease.is_held
    async with aiohttp.ClientSession() as session:
        asked = {"model": LLM, "messages": [{"role": "user", "content": "hello"}], "keep_alive": 77}
        async with session.post(f"{fake.url}/api/chat", json=asked) as answer:
            assert answer.status == 200
    await until(lambda: not rig.lease.is_held, 2)
    await until(lambda: is_back(fake, rig))
    assert texts(await rig.document(2)) == ["page text"] * 2
    await until(lambda: is_back(fake, rig))
    assert rig.lease.counts.taken == 2


async def test_the_llm_is_away_no_longer_than_may_be_and_the_rest_is_read_later(tmp_path):
    terms = replace(QUICK, hold_s=1.5, wait_s=30)
    async with card(latency_s=0.4) as fake, Rig(fake, tmp_path / "state", terms).open() as rig:
        results = await asyncio.gather(*(rig.document(3) for _ in range(12)))
        assert {text for one in results for text in texts(one)} == {"page text"}
        await until(lambda: is_back(fake, rig))
        assert rig.lease.counts.taken > 1
        assert unloads_of_llm(fake) == fake.loads.count(LLM) == rig.lease.counts.taken
        assert (fake.evictions, fake.aborts) == ([], [])


async def test_a_page_that_outlasts_the_lease_is_ended_and_told(tmp_path):
    async with card(latency_s=60) as fake, Rig(fake, tmp_path / "state", replace(QUICK, hold_s=1)).open() as rig:
        [page] = await rig.document(1)
        assert "went back to the LLM" in page.detail
        await until(lambda: is_back(fake, rig))
        assert [call.disconnected for call in fake.chats] == [True]


async def test_callers_that_leave_give_the_llm_back(fake, rig):
    fake.latency_s = 60
    reading = asyncio.create_task(rig.document(4))
    await until(lambda: rig.lease.is_held)
    reading.cancel()
    await until(lambda: is_back(fake, rig))


async def test_a_second_sidecar_does_not_lease_until_the_first_is_gone(fake, tmp_path):
    folder = tmp_path / "state"
    async with Rig(fake, folder).open() as first:
        async with Rig(fake, folder).open() as second:
            fake.latency_s = 0.5
            reading = asyncio.create_task(first.document(4))
            await until(lambda: first.lease.is_held)
            assert second.lease.obstacle == "another process leases this GPU"
            [refused] = await second.document(1)  # though there is room while the LLM is away
            assert "another process leases this GPU" in refused.detail
            assert texts(await reading) == ["page text"] * 4
            await until(lambda: is_back(fake, first))
            [refused] = await second.document(1)
            assert "another process leases this GPU" in refused.detail
        assert (fake.resident, unloads_of_llm(fake)) == ([LLM], 1)
    async with Rig(fake, folder).open() as third:
        assert texts(await third.document(1)) == ["page text"]
        await until(lambda: is_back(fake, third))


async def test_a_second_sidecar_gives_back_first_what_a_dead_one_owed(fake, tmp_path):
    dead = StateFolder(tmp_path / "state", BlockingPool("state", 1))
    await dead.open()
    assert await dead.lock("lease-gpu0.lock")
    async with Rig(fake, tmp_path / "state").open() as rig:
        fake.free(LLM)
        owed = {"name": LLM, "vram_mb": 13_000, "context_length": 8192, "keep_alive_s": 240}
        await dead.write("owed-gpu0.json", json.dumps({"version": 1, "owed": [owed], "ours": [OCR_MODEL]}).encode())
        [refused] = await rig.document(1)
        assert "another process leases this GPU" in refused.detail
        assert fake.resident == []
        dead.close()
        assert texts(await rig.document(1)) == ["page text"]
        assert fake.loads[0] == LLM
        await until(lambda: is_back(fake, rig))
        assert 239 <= llm(fake).keep_alive_s <= 241


async def test_what_a_dead_sidecar_owed_is_given_back_though_no_page_comes(fake, tmp_path):
    dead = StateFolder(tmp_path / "state", BlockingPool("state", 1))
    await dead.open()
    assert await dead.lock("lease-gpu0.lock")
    async with Rig(fake, tmp_path / "state").open() as rig:
        fake.free(LLM)
        await dead.write("owed-gpu0.json", debt())
        dead.close()
        await until(lambda: is_back(fake, rig))
    assert fake.loads == [LLM]


async def test_debts_that_cannot_be_read_at_the_start_are_given_back_once_they_can(fake, tmp_path):
    file = tmp_path / "state" / "owed-gpu0.json"
    file.mkdir(parents=True)
    fake.free(LLM)
    async with Rig(fake, tmp_path / "state").open() as rig:
        assert rig.lease.obstacle == "the state folder cannot be used: Is a directory"
        file.rmdir()
        file.write_bytes(debt())
        await until(lambda: is_back(fake, rig))
        assert rig.lease.obstacle is None


def debt(keep_alive_s: int = 240) -> bytes:
    owed = {"name": LLM, "vram_mb": 13_000, "context_length": 8192, "keep_alive_s": keep_alive_s}
    return json.dumps({"version": 1, "owed": [owed], "ours": [OCR_MODEL]}).encode()


async def test_an_llm_whose_room_another_has_is_not_owed_for_ever(fake, tmp_path):
    """It was to stay for ever; a process before died in its lease, and another LLM came."""
    fake.free(LLM)
    fake.occupy("another:latest", 13_000, 8192, keep_alive_s=600)
    (tmp_path / "state").mkdir()
    (tmp_path / "state" / "owed-gpu0.json").write_bytes(debt(keep_alive_s=-1))
    async with Rig(fake, tmp_path / "state", replace(QUICK, hold_s=1, late_s=1)).open() as rig:
        await until(lambda: rig.lease.state.phase is Phase.FREE)
        assert (rig.lease.forgiven, rig.lease.counts.forgiven, fake.loads) == ((LLM,), 1, [])
        assert json.loads((tmp_path / "state" / "owed-gpu0.json").read_text())["owed"] == []
        assert texts(await rig.document(1)) == ["page text"]
        await until(lambda: fake.resident == ["another:latest"])
        assert rig.lease.forgiven == ()


async def test_an_llm_that_was_removed_meanwhile_is_not_owed_any_more(fake, rig):
    rig.lease.note_loss([ResidentModel("removed:latest", 1000)])
    await until(lambda: rig.lease.counts.forgiven)
    await until(lambda: rig.lease.state.phase is Phase.FREE)
    assert rig.lease.forgiven == ("removed:latest",)


async def test_a_call_that_saw_no_llm_does_not_forget_what_one_before_it_lost(fake, rig):
    fake.free(LLM)
    rig.lease.note_loss([ResidentModel(LLM, 13_000)])
    rig.lease.note_loss([])
    await until(lambda: is_back(fake, rig))
    assert fake.loads == [LLM]


async def test_a_model_that_stayed_beside_the_lease_and_was_lost_is_loaded_again_with_the_llm(fake, tmp_path):
    fake.occupy("small:latest", 1000)
    async with Rig(fake, tmp_path / "state", replace(QUICK, linger_s=1)).open() as rig:
        await rig.document(1)
        assert rig.lease.is_held
        assert "small:latest" in fake.resident
        fake.free("small:latest")
        rig.lease.note_loss([ResidentModel("small:latest", 1000)])
        await until(lambda: rig.lease.state.phase is Phase.FREE)
        assert sorted(fake.resident) == sorted([LLM, "small:latest"])


async def test_a_call_that_is_slow_to_end_is_cut_once(fake, rig):
    fake.free(LLM)
    asked = Asked(OCR_MODEL, OCR_MODEL, 0, None, 0, time.monotonic() + 60)
    admitted = await rig.gate.admit(asked)
    is_cut, may_end = asyncio.Event(), asyncio.Event()

    async def call() -> None:
        async with rig.gate.call(admitted):
            try:
                await asyncio.Event().wait()
            finally:
                is_cut.set()
                await may_end.wait()

    calling = asyncio.create_task(call())
    await until(lambda: rig.gate.calls.total)
    rig.gate.calls.cut()
    await is_cut.wait()
    rig.gate.calls.cut()
    may_end.set()
    with pytest.raises(GpuPressureError):
        await calling


async def test_nothing_is_unloaded_that_cannot_be_remembered(fake, rig, tmp_path):
    (tmp_path / "state" / "owed-gpu0.json").mkdir()
    [refused] = await rig.document(1)
    assert "it cannot be kept on disk which model is to be loaded again" in refused.detail
    assert (unloads_of_llm(fake), fake.resident) == (0, [LLM])


async def test_the_end_of_the_service_gives_the_llm_back(fake, tmp_path):
    async with Rig(fake, tmp_path / "state", replace(QUICK, linger_s=60)).open() as rig:
        await rig.document(2)
        assert rig.lease.is_held
    assert fake.resident == [LLM]
    assert json.loads((tmp_path / "state" / "owed-gpu0.json").read_text())["owed"] == []


class DebtsSlowToWrite(Debts):
    """Debts that are on disk some time before it is told that they are."""

    def __init__(self, folder: StateFolder) -> None:
        super().__init__(folder)
        self.are_written, self.may_be_told = asyncio.Event(), asyncio.Event()

    async def remember(self, owed: tuple[Owed, ...], ours: frozenset[str]) -> str | None:
        failure = await super().remember(owed, ours)
        if owed:
            self.are_written.set()
            await self.may_be_told.wait()
        return failure


async def test_an_end_between_the_debt_and_the_unloading_leaves_neither(fake, tmp_path):
    debts = []
    rig = Rig(fake, tmp_path / "state", make_debts=lambda folder: debts.append(DebtsSlowToWrite(folder)) or debts[0])
    async with AsyncExitStack() as service:
        await service.enter_async_context(rig.open())
        reading = asyncio.create_task(rig.document(1))
        await debts[0].are_written.wait()
        ending = asyncio.create_task(service.aclose())
        await until(lambda: rig.lease.obstacle == "the service stops")
        debts[0].may_be_told.set()
        await ending
        [refused] = await reading
        assert "the service stops" in refused.detail
    assert (fake.unloads, fake.resident) == ([], [LLM])
    assert json.loads((tmp_path / "state" / "owed-gpu0.json").read_text())["owed"] == []


class FolderThatAnswersTooLate(StateFolder):
    """Writes the first debt, and does not tell so in time."""

    is_late = True

    async def write(self, name: str, content: bytes) -> bool:
        is_written = await super().write(name, content)
        if b"vram_mb" in content and self.is_late:
            self.is_late, self.failure = False, "the state folder does not answer"
            return False
        return is_written


async def test_a_debt_that_was_written_too_late_is_taken_back(fake, tmp_path):
    """Else the next start would load a model for it, which may have left by itself since."""
    folder = FolderThatAnswersTooLate(tmp_path / "state", BlockingPool("state", 2))
    async with Rig(fake, tmp_path / "state", make_debts=lambda _: Debts(folder)).open() as rig:
        [refused] = await rig.document(1)
        assert "the state folder does not answer" in refused.detail
        await until(lambda: json.loads((tmp_path / "state" / "owed-gpu0.json").read_text())["owed"] == [])
        assert (fake.unloads, fake.resident) == ([], [LLM])
    folder.close()


async def test_a_broken_file_of_debts_is_begun_anew(fake, tmp_path):
    (tmp_path / "state").mkdir()
    (tmp_path / "state" / "owed-gpu0.json").write_text('{"version": 9}')
    async with Rig(fake, tmp_path / "state").open() as rig:
        assert texts(await rig.document(1)) == ["page text"]
        await until(lambda: is_back(fake, rig))


# ── through the whole service ─────────────────────────────────────────────────────────────────────────────────────


def environment(fake: FakeOllama, tmp_path: Path, port: int) -> dict[str, str]:
    return os.environ | {
        "OLLAMA_API_URL": fake.url,
        "OCR_ON_PRESSURE": "lease",
        "OCR_STATE_DIR": str(tmp_path / "state"),
        "OCR_SPOOL_DIR": str(tmp_path / "spool"),
        "OCR_AUTH_MODE": "network",
        "OCR_VRAM_SOURCE": "ollama",
        "OCR_PORT": str(port),
        "OCR_OPS_PORT": "0",
        "OCR_WORKERS": "1",
        "OCR_LANGUAGES": "eng",
        "BGE_M3_MODEL": "",
        "RERANKER_MODEL": "",
    }


async def serve(fake: FakeOllama, tmp_path: Path, port: int) -> asyncio.subprocess.Process:
    command = (sys.executable, "-m", "sidecar", "serve")
    quiet = asyncio.subprocess.DEVNULL
    return await asyncio.create_subprocess_exec(
        *command, env=environment(fake, tmp_path, port), stdout=quiet, stderr=quiet
    )


async def send_a_page(session: aiohttp.ClientSession, port: int) -> None:
    """Send until there is somebody who takes it, and do not care what becomes of it."""
    while True:
        form = aiohttp.FormData()
        form.add_field("file", as_png(picture_of_text(lines=2, size=(700, 400))), filename="a.png")
        form.add_field("engine", "np-dms-ocr")
        try:
            await session.post(f"http://127.0.0.1:{port}/ocr-upload", data=form)
        except aiohttp.ClientError:
            await asyncio.sleep(0.2)


async def test_a_kill_with_the_llm_away_is_made_good_at_the_next_start(tmp_path):
    async with card(latency_s=60, load_s=1) as fake, aiohttp.ClientSession() as session:
        (port,) = free_ports(1)
        first = await serve(fake, tmp_path, port)
        sending = asyncio.create_task(send_a_page(session, port))
        await until(lambda: fake.chats)
        assert fake.resident == [OCR_MODEL]
        first.send_signal(signal.SIGKILL)
        sending.cancel()
        await first.wait()
        await until(lambda: fake.chats[0].disconnected)
        assert LLM not in fake.resident
        second = await serve(fake, tmp_path, port)
        started_s = time.monotonic()
        try:
            await until(lambda: fake.resident == [LLM], 30)
            assert time.monotonic() - started_s < 30
            await until(lambda: json.loads((tmp_path / "state" / "owed-gpu0.json").read_text())["owed"] == [])
        finally:
            second.terminate()
            await second.wait()
