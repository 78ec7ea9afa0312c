"""The engine that has pages read by a model, with hand-written fakes behind its seams."""

import asyncio
from collections.abc import Mapping
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sidecar.documents.pages import PagePicture
from sidecar.engines.model_servers import ModelServers
from sidecar.engines.servers import ollama_request
from sidecar.engines.servers.chat import ChatStream, ChatTimeouts, wanted_parameters
from sidecar.engines.vision import VisionEngine
from sidecar.errors import (
    DeadlineError,
    EngineFailedError,
    EngineRefusedError,
    EngineUnavailableError,
    ModelMissingError,
    SidecarError,
)
from sidecar.gpu.call_gate import CallGate, GatePolicy
from sidecar.gpu.residency_policy import OcrResidencyDecision, ResidencyLimits
from sidecar.gpu.vram import VramHeadroom
from sidecar.ocr.engine import PageText, PageVerdict, PreparedPage, ReadOrder, TryFailedError
from sidecar.profiles.payload import Profile, Retry, RuntimeParams
from sidecar.profiles.precedence import Instructions, Overrides, instruct
from sidecar.runtime.circuit_breaker import FAILURES_IN_A_ROW, OPEN_S
from tests.conftest import until
from tools.fakes.ollama import ManualClock

GUARD = GatePolicy(ResidencyLimits(120, 12_000, 3000), required_mb=4000)
EMPTY_CARD = VramHeadroom(16_000, 0, 16_000, query_success=True)


class Drawer:
    """Draws one picture."""

    def __init__(self, picture: PagePicture | SidecarError) -> None:
        self.picture = picture

    async def draw(self, _order: ReadOrder, _index: int) -> tuple[PagePicture, float]:
        if isinstance(self.picture, SidecarError):
            raise self.picture
        return self.picture, 0.5


def options(params: RuntimeParams, step: float, attempt: int) -> dict[str, object]:
    return ollama_request.options(wanted_parameters(params, step, attempt))


class Model:
    """Answers what it is told to: a stream, an error, or nothing until it is let go."""

    def __init__(self, *answers: ChatStream | Exception | asyncio.Event) -> None:
        self.answers = list(answers)
        self.asked: list[tuple[Mapping[str, object], ChatTimeouts]] = []

    parameters = staticmethod(ollama_request.options)
    request = staticmethod(ollama_request.compose)

    def left_out(self, wanted: Mapping[str, object]) -> tuple[str, ...]:
        return tuple(name for name in wanted if name == "num_ctx")

    async def chat(self, request: Mapping[str, object], timeouts: ChatTimeouts) -> ChatStream:
        self.asked.append((request, timeouts))
        answer = self.answers.pop(0) if self.answers else said("a page")
        if isinstance(answer, asyncio.Event):
            await answer.wait()
            return said("late")
        if isinstance(answer, Exception):
            raise answer
        return answer


class Card:
    """A GPU on which there is room."""

    async def read(self) -> VramHeadroom:
        return EMPTY_CARD


def said(text: str, done_reason: str = "stop", error: SidecarError | None = None) -> ChatStream:
    return ChatStream([text], len(text), done_reason, 0.25, error)


def servers(clock: ManualClock, *models: Model) -> ModelServers:
    return ModelServers({f"http://{n}": one for n, one in enumerate(models)}, 5.0, 60.0, 2, clock)


def engine_with(model: Model, clock: ManualClock | None = None) -> VisionEngine:
    clock = clock or ManualClock()
    gate = CallGate(Card(), GUARD, clock=clock)
    return VisionEngine(Drawer(PagePicture("UE5H")), servers(clock, model), gate, clock)


PAGE = PreparedPage(0, PagePicture("UE5H"))


def order(instructions: Instructions | None = None) -> ReadOrder:
    return ReadOrder(Path("a.pdf"), 60, "eng", instructions or instruct(None, "m"))


# ── options ───────────────────────────────────────────────────────────────────────────────────────────────────────

ALL = RuntimeParams(temperature=0.1, top_p=0.5, repeat_penalty=1.0, max_tokens=2048, num_ctx=8192)


def test_what_was_set_is_sent_under_ollama_s_names():
    assert options(ALL, 0, 1) == {
        "temperature": 0.1,
        "top_p": 0.5,
        "repeat_penalty": 1.0,
        "num_predict": 2048,
        "num_ctx": 8192,
    }


