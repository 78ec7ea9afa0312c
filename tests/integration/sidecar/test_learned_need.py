"""What was learned of the OCR model's need, through the whole service: shown, kept over a restart, and told if not."""

from functools import partial

import pytest

from sidecar.cli.doctor import examine
from sidecar.gpu.vram_monitor import DeviceMemory
from sidecar.service.engines import ENGINES, EngineFactory, build_vision
from tests.conftest import until
from tests.integration.sidecar.model import Governor
from tools.fakes.ollama import OCR_MODEL, FakeOllama


def on_the_card_of(fake: FakeOllama) -> tuple[EngineFactory, ...]:
    """The engines, where the GPU's own word is what the fake holds."""

    async def read() -> DeviceMemory:
        memory = fake.memory
        return DeviceMemory(memory.vram_mb, memory.used_mb, memory.vram_mb - memory.used_mb, "GPU-1")

    vision, *others = ENGINES
    return EngineFactory(vision.traits, partial(build_vision, read_device=read)), *others


@pytest.fixture
def govern(fake: FakeOllama, start, tmp_path) -> Governor:
    fake.install(OCR_MODEL, size_mb=5000, image_mb=3000, parallel=4)
    fake.latency_s = 0.6
    return Governor(partial(start, factories=on_the_card_of(fake)), fake, tmp_path / "profiles")


async def needs(governed) -> list[dict]:
    async with governed.service.client.get(f"{governed.service.url}/health") as response:
        return (await response.json())["learnedNeeds"]


async def test_what_is_learned_is_shown_and_known_after_a_restart(fake, govern, tmp_path):
    state = str(tmp_path / "state")
    first = await govern(OCR_STATE_DIR=state)
    assert (await needs(first), (await first.ops("readyz"))["state"]) == ([], {"state": "ready", "reason": None})
    await first.read()
    await until((tmp_path / "state" / "need.json").exists)
    [learned] = await needs(first)
    assert len(learned.pop("model")) == 64
    assert learned == {"numCtx": 0, "longestSide": 1800, "idleMb": 5000, "needMb": {"1": 8000}}
    await first.service.service.stop(0)

    second = await govern(OCR_STATE_DIR=state)
    assert [one["needMb"] for one in await needs(second)] == [{"1": 8000}]
    fake.free(OCR_MODEL)
    fake.occupy("np-dms-ai:latest", 9000)
    await second.service.engine("np-dms-ocr").gate.monitor.read_anew()  # readings are shared for a quarter of a second
    body = await second.read()
    assert (body["engineUsed"], body["warnings"]) == (
        "tesseract",
        ["engine-fallback", "gpu-pressure", "profile-missing"],
    )
    assert (await second.metric("ocr_required_vram_mb"), await second.metric("ocr_required_vram_learned")) == (8000, 1)


async def test_a_folder_that_cannot_be_written_is_told_and_costs_no_page(govern, tmp_path):
    (tmp_path / "state").write_text("a file")
    governed = await govern(OCR_STATE_DIR=str(tmp_path / "state"))
    assert (await governed.read())["engineUsed"] == "np-dms-ocr"
    told = (await governed.ops("readyz"))["state"]
    assert (told["state"], told["reason"].partition(":")[0]) == ("failed", "the state folder cannot be used")


def test_the_doctor_says_so_too(tmp_path):
    (tmp_path / "file").write_text("a file")
    found = {one.what: one for one in examine({"OCR_AUTH_MODE": "network", "OCR_STATE_DIR": str(tmp_path / "file")})}
    assert found["state folder"].ok is False
    found = {one.what: one for one in examine({"OCR_AUTH_MODE": "network", "OCR_STATE_DIR": str(tmp_path / "new")})}
    assert found["state folder"].ok is True
