"""Reads a page with Tesseract, in a worker process, which loads each language set's model once."""

import functools
import hashlib
import os
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from statistics import median
from typing import TYPE_CHECKING, TypeVar

from sidecar.documents import document, raster
from sidecar.documents.document import DocumentLimits
from sidecar.documents.layers.thai_text import compose_sara_am
from sidecar.documents.pages import PageImage
from sidecar.documents.pictures.light import even_out, is_uneven
from sidecar.documents.pictures.pieces import pieces
from sidecar.documents.pictures.rules import find_rules
from sidecar.documents.pictures.skew import skew_degrees, straighten
from sidecar.engines.numerals.tokens import Symbol, TextLine, may_hold_numerals
from sidecar.engines.tesseract.installation import ORIENTATION_DATA, data_digest
from sidecar.engines.tesseract.layout import Block, BlockKind, is_broken_single_column, lies_on_its_side, reading_order
from sidecar.engines.tesseract.places import boxes_of, find_lines
from sidecar.engines.tesseract.words import Piece, Row
from sidecar.errors import EngineFailedError
from sidecar.evidence.confidence import certainty, joined_certainty
from sidecar.evidence.edits import Edit
from sidecar.evidence.layout import Box, Layout, Line
from sidecar.evidence.packed import Packed
from sidecar.ocr.engine import PageText
from sidecar.ocr.second_opinion import SURE_CONFIDENCE, is_doubtful
from sidecar.ocr.text import trim

if TYPE_CHECKING:
    from tesserocr import PyPageIterator, PyTessBaseAPI

AnyIterator = TypeVar("AnyIterator", bound="PyPageIterator")

THAI = "tha"
LEAST_CONSONANT = 6.0
"""In pixels: nothing lower can be read, and a line's measurements may have any value."""
MODELS_KEPT = 3
"""Language sets whose models a worker keeps loaded: 20 to 60 MiB each."""
DOUBTFUL_CONFIDENCE = 82
"""Mean word confidence below which a page may be the wrong way up: upright pages gave 93 and 94 where the same pages
upside down gave 70 to 74 and sideways ones 0 to 62. For noisy upright pages the check costs 0.3 s."""
OTSU, SAUVOLA = "0", "2"
"""Tesseract's thresholding_method."""
CHANCE_CONFIDENCE = 50
"""Confidence up to which a word counts for nothing when two readings of a page are compared: noise has it, too."""


def preload() -> None:
    """Import tesserocr and NumPy, single-threaded: one worker runs per core, and threads would only compete for it."""
    os.environ["OMP_THREAD_LIMIT"] = os.environ["OPENBLAS_NUM_THREADS"] = "1"
    import tesserocr  # noqa: F401, PLC0415 - the process that serves HTTP must not load it

    from sidecar.engines.numerals import network  # noqa: PLC0415 - likewise: it brings NumPy

    network.load_weights()


def read_page(path: Path, index: int, limits: DocumentLimits, way: "Way") -> PageText:
    """Draw one page and read it, rotated if it lies sideways or upside down; a long one is read in pieces."""
    page = document.render(path, index, limits)
    if raster.is_blank(page):
        return PageText("", blank=True, layout=_layout(page, [], 0) if way.wants_layout else None)
    shown = [piece for piece in pieces(page) if piece is page or not raster.is_blank(piece)]
    way = replace(way, languages=thai_first(way.languages))
    found = [_read_piece(piece, way) for piece in shown]
    read = joined([one.text for one in found])
    if way.wants_layout:
        read = replace(read, layout=_layout(page, found, read.rotation))
    return _with_digests(read, page, way) if way.wants_digest else read


def _with_digests(read: PageText, page: PageImage, way: "Way") -> PageText:
    data = data_digest(way.tessdata_dir, way.languages)
    return replace(read, picture_sha256=hashlib.sha256(page.pixels).hexdigest(), data_sha256=data)


def _layout(page: PageImage, found: "Sequence[_Reading]", rotation: float) -> Packed[Layout]:
    """Return what was found on a page, in all of its pieces."""
    lines = tuple(line for one in found for line in one.lines)
    figures = tuple(figure for one in found for figure in one.figures)
    rules = tuple(rule for one in found for rule in one.rules)
    return Packed(Layout(page.placement.width, page.placement.height, lines, rotation, rules, figures))


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
        certainty=joined_certainty(piece.certainty for piece in told),
    )


def thai_first(languages: str) -> str:
    """Put Thai first: behind another language, Tesseract writes a space between all Thai letters."""
    return "+".join(sorted(languages.split("+"), key=lambda one: one != THAI))


@dataclass(frozen=True, slots=True)
class Way:
    """How a picture is read: languages, the folder of their data, and how ink is distinguished from paper.

    ``wants_layout``: the words' places are wanted, too; ``wants_digest``: the SHA-256 of the picture and of the data.

    ``is_local``: ink is distinguished by a threshold for each spot
    (Sauvola's) instead of one for all; the picture's resolution is then estimated.
    """

    languages: str
    tessdata_dir: Path
    wants_layout: bool = False
    wants_digest: bool = False
    is_local: bool = False