def test_what_nobody_set_is_not_sent():
    assert options(RuntimeParams(), 0.1, 1) == {}


def test_zero_is_a_value():
    assert options(RuntimeParams(temperature=0, top_p=0), 0, 1) == {"temperature": 0, "top_p": 0}


@pytest.mark.parametrize(
    ("temperature", "step", "attempt", "sent"),
    [
        (0.1, 0.1, 1, {"temperature": 0.1}),
        (0.1, 0.1, 2, {"temperature": 0.2, "seed": 2}),
        (0.1, 0.2, 3, {"temperature": 0.5, "seed": 3}),
        (0, 0.1, 2, {"temperature": 0.1, "seed": 2}),
        (0.3, 0, 2, {"temperature": 0.3, "seed": 2}),
        (1.9, 0.5, 2, {"temperature": 2.0, "seed": 2}),
        (None, 0.5, 2, {"seed": 2}),
    ],
)
def test_a_further_try_is_warmer_where_a_temperature_is_set_and_has_its_own_seed(temperature, step, attempt, sent):
    assert options(RuntimeParams(temperature=temperature), step, attempt) == sent


@given(st.floats(0, 2), st.floats(0, 2), st.integers(1, 10))
def test_no_temperature_leaves_its_range(temperature, step, attempt):
    assert 0 <= options(RuntimeParams(temperature=temperature), step, attempt)["temperature"] <= 2


# ── a page ────────────────────────────────────────────────────────────────────────────────────────────────────────


async def test_a_page_is_what_the_model_said_and_how_it_was_asked():
    instructions = instruct(None, "m", Overrides(params=RuntimeParams(temperature=0.1)))
    read = await engine_with(Model(said("line one  \nline two\n"))).read(order(instructions), PAGE, 1, 60)
    assert read == PageText(
        "line one\nline two",
        parameters={"temperature": 0.1},
        residency=OcrResidencyDecision(120, 16_000, "headroom-sufficient"),
        first_token_s=0.25,
    )


@pytest.mark.parametrize(
    ("stream", "verdict"),
    [
        (said("a page", "length"), PageVerdict.TRUNCATED),
        (said("a page", "loop"), PageVerdict.LOOPED),
        (said(" ", "stop"), PageVerdict.EMPTY),
        (said("a page", "error", EngineFailedError()), PageVerdict.TRUNCATED),
    ],
)
async def test_a_stream_that_is_not_good_keeps_its_reason_and_error(stream, verdict):
    read = await engine_with(Model(stream)).read(order(), PAGE, 1, 60)
    assert (read.verdict, read.done_reason, read.error) == (verdict, stream.done_reason, stream.error)


async def test_the_model_has_as_long_as_the_page_and_no_longer():
    model = Model()
    await engine_with(model).read(order(), PAGE, 1, 12.5)
    assert model.asked[0][1] == ChatTimeouts(5.0, 60.0, 12.5)


async def test_a_further_try_is_sent_as_one():
    model = Model()
    profile = Profile(
        name="a", runtime_params=RuntimeParams(temperature=0.1), retry=Retry(max_attempts=3, temperature_step=0.2)
    )
    engine, instructions = engine_with(model), instruct(profile, "m")
    read = await engine.read(order(instructions), PAGE, 2, 60)
    assert read.parameters == {"temperature": 0.3, "seed": 2}
    assert (model.asked[0][0]["options"], engine.max_attempts(order(instructions))) == (read.parameters, 3)


def test_the_engine_names_the_model_that_the_orders_name():
    assert engine_with(Model()).model(order(instruct(None, "m:q4"))).name == "m:q4"


async def test_a_page_is_drawn_before_its_turn():
    page = await engine_with(Model()).prepare(order(), 2)
    assert page == PreparedPage(2, PagePicture("UE5H"), worked_s=0.5)


async def test_an_error_of_drawing_is_the_page_s():
    engine = VisionEngine(Drawer(DeadlineError("slow")), servers(ManualClock(), Model()), CallGate(Card(), GUARD))
    with pytest.raises(DeadlineError, match="slow"):
        await engine.prepare(order(), 0)


# ── the circuit ───────────────────────────────────────────────────────────────────────────────────────────────────


async def tried(engine: VisionEngine) -> PageText:
    """Read a page; raise the error itself, not what it came wrapped in."""
    try:
        return await engine.read(order(), PAGE, 1, 60)
    except TryFailedError as failed:
        raise failed.error from None


