"""The outcome of one page over all attempts of all engines, and of a document over its pages. Pure."""

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace

from sidecar.documents.pages import ShownPage
from sidecar.errors import (
    DeadlineError,
    EngineFailedError,
    EngineRefusedError,
    EngineUnavailableError,
    GpuOutOfMemoryError,
    GpuPressureError,
    ModelMissingError,
    NotConfiguredError,
    SidecarError,
)
from sidecar.evidence.confidence import Certainty, Quality
from sidecar.evidence.layout import Layout
from sidecar.evidence.packed import Packed, Small
from sidecar.ocr.checks.comparison import Outcome, Verification
from sidecar.ocr.engine import (
    FAST_PATH,
    MIXED,
    Attempt,
    Correction,
    EngineTraits,
    PageText,
    PageVerdict,
    TryFailedError,
)
from sidecar.ocr.results.receipt import PageReceipt
from sidecar.ocr.second_opinion import is_better, is_doubtful, visible
from sidecar.ocr.warning_codes import WarningCode

CAUSES: Mapping[str, WarningCode] = {
    GpuPressureError.code: WarningCode.GPU_PRESSURE,
    GpuOutOfMemoryError.code: WarningCode.GPU_OUT_OF_MEMORY,
    ModelMissingError.code: WarningCode.MODEL_MISSING,
    EngineUnavailableError.code: WarningCode.ENGINE_UNAVAILABLE,
    NotConfiguredError.code: WarningCode.ENGINE_UNAVAILABLE,
    EngineFailedError.code: WarningCode.ENGINE_FAILED,
    EngineRefusedError.code: WarningCode.ENGINE_REFUSED,
    DeadlineError.code: WarningCode.DEADLINE_EXCEEDED,
    PageVerdict.TRUNCATED: WarningCode.PAGE_TRUNCATED,
    PageVerdict.LOOPED: WarningCode.PAGE_LOOPED,
    PageVerdict.ECHOED: WarningCode.PAGE_ECHOED,
    PageVerdict.EMPTY: WarningCode.PAGE_EMPTY,
}
"""The warning for an outcome of a try: by the error's code, or by the verdict."""


@dataclass(frozen=True, slots=True)
class PageResult:
    """The outcome of one page; ``page`` counts from 1. ``engine`` is None if no engine gave any text."""

    page: int
    text: str
    engine: str | None
    duration_ms: int
    attempts: tuple[Attempt, ...] = ()
    done_reason: str | None = None
    blank: bool = False
    verdict: PageVerdict = PageVerdict.GOOD
    fallback_from: str | None = None
    confidence: int | None = None
    rotation: float = 0
    corrections: tuple[Correction, ...] = ()
    numerals_doubtful: bool = False
    languages_unread: bool = False
    parameters_left_out: bool = False
    """Whether the engine could not be sent a parameter that was asked for."""
    error: SidecarError | None = None
    is_answer: bool = True
    """Whether the engine gave this as the page's text; else it is only the best of what came."""
    repaired: tuple[str, ...] = ()
    """What was mended in the text layer that the text comes from."""
    second_opinion: str | None = None
    """The engine that read the page once more, since the first reading was doubtful; ``engine`` is whose text it is."""
    layout: Packed[Layout] | None = None
    """The words of the text with their places, where they were wanted and the engine can tell them."""
    unit: float = 1.0
    """Points of a unit in which ``layout`` has its places."""
    witness: Packed[Layout] | None = None
    """The words of the page's text layer, where they were wanted and an engine read the page that tells no places."""
    certainty: Certainty | None = None
    """How much of the text its reader is sure of, where it can tell."""
    quality: Quality | None = None
    other_reading: tuple[str, PageText] | None = None
    """Of a page that was read twice, the other engine and what it read."""
    verification: Verification | None = None
    """What came of holding the text against a second reading, where that is wanted."""
    parameters: Mapping[str, object] = field(default_factory=dict)
    """What was sent for the try that gave the text."""
    picture_sha256: str | None = None
    """Of the picture that the text was read from, where a receipt is wanted."""
    receipt: PageReceipt | None = None
    """What the text was read from, and by what, where that is wanted."""
    structured: Small | None = None
    """The page with the blocks that it alone tells, where each page is told by itself."""
    notes: tuple[str, ...] = ()
    """The last lines of the text: what no engine could see."""
    image: ShownPage | None = None
    """The page for people to look at, where that is wanted and can be drawn."""
    structure_failed: bool = False
    """Whether that was wanted, and could not be told, or only without the places of the text layer."""


