"""The second embedded engine: RapidOCR, whose networks run in ONNX Runtime, in the worker processes.

Its models come with its wheel, except the Thai one, which ``ocr-sidecar fetch`` gets. The upper half runs in workers,
which load the models once; the lower half is the engine as the use case sees it. The only user of RapidOCR.
"""

import base64
import functools
from collections.abc import Iterable
from dataclasses import dataclass, replace
from importlib.metadata import PackageNotFoundError, version
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from sidecar.documents import document
from sidecar.documents.document import DocumentLimits
from sidecar.engines.rapidocr_languages import THAI, covers, missing_languages, needs_thai, readable_languages
from sidecar.engines.rapidocr_lines import Corners, FoundLine, arrange, confidence, degrees_to_upright
from sidecar.errors import EngineFailedError, EngineUnavailableError
from sidecar.ocr.engine import EngineModel, EngineTraits, PageText, PageVerdict, PreparedPage, ReadOrder
from sidecar.ocr.languages import refuse_missing
from sidecar.ocr.text import compose_sara_am, trim
from sidecar.runtime.capability import Capability
from sidecar.runtime.fair_slots import FairSlots
from sidecar.runtime.worker_pool import WorkerPool

LIBRARIES = ("rapidocr", "onnxruntime")
DETECTOR = "PP-OCRv6_det_small.onnx"
TURNER = "ch_ppocr_mobile_v2.0_cls_mobile.onnx"
RECOGNISER = "PP-OCRv6_rec_small.onnx"
THAI_RECOGNISER = "th_PP-OCRv5_rec_mobile.onnx"
THAI_SHA256 = "de541dd83161c241ff426f7ecfd602a0ba77d686cf3ab9a6c255ea82fd08006e"
"""As RapidOCR's own list of models has it."""
THAI_MAX_BYTES = 64 << 20
"""More than that model has, which is about 8 MB."""
INSTALL = "pip install --constraint requirements.lock '.[rapidocr]'"
LONGEST_SIDE = 2000
"""In pixels, of the page as it is drawn: 171 dpi for A4. With 1600 the receipts of docs/quality.md read as well."""
READERS_KEPT = 2
"""Models that a worker keeps loaded: the wheel's and the Thai one."""
UPSIDE_DOWN = "180"
UPSIDE_DOWN_SCORE = 0.9
"""From this score on, a line counts as upside down; the models' authors turn lines from the same score on."""


@dataclass(frozen=True, slots=True)
class RapidModels:
    """What is installed of RapidOCR: its version, the folder of its wheel's models, and its Thai model, if there."""

    version: str
    folder: Path
    thai: Path | None

    def recogniser(self, *, is_thai: bool) -> Path:
        """Return the model that reads lines: the Thai one reads Thai and English, the wheel's everything else."""
        return self.thai if is_thai and self.thai else self.folder / RECOGNISER


def find_models(thai_folder: Path) -> RapidModels | None:
    """Look for the library and the models of its wheel, without importing it; None if one is not there."""
    spec = find_spec(LIBRARIES[0])
    if spec is None or not spec.submodule_search_locations or find_spec(LIBRARIES[1]) is None:
        return None
    folder = Path(spec.submodule_search_locations[0]) / "models"
    if not all((folder / name).is_file() for name in (DETECTOR, TURNER, RECOGNISER)):
        return None
    thai = thai_folder / THAI_RECOGNISER
    try:
        return RapidModels(version(LIBRARIES[0]), folder, thai if thai.is_file() else None)
    except PackageNotFoundError:
        return None


# ── in the worker processes ───────────────────────────────────────────────────────────────────────────────────────


def read_page(path: Path, index: int, limits: DocumentLimits, folder: Path, recogniser: Path) -> PageText:
    """Draw one page, in colour as the models were trained, and read it, whichever way up it lies."""
    picture = document.picture(path, index, limits, LONGEST_SIDE)
    if picture.blank:
        return PageText("", blank=True)
    try:
        found, upside_down = open_reader(folder, recogniser).read(base64.b64decode(picture.png_base64))
    except MemoryError:
        raise
    except Exception as exc:  # its libraries have no errors in common
        raise EngineFailedError("RapidOCR failed on this page") from exc
    degrees = degrees_to_upright(found, upside_down)
    text = compose_sara_am(trim(arrange(found, degrees)))
    return PageText(text, confidence=confidence(found) if found else None, rotation=degrees)


