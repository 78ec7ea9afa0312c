"""What the policy decides is what goes over the wire: the real engine and client, against a server that watches.

Readings come from a card that tests fill, or from the server alone; settings are those of the environment.
"""

import asyncio
import time
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack
from pathlib import Path

import pytest

from sidecar.documents.pages import PagePicture
from sidecar.engines.model_servers import ModelServers
from sidecar.engines.servers.ollama import Ollama
from sidecar.engines.vision import VisionEngine
from sidecar.errors import DeadlineError, GpuPressureError, PageUnreadableError, SidecarError
from sidecar.gpu.call_gate import CallGate
from sidecar.gpu.residency_policy import OcrResidencyDecision
from sidecar.gpu.vram_monitor import DeviceMemory, VramMonitor
from sidecar.ocr.engine import PageText, PreparedPage, ReadOrder, TryFailedError
from sidecar.profiles.payload import Profile
from sidecar.profiles.precedence import instruct
from sidecar.service.engines import gate_policy
from sidecar.settings import parse_settings
from tests.conftest import until
from tools.fakes.ollama import OCR_MODEL, Answer, FakeOllama, ManualClock, Trap

LLM = "np-dms-ai:latest"
PNG = "iVBORw0KGgo="
ROOM = DeviceMemory(16_384, 4000, 12_384)
FULL = DeviceMemory(16_384, 12_000, 3999)


class Drawer:
    """Draws the same picture of every page."""

    async def draw(self, _order: ReadOrder, _index: int) -> tuple[PagePicture, float]:
        return PagePicture(PNG), 0.01


class Card:
    """The device: what it says of itself, or None where it says nothing."""

    def __init__(self) -> None:
        self.memory: DeviceMemory | None = None

    async def read(self) -> DeviceMemory | None:
        return self.memory


class Rig:
    """An engine wired to a fake server and a fake card."""

    def __init__(self, fake: FakeOllama, environ: dict[str, str], clock: Callable[[], float] | None = None) -> None:
        settings = parse_settings({"OLLAMA_API_URL": fake.url, "OCR_FIRST_TOKEN_SECONDS": "5"} | environ)
        self.fake, self.card, self.clock = fake, Card(), ManualClock()
        self.ollama = Ollama(fake.url, settings.connect_s)
        self.monitor = VramMonitor(self.card.read, self.ollama.resident, settings.gpu_total_mb, clock or self.clock)
        self.gate = CallGate(self.monitor, gate_policy(settings))
        servers = ModelServers(
            {fake.url: self.ollama}, settings.connect_s, settings.first_token_s, settings.parallel_pages
        )
        self.engine = VisionEngine(Drawer(), servers, self.gate)

    async def read(
        self,
        *,
        profile: Profile | None = None,
        active: str | None = None,
        attempt: int = 1,
        deadline_s: float = 5,
        picture: PagePicture | None = PagePicture(PNG),  # noqa: B008 - a frozen value
    ) -> PageText:
        """Read one page, a minute after the last."""
        self.clock.advance(60)
        order = ReadOrder(Path("a.pdf"), deadline_s, "eng", instruct(profile, OCR_MODEL), active)
        try:
            return await self.engine.read(order, PreparedPage(0, picture), attempt, deadline_s)
        except TryFailedError as failed:
            raise failed.error from None

    @property
    def sent(self) -> list[object]:
        """The keep_alive of every call, as it was on the wire."""
        return [call.body["keep_alive"] for call in self.fake.chats]


@pytest.fixture
async def rig() -> AsyncIterator[Callable[..., "asyncio.Future[Rig]"]]:
    async with AsyncExitStack() as stack:

        async def _rig(clock: Callable[[], float] | None = None, /, **environ: str) -> Rig:
            fake = await stack.enter_async_context(FakeOllama())
            one = Rig(fake, environ, clock)
            await stack.enter_async_context(one.ollama.open())
            stack.push_async_callback(one.monitor.close)
            return one

        yield _rig


