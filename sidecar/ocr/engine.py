"""What an engine is, what it declares of itself, and the values that pass between it and the use case. Pure."""

from collections.abc import Collection, Hashable, Mapping
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path
from typing import Protocol

from sidecar.documents.pages import PagePicture
from sidecar.errors import SidecarError
from sidecar.evidence.confidence import Certainty
from sidecar.evidence.layout import Layout
from sidecar.evidence.packed import Packed
from sidecar.gpu.residency_policy import OcrResidencyDecision
from sidecar.profiles.precedence import Instructions
from sidecar.runtime.capability import Capability

AUTO = "auto"
"""Asks for the text layer where it is usable, and for the service's engine on all other pages."""
FAST_PATH = "fast-path"
"""The name of the text layer in answers."""
MIXED = "mixed"
"""The name in answers for several engines."""

NOTHING_SENT: Mapping[str, object] = {}


@dataclass(frozen=True, slots=True)
class EngineTraits:
    """What an engine declares: all that the service needs to know of it, so that its name decides nothing."""

    name: str
    """What callers, settings, answers and metrics call it."""
    takes_prompt: bool = False
    """Whether it follows the system prompt, and tags fields."""
    takes_parameters: bool = False
    """Whether it is sent the parameters of request and profile."""
    takes_languages: bool = False
    """Whether it takes a list of languages; one that does not reads any language it can."""
    is_believed_empty: bool = True
    """Whether "there is no text" is believed of a page that is not blank; a model that says so may have given up."""
    on_gpu: bool = False
    """Whether it needs the GPU, which may be full: then residency is decided, and it is no fallback for others."""
    gives_opinions: bool = False
    """Whether it may read once more what another engine read doubtfully: it is a :class:`SecondReader`."""

    may_check: bool = False
    """Whether it may check what another engine read: it takes no GPU and no prompt, and costs little."""

    @property
    def follows_profiles(self) -> bool:
        """Return whether a profile sets anything that it takes."""
        return self.takes_prompt or self.takes_parameters


@dataclass(frozen=True, slots=True)
class RequestedOptions:
    """What a request sets that not every engine takes."""

    prompt: bool = False
    parameters: bool = False
    profile: bool = False
    residency: bool = False

    def met_by(self, readers: Collection[EngineTraits]) -> bool:
        """Return whether for each option one of the engines that read takes it."""
        return (
            (not self.prompt or any(one.takes_prompt for one in readers))
            and (not self.parameters or any(one.takes_parameters for one in readers))
            and (not self.profile or any(one.follows_profiles for one in readers))
            and (not self.residency or any(one.on_gpu for one in readers))
        )


class PageVerdict(StrEnum):
    """The outcome of a page."""

    GOOD = "good"
    TRUNCATED = "truncated"
    LOOPED = "looped"
    ECHOED = "echoed"
    EMPTY = "empty"
    FAILED = "failed"


@dataclass(frozen=True, slots=True)
class Correction:
    """A piece of text between white space: as the engine first read it, and as it stands in the text."""

    read: str
    corrected: str


@dataclass(frozen=True, slots=True)
class PageText:
    """What one try at a page gave. ``confidence`` is 0 to 100, or None where an engine gives none."""

    text: str
    blank: bool = False
    confidence: int | None = None
    sure_text: str | None = None
    """The words that the engine is sure of, told of a page that may have a second opinion."""
    rotation: float = 0
    """Degrees, clockwise, by which the page had to be turned to read upright, beyond what the file itself says."""
    corrections: tuple[Correction, ...] = ()
    numerals_doubtful: bool = False
    """Whether a numeral of the text is a guess."""
    languages_unread: bool = False
    """Whether the page may hold a language that was asked for and that the engine does not read."""
    verdict: PageVerdict = PageVerdict.GOOD
    done_reason: str = "stop"
    error: SidecarError | None = None
    """What interrupted the page, if that is more than its verdict says."""
    parameters: Mapping[str, object] = field(default_factory=dict)
    left_out: tuple[str, ...] = ()
    """Parameters that were asked for, and that the model server cannot be sent."""
    residency: OcrResidencyDecision | None = None
    first_token_s: float | None = None
    worked_s: float | None = None
    """How long the work took, its wait for a worker not counted; None: as long as the call."""
    layout: Packed[Layout] | None = None
    """The words of the text with their places, where they were wanted and the engine can tell them."""
    certainty: Certainty | None = None
    """How much of the text the engine is sure of, where it can tell."""
    picture_sha256: str | None = None
    """Of the picture that was read, where a receipt is wanted: the PNG file sent, or the grey pixels, row by row."""
    data_sha256: str | None = None
    """Of the engine's own data, where a receipt is wanted and it reads with files that may be replaced."""