@functools.lru_cache(maxsize=READERS_KEPT)
def open_reader(folder: Path, recogniser: Path) -> "Reader":
    """Load the library and the models, once a worker and only in those that need them: that takes 1.5 s of one core.

    One thread each: one worker runs per core, and threads would only compete for it.
    """
    import cv2  # noqa: PLC0415 - the process that serves HTTP must not load it
    from rapidocr import RapidOCR  # noqa: PLC0415 - likewise

    cv2.setNumThreads(1)

    return Reader(RapidOCR(params=_parameters(folder, recogniser)))


class Reader:
    """RapidOCR with its models loaded. It also keeps what RapidOCR finds out and does not tell: what is upside down."""

    def __init__(self, rapid: Any) -> None:  # noqa: ANN401 - what it returns depends on what it is asked for
        self._rapid = rapid
        self._turn = rapid.cls_and_rotate
        rapid.cls_and_rotate = self._turn_and_count
        self._upside_down = 0.0

    def read(self, png: bytes) -> tuple[list[FoundLine], float]:
        """Find and read the lines of a picture; also tell how many of them are upside down, as a share."""
        self._upside_down = 0.0
        told = self._rapid(png)
        if getattr(told, "txts", None) is None:
            return [], 0.0
        lines = zip(told.boxes, told.txts, told.scores, strict=True)
        return [FoundLine(text, score, _corners(box)) for box, text, score in lines], self._upside_down

    def _turn_and_count(self, pictures: list[Any]) -> tuple[list[Any], Any]:
        turned, told = self._turn(pictures)
        found = [label == UPSIDE_DOWN and score >= UPSIDE_DOWN_SCORE for label, score in told.cls_res]
        self._upside_down = sum(found) / max(1, len(found))
        return turned, told


def _corners(box: Iterable[tuple[float, float]]) -> Corners:
    one, two, three, four = ((float(x), float(y)) for x, y in box)
    return one, two, three, four


def _parameters(folder: Path, recogniser: Path) -> dict[str, object]:
    """Say what to load and how. Each model by its path: by its name, RapidOCR would look for it on the net."""
    return {
        "Global.log_level": "error",
        "Global.max_side_len": LONGEST_SIDE,
        "EngineConfig.onnxruntime.intra_op_num_threads": 1,
        "EngineConfig.onnxruntime.inter_op_num_threads": 1,
        "Det.model_path": str(folder / DETECTOR),
        "Cls.model_path": str(folder / TURNER),
        "Rec.model_path": str(recogniser),
        "Rec.rec_batch_num": 1,  # as fast on one core, without padding all lines to the longest
    }


# ── as the use case sees it ───────────────────────────────────────────────────────────────────────────────────────


class RapidEngine:
    """A :class:`sidecar.ocr.engine.SecondReader` that draws and reads each page in one worker task."""

    traits = EngineTraits("rapidocr", takes_languages=True, gives_opinions=True)

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

    def check(self, order: ReadOrder) -> None:  # noqa: ARG002 - an engine's common shape
        """Refuse to read if it is not installed; a request's languages are checked before."""
        self._there()

    def check_languages(self, languages: str) -> None:
        """Refuse languages that no model reads.

        Raises:
            EngineUnavailableError: it is not installed.
            InvalidValueError: not a list of languages.
            LanguageMissingError: one has no model here.
        """
        self._there()
        readable = readable_languages(has_thai=self._has_thai)
        hint = "" if self._has_thai else "; `ocr-sidecar fetch` gets its Thai model"
        refuse_missing(languages, readable, "the engine rapidocr reads", hint)

    def model(self, order: ReadOrder) -> EngineModel:  # noqa: ARG002 - an engine's common shape
        """Return the version."""
        return EngineModel(f"rapidocr-{self._there().version}")

    def max_attempts(self, order: ReadOrder) -> int:  # noqa: ARG002 - an engine's common shape
        """One attempt: the same page gives the same text."""
        return 1

    async def prepare(self, order: ReadOrder, index: int) -> PreparedPage:
        """Do nothing: a page is drawn and read in one task, so that its pixels need no transfer."""
        self.check(order)
        return PreparedPage(index)

    async def read(self, order: ReadOrder, page: PreparedPage, attempt: int, deadline_s: float) -> PageText:  # noqa: ARG002 - common shape
        """Draw and read one page in a worker."""
        models = self._there()
        is_thai = needs_thai(order.languages, page.first_text, has_thai=self._has_thai)
        recogniser = models.recogniser(is_thai=is_thai)
        read, worked_s = await self._workers.run_timed(
            read_page, order.document, page.index, self._limits, models.folder, recogniser, deadline_s=deadline_s
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

    def _there(self) -> RapidModels:
        if self.models is None:
            raise EngineUnavailableError(f"the engine rapidocr is not installed here: {INSTALL}")
        return self.models
