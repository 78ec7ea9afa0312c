"""Blocks of a column: headings, paragraphs, items of lists, captions, each of lines that belong together. Pure."""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise
from statistics import median

from sidecar.evidence.page import BlockKind
from sidecar.evidence.structure.pieces import Piece, rows_of

APART = 1.4
"""Lines farther apart than so many usual distances belong to different paragraphs."""
OTHER_SIZE = 1.12
INDENT = 0.8
"""How far, in sizes, a paragraph's first line is set in at least."""
MAX_INDENT = 5.0
SHORT = 0.8
"""A line that ends before this share of its column's width ends its paragraph, if it ends a sentence."""
HEADING_SIZE, HEADING_HEIGHT = 1.15, 1.35
"""How much larger than usual headings are: by their font, and where only heights are known, which differ by letters."""
HEADING_WORDS, HEADING_LINES = 18, 3

_ITEM = re.compile(
    r"^(?P<mark>[•●▪◦‣·∙–—*-]|\(?[\d๐-๙]{1,3}[.)](?![\d๐-๙])|[\d๐-๙]{1,2}(?:\.[\d๐-๙]{1,2})+\.?(?=\s)|\(?[a-zก-ฮ][.)](?=\s)"
    r"|\([ivxlc]{1,5}\)|\[\d{1,3}\])\s*(?=\S)"
)
_CAPTION = re.compile(r"^(?:table|figure|fig\.|ตาราง(?:ที่)?|รูป(?:ที่)?|ภาพ(?:ที่)?)\s*[\d๐-๙]", re.IGNORECASE)
_SENTENCE_END = re.compile(r"[.!?:;ฯ…\"”]\)?$")


@dataclass(slots=True)
class Draft:
    """A block before its page is complete."""

    kind: BlockKind
    pieces: list[Piece]
    level: int | None = None


@dataclass(frozen=True, slots=True)
class Usual:
    """What is usual in a document: the size of its text, whether it is bold, and whether fonts are known."""

    size: float
    is_bold: bool
    knows_fonts: bool


def drafts_of(column: Sequence[Piece], usual: Usual) -> list[Draft]:
    """Return a column's blocks from the top to the bottom."""
    rows = rows_of(column)
    if not rows:
        return []
    return [_draft(part, usual) for part in _paragraphs(rows)]


def item_mark(text: str) -> str | None:
    """Return what marks a text as an item of a list: a bullet, a number or a letter; None if it is none."""
    found = _ITEM.match(text)
    return found["mark"] if found else None


Row = list[Piece]


def _paragraphs(rows: Sequence[Row]) -> Iterator[list[Row]]:
    """Part a column's rows where a gap, a size, a weight, an indent or a mark begins something else."""
    left, right = min(row[0].left for row in rows), max(piece.right for row in rows for piece in row)
    pitch = _pitch(rows)
    part: list[Row] = []
    for row in rows:
        if part and _begins(row, part, left, right, pitch):
            yield part
            part = []
        part.append(row)
    if part:
        yield part


def _pitch(rows: Sequence[Row]) -> float:
    """Return the usual distance of lines, in sizes: paragraphs have several lines, so that most are within one."""
    steps = sorted((other[0].middle - one[0].middle) / other[0].size for one, other in pairwise(rows))
    return median(steps[: max(1, (2 * len(steps) + 2) // 3)]) if steps else 1.2


def _begins(row: Row, part: Sequence[Row], left: float, right: float, pitch: float) -> bool:
    above, first = part[-1], row[0]
    size = max(first.size, above[0].size)
    step = (first.middle - above[0].middle) / size
    if step > APART * max(pitch, 1.0) or size > OTHER_SIZE * min(first.size, above[0].size) * _slack(first):
        return True
    if first.line.is_bold != above[0].line.is_bold and (first.line.is_bold or _is_all_bold(part)):
        return True
    if item_mark(row_text(row)) and (not item_mark(row_text(part[0])) or first.left <= part[0][0].left + size):
        return True
    if _CAPTION.match(row_text(row)):
        return True
    return _is_indented(row, part, left) or _ends(above, left, right)


def _slack(piece: Piece) -> float:
    return 1.0 if piece.line.size else 1.3


def _is_all_bold(part: Sequence[Row]) -> bool:
    return all(piece.line.is_bold for row in part for piece in row)


def _is_indented(row: Row, part: Sequence[Row], left: float) -> bool:
    """Return whether a row is set in as a paragraph's first line is, after one that was not."""
    indent, size = row[0].left - part[-1][0].left, row[0].size
    is_item = item_mark(row_text(part[0])) is not None
    return INDENT * size <= indent <= MAX_INDENT * size and not is_item and part[-1][0].left <= left + size


def _ends(above: Row, left: float, right: float) -> bool:
    """Return whether a row is the last of its paragraph: short, and the end of a sentence."""
    is_short = above[-1].right - left < SHORT * (right - left)
    return is_short and bool(_SENTENCE_END.search(above[-1].text))


def row_text(row: Sequence[Piece]) -> str:
    """Return what a row says."""
    return " ".join(piece.text for piece in row)


def _draft(rows: Sequence[Row], usual: Usual) -> Draft:
    pieces = [piece for row in rows for piece in row]
    text = row_text(rows[0])
    if _CAPTION.match(text):
        return Draft(BlockKind.CAPTION, pieces)
    if _is_heading(rows, usual):
        return Draft(BlockKind.HEADING, pieces)
    if item_mark(text):
        return Draft(BlockKind.LIST, pieces, 1)
    return Draft(BlockKind.PARAGRAPH, pieces)


def _is_heading(rows: Sequence[Row], usual: Usual) -> bool:
    pieces = [piece for row in rows for piece in row]
    text = " ".join(map(row_text, rows))
    if len(rows) > HEADING_LINES or len(text.split()) > HEADING_WORDS or not any(map(str.isalpha, text)):
        return False
    larger = HEADING_SIZE if usual.knows_fonts else HEADING_HEIGHT
    if all(piece.size >= larger * usual.size for piece in pieces):
        return True
    is_bold = all(piece.line.is_bold for piece in pieces) and not usual.is_bold
    return is_bold and all(piece.size >= usual.size / OTHER_SIZE for piece in pieces) and not text.endswith((".", ","))
