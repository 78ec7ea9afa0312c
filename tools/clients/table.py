"""Runs cases one after the other and prints a table of them. Needs nothing but the standard library."""

import importlib.metadata
import traceback
from collections.abc import Callable, Iterable
from dataclasses import dataclass

Case = Callable[[str], None]


@dataclass(frozen=True, slots=True)
class Row:
    """One thing that a client does: its package, what is called, and the case, which gets the service's URL."""

    package: str
    call: str
    case: Case


def run(rows: Iterable[Row], url: str) -> int:
    """Run cases and print a line for each; return how many failed."""
    failed = 0
    for row in rows:
        try:
            row.case(url)
        except Exception:  # noqa: BLE001 - whatever a client raises is its result
            failed += 1
            traceback.print_exc()
            told = "no"
        else:
            told = "yes"
        print(f"| {row.package} {importlib.metadata.version(row.package)} | {row.call} | {told} |", flush=True)
    return failed
