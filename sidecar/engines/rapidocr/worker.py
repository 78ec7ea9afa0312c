"""Reads a page with RapidOCR, in a worker process, which loads the models once."""

import base64
import functools
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from sidecar.documents import document
from sidecar.documents.document import DocumentLimits
from sidecar.documents.layers.thai_text import compose_sara_am
from sidecar.engines.rapidocr.installation import DETECTOR, TURNER
from sidecar.engines.rapidocr.lines import Corners, FoundLine, arrange, confidence, degrees_to_upright
from sidecar.errors import EngineFailedError
from sidecar.ocr.engine import PageText
from sidecar.ocr.text import trim

LONGEST_SIDE = 2000
"""In pixels, of the page as it is drawn: 171 dpi for A4. With 1600 the receipts of docs/quality.md read as well."""
READERS_KEPT = 2
"""Models that a worker keeps loaded: the wheel's and the Thai one."""
UPSIDE_DOWN = "180"
UPSIDE_DOWN_SCORE = 0.9
"""From this score on, a line counts as upside down; the models' authors turn lines from the same score on."""


def read_page(  # noqa: PLR0913, PLR0917 - a worker gets all it needs at once
    path: Path, index: int, limits: DocumentLimits, folder: Path, recogniser: Path, digested: bool = False
) -> PageText:
    """Draw one page, in colour as the models were trained, and read it, whichever way up it lies.

    ``digested``: also tell the SHA-256 of the picture.
    """
    picture = document.picture(path, index, limits, LONGEST_SIDE, digested=digested)
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
    return PageText(
        text, confidence=confidence(found) if found else None, rotation=degrees, picture_sha256=picture.sha256
    )


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
