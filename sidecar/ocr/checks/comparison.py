"""What a second reading says of a page's text. Pure; :func:`compare` runs in worker processes."""

import re
from dataclasses import dataclass
from enum import StrEnum

from sidecar.evidence.agreement import Disagreement, Reading, Verify, count_tokens, disagreements
from sidecar.evidence.layout import Layout
from sidecar.evidence.packed import Packed
from sidecar.evidence.scaling import scaled

_MARK_UP = re.compile(r"</?[A-Za-z][^<>\n]{0,80}>")
"""Tags that a model writes around fields and cells: nobody else reads them."""


class Outcome(StrEnum):
    """What came of a check."""

    AGREES = "agrees"
    DIFFERS = "differs"
    UNVERIFIED = "unverified"


class Obstacle(StrEnum):
    """Why a page is unverified, where no error says it."""

    NO_CHECKER = "no-checker"
    """No other engine is here, ready, and knows the page's languages."""
    UNREADABLE = "unreadable"
    """The other engine made too little of the page to contradict."""


@dataclass(frozen=True, slots=True)
class Verification:
    """What came of holding a page against a second reading by ``engine``; ``reason`` says why it is unverified."""

    outcome: Outcome
    engine: str | None = None
    duration_ms: int = 0
    disagreements: tuple[Disagreement, ...] = ()
    disagreed: float | None = None
    """The share of what was compared in which they differ; None where nothing was."""
    reason: str | None = None


@dataclass(frozen=True)
class Read:
    """A page as somebody read it, on its way to a worker."""

    text: str
    layout: Packed[Layout] | None = None
    unit: float = 1.0
    """Points of a unit of the layout."""

    def opened(self) -> Reading:
        """Return it with its words."""
        layout = scaled(self.layout.unpack(), self.unit) if self.layout else None
        return Reading(_MARK_UP.sub(" ", self.text), layout)


def compare(mine: Read, other: Read, verify: Verify) -> tuple[tuple[Disagreement, ...], int] | None:
    """List what differs, and count what was compared; None if the other reader saw too little to contradict."""
    ours = mine.opened()
    found = disagreements(ours, other.opened(), verify)
    return None if found is None else (found, count_tokens(ours, verify))


def verification(found: tuple[tuple[Disagreement, ...], int] | None, engine: str, duration_ms: int) -> Verification:
    """Return what came of a comparison."""
    if found is None:
        return Verification(Outcome.UNVERIFIED, engine, duration_ms, reason=Obstacle.UNREADABLE)
    listed, compared = found
    outcome = Outcome.DIFFERS if listed else Outcome.AGREES
    differing = sum(len((one.mine or one.other or "").split()) for one in listed)
    whole = max(compared, differing)  # what only the other one has is compared as well
    disagreed = differing / whole if whole else None
    return Verification(outcome, engine, duration_ms, listed, disagreed)
