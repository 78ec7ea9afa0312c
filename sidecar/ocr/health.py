"""Liveness and readiness, from facts, with reasons. Pure."""

from dataclasses import dataclass

from sidecar.ocr.engine import NP_DMS_OCR, TESSERACT
from sidecar.runtime.capability import Capability


STILL_S = 5.0
"""An event loop that has not turned for so long takes no requests; it is given longer to live."""


@dataclass(frozen=True, slots=True)
class Facts:
    """What is known of the service at a moment."""

    stopping: bool
    workers_alive: bool
    tesseract_loaded: bool
    tesseract_failure: str | None
    default_language_missing: str | None
    default_engine: str = TESSERACT
    fallback_engine: str | None = TESSERACT
    model_configured: bool = False
    model_failure: str | None = None
    circuit_open: bool = False
    still_s: float = 0.0
    """Seconds since the event loop turned."""
    stall_s: float = 60.0
    """So long it may stand still before the process is better started anew."""


def tesseract_capability(facts: Facts) -> Capability:
    """Tell whether the embedded engine can read; of several reasons why not, the first that explains the others."""
    reasons = (
        (facts.tesseract_failure, Capability("unavailable", facts.tesseract_failure)),
        (not facts.tesseract_loaded, Capability("loading", "workers-starting")),
        (
            facts.default_language_missing,
            Capability("unavailable", f"language-missing: {facts.default_language_missing}"),
        ),
    )
    return next((capability for holds, capability in reasons if holds), Capability("ready"))


def model_capability(facts: Facts) -> Capability:
    """Tell whether the model can be called."""
    starting = "loading" if facts.model_failure == "model-server-starting" else "unavailable"
    reasons = (
        (not facts.model_configured, Capability("unavailable", f"engine-missing: {NP_DMS_OCR}")),
        (facts.circuit_open, Capability("unavailable", "circuit-open")),
        (facts.model_failure, Capability(starting, facts.model_failure)),
    )
    return next((capability for holds, capability in reasons if holds), Capability("ready"))


def ocr_capability(facts: Facts) -> Capability:
    """Tell whether documents can be read: by the engine that ``auto`` falls to, or by the one that stands in for it."""
    if facts.stopping:
        return Capability("unavailable", "shutting-down")
    if facts.still_s > STILL_S:
        return Capability("unavailable", "event-loop-stalled")
    if not facts.workers_alive:
        return Capability("unavailable", "workers-stopped")
    engines = {TESSERACT: tesseract_capability(facts), NP_DMS_OCR: model_capability(facts)}
    asked_for = engines[facts.default_engine]
    if asked_for.ready or facts.fallback_engine in (None, facts.default_engine):
        return asked_for
    stand_in = engines[facts.fallback_engine]
    return Capability("ready", asked_for.reason) if stand_in.ready else stand_in


def death(facts: Facts) -> str | None:
    """Tell why the process should be started anew, if it should; one that stops on purpose is alive."""
    if facts.still_s > facts.stall_s:
        return "event-loop-stalled"
    return None if facts.workers_alive or facts.stopping else "workers-stopped"
