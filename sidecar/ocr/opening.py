"""Opens a document; where text layers are all of it, the task that opens it also writes what the answer holds.

So such a document costs one task of a worker in place of three, and of its places nothing is sent between processes.
"""

from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path

from sidecar.documents import document
from sidecar.documents.document import DocumentLimits, Inquiry
from sidecar.documents.pages import DocumentFacts, PageFacts
from sidecar.errors import DeadlineError, UnreadableDocumentError
from sidecar.evidence.agreement import Verify
from sidecar.ocr.engine import AUTO, FAST_PATH
from sidecar.ocr.job import PagesWriter, ReadJob, ReadPolicy
from sidecar.ocr.page_reading import PageResult, with_notes
from sidecar.ocr.results.structuring import structure, to_structure
from sidecar.ocr.text import trim
from sidecar.runtime.fair_slots import FairSlots
from sidecar.runtime.workers.pool import WorkerDiedError, WorkerPool

# Workers send it with every document. Without slots it is pickled in C instead of Python.


@dataclass(frozen=True)
class Opened:
    """What a document contains, and what was written of it, if it could be at once; its pages have no layout then."""

    facts: DocumentFacts
    written: object = None


class Opener:
    """Has workers open documents, in turn between callers: whoever sends a hundred does not fill the workers' queue."""

    def __init__(self, workers: WorkerPool, limits: DocumentLimits, policy: ReadPolicy) -> None:
        self._workers = workers
        self._limits = limits
        self._policy = policy
        self._turns = FairSlots(workers.limits.count)

    async def open(self, job: ReadJob) -> Opened:
        """Open a document.

        Raises:
            SidecarError: it is broken, refused, or takes too long.
        """
        is_auto = job.engine == AUTO
        try:
            for uses_layer, with_layout in _ways_to_open(uses_layer=is_auto, wants_layout=job.order.wants_layout):
                with suppress(WorkerDiedError, DeadlineError):  # one page's text layer must not cost the others
                    return await self._open(job, uses_layer=uses_layer, wants_layout=with_layout)
            return await self._open(job, uses_layer=False, wants_layout=False)
        except WorkerDiedError as exc:
            raise UnreadableDocumentError(
                "the document cannot be opened: it crashes the process that opens it"
            ) from exc

    async def _open(self, job: ReadJob, *, uses_layer: bool, wants_layout: bool) -> Opened:
        order, run, deadline_s = job.order, self._workers.run, self._policy.open_timeout_s
        checks = order.instructions.verify is not Verify.NONE
        threshold = self._policy.char_threshold
        inquiry = Inquiry(job.pages, uses_layer, threshold, wants_layout, order.wants_receipt, wants_units=checks)
        asked = order.document, self._limits, inquiry
        async with self._turns.take(order.document, order.caller):
            if job.writer and uses_layer and wants_layout and _may_write(job):
                return await run(open_and_write, *asked, order.languages, job.writer, deadline_s=deadline_s)
            return Opened(await run(document.inspect, *asked, deadline_s=deadline_s))


def _may_write(job: ReadJob) -> bool:
    """Return whether nothing but the document itself decides what is written of it."""
    return not job.streams and job.order.instructions.verify is Verify.NONE


def _ways_to_open(*, uses_layer: bool, wants_layout: bool) -> dict[tuple[bool, bool], None]:
    """Return how a document is opened, the text layer used and its places told or not, each if the one before failed.

    The last resort, neither, is not among them.
    """
    ways = ((uses_layer, wants_layout), (uses_layer, False))
    return {way: None for way in ways if any(way)}


# ── in workers ────────────────────────────────────────────────────────────────────────────────────────────────────


def open_and_write(path: Path, limits: DocumentLimits, inquiry: Inquiry, languages: str, writer: PagesWriter) -> Opened:
    """Inspect a document as :func:`sidecar.documents.document.inspect` does, and write it if that is all it takes.

    Whatever fails after that costs nothing: it is tried once more the ordinary way, which tells of it.

    Raises:
        SidecarError: it cannot be opened.
    """
    facts = document.inspect(path, limits, inquiry)
    if len(facts.pages) > document.FEW_PAGES or not all(map(_is_complete, facts.pages)):
        return Opened(facts)
    try:
        written = writer(structure(to_structure(map(of_text_layer, facts.pages), languages)))
    except Exception:  # noqa: BLE001 - whatever it is
        return Opened(facts)
    return Opened(replace(facts, pages=tuple(replace(page, layout=None) for page in facts.pages)), written)


def _is_complete(page: PageFacts) -> bool:
    """Return whether all of a page is known, and the place of all that it says."""
    return not page.needs_engine and (page.layout is not None or not page.text)


def of_text_layer(page: PageFacts, *, wants_layout: bool = True) -> PageResult:
    """Return a page whose text layer is its text, that is blank, or that cannot be read."""
    number = page.index + 1
    if page.error:
        return completed(PageResult(number, "", None, 0, error=page.error, is_answer=False), page)
    read = PageResult(
        number,
        trim(page.text or ""),
        FAST_PATH,
        0,
        blank=page.blank,
        repaired=page.repaired,
        layout=page.layout,
        certainty=page.certainty,
        structure_failed=wants_layout and bool(page.text) and page.layout is None,
    )
    return completed(read, page)


def completed(read: PageResult, page: PageFacts) -> PageResult:
    """Add what is known of a page whoever read it: the texts of its notes, and what a unit of its places is."""
    read = with_notes(read, page.notes)
    return replace(read, unit=page.unit) if page.unit != 1 else read
