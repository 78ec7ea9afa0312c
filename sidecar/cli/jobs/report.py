"""How far the jobs of a run are: a line for each that failed, a bar with the time that is left, the counts."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Self

from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    TaskID,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)

from sidecar.cli.telling import say

PACE_OVER_S = 600.0
"""The time that is left is estimated from so much: long documents end seldom."""


class Report:
    """Counts, and what is printed of them."""

    def __init__(self, console: Console, progress: Progress, total: int | None) -> None:
        self._console = console
        self._progress = progress
        self._bar: TaskID = progress.add_task("documents", total=total, pages=0)
        self.total = total
        self.done = 0
        self.failed = 0
        self.pages = 0

    @classmethod
    @contextmanager
    def shown(cls, console: Console, total: int | None) -> Iterator[Self]:
        """Show the bar during the block, if there is somebody to see it."""
        columns = (
            TextColumn("{task.description}"),
            BarColumn(),
            MofNCompleteColumn(),
            TextColumn("{task.fields[pages]} pages"),
            TimeElapsedColumn(),
            TimeRemainingColumn(),
        )
        with Progress(
            *columns,
            console=console,
            transient=True,
            disable=not console.is_terminal,
            redirect_stdout=False,  # where ids go may be a file
            speed_estimate_period=PACE_OVER_S,
        ) as progress:
            yield cls(console, progress, total)

    def expect(self, total: int) -> None:
        """Take over how many documents there are."""
        self.total = total
        self._progress.update(self._bar, total=total)

    def read(self, pages: int) -> None:
        """Count pages that were read."""
        self.pages += pages
        self._progress.update(self._bar, pages=self.pages)

    def end(self) -> None:
        """Count a document that is done."""
        self.done += 1
        self._progress.advance(self._bar)

    def fail(self, name: str, why: str) -> None:
        """Count a document that failed, and say why."""
        self.failed += 1
        say(self._console, f"{name}: {why}", "red")
        self._progress.advance(self._bar)

    def warn(self, text: str) -> None:
        """Say what is not as it should be, and costs no document."""
        say(self._console, text, "yellow")

    def tell(self, text: str) -> None:
        """Say something."""
        say(self._console, text)
