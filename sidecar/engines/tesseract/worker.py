"""Reads a page with Tesseract, in a worker process, which loads each language set's model once."""

import functools
import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from sidecar.documents import document, raster
from sidecar.documents.document import DocumentLimits
from sidecar.documents.pages import PageImage
from sidecar.documents.pictures.light import even_out, is_uneven
from sidecar.documents.pictures.pieces import pieces
from sidecar.documents.pictures.skew import skew_degrees, straighten
from sidecar.engines.numerals.tokens import Symbol, TextLine, may_hold_numerals
from sidecar.engines.tesseract.installation import ORIENTATION_DATA
from sidecar.engines.tesseract.layout import Block, BlockKind, is_broken_single_column, lies_on_its_side
from sidecar.errors import EngineFailedError
from sidecar.ocr.engine import PageText
from sidecar.ocr.second_opinion import SURE_CONFIDENCE, is_doubtful
from sidecar.ocr.text import compose_sara_am, trim

if TYPE_CHECKING:
    from tesserocr import PyTessBaseAPI

THAI = "tha"
LEAST_CONSONANT = 6.0
"""In pixels: nothing lower can be read, and a line's measurements may have any value."""
MODELS_KEPT = 3
"""Language sets whose models a worker keeps loaded: 20 to 60 MiB each."""
DOUBTFUL_CONFIDENCE = 82
"""Mean word confidence below which a page may be the wrong way up: upright pages gave 93 and 94 where the same pages
upside down gave 70 to 74 and sideways ones 0 to 62. For noisy upright pages the check costs 0.3 s."""
CHANCE_CONFIDENCE = 50
"""Confidence up to which a word counts for nothing when two readings of a page are compared: noise has it, too."""


def preload() -> None:
    """Import tesserocr and NumPy, single-threaded: one worker runs per core, and threads would only compete for it."""
    os.environ["OMP_THREAD_LIMIT"] = os.environ["OPENBLAS_NUM_THREADS"] = "1"
    import tesserocr  # noqa: F401, PLC0415 - the process that serves HTTP must not load it

    from sidecar.engines.numerals import network  # noqa: PLC0415 - likewise: it brings NumPy

    network.load_weights()


def read_page(path: Path, index: int, limits: DocumentLimits, languages: str, tessdata_dir: Path) -> PageText:
    """Draw one page and read it, rotated if it lies sideways or upside down; a long one is read in pieces."""
    page = document.render(path, index, limits)
    if raster.is_blank(page):
        return PageText("", blank=True)
    shown = [piece for piece in pieces(page) if piece is page or not raster.is_blank(piece)]
    return joined([_read_piece(piece, languages, tessdata_dir) for piece in shown])


def joined(read: Sequence[PageText]) -> PageText:
    """Return the pieces of a page as one; its confidence is the mean over all characters."""
    if len(read) == 1:
        return read[0]
    told = [piece for piece in read if piece.text]
    characters = sum(len(piece.text) for piece in told)
    confidence = sum(len(piece.text) * (piece.confidence or 0) for piece in told)
    return PageText(
        "\n".join(piece.text for piece in told),
        confidence=round(confidence / characters) if characters else 0,
        sure_text=" ".join(piece.text if piece.sure_text is None else piece.sure_text for piece in told),
        rotation=told[0].rotation if len({piece.rotation for piece in told}) == 1 else 0,
        corrections=tuple(correction for piece in told for correction in piece.corrections),
        numerals_doubtful=any(piece.numerals_doubtful for piece in told),
    )


@dataclass(frozen=True, slots=True)
class _Reading:
    """What Tesseract made of a picture. ``sure`` grows with each word that it is sure of."""

    text: PageText
    doubtful: bool
    sure: int


def _read_piece(page: PageImage, languages: str, tessdata_dir: Path) -> PageText:
    """Read a piece, and once more with its light evened out, if that is uneven: the better reading counts."""
    tries = [_read_level(page, languages, tessdata_dir)]
    if is_uneven(page):
        tries.append(_read_level(even_out(page), languages, tessdata_dir))
    return max(tries, key=lambda reading: reading.sure).text


def _read_level(page: PageImage, languages: str, tessdata_dir: Path) -> _Reading:
    """Read a picture whose lines may slope, or that may lie on its side or upside down."""
    first = _read_straightened(page, 0, languages, tessdata_dir)
    if not first.doubtful:
        return first
    tries = [first]
    if first.text.rotation:
        tries.append(_recognise(page, languages, tessdata_dir))
    if degrees := _degrees_to_upright(page, tessdata_dir):
        tries.append(_read_straightened(page, degrees, languages, tessdata_dir))
    return max(reversed(tries), key=lambda reading: (reading.text.confidence or 0, reading.sure))  # of equals, the last


def _read_straightened(page: PageImage, degrees: int, languages: str, tessdata_dir: Path) -> _Reading:
    """Read a picture after turning it by a multiple of 90 degrees, and then so that its lines are level."""
    turned = raster.turn(page, degrees)
    skew = skew_degrees(turned)
    reading = _recognise(straighten(turned, skew) if skew else turned, languages, tessdata_dir)
    return replace(reading, text=replace(reading.text, rotation=degrees + skew))


