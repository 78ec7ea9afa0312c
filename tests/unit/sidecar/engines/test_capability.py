"""What each engine says of itself in /readyz; of several reasons, the first that explains the others."""

from pathlib import Path

import pytest

from sidecar.engines.model_watch import MISSING, STARTING, ModelWatch
from sidecar.engines.tesseract.engine import TesseractEngine
from sidecar.engines.tesseract.installation import Installed
from sidecar.engines.vision import VisionEngine
from sidecar.errors import EngineFailedError
from sidecar.runtime.capability import Capability
from sidecar.runtime.circuit_breaker import FAILURES_IN_A_ROW
from sidecar.runtime.workers.pool import WorkerLimits
from tests.unit.sidecar.engines.test_vision import Model, engine_with, failing


class Workers:
    """Does nothing, and says how many it is."""

    limits = WorkerLimits(2, 1, 1, 0)


def tesseract(languages: str, failure: str | None, installed: set[str] | None) -> TesseractEngine:
    engine = TesseractEngine(Workers(), None, None, languages)
    engine.failure = failure
    engine.installed = installed and Installed("5", Path(), frozenset(installed))
    return engine


@pytest.mark.parametrize(
    ("languages", "failure", "installed", "state", "reason"),
    [
        ("eng", None, {"eng", "osd"}, "ready", None),
        ("eng", None, None, "loading", "workers-starting"),
        ("eng", "tesseract-data-missing", None, "unavailable", "tesseract-data-missing"),
        ("eng", "workers-do-not-start", None, "unavailable", "workers-do-not-start"),
        ("tha+eng", None, {"eng"}, "unavailable", "language-missing: tha"),
        ("tha+eng", None, {"lao"}, "unavailable", "language-missing: tha, eng"),
    ],
)
async def test_tesseract_needs_its_data_and_the_languages_of_the_service(languages, failure, installed, state, reason):
    assert tesseract(languages, failure, installed).capability == Capability(state, reason)


def watched(failure: str | None, engine: VisionEngine | None = None) -> VisionEngine:
    engine = engine or engine_with(Model())
    watch = engine.servers.all[0].watch = ModelWatch(None, None, None)
    watch.failure = failure
    return engine


@pytest.mark.parametrize(
    ("failure", "state"), [(None, "ready"), (STARTING, "loading"), (f"{MISSING}: m", "unavailable")]
)
async def test_the_model_needs_its_server(failure, state):
    assert watched(failure).capability == Capability(state, failure)


@pytest.mark.parametrize("failure", [None, STARTING, MISSING])
async def test_an_open_circuit_is_told_before_what_the_watch_saw(failure):
    engine = engine_with(Model(*[EngineFailedError()] * FAILURES_IN_A_ROW))
    await failing(engine)
    watched(failure, engine)
    assert engine.capability == Capability("unavailable", "circuit-open")
