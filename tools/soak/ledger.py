"""Counts what became of each request, and says which figures were not held. Pure: it is told all."""

import statistics
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from enum import StrEnum

MAX_SLOPE_MB_A_MINUTE = 0.1
MAX_LIVEZ_P99_S = 0.25
MAX_OF_WEIGHTS = 1.15
"""Memory of loaded models less that of the process without them, of their weights; where these weigh most."""


class End(StrEnum):
    """How an accepted request can end."""

    ANSWERED = "answered whole"
    LEFT = "its caller left"
    IN_THE_AIR = "in the air at a kill -9"
    CLOSED_IDLE = "closed by us: no whole head in time, or idle when another needed the place"
    LOST = "LOST"


@dataclass
class Ledger:
    """All requests whose connection was accepted, by their end; and answers by what was asked and their status."""

    ends: Counter[End] = field(default_factory=Counter)
    statuses: Counter[tuple[str, int]] = field(default_factory=Counter)
    refused: int = 0
    """Connections that were refused while the service was away: never accepted."""
    internal_errors: int = 0
    lost: list[str] = field(default_factory=list)
    """What was lost, in words."""

    def answered(self, what: str, status: int, body: bytes) -> None:
        self.ends[End.ANSWERED] += 1
        self.statuses[what, status] += 1
        self.internal_errors += status == 500 or b'"internal_error"' in body

    def ended(self, end: End, what: str = "") -> None:
        self.ends[end] += 1
        if end is End.LOST:
            self.lost.append(what)


@dataclass(frozen=True)
class Figure:
    """One line of the result."""

    name: str
    value: str
    held: bool = True


@dataclass(frozen=True)
class ModelMemory:
    """Both models in MB: the process without them, in the end with them, and what their weights take by themselves."""

    empty_mb: float
    full_mb: float
    weights_mb: float

    def figure(self, *, is_judged: bool) -> Figure:
        """Judge it, where the weights are large: small ones weigh less than what computes them."""
        of_weights = (self.full_mb - self.empty_mb) / self.weights_mb
        shown = f"{of_weights:.3f} ({self.full_mb:.0f} less {self.empty_mb:.0f}, of {self.weights_mb:.0f} MB)"
        name = f"resident memory of both models, of their weights (<= {MAX_OF_WEIGHTS})"
        return Figure(name, shown, not is_judged or of_weights <= MAX_OF_WEIGHTS)


def slope_mb_a_minute(samples: Sequence[tuple[float, float]]) -> float:
    """Fit a line to (seconds, MB) and return what it rises in a minute."""
    if len(samples) < 3:
        return 0.0
    return 60 * statistics.linear_regression(*zip(*samples, strict=True)).slope


def quantile(values: Sequence[float], share: float) -> float:
    return sorted(values)[min(len(values) - 1, int(share * len(values)))] if values else float("nan")


def figures(
    ledger: Ledger,
    memory: dict[str, list[tuple[float, float]]],
    livez_s: Sequence[float],
    livez_failed: int,
    left_in_spool: Sequence[str],
    exit_status: int | None,
) -> list[Figure]:
    """Judge a soak."""
    accepted, lost = ledger.ends.total(), ledger.ends[End.LOST]
    of = {end.value: str(ledger.ends[end]) for end in End if end is not End.LOST}
    p99_s = quantile(livez_s, 0.99)
    found = [Figure("requests accepted", str(accepted)), *(Figure(f"  {name}", count) for name, count in of.items())]
    found += [
        Figure("  lost (0)", str(lost), not lost),
        Figure("connections refused while the service was away", str(ledger.refused)),
        Figure("500s and internal errors (0)", str(ledger.internal_errors), not ledger.internal_errors),
    ]
    for name, samples in memory.items():
        slope = slope_mb_a_minute(samples)
        megabytes = [size for _, size in samples] or [0.0]
        value = f"{slope:+.3f} MB/min, {megabytes[0]:.1f} to {megabytes[-1]:.1f} MB, highest {max(megabytes):.1f}"
        is_held = bool(samples) and slope < MAX_SLOPE_MB_A_MINUTE
        found.append(Figure(f"anonymous memory of {name} (< {MAX_SLOPE_MB_A_MINUTE})", value, is_held))
    return [
        *found,
        Figure(
            f"/livez p99 (< {MAX_LIVEZ_P99_S * 1000:.0f} ms)",
            f"{p99_s * 1000:.0f} ms of {len(livez_s)}, longest {max(livez_s, default=0) * 1000:.0f} ms",
            p99_s < MAX_LIVEZ_P99_S,
        ),
        Figure("/livez not answered, or not 200 (0)", str(livez_failed), not livez_failed),
        Figure("documents left in the spool (0)", str(len(left_in_spool)), not left_in_spool),
        Figure("exit status after SIGTERM (0)", str(exit_status), exit_status == 0),
    ]