@dataclass(frozen=True, slots=True)
class _Reading:
    """What Tesseract made of a picture. ``sure`` grows with each word that it is sure of."""

    text: PageText
    doubtful: bool
    sure: int
    lines: tuple[Line, ...] = ()
    """The words of the text with their places, where they are wanted."""
    figures: tuple[Box, ...] = ()
    rules: tuple[Box, ...] = ()


def _read_piece(page: PageImage, way: Way) -> _Reading:
    """Read a piece; if its light is uneven, also with its light evened out, and with a threshold for each spot.

    The better reading counts.
    """
    tries = [_read_level(page, way)]
    if is_uneven(page):
        tries.append(_read_level(even_out(page), way))
        tries.append(_read_level(page, replace(way, is_local=True)))
    return max(tries, key=lambda reading: reading.sure)


def _read_level(page: PageImage, way: Way) -> _Reading:
    """Read a picture whose lines may slope, or that may lie on its side or upside down."""
    first = _read_straightened(page, 0, way)
    if not first.doubtful:
        return first
    tries = [first]
    if first.text.rotation:
        tries.append(_recognise(page, way))
    if degrees := _degrees_to_upright(page, way.tessdata_dir):
        tries.append(_read_straightened(page, degrees, way))
    return max(reversed(tries), key=lambda reading: (reading.text.confidence or 0, reading.sure))  # of equals, the last


def _read_straightened(page: PageImage, degrees: int, way: Way) -> _Reading:
    """Read a picture after turning it by a multiple of 90 degrees, and then so that its lines are level."""
    turned = raster.turn(page, degrees)
    skew = skew_degrees(turned)
    reading = _recognise(straighten(turned, skew) if skew else turned, way)
    return replace(reading, text=replace(reading.text, rotation=degrees + skew))


def _recognise(page: PageImage, way: Way) -> _Reading:
    """Read a picture as it lies."""
    from tesserocr import PSM  # noqa: PLC0415 - as above

    api = _model(way.languages, way.tessdata_dir)
    try:
        _show(api, page, PSM.AUTO, is_local=way.is_local)
        found = api.AnalyseLayout()
        blocks = tuple(_blocks(found))
        if is_broken_single_column(blocks, page.width, page.dpi, _line_height(found)):
            _show(api, page, PSM.SINGLE_COLUMN, is_local=way.is_local)
        text = api.GetUTF8Text()
        order = reading_order(tuple(_blocks(api.GetIterator())))
        text = _in_order(api, order) if order != sorted(order) else text
        read = PageText(text, confidence=api.MeanTextConf())
        read = replace(read, sure_text=_sure_text(api) if is_doubtful(read) else None)
        read, edits = with_numerals(api, page, read, way.languages, order)
        lines = find_lines(page, text, _pieces(api, order), read.text, edits) if way.wants_layout else ()
        figures = boxes_of(page, blocks, BlockKind.PICTURE) if way.wants_layout else ()
        text = compose_sara_am(trim(read.text))
        read = replace(read, text=text, certainty=certainty(_words(api), text))
        rules = tuple(page.placement.box(*one) for one in find_rules(page)) if way.wants_layout else ()
        doubtful = (read.confidence or 0) < DOUBTFUL_CONFIDENCE or lies_on_its_side(blocks)
        return _Reading(read, doubtful, _sureness(api), tuple(lines), figures, rules)
    except RuntimeError as exc:  # tesserocr raises nothing more specific
        raise EngineFailedError("Tesseract failed on this page") from exc
    finally:
        api.Clear()


def _sureness(api: "PyTessBaseAPI") -> int:
    """Sum up how sure each character's word is: of two readings, the one whose words are whole has more."""
    return sum(len(word) * max(0, confidence - CHANCE_CONFIDENCE) for word, confidence in _words(api))


def _words(api: "PyTessBaseAPI") -> list[tuple[str, int]]:
    """Return the words and their confidences; tesserocr raises an error where there is no text."""
    return list(api.MapWordConfidences()) if api.AllWordConfidences() else []


def _sure_text(api: "PyTessBaseAPI") -> str:
    return " ".join(word for word, confidence in _words(api) if confidence >= SURE_CONFIDENCE)


def _in_order(api: "PyTessBaseAPI", order: Sequence[int]) -> str:
    """Return the text, its blocks in this order."""
    from tesserocr import RIL  # noqa: PLC0415 - as above

    parts: dict[int, str] = defaultdict(str)
    for at, item in _items(api.GetIterator(), RIL.PARA):
        parts[at] += item.GetUTF8Text(RIL.PARA)
    return "".join(parts[at] for at in order)


def with_numerals(
    api: "PyTessBaseAPI", page: PageImage, read: PageText, languages: str, order: Sequence[int] = ()
) -> tuple[PageText, Sequence[Edit]]:
    """Read the numerals again, if Thai is requested and the text may contain some; ``order`` is that of its blocks.

    Also return what was changed in the text.
    """
    if THAI not in languages.split("+") or not may_hold_numerals(read.text):
        return read, ()
    from sidecar.engines.numerals.reading import read_numerals  # noqa: PLC0415 - as above

    found = read_numerals(page, read.text, tuple(_symbols(api, order)))
    read = replace(read, text=found.text, corrections=found.corrections, numerals_doubtful=found.doubtful)
    return read, found.edits


