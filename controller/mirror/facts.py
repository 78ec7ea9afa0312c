"""The mirror's state, for readiness and metrics. Pure."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime


@dataclass(frozen=True, slots=True)
class MirrorFacts:
    """The mirror's state, for readiness and metrics."""

    last_read: datetime | None = None
    """When the database was last read; None: never yet."""
    down_since: datetime | None = None
    """When the database began to fail; None: it answers, or was not read yet."""
    down_reason: str = ""
    cluster_reason: str = ""
    """Why the API server did not complete the last pass; empty: it did."""
    rows: int = 0
    """Rows of the mirrored models at the last read."""
    notices: Mapping[str, int] = field(default_factory=dict)
    """Current problems, counted by reason."""
    writes: Mapping[str, int] = field(default_factory=dict)
    """Writes since the start, by verb: create, update, withdraw, delete."""