@dataclass(slots=True)
class PageReading:
    """The tries at one page so far. ``wanted`` is the engine that was asked for, ``page`` counts from 1."""

    page: int
    wanted: str
    attempts: list[Attempt] = field(default_factory=list)
    error: SidecarError | None = None
    """Of the engine that was asked for, or the first that failed."""
    duration_s: float = 0
    _best: tuple[str, PageText] | None = None
    _settled: bool = False
    _second: tuple[str, PageText | None] | None = None

    @property
    def first_reading(self) -> PageText | None:
        """What there is so far; None if no engine gave any text."""
        return self._best[1] if self._best else None

    @property
    def is_doubtful(self) -> bool:
        """Return whether another engine should read the page, too."""
        return self._settled and self._best is not None and is_doubtful(self._best[1])

    @property
    def is_settled(self) -> bool:
        """Return whether no further try is needed."""
        return self._settled

    def add(self, engine: EngineTraits, read: PageText, took_s: float) -> None:
        """Record what a try gave; the best text is kept, a good one ends the tries."""
        self.duration_s += took_s
        self.attempts.append(attempt_of(engine.name, read, took_s))
        self.error = self.error or read.error
        has_text = self._best is not None and bool(self._best[1].text)  # part of a page is more than "there is none"
        is_believed = engine.is_believed_empty and read.verdict is PageVerdict.EMPTY and not has_text
        good = read.verdict is PageVerdict.GOOD or is_believed
        if good or self._best is None or _worth(read) > _worth(self._best[1]):
            self._best = engine.name, read
        self._settled = good

    def add_second(self, engine: EngineTraits, read: PageText, took_s: float) -> None:
        """Record a second opinion on a doubtful page; :meth:`result` decides whose text is used."""
        self.duration_s += took_s
        self.attempts.append(attempt_of(engine.name, read, took_s))
        self._second = engine.name, read

    def fail_second(self, engine: EngineTraits, failed: TryFailedError, took_s: float) -> None:
        """Record that a second opinion failed: the first reading stands."""
        error = self.error
        self.fail(engine, failed, took_s)
        self.error = error
        self._second = engine.name, None

    def fail(self, engine: EngineTraits, failed: TryFailedError, took_s: float) -> None:
        """Record a try that gave no text, and what had been sent."""
        self.duration_s += took_s
        self.attempts.append(
            Attempt(
                engine.name,
                round(took_s * 1000),
                PageVerdict.FAILED,
                failed.error.code,
                parameters=failed.parameters,
                residency=failed.residency,
            )
        )
        self.error = self.error or failed.error

    def _certainty(self, read: PageText, is_second: bool) -> Certainty | None:
        """Return how sure the text is; a second reading tells nothing of words that it lost, but the first one does."""
        if read.certainty is None or not is_second or self._best is None:
            return read.certainty
        sure = self._best[1].sure_text or ""
        return read.certainty.lacking(max(0, visible(sure) - visible(read.text)))

    def _other_than(self, engine: str) -> tuple[str, PageText] | None:
        """Return what the other of two engines read."""
        if self._second is None or self._second[1] is None or self._best is None:
            return None
        return self._best if engine == self._second[0] else (self._second[0], self._second[1])

    def result(self) -> PageResult:
        """Return the outcome of the page: the good text, or the best of what came, or the error."""
        duration_ms, attempts = round(self.duration_s * 1000), tuple(self.attempts)
        if self._best is None:
            others = self.wanted if attempts and attempts[-1].engine != self.wanted else None
            return PageResult(
                self.page,
                "",
                None,
                duration_ms,
                attempts,
                verdict=PageVerdict.FAILED,
                fallback_from=others,
                error=self.error or SidecarError(),
                is_answer=False,
            )
        first, read = self._best
        engine = first
        if self._second and self._second[1] and is_better(self._second[1], read):
            engine, read = self._second[0], self._second[1]
        return PageResult(
            self.page,
            read.text,
            engine,
            duration_ms,
            attempts,
            done_reason=read.done_reason,
            blank=read.blank,
            verdict=read.verdict,
            fallback_from=self.wanted if first != self.wanted else None,
            confidence=read.confidence,
            rotation=read.rotation,
            corrections=read.corrections,
            numerals_doubtful=read.numerals_doubtful,
            languages_unread=read.languages_unread,
            parameters_left_out=bool(read.left_out),
            error=None if self._settled else self.error,
            is_answer=self._settled,
            second_opinion=self._second[0] if self._second else None,
            layout=read.layout,
            certainty=self._certainty(read, engine != first),
            other_reading=self._other_than(engine),
            parameters=read.parameters,
            picture_sha256=read.picture_sha256,
        )


def with_notes(page: PageResult, notes: Sequence[str]) -> PageResult:
    """Add the texts of notes that no engine could see to a page that was read."""
    if not notes or not page.is_answer:
        return page
    return replace(page, text="\n".join(filter(None, (page.text, *notes))), blank=False, notes=tuple(notes))