async def failing(engine: VisionEngine, times: int = FAILURES_IN_A_ROW) -> None:
    for _ in range(times):
        with pytest.raises(SidecarError):
            await tried(engine)


@pytest.mark.parametrize("error", [EngineUnavailableError(), EngineFailedError(), DeadlineError(), ValueError()])
async def test_after_five_failures_in_a_row_calls_fail_at_once_and_say_when_to_come_back(error):
    model, clock = Model(*[error] * FAILURES_IN_A_ROW), ManualClock()
    engine = engine_with(model, clock)
    for _ in range(FAILURES_IN_A_ROW):
        with pytest.raises(type(error)):
            await tried(engine)
    clock.advance(1)
    with pytest.raises(EngineUnavailableError, match="failed several times in a row") as refused:
        await tried(engine)
    assert (refused.value.retry_after_s, len(model.asked)) == (9, FAILURES_IN_A_ROW)


@pytest.mark.parametrize("error", [ModelMissingError(), EngineRefusedError()])
async def test_a_server_that_says_what_is_wrong_is_there(error):
    engine = engine_with(Model(*[error] * 20))
    await failing(engine, 20)
    assert not engine.servers.all[0].circuit.is_open


async def test_a_stream_that_broke_off_counts_as_a_failure():
    engine = engine_with(Model(*[said("part", "error", EngineFailedError()) for _ in range(5)]))
    for _ in range(FAILURES_IN_A_ROW):
        await tried(engine)
    assert engine.servers.all[0].circuit.is_open


async def test_the_call_that_tries_again_closes_the_circuit():
    clock = ManualClock()
    engine = engine_with(Model(*[EngineFailedError()] * FAILURES_IN_A_ROW), clock)
    await failing(engine)
    clock.advance(OPEN_S)
    assert (await tried(engine)).text == "a page"
    assert not engine.servers.all[0].circuit.is_open


async def test_a_caller_that_leaves_counts_neither_way_and_is_not_counted_as_running():
    model = Model(asyncio.Event())
    engine = engine_with(model)
    reading = asyncio.create_task(tried(engine))
    await until(lambda: model.asked)
    assert engine.calls_running == 1
    reading.cancel()
    await asyncio.wait([reading])
    assert (reading.cancelled(), engine.calls_running, engine.servers.all[0].circuit.is_open) == (True, 0, False)


async def test_a_page_for_which_no_server_has_room_waits_no_longer_than_its_deadline():
    model, clock = Model(asyncio.Event(), asyncio.Event()), ManualClock()
    engine = engine_with(model, clock)
    reading = [asyncio.create_task(tried(engine)) for _ in range(3)]
    await until(lambda: len(model.asked) == engine.servers.parallel_pages)
    clock.advance(60)
    with pytest.raises(DeadlineError, match="no model server had room"):
        await reading[2]
    for one in reading:
        one.cancel()
    await asyncio.wait(reading)
    assert (len(model.asked), [one.running for one in engine.servers.all]) == (2, [0])


async def test_a_call_that_cannot_be_composed_takes_no_probe_with_it():
    clock = ManualClock()
    model = Model(*[EngineFailedError()] * FAILURES_IN_A_ROW)
    engine = engine_with(model, clock)
    await failing(engine)
    clock.advance(OPEN_S)
    model.request = NotImplemented  # which is not callable
    with pytest.raises(TypeError):
        await tried(engine)
    del model.request
    assert (await tried(engine)).text == "a page"


async def test_while_one_call_tries_again_no_other_does_whoever_of_the_earlier_callers_leaves():
    clock = ManualClock()
    model = Model(asyncio.Event(), *[EngineFailedError()] * FAILURES_IN_A_ROW, asyncio.Event())
    engine = engine_with(model, clock)
    earlier = asyncio.create_task(tried(engine))
    await until(lambda: model.asked)
    await failing(engine)
    clock.advance(OPEN_S)
    trying = asyncio.create_task(tried(engine))
    await until(lambda: len(model.asked) == FAILURES_IN_A_ROW + 2)
    earlier.cancel()
    await asyncio.wait([earlier])
    try:
        with pytest.raises(EngineUnavailableError):
            await tried(engine)
    finally:
        trying.cancel()
        await asyncio.wait([trying])
