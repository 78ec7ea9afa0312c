"""Before a page gives up for want of room on the GPU, those leave that come after OCR in rank."""

from dataclasses import replace
from pathlib import Path

import pytest

from sidecar.documents.pages import PagePicture
from sidecar.engines.model_servers import ModelServers
from sidecar.engines.servers import ollama_request
from sidecar.engines.servers.chat import ChatStream
from sidecar.engines.vision import VisionEngine
from sidecar.errors import GpuPressureError
from sidecar.gpu.call_gate import CallGate, GatePolicy
from sidecar.gpu.residency_policy import ResidencyLimits
from sidecar.gpu.vram import ResidentModel, VramHeadroom
from sidecar.ocr.engine import PreparedPage, ReadOrder
from sidecar.profiles.precedence import instruct
from tools.fakes.ollama import ManualClock

POLICY = GatePolicy(ResidencyLimits(120, 12_000, 3000), required_mb=4000)
LLM = ResidentModel("np-dms-ai:latest", 9000)
OCR = ResidentModel("m:latest", 4500)


class Card:
    """A GPU; copies of ours hold some of it until they leave. An old reading shows them still."""

    def __init__(self, free_mb, copies_mb, models=(LLM,)):
        self.free_mb, self.copies_mb, self.models = free_mb, copies_mb, models
        self.asked = 0
        self._shown_mb = copies_mb

    async def read(self):
        available_mb = self.free_mb + self.copies_mb - self._shown_mb
        return VramHeadroom(16_384, 16_384 - available_mb, available_mb, query_success=True, models=self.models)

    async def read_anew(self):
        self._shown_mb = self.copies_mb if not self.asked else 0
        return await self.read()

    async def make_room(self):
        self.asked += 1
        return bool(self.copies_mb)


class Model:
    calls = 0
    parameters = staticmethod(ollama_request.options)
    request = staticmethod(ollama_request.compose)

    def left_out(self, _wanted):
        return ()

    async def chat(self, _request, _timeouts):
        self.calls += 1
        return ChatStream(["a page"], 6, "stop", 0.25, None)


async def read(card, policy=POLICY):
    model = Model()
    clock = ManualClock()
    gate = CallGate(card, policy, clock=clock)
    gate.make_room = card.make_room
    engine = VisionEngine(None, ModelServers({"http://a": model}, 5.0, 60.0, 2, clock), gate, clock)
    order = ReadOrder(Path("a.pdf"), 60, "eng", instruct(None, "m"))
    await engine.read(order, PreparedPage(0, PagePicture("UE5H")), 1, 60)
    return model


async def test_the_copies_leave_and_the_page_is_read():
    card = Card(free_mb=3000, copies_mb=2000)
    assert (await read(card)).calls == 1
    assert card.asked == 1


async def test_without_copies_there_is_still_no_room():
    card = Card(free_mb=3000, copies_mb=0)
    with pytest.raises(GpuPressureError):
        await read(card)
    assert card.asked == 1


async def test_copies_that_are_too_small_to_help_leave_and_the_llm_stays():
    card = Card(free_mb=1000, copies_mb=2000)
    with pytest.raises(GpuPressureError):
        await read(card)


@pytest.mark.parametrize(
    ("card", "asked"),
    [
        (Card(4000, 2000), 0),  # there is room
        (Card(1000, 2000, models=(LLM, OCR)), 0),  # it is loaded already
        (Card(3000, 2000, models=()), 1),  # no LLM would be pushed out, and OCR comes first all the same
    ],
)
async def test_they_are_asked_only_where_the_model_has_to_be_loaded_and_does_not_fit(card, asked):
    assert (await read(card)).calls == 1
    assert card.asked == asked


async def test_they_leave_also_where_the_llm_may_be_evicted():
    card = Card(free_mb=3000, copies_mb=2000)
    assert (await read(card, replace(POLICY, may_evict=True))).calls == 1
    assert card.asked == 1