# ── each row of the table ─────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    ("memory", "llm", "active", "decision"),
    [
        pytest.param(ROOM, None, None, OcrResidencyDecision(120, 12_384, "headroom-sufficient"), id="room"),
        pytest.param(ROOM, None, "deep-analysis", OcrResidencyDecision(0, -1, "large-context-active"), id="deep"),
        pytest.param(ROOM, None, "large-context", OcrResidencyDecision(0, -1, "large-context-active"), id="large"),
        pytest.param(ROOM, None, "standard", OcrResidencyDecision(120, 12_384, "headroom-sufficient"), id="other"),
        pytest.param(ROOM, (4000, 32_768), None, OcrResidencyDecision(0, -1, "large-context-active"), id="context"),
        pytest.param(
            ROOM, (4000, 32_767), None, OcrResidencyDecision(120, 12_384, "headroom-sufficient"), id="one token less"
        ),
        pytest.param(
            DeviceMemory(20_000, 12_001, 7999), None, None, OcrResidencyDecision(0, 7999, "high-pressure"), id="used"
        ),
        pytest.param(
            DeviceMemory(20_000, 12_000, 8000),
            None,
            None,
            OcrResidencyDecision(120, 8000, "headroom-sufficient"),
            id="used, not more",
        ),
        pytest.param(
            DeviceMemory(8000, 5001, 2999), None, None, OcrResidencyDecision(0, 2999, "high-pressure"), id="left"
        ),
        pytest.param(
            DeviceMemory(8000, 5000, 3000),
            None,
            None,
            OcrResidencyDecision(120, 3000, "headroom-sufficient"),
            id="left, not less",
        ),
        pytest.param(None, (8000, 8192), None, OcrResidencyDecision(120, 8384, "headroom-sufficient"), id="by ps"),
        pytest.param(None, (12_001, 8192), None, OcrResidencyDecision(0, 4383, "high-pressure"), id="by ps, used"),
    ],
)
async def test_what_the_policy_decides_is_sent_and_told(rig, memory, llm, active, decision):
    one = await rig()
    one.card.memory = memory
    if llm:
        one.fake.occupy(LLM, *llm)
    read = await one.read(active=active)
    assert (read.text, read.residency) == ("page text", decision)
    assert one.sent == [decision.keep_alive_seconds]
    assert (OCR_MODEL in one.fake.resident) == (decision.keep_alive_seconds > 0)


async def test_a_query_that_failed_goes_ahead_with_no_residency(rig):
    one = await rig(OCR_ON_PRESSURE="refuse")
    one.fake.ps_fails = 500
    one.fake.occupy(LLM, 8000)
    read = await one.read()
    assert (read.text, read.residency) == ("page text", OcrResidencyDecision(0, -1, "query-failed"))
    assert one.sent == [0]


async def test_its_own_residency_does_not_push_it_out(rig):
    one = await rig()
    one.fake.occupy(LLM, 10_000)
    one.fake.occupy(OCR_MODEL, 5000, 4096)
    read = await one.read()
    assert read.residency == OcrResidencyDecision(120, 1384, "headroom-sufficient")
    assert one.sent == [120]


async def test_the_settings_of_the_operator_are_the_limits(rig):
    one = await rig(
        OCR_RESIDENCY_WINDOW_SECONDS="7", VRAM_HEADROOM_THRESHOLD_MB="100", GPU_MAIN_MODEL_PRESSURE_THRESHOLD_MB="9000"
    )
    one.card.memory = DeviceMemory(10_000, 9000, 100)
    await one.read()
    one.card.memory = DeviceMemory(10_000, 9001, 100)
    one.fake.free(OCR_MODEL)
    await one.read()
    assert one.sent == [7, 0]


# ── who may say what ──────────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(("cap_s", "sent"), [(0, 120), (30, 30), (120, 120), (600, 120)])
async def test_a_profile_caps_the_window_and_never_widens_it(rig, cap_s, sent):
    one = await rig()
    await one.read(profile=Profile(name="a", keep_alive_seconds=cap_s))
    assert one.sent == [sent]


@pytest.mark.parametrize(
    ("setting", "request_s", "sent"),
    [
        ("deep-analysis", None, 0),
        ("deep-analysis", "standard", 120),
        ("standard", "deep-analysis", 0),
        ("", "large-context", 0),
        ("", None, 120),
    ],
)
async def test_the_active_profile_of_the_request_wins_over_the_setting(rig, setting, request_s, sent):
    one = await rig(OCR_ACTIVE_PROFILE=setting)
    await one.read(active=request_s)
    assert one.sent == [sent]


