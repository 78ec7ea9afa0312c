"""Outcomes as lines of a Markdown table."""

from collections.abc import Mapping, Sequence

from bench.scale.outcome import Outcome

MINUTE_S, HOUR_S = 60.0, 3600.0


def table(names: Sequence[str], lines: Sequence[Sequence[str]]) -> str:
    """Return a table: ``names`` stand over the columns."""
    rule = ["---"] + ["---:"] * (len(names) - 1)
    return "\n".join("| " + " | ".join(line) + " |" for line in (names, rule, *lines))


def columns(outcome: Outcome) -> Mapping[str, str]:
    """Return all figures of an outcome as they are shown, by their columns."""
    return {
        "takes": duration(outcome.makespan_s),
        "of ideal": f"{outcome.of_ideal:.2f}",
        "idle": f"{outcome.idle_share * 100:.0f} %",
        "half done": duration(outcome.done_p50_s),
        "wait p50": duration(outcome.wait_p50_s),
        "wait p95": duration(outcome.wait_p95_s),
        "unread": str(outcome.unread_pages),
        "sent again": str(outcome.lost_pages),
        "read twice": str(outcome.doubled_pages),
        "429": str(outcome.refused),
        "GPU hours": f"{outcome.gpu_hours:.2f}",
        "cost": f"{outcome.cost:.2f}",
    }


def duration(seconds: float | None) -> str:
    """Return a time with its unit; none is a dash."""
    if seconds is None:
        return "-"
    if seconds < 10 * MINUTE_S:
        return f"{seconds:.1f} s"
    return f"{seconds / MINUTE_S:.0f} min" if seconds < 3 * HOUR_S else f"{seconds / HOUR_S:.1f} h"