def _recognise(page: PageImage, languages: str, tessdata_dir: Path) -> _Reading:
    """Read a picture as it lies."""
    from tesserocr import PSM  # noqa: PLC0415 - as above

    api = _model(languages, tessdata_dir)
    try:
        _show(api, page, PSM.AUTO)
        blocks = tuple(_layout(api))
        if is_broken_single_column(blocks, page.width, page.dpi):
            _show(api, page, PSM.SINGLE_COLUMN)
        read = PageText(api.GetUTF8Text(), confidence=api.MeanTextConf())
        read = replace(read, sure_text=_sure_text(api) if is_doubtful(read) else None)
        read = with_numerals(api, page, read, languages)
        read = replace(read, text=compose_sara_am(trim(read.text)))
        doubtful = (read.confidence or 0) < DOUBTFUL_CONFIDENCE or lies_on_its_side(blocks)
        return _Reading(read, doubtful, sum(max(0, one - CHANCE_CONFIDENCE) for one in api.AllWordConfidences()))
    except RuntimeError as exc:  # tesserocr raises nothing more specific
        raise EngineFailedError("Tesseract failed on this page") from exc
    finally:
        api.Clear()


def _sure_text(api: "PyTessBaseAPI") -> str:
    return " ".join(word for word, confidence in api.MapWordConfidences() if confidence >= SURE_CONFIDENCE)


def with_numerals(api: "PyTessBaseAPI", page: PageImage, read: PageText, languages: str) -> PageText:
    """Read the numerals again, if Thai is requested and the text may contain some."""
    if THAI not in languages.split("+") or not may_hold_numerals(read.text):
        return read
    from sidecar.engines.numerals.reading import read_numerals  # noqa: PLC0415 - as above

    found = read_numerals(page, read.text, tuple(_symbols(api)))
    return replace(read, text=found.text, corrections=found.corrections, numerals_doubtful=found.doubtful)


def _symbols(api: "PyTessBaseAPI") -> Iterator[Symbol]:
    """Yield what was read, one or a few characters at a time, each with its line."""
    from tesserocr import RIL, iterate_level  # noqa: PLC0415 - as above

    line = TextLine(0, 0, 1)
    for item in iterate_level(api.GetIterator(), RIL.SYMBOL):
        if item.IsAtBeginningOf(RIL.TEXTLINE):
            line = _line(item.Baseline(RIL.TEXTLINE), item.RowAttributes())
        box = item.BoundingBox(RIL.SYMBOL)
        if box:
            yield Symbol(item.GetUTF8Text(RIL.SYMBOL), box[0], box[2], item.Confidence(RIL.SYMBOL), line)


def _line(baseline: tuple[tuple[int, int], tuple[int, int]], heights: Mapping[str, float]) -> TextLine:
    (left, start), (right, end) = baseline
    slope = (end - start) / max(1, right - left)
    consonant = heights["row_height"] - heights["ascenders"] + heights["descenders"]  # descenders are negative
    return TextLine(start - slope * left, slope, max(LEAST_CONSONANT, consonant))


def _show(api: "PyTessBaseAPI", page: PageImage, segmentation: int) -> None:
    api.SetPageSegMode(segmentation)
    api.SetImageBytes(page.pixels, page.width, page.height, 1, page.width)
    api.SetSourceResolution(page.dpi)


def _layout(api: "PyTessBaseAPI") -> Iterator[Block]:
    from tesserocr import PT, RIL, WritingDirection, iterate_level  # noqa: PLC0415 - as above

    kinds = {
        PT.FLOWING_TEXT: BlockKind.TEXT,
        PT.HEADING_TEXT: BlockKind.TEXT,
        PT.PULLOUT_TEXT: BlockKind.TEXT,
        PT.VERTICAL_TEXT: BlockKind.VERTICAL_TEXT,
        PT.TABLE: BlockKind.TABLE,
    }
    found = api.AnalyseLayout()
    for item in iterate_level(found, RIL.BLOCK) if found else ():
        box = item.BoundingBox(RIL.BLOCK)
        if box:
            left, top, right, bottom = box
            on_its_side = item.Orientation()[1] == WritingDirection.TOP_TO_BOTTOM
            yield Block(kinds.get(item.BlockType(), BlockKind.OTHER), left, top, right, bottom, on_its_side)


def _degrees_to_upright(page: PageImage, tessdata_dir: Path) -> int:
    """Ask the orientation model by how many degrees clockwise the page must be rotated; 0 if it cannot tell."""
    from tesserocr import PSM  # noqa: PLC0415 - as above

    if not (tessdata_dir / f"{ORIENTATION_DATA}.traineddata").exists():
        return 0
    api = _model(ORIENTATION_DATA, tessdata_dir)
    _show(api, page, PSM.OSD_ONLY)
    try:
        found = api.DetectOrientationScript()
        return (360 - int(found["orient_deg"])) % 360 if found else 0
    finally:
        api.Clear()


@functools.lru_cache(maxsize=MODELS_KEPT)
def _model(languages: str, tessdata_dir: Path) -> "PyTessBaseAPI":
    from tesserocr import OEM, PyTessBaseAPI  # noqa: PLC0415 - as above

    engine_mode = OEM.TESSERACT_ONLY if languages == ORIENTATION_DATA else OEM.LSTM_ONLY
    try:
        return PyTessBaseAPI(path=str(tessdata_dir), lang=languages, oem=engine_mode)
    except RuntimeError as exc:
        raise EngineFailedError(f"Tesseract cannot load its data for {languages}") from exc
