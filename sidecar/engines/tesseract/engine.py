"""The embedded engine, Tesseract, as the use case sees it: its workers read the pages."""

import asyncio
import logging
from dataclasses import replace
from pathlib import Path

from sidecar.documents.document import DocumentLimits
from sidecar.engines.tesseract.installation import ORIENTATION_DATA, Installed, data_key, describe
from sidecar.engines.tesseract.worker import Way, read_page
from sidecar.errors import EngineUnavailableError
from sidecar.ocr.engine import EngineModel, EngineTraits, PageText, PageVerdict, PreparedPage, ReadOrder
from sidecar.ocr.languages import refuse_missing
from sidecar.runtime.capability import Capability
from sidecar.runtime.fair_slots import FairSlots
from sidecar.runtime.workers.pool import WorkerPool

log = logging.getLogger(__name__)

LOAD_DEADLINE_S = 30.0
LOAD_RETRY_S = 5.0


class TesseractEngine:
    """An :class:`sidecar.ocr.engine.OcrEngine` that draws and reads each page in one worker task."""

    traits = EngineTraits("tesseract", takes_languages=True, may_check=True)

    def __init__(
        self, workers: WorkerPool, limits: DocumentLimits, tessdata_dir: Path | None, default_languages: str
    ) -> None:
        self._default_languages = default_languages.split("+")
        self._digests: dict[str, str] = {}
        self._workers = workers
        self._limits = limits
        self._tessdata_dir = tessdata_dir
        self.read_slots = FairSlots(workers.limits.count)
        self.prepare_slots = FairSlots(workers.limits.count)  # nothing is prepared, so no more pages need to be ready
        self.installed: Installed | None = None
        self.failure: str | None = None
        """Why nothing can be read, if that is known."""
        self._looked = asyncio.Event()
        """Set once it is known what is installed, or that nothing is."""

    @property
    def capability(self) -> Capability:
        """Return whether it can read; of several reasons why not, the one that explains the others."""
        if self.failure:
            return Capability("unavailable", self.failure)
        if self.installed is None:
            return Capability("loading", "workers-starting")
        missing = [name for name in self._default_languages if name not in self.installed.languages]
        return Capability("unavailable", f"language-missing: {', '.join(missing)}") if missing else Capability("ready")

    async def loaded(self) -> None:
        """Wait until it is known what is installed, or that nothing is."""
        await self._looked.wait()

    async def keep_loading(self) -> None:
        """Find out what is installed, in a worker, which also proves that workers start; retry until it works."""
        while self.installed is None:
            try:
                asked = self._tessdata_dir, "+".join(self._default_languages)
                self.installed = await self._workers.run(describe, *asked, deadline_s=LOAD_DEADLINE_S)
                self._digests = dict(self.installed.digests) if self.installed else {}
                self.failure = None if self.installed else "tesseract-data-missing"
            except Exception:  # this loop is the supervisor: any error is reported, and tried again
                self.failure = "workers-do-not-start"
                log.exception("Tesseract cannot be loaded")
            self._looked.set()
            if self.failure:
                await asyncio.sleep(LOAD_RETRY_S)

    def check(self, order: ReadOrder) -> None:
        """Refuse languages that are not installed; see :meth:`check_languages`."""
        self.check_languages(order.languages)

    def check_languages(self, languages: str) -> None:
        """Refuse languages that are not installed.

        Raises:
            EngineUnavailableError: there is no Tesseract data at all.
            InvalidValueError: not a list of languages, or too many.
            LanguageMissingError: one is not installed.
        """
        refuse_missing(languages, self._require().languages - {ORIENTATION_DATA}, "installed are")

    def model(self, order: ReadOrder) -> EngineModel:
        """Return the version, and the digest of the languages' data: of the default ones, or once they were read."""
        digest = self._digests.get(data_key(order.languages))
        return EngineModel(f"tesseract-{self._require().version}", digest)

    def max_attempts(self, order: ReadOrder) -> int:
        """One attempt: the same page gives the same text."""
        return 1

    async def prepare(self, order: ReadOrder, index: int) -> PreparedPage:
        """Do nothing: a page is drawn and read in one task, so that its pixels need no transfer."""
        self.check(order)
        return PreparedPage(index)

    async def read(self, order: ReadOrder, page: PreparedPage, attempt: int, deadline_s: float) -> PageText:
        """Draw and read one page in a worker."""
        read, worked_s = await self._workers.run_timed(
            read_page,
            order.document,
            page.index,
            self._limits,
            Way(order.languages, self._require().tessdata_dir, order.wants_layout, order.wants_receipt),
            deadline_s=deadline_s,
        )
        if read.data_sha256:
            self._digests[data_key(order.languages)] = read.data_sha256
        verdict = PageVerdict.GOOD if read.text or read.blank else PageVerdict.EMPTY
        done_reason = "blank" if read.blank else "stop"
        parameters = {"languages": order.languages, "dpi": self._limits.dpi}
        return replace(read, verdict=verdict, done_reason=done_reason, parameters=parameters, worked_s=worked_s)

    def _require(self) -> Installed:
        if self.installed is None:
            why = "is still loading" if self.failure is None else f"cannot be used: {self.failure}"
            raise EngineUnavailableError(f"Tesseract {why}", retry_after_s=round(LOAD_RETRY_S))
        return self.installed
