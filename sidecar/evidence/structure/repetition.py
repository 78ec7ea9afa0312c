"""Running headers, footers and page numbers told by their repetition over a document's pages. Pure."""

import re
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from sidecar.evidence.page import BlockKind
from sidecar.evidence.structure.furniture import (
    LARGER,
    SMALLER,
    SURE_GAP,
    ZONE,
    Sheet,
    has_page_number,
    is_page_number,
    is_table_row,
)
from sidecar.evidence.structure.pieces import Piece, rows_of, usual_pitch, usual_size

REPEATED_SHARE = 0.5
MANY = 3
"""What repeats on fewer pages must stand apart from the text too, or be smaller."""
MOST = 0.5
"""What covers more than this share of a document's words is its text."""

_FIGURE = re.compile(r"(?<![\w.,/\-])[\d๐-๙]{1,4}(?![\w\-]|[.,][\d๐-๙])")
"""A figure that may be a page's number: no part of a word, a code, an amount or a date."""
_PAGE_WORD = re.compile(r"(?:\bpage|\bp\.|หน้า(?:ที่)?)\s*$", re.IGNORECASE)

Key = tuple[str, int]


@dataclass(frozen=True)
class _Usual:
    """The usual size of a page's words and distance of its rows, points."""

    size: float
    pitch: float


def take_repeated(sheets: Sequence[Sheet]) -> None:
    """Take out of the pages' pieces what stands at the same place of at least half of them, but never most of it."""
    if len(sheets) < 2:
        return
    counts = _common(sheets)
    if not counts:
        return
    taken = [(_taken(sheet, counts, is_top=True), _taken(sheet, counts, is_top=False)) for sheet in sheets]
    words = _words(piece for top, bottom in taken for piece in (*top, *bottom))
    if words > MOST * _words(piece for sheet in sheets for piece in sheet.pieces):
        return
    for sheet, (top, bottom) in zip(sheets, taken, strict=True):
        if len(top) + len(bottom) < len(sheet.pieces):
            sheet.take(BlockKind.HEADER, top)
            sheet.take(BlockKind.FOOTER, bottom)


def _words(pieces: Iterator[Piece]) -> int:
    return sum(piece.line.word_count for piece in pieces)


def _common(sheets: Sequence[Sheet]) -> Mapping[Key, int]:
    """Return what repeats, with the number of its pages."""
    counts = Counter(
        key for sheet in sheets for key in {key for piece in _in_zones(sheet) for key in _keys(piece, sheet)}
    )
    needed = max(2, REPEATED_SHARE * len(sheets))
    return {key: count for key, count in counts.items() if count >= needed}


def _in_zones(sheet: Sheet) -> list[Piece]:
    return [
        piece for piece in sheet.pieces if piece.bottom < ZONE * sheet.height or piece.top > (1 - ZONE) * sheet.height
    ]


def _keys(piece: Piece, sheet: Sheet) -> Iterator[Key]:
    """Give what a piece has in common with others: its text, and this with a page's number told by its distance."""
    text, place = " ".join(piece.text.casefold().split()), round(20 * piece.middle / sheet.height)
    yield text, place
    for found in _FIGURE.finditer(text):
        beyond = int(found[0]) - sheet.number
        before = text[: found.start()]
        if beyond == 0 or _PAGE_WORD.search(before) or has_page_number([piece]):
            yield f"{before}#{beyond}{text[found.end() :]}", place


def _taken(sheet: Sheet, counts: Mapping[Key, int], *, is_top: bool) -> list[Piece]:
    """Return what repeats at one end of a page, from its edge inwards as far as it surely is no part of the text."""
    rows = rows_of(sheet.pieces)
    usual = _Usual(usual_size(sheet.pieces), usual_pitch(rows))
    if not is_top:
        rows.reverse()
    passed: list[Piece] = []
    sure = 0
    for at, row in enumerate(rows):
        inner = rows[at + 1] if at + 1 < len(rows) else []
        found = [piece for piece in row if _pages_of(piece, sheet, counts) and _may_be_taken(piece, sheet, usual)]
        if not found or is_table_row(row, inner, SURE_GAP * usual.pitch):
            break
        passed += found
        is_apart = not inner or abs(inner[0].middle - row[0].middle) >= SURE_GAP * usual.pitch
        if is_apart or all(_is_sure(piece, sheet, counts, usual) for piece in found):
            sure = len(passed)
    return passed[:sure]


def _pages_of(piece: Piece, sheet: Sheet, counts: Mapping[Key, int]) -> int:
    return max(counts.get(key, 0) for key in _keys(piece, sheet))


def _may_be_taken(piece: Piece, sheet: Sheet, usual: _Usual) -> bool:
    """Return whether a piece lies near the page's edge and is no title."""
    is_outer = piece.bottom < ZONE * sheet.height or piece.top > (1 - ZONE) * sheet.height
    return is_outer and not piece.line.is_bold and piece.size <= LARGER * usual.size


def _is_sure(piece: Piece, sheet: Sheet, counts: Mapping[Key, int], usual: _Usual) -> bool:
    """Return whether a piece needs not stand apart: it repeats often, is small, or a page's number."""
    is_small = piece.size <= SMALLER * usual.size
    return is_small or is_page_number(piece.text) or _pages_of(piece, sheet, counts) >= MANY
