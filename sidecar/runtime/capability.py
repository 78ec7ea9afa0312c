"""One thing that the service can do, and whether it can do it now. Pure."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Capability:
    """One thing the service can do: ``ready``, ``loading`` or ``unavailable``, and why not ready, or not fully."""

    state: str
    reason: str | None = None

    @property
    def ready(self) -> bool:
        """Return whether it is available now."""
        return self.state == "ready"
