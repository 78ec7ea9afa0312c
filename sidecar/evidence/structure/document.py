"""The pages of a document with their blocks, from what was found on each of them. Pure."""

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import groupby

from sidecar.evidence.layout import Box, Layout
from sidecar.evidence.page import Block, BlockKind, Page
from sidecar.evidence.structure.blocks import Draft, Usual, drafts_of
from sidecar.evidence.structure.columns import Item, in_order
from sidecar.evidence.structure.furniture import Sheet, take_margins, take_sure
from sidecar.evidence.structure.levels import with_levels
from sidecar.evidence.structure.pieces import Piece, pieces_of, turned, upright_size, usual_size
from sidecar.evidence.structure.repetition import take_repeated
from sidecar.evidence.structure.ruled import ruled_tables
from sidecar.evidence.structure.tables import Table

MAX_PIECES = 5_000
"""A page with more lines is no page that anybody reads: its lines stay as they came."""
FIGURE_SHARE = 0.9
"""A picture over more of the page than this is the page itself."""
MAX_FIGURES = 1_000
"""Of a page, the largest: where there are more, they are drawings in pieces, and ornaments."""


@dataclass(frozen=True)
class ReadPage:
    """A page as it was read: ``layout`` is None where there is none, ``text`` is the answer's."""

    number: int
    layout: Layout | None
    text: str
    languages: str


def structured(pages: Sequence[ReadPage]) -> tuple[Page, ...]:
    """Return a document's pages with their blocks, one for each page that was read."""
    layouts = [page.layout or Layout(0, 0, ()) for page in pages]
    sheets = [
        Sheet(*upright_size(layout), pieces_of(layout), number=page.number)
        for page, layout in zip(pages, layouts, strict=True)
    ]
    told = [(sheet, layout) for sheet, layout in zip(sheets, layouts, strict=True) if len(sheet.pieces) <= MAX_PIECES]
    take_margins([sheet for sheet, _ in told])
    take_repeated([sheet for sheet, _ in told])
    for sheet, layout in told:
        rules = [turned(rule, layout) for rule in layout.rules]
        sheet.tables, sheet.pieces = ruled_tables(sheet.pieces, rules)
        take_sure(sheet)
    usual = _usual(sheets)
    drafted = [_drafted(sheet, usual) for sheet in sheets]
    with_levels([draft for drafts in drafted for draft in drafts if isinstance(draft, Draft)])
    return tuple(
        _page(page, layout, sheet, drafts)
        for page, layout, sheet, drafts in zip(pages, layouts, sheets, drafted, strict=True)
    )


def _usual(sheets: Sequence[Sheet]) -> Usual:
    pieces = [piece for sheet in sheets for piece in sheet.pieces]
    bold = sum(len(piece.edges) for piece in pieces if piece.line.is_bold)
    return Usual(
        usual_size(pieces),
        bold > sum(len(piece.edges) for piece in pieces) / 2,
        any(piece.line.size for piece in pieces),
    )


def _drafted(sheet: Sheet, usual: Usual) -> list[Draft | Table]:
    if len(sheet.pieces) > MAX_PIECES:
        return [Draft(BlockKind.PARAGRAPH, sheet.pieces)]
    drafts: list[Draft | Table] = []
    for column in in_order([*sheet.pieces, *sheet.tables]):
        drafts += _column(column, usual)
    return drafts


def _column(column: Sequence[Item], usual: Usual) -> list[Draft | Table]:
    drafts: list[Draft | Table] = []
    for is_table, items in groupby(column, lambda item: isinstance(item, Table)):
        if is_table:
            drafts += [item for item in items if isinstance(item, Table)]
        else:
            drafts += drafts_of([item for item in items if isinstance(item, Piece)], usual)
    return drafts


def _page(page: ReadPage, layout: Layout, sheet: Sheet, drafts: Sequence[Draft | Table]) -> Page:
    blocks = [_block(draft) for draft in drafts]
    headers = [_furniture(kind, piece) for kind, piece in sheet.furniture if piece.middle < sheet.height / 2]
    footers = [_furniture(kind, piece) for kind, piece in sheet.furniture if piece.middle >= sheet.height / 2]
    lost = tuple(line for line in layout.lines if not line.box and line.words)
    unplaced = [Block(BlockKind.PARAGRAPH, None, lost)] if lost else []
    return Page(
        page.number,
        layout.width,
        layout.height,
        (*headers, *_with_figures(blocks, _figures(layout)), *unplaced, *footers),
        layout.rotation,
        page.languages,
    )


def _block(draft: Draft | Table) -> Block:
    if isinstance(draft, Table):
        lines = [line for cell in draft.cells for line in cell.lines]
        return Block(BlockKind.TABLE, Box.around(line.box for line in lines if line.box), cells=draft.cells)
    lines = [piece.line for piece in draft.pieces]
    return Block(draft.kind, Box.around(line.box for line in lines if line.box), tuple(lines), draft.level)


def _furniture(kind: BlockKind, piece: Piece) -> Block:
    return Block(kind, piece.line.box, (piece.line,))


def _figures(layout: Layout) -> list[Box]:
    """Return the pictures on a page, from its top."""
    most = FIGURE_SHARE * layout.width * layout.height
    figures = [figure for figure in layout.figures if figure.width * figure.height < most]
    if len(figures) > MAX_FIGURES:
        figures = sorted(figures, key=lambda figure: -figure.width * figure.height)[:MAX_FIGURES]
    return sorted(figures, key=lambda figure: (figure.top, figure.left))


def _with_figures(blocks: Sequence[Block], figures: Sequence[Box]) -> list[Block]:
    """Put each figure before the first block that begins below its top and lies under or over it."""
    before: dict[int, list[Block]] = defaultdict(list)
    for figure in figures:
        found = (at for at, block in enumerate(blocks) if block.box and _is_below(block.box, figure))
        before[next(found, len(blocks))].append(Block(BlockKind.FIGURE, figure))
    placed = [one for at, block in enumerate(blocks) for one in (*before.get(at, ()), block)]
    return [*placed, *before.get(len(blocks), ())]


def _is_below(box: Box, figure: Box) -> bool:
    return box.top >= figure.top and box.left < figure.right and figure.left < box.right
