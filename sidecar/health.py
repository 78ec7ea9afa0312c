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
    default_engine_missing: str | None


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
    """Tell whether documents can be read; of several reasons why not, the first that explains the others."""
    reasons = (
        (facts.stopping, Capability("unavailable", "shutting-down")),
        (not facts.workers_alive, Capability("unavailable", "workers-stopped")),
        (facts.default_engine_missing, Capability("unavailable", f"engine-missing: {facts.default_engine_missing}")),
        (facts.tesseract_failure, Capability("unavailable", facts.tesseract_failure)),
        (not facts.tesseract_loaded, Capability("loading", "workers-starting")),
        (
            facts.default_language_missing,
            Capability("unavailable", f"language-missing: {facts.default_language_missing}"),
        ),
    )
    return next((capability for holds, capability in reasons if holds), Capability("ready"))


NOT_IN_THIS_VERSION = Capability("unavailable", "not-in-this-version")
"""For what the contract names and a later version brings."""


def is_alive(facts: Facts) -> bool:
    """Tell whether the process should be left running; one that stops on purpose is alive."""
    return facts.workers_alive or facts.stopping
