"""How the mirror fares, for readiness and metrics. Pure."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime


@dataclass(frozen=True, slots=True)
class MirrorFacts:
    """How the mirror fares: for readiness and metrics."""

    last_read: datetime | None = None
    """When the database was last read; None: never yet."""
    down_since: datetime | None = None
    """When the database began to fail; None: it answers, or was not asked yet."""
    down_reason: str = ""
    cluster_reason: str = ""
    """Why the API server did not do the last pass in full; empty: it did."""
    rows: int = 0
    """Rows of the mirrored models at the last read."""
    notices: Mapping[str, int] = field(default_factory=dict)
    """What is amiss at the moment, counted by reason."""
    writes: Mapping[str, int] = field(default_factory=dict)
    """Writes since the start, by verb: create, update, withdraw, delete."""