class TryFailedError(Exception):
    """A try that gave no text at all; it also tells what had been sent."""

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
    blank: bool = False
    """Whether the engine saw that there is nothing to read, and was asked for nothing."""

    @property
    def was_asked(self) -> bool:
        """Return whether the engine was asked at all: text came back, or something was sent."""
        has_answered = not self.blank and self.verdict is not PageVerdict.FAILED
        return has_answered or bool(self.parameters or self.residency)


@dataclass(frozen=True, slots=True)
class ReadOrder:
    """How one document is to be read: decided once, at its start, and the same for all its pages and engines."""

    document: Path
    page_timeout_s: float
    """How long one engine may take over one page, all its tries together."""
    languages: str
    instructions: Instructions
    """Model, prompt and parameters, for engines that follow profiles."""
    active_profile: str | None = None
    """The LLM profile in use, where the request names one."""
    caller: Hashable = field(default=None, repr=False)
    """Whose document it is, where callers have keys: pages are read in turn between callers."""
    wants_layout: bool = False
    """Whether the words' places are wanted, too, from engines that can tell them."""
    wants_receipt: bool = False
    """Whether it must be told what each page was read from, and by what."""


@dataclass(frozen=True, slots=True)
class PreparedPage:
    """A page that waits for its engine, counted from 0; ``picture`` where the engine had it drawn beforehand."""

    index: int
    picture: PagePicture | None = None
    worked_s: float = 0.0
    """How long it took to prepare, its wait for a worker not counted."""
    first_text: str = ""
    """What another engine read on it, strays left out, where this is to be a second opinion."""


@dataclass(frozen=True, slots=True)
class EngineModel:
    """What reads: a model's name, or a program's with its version; and its content, where the engine can tell."""

    name: str
    digest: str | None = None
    """SHA-256 in hex: a name such as ``latest`` may be another model tomorrow."""


@dataclass(frozen=True, slots=True)
class EngineFacts:
    """What the answer says of the engine that read."""

    model: EngineModel
    parameters: Mapping[str, object]
    recipe: str | None = None
    """The recipe by which it was asked, where the engine follows profiles."""


class PageSlots(Protocol):
    """Slots for pages, fair between callers and documents; see :class:`sidecar.runtime.fair_slots.FairSlots`."""

    @property
    def slots(self) -> int:
        """How many pages may have a slot at a time."""

    @property
    def waiting(self) -> int:
        """How many pages wait for a slot."""

    @property
    def busy(self) -> int:
        """How many slots are taken."""

    def take(self, document: Hashable, caller: Hashable = None) -> AbstractAsyncContextManager[None]:
        """Wait for a slot for a page of ``document``, which ``caller`` sent, and hold it for as long as the block."""


class OcrEngine(Protocol):
    """Reads pages. A cancelled call stops its work; errors are those of :mod:`sidecar.errors`."""

    @property
    def traits(self) -> EngineTraits:
        """What the engine declares of itself."""

    @property
    def capability(self) -> Capability:
        """Whether it can read now, and why not."""

    @property
    def prepare_slots(self) -> PageSlots:
        """A page holds one of these from its preparation to its end: being prepared, waiting, or read."""

    @property
    def read_slots(self) -> PageSlots:
        """A page holds one of these, too, while it is read."""

    async def loaded(self) -> None:
        """Wait until what it loads at its start is there, or has failed; an engine that loads nothing returns."""

    def check_languages(self, languages: str) -> None:
        """Refuse languages, such as ``tha+eng``, that it cannot read; asked only where the traits take languages."""

    def check(self, order: ReadOrder) -> None:
        """Refuse what this engine cannot do, before any page is read."""

    def model(self, order: ReadOrder) -> EngineModel:
        """Name the model that reads."""

    def max_attempts(self, order: ReadOrder) -> int:
        """Return how often a page is tried if its text comes back truncated, looping or empty."""

    async def prepare(self, order: ReadOrder, index: int) -> PreparedPage:
        """Do what can be done before the page has a read slot; pages count from 0.

        It is cancelled if it takes longer than the order's page timeout, a wait for a worker included.
        """

    async def read(self, order: ReadOrder, page: PreparedPage, attempt: int, deadline_s: float) -> PageText:
        """Read one page, for the ``attempt``-th time, counted from 1, in at most ``deadline_s`` seconds.

        The engine ends by itself at the deadline. The reader cancels a call that does not, a second later.
        """


class SecondReader(OcrEngine, Protocol):
    """An engine that can read once more what another one read doubtfully."""

    def covers(self, languages: str, text: str) -> bool:
        """Return whether it knows the languages asked for, or all scripts of ``text``, the first reading."""
