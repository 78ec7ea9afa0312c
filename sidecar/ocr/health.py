"""Liveness and readiness: from facts to reasons. Pure."""

from collections.abc import Mapping
from dataclasses import dataclass

from sidecar.runtime.capability import Capability

STILL_S = 5.0
"""If the event loop stands still for longer, in seconds, the service is not ready; liveness allows more."""


@dataclass(frozen=True, slots=True)
class Facts:
    """What is known of the service at a moment. ``engines`` holds each engine there is, by its name."""

    stopping: bool
    workers_alive: bool
    engines: Mapping[str, Capability]
    default_engine: str
    fallback_engine: str | None
    still_s: float = 0.0
    """Seconds since the event loop last turned."""
    stall_s: float = 60.0
    """Longest time in seconds that it may stand still before the process should be restarted."""


def missing(engine: str) -> Capability:
    """Return the capability of an engine that the settings do not configure."""
    return Capability("unavailable", f"engine-missing: {engine}")


def ocr_capability(facts: Facts) -> Capability:
    """Return whether documents can be read: by the engine that ``auto`` uses, or by the fallback."""
    if facts.stopping:
        return Capability("unavailable", "shutting-down")
    if facts.still_s > STILL_S:
        return Capability("unavailable", "event-loop-stalled")
    if not facts.workers_alive:
        return Capability("unavailable", "workers-stopped")
    asked_for = facts.engines[facts.default_engine]
    if asked_for.ready or facts.fallback_engine in (None, facts.default_engine):
        return asked_for
    fallback = facts.engines[facts.fallback_engine]
    return Capability("ready", asked_for.reason) if fallback.ready else fallback


def death(facts: Facts) -> str | None:
    """Return why the process should be restarted, or None; one that stops on purpose is alive."""
    if facts.still_s > facts.stall_s:
        return "event-loop-stalled"
    return None if facts.workers_alive or facts.stopping else "workers-stopped"