def _pieces(api: "PyTessBaseAPI", order: Sequence[int]) -> list[Piece]:
    """Return what Tesseract takes for words, each with its line, in the order of the text."""
    from tesserocr import RIL  # noqa: PLC0415 - as above

    blocks: dict[int, list[Piece]] = defaultdict(list)
    row = Row((0, 0, 0, 0), None, 0)
    for at, item in _items(api.GetIterator(), RIL.WORD):
        if item.IsAtBeginningOf(RIL.TEXTLINE):
            height = _letter_height(item.RowAttributes())
            row = Row(item.BoundingBox(RIL.TEXTLINE) or (0, 0, 0, 0), item.Baseline(RIL.TEXTLINE), height)
        box = item.BoundingBox(RIL.WORD)
        if box:
            blocks[at].append(Piece(item.GetUTF8Text(RIL.WORD), box, item.Confidence(RIL.WORD), row))
    return [piece for at in order for piece in blocks[at]]


def _symbols(api: "PyTessBaseAPI", order: Sequence[int] = ()) -> list[Symbol]:
    """Return what was read, one or a few characters at a time, each with its line, in the order of the text."""
    from tesserocr import RIL  # noqa: PLC0415 - as above

    blocks: dict[int, list[Symbol]] = defaultdict(list)
    line = TextLine(0, 0, 1)
    for at, item in _items(api.GetIterator(), RIL.SYMBOL):
        if item.IsAtBeginningOf(RIL.TEXTLINE):
            line = _line(item.Baseline(RIL.TEXTLINE), item.RowAttributes())
        box = item.BoundingBox(RIL.SYMBOL)
        if box:
            blocks[at].append(Symbol(item.GetUTF8Text(RIL.SYMBOL), box[0], box[2], item.Confidence(RIL.SYMBOL), line))
    return [symbol for at in (order or sorted(blocks)) for symbol in blocks[at]]


def _line(baseline: tuple[tuple[int, int], tuple[int, int]], heights: Mapping[str, float]) -> TextLine:
    (left, start), (right, end) = baseline
    slope = (end - start) / max(1, right - left)
    return TextLine(start - slope * left, slope, _letter_height(heights))


def _letter_height(heights: Mapping[str, float]) -> float:
    """Return the height of a line's letters without ascenders and descenders, which are negative."""
    return max(LEAST_CONSONANT, heights["row_height"] - heights["ascenders"] + heights["descenders"])


def _show(api: "PyTessBaseAPI", page: PageImage, segmentation: int, *, is_local: bool = False) -> None:
    api.SetPageSegMode(segmentation)
    api.SetVariable("thresholding_method", SAUVOLA if is_local else OTSU)
    api.SetImageBytes(page.pixels, page.width, page.height, 1, page.width)
    if not is_local:
        api.SetSourceResolution(page.dpi)


def _blocks(found: "PyPageIterator | None") -> Iterator[Block]:
    from tesserocr import PT, RIL, WritingDirection  # noqa: PLC0415 - as above

    kinds = {
        PT.FLOWING_TEXT: BlockKind.TEXT,
        PT.HEADING_TEXT: BlockKind.TEXT,
        PT.PULLOUT_TEXT: BlockKind.TEXT,
        PT.VERTICAL_TEXT: BlockKind.VERTICAL_TEXT,
        PT.TABLE: BlockKind.TABLE,
        PT.FLOWING_IMAGE: BlockKind.PICTURE,
        PT.HEADING_IMAGE: BlockKind.PICTURE,
        PT.PULLOUT_IMAGE: BlockKind.PICTURE,
    }
    for _, item in _items(found, RIL.BLOCK):
        left, top, right, bottom = item.BoundingBox(RIL.BLOCK) or (0, 0, 0, 0)
        on_its_side = item.Orientation()[1] == WritingDirection.TOP_TO_BOTTOM
        yield Block(kinds.get(item.BlockType(), BlockKind.OTHER), left, top, right, bottom, on_its_side)


def _line_height(found: "PyPageIterator | None") -> float:
    """Return the usual height of a line, in pixels; 0 if there is none."""
    from tesserocr import RIL  # noqa: PLC0415 - as above

    if found:
        found.Begin()
    boxes = [item.BoundingBox(RIL.TEXTLINE) for _, item in _items(found, RIL.TEXTLINE)]
    heights = [box[3] - box[1] for box in boxes if box]
    return median(heights) if heights else 0.0


def _items(found: "AnyIterator | None", level: int) -> "Iterator[tuple[int, AnyIterator]]":
    """Yield what an iterator passes at a level, each with the number of its block, whether that has words or not.

    Nothing of a page without any block, of which tesserocr yields the iterator once nevertheless.
    """
    from tesserocr import RIL, iterate_level  # noqa: PLC0415 - as above

    block = -1
    for item in iterate_level(found, level) if found else ():
        block += bool(item.IsAtBeginningOf(RIL.BLOCK))
        if block >= 0:
            yield block, item


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
