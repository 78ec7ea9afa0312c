"""A third engine, from its class to its answers: the worked example of docs/extending.md.

`InkEngine` reads a page by how much of it is ink. It takes one parameter, no prompt, and no GPU. What an engine of this
project would have in `sidecar/engines/` stands first, then the lines that `sidecar/service/engines.py` would have.
"""

# ruff: noqa: ARG002 - an engine has the protocol's shape, whether it needs all of it or not

from collections.abc import Callable
from pathlib import Path

import pytest
from aiohttp import web

from sidecar.api.app_keys import WORKERS
from sidecar.documents import document
from sidecar.documents.document import DocumentLimits
from sidecar.errors import EngineFailedError, InvalidValueError
from sidecar.ocr.engine import EngineModel, EngineTraits, PageText, PageVerdict, PreparedPage, ReadOrder
from sidecar.runtime.capability import Capability
from sidecar.runtime.fair_slots import FairSlots
from sidecar.runtime.workers.pool import WorkerPool
from sidecar.service.engines import ENGINES, EngineFactory
from tests.conftest import Running, Start
from tests.integration.sidecar.documents import as_png, as_tiff, picture_of_text
from tests.integration.sidecar.model import PAGE, publish

# ── the engine ────────────────────────────────────────────────────────────────────────────────────────────────────


def read_ink(path: Path, index: int, limits: DocumentLimits, darkest: int) -> PageText:
    """Draw a page and say how much of it is at least so dark. Runs in a worker process."""
    page = document.render(path, index, limits)
    ink = sum(pixel <= darkest for pixel in page.pixels)
    return PageText(f"{100 * ink / len(page.pixels):.0f} % ink" if ink else "", confidence=100)


class InkEngine:
    """An :class:`sidecar.ocr.engine.OcrEngine` that reads a page by its pixels."""

    traits = EngineTraits("ink", takes_parameters=True)

    def __init__(self, workers: WorkerPool, limits: DocumentLimits) -> None:
        self._workers = workers
        self._limits = limits
        self.read_slots = FairSlots(workers.limits.count)
        self.prepare_slots = FairSlots(workers.limits.count)
        self.capability = Capability("ready")

    async def loaded(self) -> None:
        """Return: there is nothing to load."""

    def check_languages(self, languages: str) -> None:
        """Refuse none: ink takes no languages."""

    def check(self, order: ReadOrder) -> None:
        """Refuse a temperature at which nothing is told from paper."""
        if order.instructions.params.temperature == 2:
            raise InvalidValueError("temperature is 2, the engine ink accepts less")

    def model(self, order: ReadOrder) -> EngineModel:
        """Name what reads."""
        return EngineModel("ink-1")

    def max_attempts(self, order: ReadOrder) -> int:
        """Try once: the same page gives the same text."""
        return 1

    async def prepare(self, order: ReadOrder, index: int) -> PreparedPage:
        """Do nothing: a page is drawn and read in one task."""
        return PreparedPage(index)

    async def read(self, order: ReadOrder, page: PreparedPage, attempt: int, deadline_s: float) -> PageText:
        """Draw and read one page in a worker; ``temperature`` is how much that is not black counts as ink."""
        if not self.capability.ready:
            raise EngineFailedError("the engine ink is dry")
        darkest = round(127 * (order.instructions.params.temperature or 0))
        read, worked_s = await self._workers.run_timed(
            read_ink, order.document, page.index, self._limits, darkest, deadline_s=deadline_s
        )
        verdict = PageVerdict.GOOD if read.text else PageVerdict.EMPTY
        return PageText(
            read.text, confidence=read.confidence, verdict=verdict, parameters={"darkest": darkest}, worked_s=worked_s
        )


# ── its line in the registry ──────────────────────────────────────────────────────────────────────────────────────


def build_ink(app: web.Application, limits: DocumentLimits) -> InkEngine:
    """Make the engine from the settings; it needs none of its own."""
    return InkEngine(app[WORKERS], limits)


FACTORIES = (*ENGINES, EngineFactory(InkEngine.traits, build_ink))

# ── what the service makes of it ──────────────────────────────────────────────────────────────────────────────────

BLACK = as_png(picture_of_text(lines=0, size=(400, 400)).point(lambda _: 0))
ENGLISH = {"OCR_LANGUAGES": "eng"}
KNOWN = [one.traits.name for one in ENGINES]


async def readyz(service: Running) -> tuple[int, dict]:
    async with service.client.get(f"{service.ops}/readyz") as response:
        return response.status, await response.json()


@pytest.fixture
def begin(start: Start) -> Callable:
    async def _begin(**environ: str) -> Running:
        return await start(None, FACTORIES, **(ENGLISH | environ))

    return _begin


async def test_it_reads_and_the_answer_says_so(begin):
    status, body = await (await begin()).upload(BLACK, engine="ink")
    assert (status, body["text"], body["engineUsed"], body["modelUsed"]) == (200, "100 % ink", "ink", "ink-1")
    assert (body["parameters"], body["residency"]) == ({"darkest": 0}, None)
    (page,) = body["pages"]
    assert (page["engine"], page["confidence"], page["fallbackFrom"]) == ("ink", 100, None)
    assert [(one["engine"], one["verdict"], one["parameters"]) for one in page["attempts"]] == [
        ("ink", "good", {"darkest": 0})
    ]