def _worth(read: PageText) -> tuple[bool, int]:
    """Rank what is not good: truncated text above looping text, then by length."""
    return read.verdict is PageVerdict.TRUNCATED, len(read.text)


def attempt_of(engine: str, read: PageText, took_s: float) -> Attempt:
    """Return what the answer tells of a try that gave a text."""
    return Attempt(
        engine,
        round(took_s * 1000),
        read.verdict,
        read.error.code if read.error else None,
        read.done_reason,
        read.parameters,
        read.residency,
        None if read.first_token_s is None else round(read.first_token_s * 1000),
        read.blank,
    )


# ── a document's pages ────────────────────────────────────────────────────────────────────────────────────────────


NOTHING_READ = "not one page was read by the document's deadline"


def raise_if_none_worked(pages: Sequence[PageResult], *, is_complete: bool = True) -> None:
    """Raise when no page is what an engine believes in: the first error, or that the engine gave no whole page.

    A blank page is no success: the blank backs of a scan must not turn a failure into an answer.

    Raises:
        SidecarError: there is nothing to answer with; a DeadlineError where the deadline left pages unread.
    """
    not_blank = [page for page in pages if not page.blank]
    if not is_complete and not any(page.is_answer for page in pages):
        raise DeadlineError(NOTHING_READ)
    if not not_blank or any(page.is_answer for page in not_blank):
        return
    if errors := [page.error for page in not_blank if page.error]:
        raise errors[0]
    verdicts = ", ".join(sorted({page.verdict.value for page in not_blank}))
    raise EngineFailedError(f"the engine gave no complete page; its pages are {verdicts}")


def engine_used(pages: Sequence[PageResult]) -> str:
    """Name the engine that read the document; blank pages count only if there are no others."""
    read = [page for page in pages if page.engine]
    engines = {page.engine for page in read if not page.blank} or {page.engine for page in read}
    return MIXED if len(engines) > 1 else str(engines.pop())


def tried(pages: Sequence[PageResult]) -> set[str]:
    """Name the engines that were asked, or were to be asked, for a page's text; blank pages ask for nothing."""
    return {attempt.engine for page in pages for attempt in page.attempts if not attempt.blank}


def readers(pages: Sequence[PageResult]) -> set[str]:
    """Name those whose text any page has; blank pages have none."""
    return {page.engine for page in pages if page.engine and not page.blank}


def first_sent(pages: Sequence[PageResult], engine: str) -> Mapping[str, object] | None:
    """Return what an engine's first try was sent; None where it was never asked, as for blank pages."""
    tries = (attempt for page in pages for attempt in page.attempts if attempt.engine == engine)
    return next((one.parameters for one in tries if one.was_asked), None)


def ocr_used(pages: Sequence[PageResult]) -> bool:
    """Return whether any page went to an engine."""
    return any(page.engine not in (FAST_PATH, None) for page in pages)


def page_warnings(pages: Sequence[PageResult], profiled: Collection[str]) -> Iterator[WarningCode]:
    """Yield the codes for what happened to the pages, each once.

    Of a page that went from one engine to another, and of all tries of the engines that follow profiles, which are
    ``profiled``, the causes are reported. Otherwise only the page's own verdict is.
    """
    if any(page.engine is None for page in pages):
        yield WarningCode.PAGE_FAILED
    if any(page.fallback_from and page.engine for page in pages):
        yield WarningCode.ENGINE_FALLBACK
    told = [
        attempt
        for page in pages
        for attempt in page.attempts
        if attempt.engine in profiled or attempt.engine == page.fallback_from
    ]
    met = {attempt.error for attempt in told} | {attempt.verdict for attempt in told}
    met |= {page.verdict for page in pages if page.verdict is PageVerdict.EMPTY}
    yield from dict.fromkeys(warning for cause, warning in CAUSES.items() if cause in met)
    if any(_was_retried(page) for page in pages):
        yield WarningCode.PAGE_RETRIED
    if any(page.numerals_doubtful for page in pages):
        yield WarningCode.NUMERALS_DOUBTFUL
    if any(page.languages_unread for page in pages):
        yield WarningCode.LANGUAGES_UNREAD
    checked = {page.verification.outcome for page in pages if page.verification}
    if Outcome.DIFFERS in checked:
        yield WarningCode.READERS_DISAGREE
    if Outcome.UNVERIFIED in checked:
        yield WarningCode.NOT_VERIFIED
    if any(page.structure_failed for page in pages):
        yield WarningCode.BLOCKS_MISSING


def _was_retried(page: PageResult) -> bool:
    return page.is_answer and sum(attempt.engine == page.engine for attempt in page.attempts) > 1
