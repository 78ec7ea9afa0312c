"""Reads a page with RapidOCR, in a worker process, which loads the models once."""

import base64
import functools
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sidecar.documents import document
from sidecar.documents.document import DocumentLimits
from sidecar.documents.layers.thai_text import compose_sara_am
from sidecar.engines.rapidocr.installation import DETECTOR, TURNER
from sidecar.engines.rapidocr.lines import Corners, FoundLine, Line, confidence, degrees_to_upright, rows_of, text_of
from sidecar.engines.rapidocr.places import place_rows
from sidecar.errors import EngineFailedError
from sidecar.evidence.confidence import certainty
from sidecar.evidence.layout import Layout
from sidecar.evidence.packed import Packed
from sidecar.evidence.placement import Placement
from sidecar.ocr.engine import PageText
from sidecar.ocr.text import trim

LONGEST_SIDE = 2000
"""In pixels, of the page as it is drawn: 171 dpi for A4. With 1600 the receipts of docs/quality.md read as well."""
READERS_KEPT = 2
"""Models that a worker keeps loaded: the wheel's and the Thai one."""
SURE_SCORE = 0.95
"""Score from which on a line is sure. Lines that are wrong have high scores, too: see docs/quality.md."""
UPSIDE_DOWN = "180"
UPSIDE_DOWN_SCORE = 0.9
"""From this score on, a line counts as upside down; the models' authors turn lines from the same score on."""


@dataclass(frozen=True, slots=True)
class Way:
    """How a page is read: the folder of the wheel's models, and the recogniser.

    Also whether the words' places are wanted, and the SHA-256 of the picture.
    """

    folder: Path
    recogniser: Path
    wants_layout: bool = False
    digested: bool = False


def read_page(path: Path, index: int, limits: DocumentLimits, way: Way) -> PageText:
    """Draw one page, in colour as the models were trained, and read it, whichever way up it lies."""
    picture = document.picture(path, index, limits, LONGEST_SIDE, digested=way.digested)
    if picture.blank:
        return PageText("", blank=True, layout=_layout([], 0, picture.placement) if way.wants_layout else None)
    try:
        found, upside_down = open_reader(way.folder, way.recogniser).read(base64.b64decode(picture.png_base64))
    except MemoryError:
        raise
    except Exception as exc:  # its libraries have no errors in common
        raise EngineFailedError("RapidOCR failed on this page") from exc
    degrees = degrees_to_upright(found, upside_down)
    blocks = rows_of(found, degrees)
    text = compose_sara_am(trim(text_of(blocks)))
    return PageText(
        text,
        certainty=certainty([(line.text, line.score) for line in found], text, SURE_SCORE),
        confidence=confidence(found) if found else None,
        rotation=degrees,
        layout=_layout(blocks, degrees, picture.placement) if way.wants_layout else None,
        picture_sha256=picture.sha256,
    )


def _layout(blocks: Sequence[Sequence[Sequence[Line]]], degrees: int, placement: Placement) -> Packed[Layout]:
    lines = place_rows([row for block in blocks for row in block], degrees, placement)
    return Packed(Layout(placement.width, placement.height, lines, degrees))


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
