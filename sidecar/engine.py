"""What an engine is, and the values that pass between documents, engines and the use case. Pure."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path
from typing import Protocol

AUTO = "auto"
FAST_PATH = "fast-path"
TESSERACT = "tesseract"
NP_DMS_OCR = "np-dms-ocr"
MIXED = "mixed"
ENGINE_NAMES = (AUTO, NP_DMS_OCR, TESSERACT)


class PageVerdict(StrEnum):
    """What became of a page."""

    GOOD = "good"
    TRUNCATED = "truncated"
    LOOPED = "looped"
    EMPTY = "empty"
    FAILED = "failed"


@dataclass(frozen=True, slots=True)
class PageImage:
    """A page as grey pixels: ``height`` rows of ``width`` bytes, 0 black to 255 white, ``dpi`` dots per inch."""

    width: int
    height: int
    dpi: int
    pixels: bytes = field(repr=False)


@dataclass(frozen=True, slots=True)
class PageText:
    """What an engine read on one page. ``confidence`` is 0 to 100, or None where an engine gives none."""

    text: str
    blank: bool = False
    confidence: int | None = None
    rotation: int = 0
    """Degrees, clockwise, by which the page had to be turned to read upright, beyond what the file itself says."""


@dataclass(frozen=True, slots=True)
class Attempt:
    """One try at one page, for the answer: who tried, for how long, and what came of it."""

    engine: str
    duration_ms: int
    verdict: PageVerdict
    error: str | None = None


@dataclass(frozen=True, slots=True)
class PageOrder:
    """One page for an engine to read. ``index`` counts from 0; ``deadline_s`` bounds the whole try."""

    document: Path
    index: int
    deadline_s: float
    languages: str


@dataclass(frozen=True, slots=True)
class EngineFacts:
    """What an engine says of itself in the answer."""

    model: str
    parameters: Mapping[str, object]


class OcrEngine(Protocol):
    """Reads pages. A cancelled call stops its work; errors are those of :mod:`sidecar.errors`."""

    @property
    def name(self) -> str:
        """The engine's name in the contract."""

    def check(self, languages: str) -> None:
        """Refuse what this engine cannot do, before any page is read."""

    def facts(self, languages: str) -> EngineFacts:
        """Tell which model reads, and with which parameters."""

    async def read(self, page: PageOrder) -> PageText:
        """Read one page."""
