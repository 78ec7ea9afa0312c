"""What is simulated: documents that come, pods that read them, and what goes wrong meanwhile. Pure."""

from dataclasses import dataclass
from enum import StrEnum
from functools import cached_property

from sidecar.jobs.record import Lane


class Design(StrEnum):
    """How pages find a pod."""

    TURNS = "turns"
    """This project's: one queue of turns, a slice of a document at a time."""
    WHOLE = "whole"
    """One shared queue, of whole documents."""
    SPREAD = "spread"
    """No queue: each document's connection goes to a pod by chance, as kube-proxy does it."""


class FaultKind(StrEnum):
    """What happens to a pod."""

    KILL = "kill"
    DRAIN = "drain"
    """It takes nothing more, and ends once its work is done, or after its grace."""
    PARTITION = "partition"
    """It reads on, and cannot say so to anybody."""


@dataclass(frozen=True, slots=True)
class Fault:
    """Something that happens to a pod; ``for_s`` later it is as before."""

    kind: FaultKind
    pod: int
    at_s: float
    for_s: float


@dataclass(frozen=True, slots=True)
class Document:
    """A document that comes; ``pages_s`` says how long the model reads each of its pages."""

    number: int
    arrives_s: float
    pages_s: tuple[float, ...]
    lane: Lane = Lane.BATCH


@dataclass(frozen=True, slots=True)
class Scaling:
    """How many pods there are, by the slices that are due, as KEDA and its HPA decide."""

    least: int
    most: int
    slices_a_pod: int
    look_s: float = 30.0
    """How often it is decided: KEDA's ``pollingInterval``."""
    start_s: float = 90.0
    """From the decision to the first page: a pod starts, and a model is loaded in 60 to 70 s."""
    cool_s: float = 300.0
    """How long fewer must have been enough until a pod ends."""


@dataclass(frozen=True, slots=True)
class Costs:
    """Times besides the model's, in seconds; docs/scale.md holds them against real runs."""

    open_s: float = 0.03
    """To fetch a document and count its pages."""
    page_s: float = 0.005
    """A page, beyond the model: docs/performance.md has 3.4 to 6.9 ms."""
    step_s: float = 0.02
    """A step of a job, beyond its pages: its turn is taken, what was read is stored."""
    end_s: float = 0.03
    """To put the results together."""
    hear_s: float = 0.005
    """Until a pod that has nothing to do has taken what was put into the queue."""
    look_s: float = 1.0
    """How often such a pod looks for what is handed out again, which nobody tells it."""


@dataclass(frozen=True)
class Scenario:
    """All that a simulation is told. Two with the same values end the same."""

    documents: tuple[Document, ...]
    pods: int = 3
    slots: int = 4
    """Pages that a pod reads at a time: OCR_PARALLEL_PAGES."""
    slice_pages: int = 8
    """OCR_JOBS_SLICE_PAGES."""
    slices: int = 2
    """Slices that a pod reads at a time: OCR_JOBS_SLICES."""
    documents_a_pod: int = 8
    """Whole documents that a pod takes from a queue at a time."""
    queued_pages: int = 1000
    """Pages that a pod without a queue accepts, OCR_MAX_QUEUED_PAGES: the next document gets 429."""
    retry_s: float = 5.0
    """When a caller comes again who got 429, or whose connection broke."""
    grace_s: float = 25.0
    """What a pod that is to end has for whole documents; slices it gives back at once."""
    redelivery_s: float = 20.0
    sign_s: float = 5.0
    """A pod gives a sign so often; without one for ``redelivery_s`` its work is handed out again."""
    price_an_hour: float = 1.0
    """Of a pod's GPU."""
    seed: int = 1
    faults: tuple[Fault, ...] = ()
    scaling: Scaling | None = None
    costs: Costs = Costs()

    @cached_property
    def pages(self) -> int:
        """Pages of all documents."""
        return sum(len(one.pages_s) for one in self.documents)

    @cached_property
    def ideal_s(self) -> float:
        """The shortest time in which all pods at once could read it, if all of it was there at the beginning."""
        most = self.scaling.most if self.scaling else self.pods
        return sum(sum(one.pages_s) for one in self.documents) / (self.slots * most)
