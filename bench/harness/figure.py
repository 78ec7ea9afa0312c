"""A benchmark's result: figures beside their targets, and ratios of two things measured alternately."""

import statistics
from collections.abc import Callable, Sequence
from dataclasses import dataclass

ROUNDS = 3


@dataclass(frozen=True, slots=True)
class Figure:
    """One row of a benchmark's table; without a target it is for information."""

    name: str
    value: str
    target: str = ""
    reached: bool | None = None


def at_least(name: str, value: str, measured: float, target: float, unit: str = "") -> Figure:
    return Figure(name, value, f">= {target:g}{unit}", measured >= target)


def below(name: str, value: str, measured: float, target: float, unit: str = "") -> Figure:
    return Figure(name, value, f"< {target:g}{unit}", measured < target)


def in_turn(rounds: int, *measures: Callable[[], float]) -> list[list[float]]:
    """Measure A, B, A, B and so on: other load of the machine affects both alike. Returns the values of each."""
    taken = [[measure() for measure in measures] for _ in range(rounds)]
    return [list(values) for values in zip(*taken, strict=True)]


def ratio(measured: Sequence[float], reference: Sequence[float]) -> tuple[float, str]:
    """Divide the medians; the text also shows each round's ratio."""
    of_medians = statistics.median(measured) / statistics.median(reference)
    each = ", ".join(f"{one / other:.3f}" for one, other in zip(measured, reference, strict=True))
    return of_medians, f"{of_medians:.3f} (rounds: {each})"


def rate(values: Sequence[float], unit: str) -> str:
    return f"{statistics.median(values):.2f} {unit}"


def print_table(title: str, figures: Sequence[Figure]) -> None:
    """Print one benchmark's table."""
    verdicts = {True: "yes", False: "NO", None: ""}
    rows = [(title, "measured", "target", "reached")]
    rows += [(figure.name, figure.value, figure.target, verdicts[figure.reached]) for figure in figures]
    widths = [max(len(row[column]) for row in rows) for column in range(4)]
    lines = ["  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows]
    lines.insert(1, "  ".join("-" * width for width in widths))
    print("", *lines, sep="\n", flush=True)
