"""The lease's state, and what decides about it, as values. Pure."""

from dataclasses import dataclass
from enum import StrEnum

from pydantic import BaseModel, ConfigDict, Field

from sidecar.gpu.vram import ResidentModel, VramHeadroom
from sidecar.gpu.wish import Wish

NEVER_S = float("-inf")


class Phase(StrEnum):
    """Where the lease is."""

    FREE = "free"
    WAITING = "waiting"
    TAKING = "taking"
    HELD = "held"
    RELEASING = "releasing"
    RESTORING = "restoring"


class Act(StrEnum):
    """What is to be done now."""

    NONE = "none"
    REFUSE = "refuse"
    """Tell all who ask why there is no lease."""
    LOOK_AGAIN = "look-again"
    """Let all who ask look at the GPU again."""
    UNLOAD = "unload"
    """Have what is owed leave, once it is on disk that it is owed."""
    CUT = "cut"
    """End our calls that still run."""
    RELEASE = "release"
    """Have our own models leave."""
    LOAD = "load"
    """Load what is owed and is not there."""


class Owed(BaseModel):
    """A model to be loaded again as it was. ``keep_alive_s``: how long it would still have stayed; -1: for ever."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: str
    vram_mb: int = Field(ge=0)
    context_length: int = Field(ge=0)
    keep_alive_s: float


@dataclass(frozen=True, slots=True)
class LeaseTerms:
    """What the operator allows, and what the field's times are. Seconds, and pages.

    ``quiet_s``: how long the LLM must look idle. ``linger_s``: how long a lease that nobody uses is kept for the next
    document. ``grace_s``: how long running pages may go on after its end. ``settle_s``: until freed memory shows.
    ``late_s``: how much longer than ``hold_s`` it may take until the LLM is back, where others let it.
    ``bar_s``: nobody waits anew for so long after a wait in vain, or each page would. ``claim_s``: how often a process
    that may not lease looks whether the one that may has died.
    """

    wait_s: float
    hold_s: float
    min_pages: int = 1
    quiet_s: float = 1.0
    linger_s: float = 2.0
    grace_s: float = 10.0
    settle_s: float = 5.0
    bar_s: float = 30.0
    claim_s: float = 5.0
    late_s: float = 30.0


@dataclass(frozen=True, slots=True)
class Facts:
    """What is known at a moment. ``wishes``: what those who ask, or asked last, want to have room for.

    ``asking``: pages that wait for the lease; ``pages``: all that wait for the GPU or are read; ``calls``: model calls
    that run. ``ours``: our models, which leave at the end. ``obstacle``: why no lease can be taken at all.
    """

    now_s: float
    headroom: VramHeadroom
    ours: frozenset[str] = frozenset()
    wishes: tuple[Wish, ...] = ()
    asking: int = 0
    pages: int = 0
    calls: int = 0
    obstacle: str | None = None


@dataclass(frozen=True, slots=True)
class LeaseState:
    """The lease. ``since_s`` is when its phase began, ``ends_s`` when that must be over.

    ``signs``: what Ollama showed of the models that would leave, and ``quiet_since_s``: since when it is the same.
    ``stays``: the models that need not leave. ``refusal``: why the last one that asked was refused.
    ``forgiven``: what was owed and is not loaded any more, since another model has its room.
    """

    phase: Phase = Phase.FREE
    since_s: float = NEVER_S
    ends_s: float = NEVER_S
    owed: tuple[Owed, ...] = ()
    forgiven: tuple[Owed, ...] = ()
    stays: frozenset[str] = frozenset()
    signs: tuple[ResidentModel, ...] = ()
    quiet_since_s: float = NEVER_S
    gone_since_s: float | None = None
    unused_since_s: float | None = None
    tries: int = 0
    next_try_s: float = NEVER_S
    refusal: str | None = None
    barred_until_s: float = NEVER_S

    @property
    def is_taken(self) -> bool:
        """Tell whether the LLM is away, or on its way: then only the lease lets calls through."""
        return self.phase not in (Phase.FREE, Phase.WAITING)
