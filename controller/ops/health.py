"""Liveness and readiness from facts, with reasons. Pure."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime

from controller.mirror.facts import MirrorFacts


@dataclass(frozen=True, slots=True)
class Reason:
    """Why the controller is not ready."""

    reason: str
    about: str = ""
    since: datetime | None = None

    def render(self) -> dict[str, str]:
        """Render for ``/readyz``."""
        body = {"reason": self.reason, "about": self.about}
        if self.since is not None:
            body["since"] = self.since.isoformat(timespec="seconds")
        return {name: value for name, value in body.items() if value}


@dataclass(frozen=True, slots=True)
class Facts:
    """What is known when a probe asks."""

    is_crd_there: bool
    waiting: Sequence[str] = ()
    """Namespaces without a successful pass so far."""
    failing: Mapping[str, tuple[str, datetime | None]] = field(default_factory=dict)
    """Namespaces whose passes fail: why, and since when."""
    database_down_since: datetime | None = None
    oldest_beat_s: float = 0
    longest_beat_s: float = 0
    watch_ages_s: Mapping[str, float] = field(default_factory=dict)
    """Seconds since something was heard of each watched kind."""
    longest_watch_s: float = 0
    stands_by: bool = False
    """Another controller has the Lease; there is nothing to be done."""
    lease_problem: str = ""
    """Why the Lease could not be looked at."""


def mirror_alone(mirror: MirrorFacts, folder: str, still_s: float, longest_still_s: float) -> Facts:
    """Give the facts of a mirror that runs without a controller, and writes into a folder."""
    return Facts(
        is_crd_there=True,
        waiting=[] if mirror.last_read else [folder],
        failing={folder: (mirror.cluster_reason, None)} if mirror.cluster_reason else {},
        database_down_since=mirror.down_since,
        oldest_beat_s=still_s,
        longest_beat_s=longest_still_s,
    )


def readiness(facts: Facts) -> list[Reason]:
    """List what keeps the controller from its work; an empty list means ready."""
    leasing = [Reason("lease-failing", facts.lease_problem)] if facts.lease_problem else []
    if facts.stands_by:
        return leasing
    reasons = leasing + ([] if facts.is_crd_there else [Reason("crd-missing")])
    reasons += [Reason("reconcile-failing", f"{name}: {why}", since) for name, (why, since) in facts.failing.items()]
    if facts.is_crd_there:
        reasons += [Reason("not-reconciled-yet", name) for name in facts.waiting if name not in facts.failing]
    silent = [(kind, age_s) for kind, age_s in facts.watch_ages_s.items() if age_s > facts.longest_watch_s]
    reasons += [Reason("watch-silent", f"{kind}: {age_s:.0f} s") for kind, age_s in silent]
    if facts.database_down_since is not None:
        reasons.append(Reason("database-unreachable", since=facts.database_down_since))
    return reasons


def is_alive(facts: Facts) -> bool:
    """Return whether every loop still runs: a dead one ends the process by itself, one that hangs is found here."""
    return facts.oldest_beat_s <= facts.longest_beat_s
