"""The second embedded engine, RapidOCR, as the use case sees it: its workers read the pages."""

from dataclasses import replace

from sidecar.documents.document import DocumentLimits
from sidecar.engines.rapidocr.installation import INSTALL, RapidModels
from sidecar.engines.rapidocr.languages import THAI, covers, missing_languages, needs_thai, readable_languages
from sidecar.engines.rapidocr.worker import Way, read_page
from sidecar.errors import EngineUnavailableError
from sidecar.ocr.engine import EngineModel, EngineTraits, PageText, PageVerdict, PreparedPage, ReadOrder
from sidecar.ocr.languages import refuse_missing
from sidecar.runtime.capability import Capability
from sidecar.runtime.fair_slots import FairSlots
from sidecar.runtime.workers.pool import WorkerPool


class RapidEngine:
    """A :class:`sidecar.ocr.engine.SecondReader` that draws and reads each page in one worker task."""

    traits = EngineTraits("rapidocr", takes_languages=True, gives_opinions=True, may_check=True)

    def __init__(self, workers: WorkerPool, limits: DocumentLimits, models: RapidModels | None) -> None:
        self._workers = workers
        self._limits = limits
        self.models = models
        self.read_slots = FairSlots(workers.limits.count)
        self.prepare_slots = FairSlots(workers.limits.count)  # nothing is prepared, so no more pages need to be ready

    @property
    def capability(self) -> Capability:
        """Return whether it is installed, and without which language it reads."""
        if self.models is None:
            return Capability("unavailable", "rapidocr-missing")
        return Capability("ready", None if self.models.thai else f"language-missing: {THAI}")

    async def loaded(self) -> None:
        """Return: what is installed is known from the start, and workers load the models with their first page."""

    def covers(self, languages: str, text: str) -> bool:
        """Return whether it can give an opinion on a page that another engine read as ``text``."""
        return self.models is not None and covers(languages, text, has_thai=self._has_thai)

    def check(self, order: ReadOrder) -> None:
        """Refuse to read if it is not installed; a request's languages are checked before."""
        self._require()

    def check_languages(self, languages: str) -> None:
        """Refuse languages that no model reads.

        Raises:
            EngineUnavailableError: it is not installed.
            InvalidValueError: not a list of languages.
            LanguageMissingError: one has no model here.
        """
        self._require()
        readable = readable_languages(has_thai=self._has_thai)
        hint = "" if self._has_thai else "; `ocr-sidecar fetch` gets its Thai model"
        refuse_missing(languages, readable, "the engine rapidocr reads", hint)

    def model(self, order: ReadOrder) -> EngineModel:
        """Return the version."""
        return EngineModel(f"rapidocr-{self._require().version}")

    def max_attempts(self, order: ReadOrder) -> int:
        """One attempt: the same page gives the same text."""
        return 1

    async def prepare(self, order: ReadOrder, index: int) -> PreparedPage:
        """Do nothing: a page is drawn and read in one task, so that its pixels need no transfer."""
        self.check(order)
        return PreparedPage(index)

    async def read(self, order: ReadOrder, page: PreparedPage, attempt: int, deadline_s: float) -> PageText:
        """Draw and read one page in a worker."""
        models = self._require()
        is_thai = needs_thai(order.languages, page.first_text, has_thai=self._has_thai)
        recogniser = models.recogniser(is_thai=is_thai)
        read, worked_s = await self._workers.run_timed(
            read_page,
            order.document,
            page.index,
            self._limits,
            Way(models.folder, recogniser, order.wants_layout, order.wants_receipt),
            deadline_s=deadline_s,
        )
        verdict = PageVerdict.GOOD if read.text or read.blank else PageVerdict.EMPTY
        done_reason = "blank" if read.blank else "stop"
        parameters = {"languages": order.languages, "model": recogniser.stem}
        return replace(
            read,
            languages_unread=bool(read.text) and not self._knows(order.languages, page.first_text),
            verdict=verdict,
            done_reason=done_reason,
            parameters=parameters,
            worked_s=worked_s,
        )

    def _knows(self, languages: str, first_text: str) -> bool:
        """Return whether nothing on the page can be in a language that no model reads."""
        has_models = not missing_languages(languages, has_thai=self._has_thai)
        return has_models or (bool(first_text) and self.covers(languages, first_text))

    @property
    def _has_thai(self) -> bool:
        return self.models is not None and self.models.thai is not None

    def _require(self) -> RapidModels:
        if self.models is None:
            raise EngineUnavailableError(f"the engine rapidocr is not installed here: {INSTALL}")
        return self.models