async def test_parameters_reach_it_and_nothing_says_that_they_do_not(begin, tmp_path):
    publish(tmp_path / "profiles", runtimeParams={"temperature": 0.2})
    service = await begin(OCR_PROFILE_DIR=str(tmp_path / "profiles"))
    _, by_profile = await service.upload(BLACK, engine="ink")
    _, by_request = await service.upload(BLACK, engine="ink", temperature="1")
    assert [body["parameters"] for body in (by_profile, by_request)] == [{"darkest": 25}, {"darkest": 127}]
    assert [body["warnings"] for body in (by_profile, by_request)] == [[], []]
    assert by_request["profile"]["name"] == "ocr-extract"


@pytest.mark.parametrize("fields", [{"systemPrompt": "Read {{all}}"}, {"dmsTags": '["a"]'}, {"activeProfile": "x"}])
async def test_what_it_cannot_follow_is_told(begin, fields):
    _, body = await (await begin()).upload(BLACK, engine="ink", **fields)
    assert body["warnings"] == ["profile-missing", "parameters-not-applied"]


async def test_languages_mean_nothing_to_it_and_cost_no_warning(begin):
    service = await begin(OCR_FALLBACK_ENGINE="none")
    status, body = await service.upload(BLACK, engine="ink", languages="deu")
    assert (status, body["warnings"], body["parameters"]) == (200, ["profile-missing"], {"darkest": 0})
    assert (await service.upload(BLACK, engine="tesseract", languages="deu"))[1]["code"] == "language_missing"


async def test_no_ink_is_believed(begin):
    _, body = await (await begin()).upload(as_png(picture_of_text(lines=0, size=(400, 400))), engine="ink")
    assert (body["text"], body["engineUsed"], body["pages"][0]["fallbackFrom"]) == ("", "ink", None)


async def test_it_refuses_what_it_cannot_do_before_it_reads(begin):
    status, body = await (await begin()).upload(BLACK, engine="ink", temperature="2")
    assert (status, body["detail"]) == (422, "temperature is 2, the engine ink accepts less")


async def test_where_it_fails_another_stands_in_and_the_reason_is_told(begin):
    service = await begin()
    service.engine("ink").capability = Capability("unavailable", "ink-dry")
    _, body = await service.upload(PAGE, engine="ink")
    assert (body["engineUsed"], body["modelUsed"][:10]) == ("tesseract", "tesseract-")
    assert body["pages"][0]["fallbackFrom"] == "ink"
    assert body["warnings"] == ["engine-fallback", "engine-failed", "profile-missing"]


async def test_it_stands_in_for_another(begin, fake):
    service = await begin(OLLAMA_API_URL=fake.url, OCR_FALLBACK_ENGINE="ink")
    fake.uninstall("np-dms-ocr:latest")
    _, body = await service.upload(as_tiff([picture_of_text(2, (400, 400))] * 2), engine="np-dms-ocr", temperature="1")
    assert (body["engineUsed"], body["modelUsed"], body["parameters"]) == ("ink", "ink-1", {"darkest": 127})
    assert body["warnings"] == ["engine-fallback", "model-missing", "profile-missing"]


async def test_auto_falls_to_it_where_the_settings_say_so_and_readiness_follows_it(begin):
    service = await begin(OCR_ENGINE="ink", OCR_FALLBACK_ENGINE="none")
    assert (await service.upload(BLACK))[1]["engineUsed"] == "ink"
    ready = {"state": "ready", "reason": None}
    status, body = await readyz(service)
    assert (status, body["engines"].keys()) == (200, {*KNOWN, "ink"})
    assert (body["engines"]["ink"], body["engines"]["tesseract"]) == (ready, ready)
    service.engine("ink").capability = Capability("unavailable", "ink-dry")
    status, body = await readyz(service)
    assert (status, body["ocr"]) == (503, {"state": "unavailable", "reason": "ink-dry"})
    assert (body["engines"]["ink"], body["engines"]["tesseract"]) == (body["ocr"], ready)
    async with service.client.get(f"{service.url}/health") as response:
        health = await response.json()
    assert (response.status, health["ocrEngine"], health["reasons"]) == (503, "ink", ["ink-dry"])


async def test_who_does_not_know_it_is_told_which_engines_there_are(begin, start):
    _, body = await (await begin()).upload(PAGE, engine="water")
    assert body["detail"] == f"engine is 'water', accepted are {', '.join(['auto', *KNOWN, 'ink'])}"
    status, body = await (await start()).upload(PAGE, engine="ink")
    assert (status, body["code"]) == (400, "unknown_engine")
    assert body["detail"] == f"engine is 'ink', accepted are {', '.join(['auto', *KNOWN])}"


async def test_its_pages_are_counted_under_its_name(begin):
    service = await begin()
    await service.upload(BLACK, engine="ink")
    async with service.client.get(f"{service.ops}/metrics") as response:
        metrics = await response.text()
    assert 'ocr_pages_total{engine="ink",verdict="good"} 1.0' in metrics
    assert 'ocr_slots_busy{engine="ink"} 0.0' in metrics
