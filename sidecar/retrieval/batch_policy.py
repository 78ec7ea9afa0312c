"""Which waiting texts form the next batch, and how long to wait for more. Pure.

A batch is padded to its longest text, and what it costs grows with its padded tokens: texts of like length go together.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

from sidecar.retrieval.model import CPU, GPU

PATIENCE = 0.1
"""Share of the last batch's time that may be spent waiting: longer would cost more than a larger batch saves."""

TIMEOUTS = 20
"""How many deadlines a request may last while something is computed: ten minutes of 30 s, as OpenAI's client waits."""


@dataclass(frozen=True, slots=True)
class Patience:
    """How long a caller waits, in seconds: while nothing at all is computed, and altogether."""

    stall_s: float = math.inf
    total_s: float = math.inf


@dataclass(frozen=True, slots=True)
class BatchLimits:
    """What holds where the model is now. ``tokens``: most padded tokens of a batch.

    ``padding``: largest share of them that may be padding. ``max_wait_s``: longest wait for more texts, in seconds.
    ``device``: what computes. ``cores``: how many cores all batches of this model together use. ``idle``: how many of
    these nobody else uses. ``claimed``: how many another model's batches share with nobody. ``ahead``: full batches
    that may wait for the device, so that it has the next one at once.
    """

    tokens: int
    padding: float
    max_wait_s: float
    device: str = "cpu"
    cores: int = 1
    idle: int = 1
    claimed: int = 0
    ahead: int = 0


@dataclass(frozen=True, slots=True)
class RetrievalPolicy:
    """What the operator decided. Times in seconds, tokens padded."""

    timeout_s: float
    max_queued: int
    cpu_cores: int
    cpu_batch_tokens: int
    gpu_batch_tokens: int
    padding: float
    max_wait_s: float

    @property
    def patience(self) -> Patience:
        """How long a caller waits: ``timeout_s`` while nothing is computed, and a multiple of it altogether."""
        return Patience(self.timeout_s, TIMEOUTS * self.timeout_s)

    def gpu_limits(self) -> BatchLimits:
        """Return the limits of batches on the GPU, which computes one at a time; one more may wait for it."""
        return BatchLimits(self.gpu_batch_tokens, self.padding, self.max_wait_s, GPU, ahead=1)

    def cpu_limits(self, idle_cores: int, claimed_cores: int) -> BatchLimits:
        """Return the limits of batches on the CPU. Where no core is idle, a batch shares one."""
        idle = max(1, min(self.cpu_cores, idle_cores))
        shared = (self.cpu_cores, idle, min(self.cpu_cores, claimed_cores))
        return BatchLimits(self.cpu_batch_tokens, self.padding, self.max_wait_s, CPU, *shared)


def next_batch(lengths: Sequence[int], limits: BatchLimits) -> list[int]:
    """Choose from the waiting texts, given by their lengths in tokens in the order they are due; return positions.

    The first is always chosen, alone if it exceeds the limit itself, so that none waits for ever. Texts of like length
    join it, the most similar first, while the batch stays within its limits.
    """
    order = sorted(range(len(lengths)), key=lengths.__getitem__)
    low = high = order.index(0)
    total = lengths[0]
    while True:
        shorter = order[low - 1] if low > 0 else None
        longer = order[high + 1] if high + 1 < len(order) else None
        count = high - low + 2
        longest = lengths[order[high]]
        if shorter is not None and not _fits(count, longest, total + lengths[shorter], limits):
            shorter = None
        if longer is not None and not _fits(count, lengths[longer], total + lengths[longer], limits):
            longer = None
        match shorter, longer:
            case None, None:
                return order[low : high + 1]
            case int(), int() if lengths[0] - lengths[shorter] <= lengths[longer] - lengths[0]:
                longer = None
        if longer is None and shorter is not None:
            low, total = low - 1, total + lengths[shorter]
        elif longer is not None:
            high, total = high + 1, total + lengths[longer]


def _fits(count: int, longest: int, total: int, limits: BatchLimits) -> bool:
    padded = count * longest
    return padded <= limits.tokens and padded - total <= limits.padding * padded


def free_cores(taken: int, waiting_tokens: int, limits: BatchLimits) -> int:
    """Return how many cores the next batch may have, when this model's unfinished batches have ``taken``.

    If none is free, a full batch may still be queued on the device. One that is not full waits for more texts.
    """
    if taken + limits.claimed < limits.cores:
        return limits.cores - taken - limits.claimed
    return int(taken < limits.cores + limits.ahead and not limits.claimed and waiting_tokens >= limits.tokens)


def plan_batch(lengths: Sequence[int], limits: BatchLimits, free: int) -> tuple[list[int], int]:
    """Choose the next batch, and how many of the free cores compute it: one, or several.

    One core per batch, since several on one batch wait for each other a hundred times in it. Too few texts for all
    cores share one batch on all idle cores; a core that others use as well would hold up the rest.
    """
    several = min(free, limits.idle)
    would_leave_cores_idle = free == limits.cores and len(lengths) < free
    if would_leave_cores_idle and several > 1:
        together = replace(limits, tokens=limits.tokens * several)
        takes_long = lengths[0] > together.tokens  # leave one core for a short text that comes meanwhile
        return next_batch(lengths, together), several - 1 if takes_long else several
    parts = min(free, len(lengths))
    return next_batch(lengths, replace(limits, tokens=min(limits.tokens, -(-sum(lengths) // parts)))), 1


@dataclass(frozen=True, slots=True)
class LastBatch:
    """The last batch: how many texts, how many seconds it took, and how many seconds ago it ended."""

    texts: int
    took_s: float
    ago_s: float


def wait_for_more_s(waiting: int, waiting_tokens: int, last: LastBatch, limits: BatchLimits) -> float:
    """Return how much longer to wait for more texts, in seconds, before the next batch starts on a free core.

    Callers often send the next text as soon as they have an answer. So after a batch they get a moment for it, until as
    many texts wait as were answered. If nothing was answered just before, a text starts at once.
    """
    if waiting >= last.texts or waiting_tokens >= limits.tokens:
        return 0.0
    return max(0.0, min(limits.max_wait_s, PATIENCE * last.took_s) - last.ago_s)
