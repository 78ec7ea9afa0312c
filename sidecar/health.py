"""Liveness and readiness, from facts, with reasons. Pure."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Facts:
    """What is known of the service at a moment."""

    stopping: bool
    workers_alive: bool
    tesseract_loaded: bool
    tesseract_failure: str | None
    default_language_missing: str | None


@dataclass(frozen=True, slots=True)
class Capability:
    """One thing the service can do: ``ready``, ``loading`` or ``unavailable``, and why not ready."""

    state: str
    reason: str | None = None

    @property
    def ready(self) -> bool:
        """Tell whether it can be asked for now."""
        return self.state == "ready"


def ocr_capability(facts: Facts) -> Capability:
    """Tell whether documents can be read."""
    if facts.stopping:
        return Capability("unavailable", "shutting-down")
    if not facts.workers_alive:
        return Capability("unavailable", "workers-stopped")
    if facts.tesseract_failure:
        return Capability("unavailable", facts.tesseract_failure)
    if not facts.tesseract_loaded:
        return Capability("loading", "workers-starting")
    if facts.default_language_missing:
        return Capability("unavailable", f"language-missing: {facts.default_language_missing}")
    return Capability("ready")


def is_alive(facts: Facts) -> bool:
    """Tell whether the process should be left running; one that stops on purpose is alive."""
    return facts.workers_alive or facts.stopping
