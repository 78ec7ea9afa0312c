"""What an engine is, and the values that pass between documents, engines and the use case. Pure."""

from collections.abc import Hashable, Mapping
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path
from typing import Protocol

from sidecar.documents.pages import PagePicture
from sidecar.errors import SidecarError
from sidecar.gpu.residency_policy import OcrResidencyDecision
from sidecar.profiles.precedence import Instructions

AUTO = "auto"
FAST_PATH = "fast-path"
TESSERACT = "tesseract"
NP_DMS_OCR = "np-dms-ocr"
MIXED = "mixed"
ENGINE_NAMES = (AUTO, NP_DMS_OCR, TESSERACT)

NOTHING_SENT: Mapping[str, object] = {}


class PageVerdict(StrEnum):
    """What became of a page."""

    GOOD = "good"
    TRUNCATED = "truncated"
    LOOPED = "looped"
    EMPTY = "empty"
    FAILED = "failed"


@dataclass(frozen=True, slots=True)
class PageText:
    """What one try at a page gave. ``confidence`` is 0 to 100, or None where an engine gives none."""

    text: str
    blank: bool = False
    confidence: int | None = None
    rotation: int = 0
    """Degrees, clockwise, by which the page had to be turned to read upright, beyond what the file itself says."""
    verdict: PageVerdict = PageVerdict.GOOD
    done_reason: str = "stop"
    error: SidecarError | None = None
    """What broke the page off, where that is more than its verdict says."""
    parameters: Mapping[str, object] = field(default_factory=dict)
    residency: OcrResidencyDecision | None = None
    first_token_s: float | None = None
    worked_s: float | None = None
    """How long the work took, its wait for a worker not counted; None: as long as the call."""


class TryFailedError(Exception):
    """A try that gave no text at all, after something had been sent for it."""

    def __init__(
        self,
        error: SidecarError,
        parameters: Mapping[str, object] = NOTHING_SENT,
        residency: OcrResidencyDecision | None = None,
    ) -> None:
        super().__init__(error, parameters, residency)
        self.error = error
        self.parameters = parameters
        self.residency = residency


@dataclass(frozen=True, slots=True)
class Attempt:
    """One try at one page, for the answer: who tried, for how long, with what, and what came of it."""

    engine: str
    duration_ms: int
    verdict: PageVerdict
    error: str | None = None
    done_reason: str | None = None
    parameters: Mapping[str, object] = field(default_factory=dict)
    residency: OcrResidencyDecision | None = None
    first_token_ms: int | None = None


@dataclass(frozen=True, slots=True)
class Orders:
    """How one document is to be read, the same for all its pages."""

    languages: str
    instructions: Instructions
    active_profile: str | None = None
    """The LLM profile in use."""


@dataclass(frozen=True, slots=True)
class PageOrder:
    """One page for an engine to read. ``index`` counts from 0; ``deadline_s`` bounds the whole try."""

    document: Path
    index: int
    deadline_s: float
    orders: Orders


@dataclass(frozen=True, slots=True)
class PreparedPage:
    """A page that waits for its engine; ``picture`` where the engine had it drawn beforehand."""

    order: PageOrder
    picture: PagePicture | None = None
    worked_s: float = 0.0
    """How long it took to prepare, its wait for a worker not counted."""


@dataclass(frozen=True, slots=True)
class EngineFacts:
    """What an engine says of itself in the answer."""

    model: str
    parameters: Mapping[str, object]


class PageTurns(Protocol):
    """Who may work now; see :class:`sidecar.runtime.fair_slots.Turns`."""

    @property
    def slots(self) -> int:
        """How many turns there are at a time."""

    @property
    def waiting(self) -> int:
        """How many pages wait for theirs."""

    @property
    def busy(self) -> int:
        """How many turns are taken."""

    def take(self, document: Hashable) -> AbstractAsyncContextManager[None]:
        """Wait for a document's turn, and have it for as long as the block."""


class OcrEngine(Protocol):
    """Reads pages. A cancelled call stops its work; errors are those of :mod:`sidecar.errors`."""

    @property
    def name(self) -> str:
        """The engine's name in the contract."""

    @property
    def empty_is_an_answer(self) -> bool:
        """Whether "no text" can be believed of a page that is not blank."""

    @property
    def ahead(self) -> PageTurns:
        """Pages being prepared, or prepared and waiting, or read."""

    @property
    def turns(self) -> PageTurns:
        """Pages being read."""

    def check(self, orders: Orders) -> None:
        """Refuse what this engine cannot do, before any page is read."""

    def model(self, orders: Orders) -> str:
        """Name the model that reads."""

    def max_attempts(self, orders: Orders) -> int:
        """Tell how often a page is tried that comes back truncated, looping or empty."""

    async def prepare(self, page: PageOrder) -> PreparedPage:
        """Do what can be done before it is the page's turn."""

    async def read(self, page: PreparedPage, attempt: int, deadline_s: float) -> PageText:
        """Read one page, for the ``attempt``-th time, counted from 1, in at most ``deadline_s`` seconds."""