async def test_the_request_holds_what_ollama_wants_and_nothing_else(rig):
    one = await rig()
    await one.read()
    assert one.fake.chats[0].body == {
        "model": OCR_MODEL,
        "messages": one.fake.chats[0].messages,
        "stream": True,
        "keep_alive": 120,
        "options": {},
        "think": False,
        "truncate": False,
        "shift": False,
    }
    assert one.fake.chats[0].messages[-1]["images"] == [PNG]


# ── asked anew for each call ──────────────────────────────────────────────────────────────────────────────────────


async def test_every_call_is_decided_anew(rig):
    one = await rig()
    one.card.memory = ROOM
    await one.read()
    await one.read(active="deep-analysis")
    one.card.memory = DeviceMemory(16_384, 14_000, 2384)
    await one.read()
    one.card.memory = None
    one.fake.ps_fails = 503
    await one.read()
    one.card.memory, one.fake.ps_fails = ROOM, None
    await one.read()
    assert one.sent == [120, 0, 0, 0, 120]


async def test_a_further_try_at_a_page_is_decided_anew(rig):
    one = await rig()
    one.card.memory = ROOM
    first = await one.read(attempt=1)
    one.card.memory = DeviceMemory(24_000, 18_000, 6000)
    second = await one.read(attempt=2)
    assert [read.residency.reason for read in (first, second)] == ["headroom-sufficient", "high-pressure"]
    assert one.sent == [120, 0]


async def test_calls_of_one_moment_share_a_reading(rig):
    one = await rig()
    one.fake.install(OCR_MODEL, parallel=4)
    one.fake.ps_delay_s = 0.05
    reads = await asyncio.gather(*(one.read() for _ in range(4)))
    assert [read.residency.keep_alive_seconds for read in reads] == [120] * 4
    assert one.fake.requests.count("GET /api/ps") == 1


async def test_the_reading_that_decides_is_not_older_than_the_wait_before_it(rig):
    one = await rig(time.monotonic, OCR_PRESSURE_WAIT_SECONDS="5")
    one.fake.occupy(LLM, 13_000)
    reading = asyncio.create_task(one.read())
    await until(lambda: one.fake.requests.count("GET /api/ps") >= 2)
    one.fake.occupy(LLM, 9000, 32_768)
    assert (await reading).residency == OcrResidencyDecision(0, -1, "large-context-active")
    assert one.sent == [0]


# ── would the call push the LLM out? ──────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("on_pressure", ["tesseract", "refuse"])
async def test_a_call_that_would_push_the_llm_out_is_not_made(rig, on_pressure):
    one = await rig(OCR_ON_PRESSURE=on_pressure)
    one.fake.occupy(LLM, 13_000)
    with pytest.raises(GpuPressureError) as refused:
        await one.read()
    assert refused.value.retry_after_s == 30
    assert (one.fake.chats, one.fake.resident, one.fake.evictions) == ([], [LLM], [])


async def test_where_the_operator_says_so_the_llm_goes(rig):
    one = await rig(OCR_ON_PRESSURE="evict")
    one.fake.occupy(LLM, 13_000)
    assert (await one.read()).text == "page text"
    assert one.fake.evictions == [LLM]


@pytest.mark.parametrize(("required_mb", "made"), [("4000", 0), ("3999", 1), ("0", 1)])
async def test_the_room_that_the_model_needs_is_the_operator_s_to_say(rig, required_mb, made):
    one = await rig(OCR_REQUIRED_VRAM_MB=required_mb)
    one.card.memory = FULL
    one.fake.occupy(LLM, 9000)
    try:
        await one.read()
    except GpuPressureError:
        assert made == 0
    assert len(one.fake.chats) == made


async def test_who_waits_is_served_once_there_is_room(rig):
    one = await rig(time.monotonic, OCR_PRESSURE_WAIT_SECONDS="5")
    one.fake.occupy(LLM, 13_000)
    reading = asyncio.create_task(one.read())
    await until(lambda: one.fake.requests.count("GET /api/ps") >= 2)
    assert (one.fake.chats, reading.done()) == ([], False)
    one.fake.free(LLM)
    assert (await reading).text == "page text"


@pytest.mark.alone
async def test_who_waited_as_long_as_may_be_is_told(rig):
    one = await rig(time.monotonic, OCR_PRESSURE_WAIT_SECONDS="0.3")
    one.fake.occupy(LLM, 13_000)
    started_s = time.monotonic()
    with pytest.raises(GpuPressureError):
        await one.read()
    assert 0.3 <= time.monotonic() - started_s < 1.5
    assert one.fake.chats == []


