"""The lines of a page with their places, from what Tesseract found on its picture. Pure."""

from collections.abc import Iterator, Sequence

from sidecar.documents.layers.thai_text import compose_sara_am, has_thai
from sidecar.documents.pages import PageImage
from sidecar.documents.pictures.ink import fit_to_ink
from sidecar.engines.tesseract.layout import Block, BlockKind
from sidecar.engines.tesseract.words import Piece, PlacedWord, Rectangle, Row, place_words
from sidecar.evidence.edits import Edit
from sidecar.evidence.layout import Box, Line, Source, Word

X_OF_SIZE, CONSONANT_OF_SIZE = 0.52, 0.57
"""Height of a letter without ascender, Latin or Thai, as a share of the size."""
SURENESS_DIGITS = 3


def find_lines(page: PageImage, read: str, pieces: Sequence[Piece], text: str, edits: Sequence[Edit]) -> list[Line]:
    """Return the lines of ``text``, which ``edits`` made of what was ``read`` on a picture in ``pieces``."""
    return [_line(page, words) for words in place_words(read, pieces, text, edits)]


def boxes_of(page: PageImage, blocks: Sequence[Block], kind: BlockKind) -> tuple[Box, ...]:
    """Return where the blocks of a kind lie."""
    found = (block for block in blocks if block.kind is kind)
    return tuple(page.placement.box(block.left, block.top, block.right, block.bottom) for block in found)


def _line(page: PageImage, words: Sequence[PlacedWord]) -> Line:
    boxes = dict(_fitted(page, words))
    placed = tuple(_word(page, word, boxes.get(at, [])) for at, word in enumerate(words))
    row = next((word.row for word in words if word.row), None)
    box = Box.around(word.box for word in placed if word.box)
    if row is None:
        return Line(placed, box)
    baseline = tuple(page.placement.point(*end) for end in row.baseline) if row.baseline else None
    share = CONSONANT_OF_SIZE if any(has_thai(word.text) for word in words) else X_OF_SIZE
    return Line(placed, box, baseline, page.placement.length(row.height / share))  # type: ignore[arg-type]


def _word(page: PageImage, word: PlacedWord, boxes: Sequence[Rectangle]) -> Word:
    box = Box.around(page.placement.box(*one) for one in boxes)
    confidence = None if word.changed or word.confidence is None else round(word.confidence / 100, SURENESS_DIGITS)
    source = Source.NUMERALS if word.changed else Source.TESSERACT
    return Word(compose_sara_am(word.text), box, confidence, source)


def _fitted(page: PageImage, words: Sequence[PlacedWord]) -> Iterator[tuple[int, list[Rectangle]]]:
    """Yield the boxes of a line's words as far as their ink reaches, each with its word's place in the line."""
    found = [(at, word.box, word.row) for at, word in enumerate(words) if word.box and word.row]
    rows = dict.fromkeys(row for _, _, row in found)
    for row in rows:
        mine = [(at, _inside(box, row)) for at, box, of in found if of is row]
        fitted = fit_to_ink(page, row.box, [box for _, box in mine])
        yield from zip((at for at, _ in mine), fitted, strict=True)


def _inside(box: Rectangle, row: Row) -> Rectangle:
    """Return the part of a word's box that is on its line: single letters may have boxes as high as the next line."""
    left, top, right, bottom = box
    _, highest, _, lowest = row.box
    return left, min(max(top, highest), lowest), right, max(min(bottom, lowest), highest)
