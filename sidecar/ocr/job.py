"""What the use case takes and gives: a document to read, its result, and who is told of progress. Pure."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Protocol

from sidecar.documents.page_selection import PageRequest
from sidecar.documents.pages import DocumentFacts
from sidecar.evidence.confidence import QualityLimits
from sidecar.evidence.page import Page
from sidecar.gpu.residency_policy import OcrResidencyDecision
from sidecar.ocr.engine import EngineFacts, ReadOrder, RequestedOptions
from sidecar.ocr.page_reading import PageResult
from sidecar.ocr.warning_codes import WarningCode
from sidecar.profiles.payload import Profile


@dataclass(frozen=True, slots=True)
class Wanted:
    """What a caller wants to know beside the text: the words' places, the pages' blocks, pictures of the pages.

    ``receipt``: what each page was made from, and by what.
    """

    words: bool = False
    blocks: bool = False
    image: bool = False
    receipt: bool = False

    @property
    def layout(self) -> bool:
        """Return whether what was found on the pages is wanted with its places."""
        return self.words or self.blocks


PagesWriter = Callable[[Sequence[Page]], object]
"""Writes pages with their blocks as an answer has them. It is sent to a worker: a function of a module, or a partial of
one."""


@dataclass(frozen=True, slots=True)
class ReadJob:
    """One document to read: by which engine, which may be ``auto``, which pages, and how.

    ``requested`` is what the request itself set, which must not be left out silently.
    """

    engine: str
    pages: PageRequest
    order: ReadOrder
    requested: RequestedOptions
    ends_s: float | None = None
    """When the answer is due, on the monotonic clock; None: when all pages are read."""
    wanted: Wanted = Wanted()
    streams: bool = False
    """Whether each page is told by itself, with what it alone tells of its structure, so that nothing of it is kept."""
    writer: PagesWriter | None = None
    """Writes the document right when it is opened, where text layers are all of it."""


@dataclass(frozen=True, slots=True)
class PagesRead:
    """What was read of a document, or of a portion of it. ``unread``: pages that the job's end left unread."""

    facts: DocumentFacts
    pages: tuple[PageResult, ...]
    unread: tuple[int, ...] = ()
    written: object = None
    """What the job's writer made of them, where it could at once."""


@dataclass(frozen=True, slots=True)
class DocumentResult:
    """The result of a document. ``profile`` is None if no page was to go to an engine that follows profiles."""

    facts: DocumentFacts
    pages: tuple[PageResult, ...]
    text: str
    engine_used: str
    model: EngineFacts | None
    profile: Profile | None
    residency: OcrResidencyDecision | None
    warnings: tuple[WarningCode, ...]
    unread: tuple[int, ...] = ()
    """Pages, counted from 1, that the job's end left unread."""
    structured: Sequence[Page] = ()
    """The pages with their blocks, one for each of ``pages``; empty where the order wants no layout, where each page
    was told by itself, where the job's writer has written them, and where it could not be done."""
    written: object = None
    """What the job's writer made of them; None where the document was not only opened, but read."""


class Progress(Protocol):
    """Is told of a document while it is read."""

    async def document(self, facts: DocumentFacts) -> None:
        """Called when it is open, before any page is read."""

    async def page(self, result: PageResult) -> None:
        """Called for each page, in page order."""


@dataclass(frozen=True, slots=True)
class ReadPolicy:
    """What the operator decided: which engine ``auto`` uses, which is the fallback, and the deadlines in seconds.

    ``refuse_on_pressure``: if the GPU has no room, the caller gets that error, even where there is a fallback.
    """

    default_engine: str
    fallback_engine: str | None
    refuse_on_pressure: bool
    char_threshold: int
    open_timeout_s: float
    second_engine: str | None = None
    """Which engine reads once more what another one read doubtfully, where the caller chose none."""
    quality: QualityLimits = field(default_factory=QualityLimits)
    """Which pages are low, and which are high."""