@pytest.mark.alone
async def test_who_leaves_while_waiting_stops_the_wait(rig):
    one = await rig(time.monotonic, OCR_PRESSURE_WAIT_SECONDS="60")
    one.fake.occupy(LLM, 13_000)
    reading = asyncio.create_task(one.read())
    await until(lambda: one.fake.requests.count("GET /api/ps") >= 1)
    reading.cancel()
    async with asyncio.timeout(1):
        await asyncio.wait([reading])
    assert (reading.cancelled(), one.fake.chats) == (True, [])


@pytest.mark.alone
async def test_the_wait_for_room_ends_with_the_page_s_deadline(rig):
    one = await rig(time.monotonic, OCR_PRESSURE_WAIT_SECONDS="2")
    one.fake.occupy(LLM, 13_000)
    started_s = time.monotonic()
    with pytest.raises((GpuPressureError, DeadlineError)):
        await one.read(deadline_s=0.3)
    assert time.monotonic() - started_s < 1


async def test_a_model_that_is_resident_is_called_however_full_the_card_is(rig):
    one = await rig()
    one.card.memory = DeviceMemory(16_384, 16_000, 384)
    one.fake.occupy(LLM, 10_000)
    one.fake.occupy(OCR_MODEL, 5000, 4096)
    assert (await one.read()).text == "page text"


async def test_while_a_call_brings_the_model_the_next_is_no_pressure(rig):
    one = await rig()
    one.fake.install(OCR_MODEL, load_s=0.4, parallel=2)
    one.fake.occupy(LLM, 8000)
    one.card.memory = ROOM
    first = asyncio.create_task(one.read())
    await until(lambda: one.fake.chats)
    one.card.memory = FULL  # half loaded, and not yet in any list
    assert one.fake.resident == [LLM]
    assert (await one.read()).text == "page text"
    assert (await first).text == "page text"


async def test_after_the_last_call_pressure_is_pressure_again(rig):
    one = await rig()
    one.fake.script([Answer.failure(500, "out of memory")])
    one.fake.occupy(LLM, 8000)
    one.card.memory = ROOM
    with pytest.raises(SidecarError):
        await one.read()
    assert one.engine.calls_running == 0
    one.card.memory = DeviceMemory(16_384, 8000, 3999)  # the LLM's 8000, and nothing that may still be freed
    with pytest.raises(GpuPressureError):
        await one.read()


async def test_what_the_model_itself_held_has_time_to_show_as_free_after_it_left(rig):
    one = await rig()
    one.fake.occupy(LLM, 8000)
    one.card.memory = ROOM
    await one.read(active="deep-analysis")
    assert one.fake.resident == [LLM]
    one.card.memory = FULL  # 4000 MiB more than the LLM holds
    second = asyncio.create_task(one.read())
    await until(lambda: one.fake.requests.count("GET /api/ps") == 2)
    assert len(one.fake.chats) == 1
    one.card.memory = ROOM
    one.clock.advance(1)
    assert (await second).text == "page text"


async def test_a_call_of_another_model_is_no_reason_to_push_the_llm_out(rig):
    one = await rig()
    one.fake.install("other-ocr", parallel=2)
    one.fake.script([Answer(trap=Trap.HANG)])
    one.fake.occupy(LLM, 8000)
    one.card.memory = ROOM
    first = asyncio.create_task(one.read())
    await until(lambda: one.fake.chats)
    one.card.memory = FULL
    try:
        with pytest.raises(GpuPressureError):
            await one.read(profile=Profile(name="a", model="other-ocr"))
    finally:
        first.cancel()
        await asyncio.wait([first])


# ── pages that need no call ───────────────────────────────────────────────────────────────────────────────────────


async def test_a_blank_page_goes_to_no_model_and_asks_no_gpu(rig):
    one = await rig()
    read = await one.read(picture=PagePicture(PNG, blank=True))
    assert (read.text, read.blank, read.done_reason, read.residency) == ("", True, "blank", None)
    assert one.fake.requests == []


async def test_a_page_that_was_not_drawn_is_an_error(rig):
    one = await rig()
    with pytest.raises(PageUnreadableError, match="page 1 was not drawn"):
        await one.read(picture=None)
    assert one.fake.requests == []
