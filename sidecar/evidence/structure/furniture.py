"""Running headers, footers and page numbers that one page alone tells, by their place. Pure."""

import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import pairwise, takewhile
from statistics import median

from sidecar.evidence.page import BlockKind
from sidecar.evidence.structure.gutters import row_runs
from sidecar.evidence.structure.pieces import Piece, rows_of, usual_pitch, usual_size
from sidecar.evidence.structure.tables import Table

ZONE = 0.12
"""Share of the page's height, at its top and bottom, in which running headers and footers stand."""
SURE_ZONE = 0.1
"""The same where one page alone tells."""
EDGE = 0.05
"""The same for a row of one piece that nothing but its place tells apart: letters begin and end farther in."""
ROWS = 3
"""Most rows of a running header or footer."""
FEW_ROWS = 8
"""A page with fewer rows tells nothing by their distances: only page numbers are sure there."""
SURE_GAP, SHARED_GAP = 1.7, 1.4
"""How many usual distances of rows they stand apart from the text at least: if their row is one piece, or several."""
FAR = 2.5
"""Pieces of a row this far apart, in sizes, stand at the left, in the middle or at the right of the page."""
NEAR = 4.0
"""A sum stands at most this many usual distances of rows under its table."""
TABLE_GAP = 1.0
"""Parts of a table's row stand this far apart, in sizes, at least."""
SMALLER = 0.92
LARGER = 1.15
"""What is this much larger than the usual text is a title."""
WORDS, SHARED_WORDS = 16, 24
"""Most words of such a row: if it is one piece, or several."""
MARGIN = 0.08
"""Share of the page's width at its sides in which text that runs up or down is no part of the page's."""

_STAMP = re.compile(r"https?://|www\.|\bdoi\b|©|copyright|download|issn", re.IGNORECASE)
_ROMAN = r"(?=[ivxlc])c{0,3}(?:xc|xl|l?x{0,3})(?:ix|iv|v?i{0,3})"
_PAGE_NUMBER = re.compile(
    rf"^[\s\-–—|(\[.]*(?:(?i:page|p\.|หน้า(?:ที่)?)\s*(?:[\d๐-๙]{{1,5}}|(?i:{_ROMAN}))|[\d๐-๙]{{1,3}}|{_ROMAN}|[\d๐-๙]{{1,4}}(?=\s*(?:/|of|จาก)))"
    r"(?:\s*(?:/|(?i:of)|จาก)\s*[\d๐-๙]{1,4})?[\s\-–—|)\].]*$"
)


@dataclass(slots=True)
class Sheet:
    """A page's pieces, its size as it is read, and what was told apart from its text."""

    width: float
    height: float
    pieces: list[Piece]
    tables: list[Table] = field(default_factory=list)
    furniture: list[tuple[BlockKind, Piece]] = field(default_factory=list)
    number: int = 0

    def take(self, kind: BlockKind, pieces: Sequence[Piece]) -> None:
        """Tell pieces apart from the page's text."""
        taken = {id(piece) for piece in pieces}
        self.pieces = [piece for piece in self.pieces if id(piece) not in taken]
        self.furniture += [(BlockKind.PAGE_NUMBER if is_page_number(piece.text) else kind, piece) for piece in pieces]


def is_page_number(text: str) -> bool:
    """Return whether a text is nothing but a page's number."""
    return bool(_PAGE_NUMBER.match(text))


def take_margins(sheets: Sequence[Sheet]) -> None:
    """Take out of the pages' pieces what runs along their sides."""
    for sheet in sheets:
        _take_margins(sheet)


def _take_margins(sheet: Sheet) -> None:
    """Take what runs up or down beside the text: stamps of libraries and of archives."""
    upright = [piece for piece in sheet.pieces if piece.is_upright]
    aside = [piece for piece in sheet.pieces if not piece.is_upright and _is_aside(piece, upright, sheet.width)]
    if aside and upright:
        sheet.take(BlockKind.HEADER, aside)


def _is_aside(piece: Piece, upright: Sequence[Piece], width: float) -> bool:
    at_edge = piece.right < MARGIN * width or piece.left > (1 - MARGIN) * width
    return at_edge and not any(one.left < piece.right and piece.left < one.right for one in upright)


# ── on one page ───────────────────────────────────────────────────────────────────────────────────────────────────


def take_sure(sheet: Sheet) -> None:
    """Take out of a page's pieces what its place alone tells to be no part of its text."""
    upright = [piece for piece in sheet.pieces if piece.is_upright and any(map(str.isalnum, piece.text))]
    placed: list[Piece | Table] = [*upright, *sheet.tables]
    rows = rows_of(placed)
    if len(rows) < ROWS or not upright:
        return
    is_short = sum(map(_height_in_rows, rows)) < FEW_ROWS
    size = max(usual_size(upright), median(row[0].size for row in rows))
    pitch = usual_pitch(rows)
    top, bottom = _outer(rows, sheet, size, pitch), _outer(rows[::-1], sheet, size, pitch)
    if is_short:
        top, bottom = (list(takewhile(_is_number_alone, end)) for end in (top, bottom))
    if sum(map(len, (*top, *bottom))) < len(upright):
        sheet.take(BlockKind.HEADER, [piece for row in top for piece in row])
        sheet.take(BlockKind.FOOTER, [piece for row in bottom for piece in row])


