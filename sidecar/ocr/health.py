"""Liveness and readiness, from facts, with reasons. Pure."""

from collections.abc import Mapping
from dataclasses import dataclass

from sidecar.runtime.capability import Capability


@dataclass(frozen=True, slots=True)
class Facts:
    """What is known of the service at a moment. ``engines`` holds each engine there is, by its name."""

    stopping: bool
    workers_alive: bool
    engines: Mapping[str, Capability]
    default_engine: str
    fallback_engine: str | None


def missing(engine: str) -> Capability:
    """Tell of an engine that the settings do not configure."""
    return Capability("unavailable", f"engine-missing: {engine}")


def ocr_capability(facts: Facts) -> Capability:
    """Tell whether documents can be read: by the engine that ``auto`` falls to, or by the fallback."""
    if facts.stopping:
        return Capability("unavailable", "shutting-down")
    if not facts.workers_alive:
        return Capability("unavailable", "workers-stopped")
    asked_for = facts.engines[facts.default_engine]
    if asked_for.ready or facts.fallback_engine in (None, facts.default_engine):
        return asked_for
    fallback = facts.engines[facts.fallback_engine]
    return Capability("ready", asked_for.reason) if fallback.ready else fallback


def is_alive(facts: Facts) -> bool:
    """Tell whether the process should be left running; one that stops on purpose is alive."""
    return facts.workers_alive or facts.stopping
