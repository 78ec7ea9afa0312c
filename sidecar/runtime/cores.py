"""How many cores this process may use, and who uses them now.

It may use those it may run on, or fewer where its control groups have a quota. A CPU limit of a pod or a container is
such a quota. The cores of the machine are all still visible there, and as many workers as the machine has cores would
want that much memory, and be throttled together.
"""

import contextlib
import math
import os
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Protocol

GROUPS = Path("/sys/fs/cgroup")
MEMBERSHIP = Path("/proc/self/cgroup")


def usable_cores() -> int:
    """Cores that this process may use; a part of one counts as one."""
    quota = read_quota(GROUPS, MEMBERSHIP)
    return _visible_cores() if quota is None else max(1, min(_visible_cores(), math.ceil(quota)))


def _visible_cores() -> int:
    with contextlib.suppress(AttributeError):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def read_quota(groups: Path, membership: Path) -> float | None:
    """Read the smallest quota, in cores, of this process's control groups and those above them; None: there is none.

    https://docs.kernel.org/admin-guide/cgroup-v2.html (cpu.max), and for version 1 scheduler/sched-bwc.html there.
    """
    try:
        lines = membership.read_text().splitlines()
    except OSError:
        return None
    quotas = [quota for folder in _folders(groups, lines) if (quota := _quota_of(folder)) is not None]
    return min(quotas, default=None)


def _folders(groups: Path, lines: list[str]) -> Iterator[Path]:
    """Yield the folders of the groups. In a container the path may be the host's; absent folders are skipped."""
    for line in lines:
        _, _, rest = line.partition(":")
        controllers, _, path = rest.partition(":")
        if controllers and "cpu" not in controllers.split(","):
            continue
        top = groups / controllers if controllers else groups
        own = top / path.lstrip("/")
        yield from (folder for folder in (own, *own.parents) if folder == top or top in folder.parents)


def _quota_of(folder: Path) -> float | None:
    """Return a group's quota in cores, of either version."""
    try:
        quota_us, period_us = (folder / "cpu.max").read_text().split()
    except (OSError, ValueError):
        try:
            quota_us, period_us = ((folder / f"cpu.cfs_{name}_us").read_text() for name in ("quota", "period"))
        except OSError:
            return None
    try:
        quota = int(quota_us) / int(period_us)
    except (ValueError, ZeroDivisionError):  # "max"
        return None
    return quota if quota > 0 else None


class CoreUser(Protocol):
    """Computes on cores of this process: the queue of each model."""

    @property
    def waiting(self) -> int:
        """How many texts wait for a core."""

    @property
    def held_cores(self) -> Sequence[int]:
        """How many cores each of its running batches has."""

    def wake(self) -> None:
        """Called when another user gave cores back."""


class CoreLedger:
    """Who uses the cores now: pages that are read, and the batches of every model. It asks them each time.

    ``pages`` returns how many cores read pages. They come first, and never wait for a batch.
    """

    def __init__(self, total: int, pages: Callable[[], int]) -> None:
        self._total = total
        self._pages = pages
        self._users: list[CoreUser] = []

    def join(self, user: CoreUser) -> None:
        """Count a user's batches from now on."""
        self._users.append(user)

    def idle_for(self, user: CoreUser) -> int:
        """Count the cores that nobody uses, less one for each other user who waits for one; never below 0."""
        held = sum(cores for one in self._users for cores in one.held_cores)
        wanted = sum(one is not user and one.waiting > 0 for one in self._users)
        return max(0, self._total - self._pages() - held - wanted)

    def claimed_beside(self, user: CoreUser) -> int:
        """Count the cores that others' batches on several cores have.

        Such a batch waits for all its cores at each of a hundred steps: it must not share one. It is short.
        """
        return sum(cores for one in self._users if one is not user for cores in one.held_cores if cores > 1)

    def given_back(self, user: CoreUser) -> None:
        """Wake the other users: a batch has ended."""
        for one in self._users:
            if one is not user:
                one.wake()