def _height_in_rows(row: Sequence[Piece | Table]) -> int:
    return max(1 if isinstance(item, Piece) else len({cell.row for cell in item.cells}) for item in row)


def _is_number_alone(row: Sequence[Piece | Table]) -> bool:
    return len(row) == 1 and isinstance(row[0], Piece) and is_page_number(row[0].text)


def _outer(rows: Sequence[Sequence[Piece | Table]], sheet: Sheet, size: float, usual: float) -> list[list[Piece]]:
    """Return the rows at one end of a page that are surely no part of its text."""
    passed: list[list[Piece]] = []
    found = 0
    for at in range(min(ROWS, len(rows) - 1)):
        inner = rows[at + 1]
        row = [item for item in rows[at] if isinstance(item, Piece)]
        if len(row) < len(rows[at]) or not _may_be_furniture(row, sheet, size):
            break
        if not (has_page_number(row) or _is_stamp(row) or _is_small(row, size)) and is_table_row(
            row, inner, NEAR * usual
        ):
            break
        passed.append(row)
        step = abs(_edge(inner, row[0].middle) - row[0].middle)
        beyond = abs(rows[at + 2][0].middle - inner[0].middle) if at + 2 < len(rows) else usual
        if step >= _needed(row, inner, sheet) * max(min(usual, beyond), inner[0].size):
            found = at + 1
    return passed[:found]


def _edge(row: Sequence[Piece | Table], seen_from: float) -> float:
    """Return where a row begins as seen from another one: its middle, or a table's nearer edge and half a line."""
    item = row[0]
    if isinstance(item, Piece):
        return item.middle
    return item.top + item.size / 2 if seen_from < item.middle else item.bottom - item.size / 2


def _needed(row: Sequence[Piece], inner: Sequence[Piece | Table], sheet: Sheet) -> float:
    """Return how many usual distances of rows a row must stand apart from the next one."""
    if _is_number_alone(row):
        is_at_edge = row[0].bottom < SURE_ZONE * sheet.height or row[0].top > (1 - SURE_ZONE) * sheet.height
        return 0.0 if is_at_edge else SURE_GAP
    if _is_shared(row) and has_page_number(row):
        return 0.0
    return SHARED_GAP if _is_shared(row) and not _is_shared(inner) else SURE_GAP


def _may_be_furniture(row: Sequence[Piece], sheet: Sheet, size: float) -> bool:
    if any(piece.size > LARGER * size or piece.line.is_bold for piece in row):
        return False
    if _is_number_alone(row):
        return True
    top, bottom = min(piece.top for piece in row), max(piece.bottom for piece in row)
    parts = len(row_runs(row, FAR))
    if sum(len(piece.edges) // 2 for piece in row) > (WORDS if parts == 1 else SHARED_WORDS):
        return False
    is_telling = parts > 2 or _is_small(row, size) or _is_stamp(row)
    if parts > 1 and not is_telling:
        return False
    zone = (SURE_ZONE if parts <= 2 else ZONE) if is_telling else EDGE
    return bottom < zone * sheet.height or top > (1 - zone) * sheet.height


def _is_small(row: Sequence[Piece], size: float) -> bool:
    return all(piece.size <= SMALLER * size for piece in row)


def _is_stamp(row: Sequence[Piece]) -> bool:
    return any(_STAMP.search(piece.text) for piece in row) and not any(piece.line.is_bold for piece in row)


def _is_shared(row: Sequence[Piece | Table]) -> bool:
    """Return whether a row has parts at several places across the page."""
    return len(row_runs(row, FAR)) > 1


def has_page_number(row: Sequence[Piece]) -> bool:
    """Return whether the first or the last part of a row, far from the others, is a page's number."""
    parts = [part for piece in row for part in piece.parts(_gaps(piece))]
    return is_page_number(parts[0].text) or is_page_number(parts[-1].text)


def is_table_row(row: Sequence[Piece | Table], inner: Sequence[Piece | Table], near: float) -> bool:
    """Return whether a row has parts that begin or end where those of the next row do, nearer than so many points."""
    if not inner or abs(_edge(inner, row[0].middle) - row[0].middle) >= near:
        return False
    ours, theirs = row_runs(row, TABLE_GAP), row_runs(inner, TABLE_GAP)
    close = row[0].size / 2
    aligned = sum(
        any(abs(left - other) < close or abs(right - end) < close for other, end in theirs) for left, right in ours
    )
    return min(len(ours), len(theirs), aligned) > 1


def _gaps(piece: Piece) -> list[float]:
    runs = list(piece.runs(FAR / 2 * piece.size))
    return [(one[1] + other[0]) / 2 for one, other in pairwise(runs)]
