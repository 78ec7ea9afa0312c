"""Pages made by hand, with one of everything; and what says whether hOCR and ALTO are valid."""

import io
from contextlib import redirect_stderr

from hocr_tools_lib.tools.hocr_check import Checker
from htrvx.schemas import Validator
from lxml import etree

from sidecar.evidence.layout import Box, Line, Source, Word
from sidecar.evidence.page import Block, BlockKind, Cell, Page

SCHEMA = Validator("alto")


def line(*texts: str, at: tuple[float, float] | None = (60, 100), joins: bool = False) -> Line:
    """A line that begins at a place, 10 points high; without one, its words have none."""
    words, left = [], at[0] if at else 0.0
    for number, text in enumerate(texts):
        box = Box(left, at[1] - 10, left + 6 * len(text), at[1]) if at else None
        words.append(Word(text, box, 0.93, Source.TESSERACT, joins=joins and number > 0))
        left += 6 * len(text) + (0 if joins else 4)
    box = Box.around(word.box for word in words if word.box)
    baseline = ((box.left, box.bottom - 2), (box.right, box.bottom - 2)) if box else None
    return Line(tuple(words), box, baseline, 10.0)


def block(kind: BlockKind, *lines: Line, level: int | None = None, cells: tuple[Cell, ...] = ()) -> Block:
    return Block(kind, Box.around(one.box for one in lines if one.box), lines, level, cells)


def page(*blocks: Block, number: int = 1, languages: str = "tha+eng", rotation: float = 0) -> Page:
    return Page(number, 595.2, 841.8, blocks, rotation, languages)


TABLE = (
    Cell(0, 0, (line("Item", at=(60, 400)),), is_header=True, column_span=2),
    Cell(1, 0, (line("เสา", "เข็ม", at=(60, 420), joins=True),), Box(55, 405, 150, 425)),
    Cell(1, 1, (line("5", "<mm>", at=(160, 420)),)),
    Cell(2, 1, ()),
)
EVERYTHING = (
    page(
        block(BlockKind.HEADER, line("Project", "LCBP3", at=(60, 40))),
        block(BlockKind.HEADING, line("รายงาน", "การ", "ทดสอบ", at=(60, 80), joins=True), level=2),
        block(BlockKind.PARAGRAPH, line("A", "&", "B", at=(60, 120)), line("end.", at=(60, 140))),
        block(BlockKind.PARAGRAPH, line("โปรดพิจารณา", at=(60, 160)), line("และแจ้งผล", at=(60, 180))),
        block(BlockKind.LIST, line("one", at=(60, 220)), level=1),
        block(BlockKind.LIST, line("deeper", at=(80, 240)), level=2),
        block(BlockKind.LIST, line("two", at=(60, 260)), level=1),
        Block(BlockKind.TABLE, Box(55, 385, 300, 445), cells=TABLE),
        Block(BlockKind.FIGURE, Box(100, 500, 300, 600)),
        block(BlockKind.CAPTION, line("Figure", "1", at=(100, 620))),
        block(BlockKind.FORMULA, line("E=mc²", at=(100, 660))),
        block(BlockKind.FOOTER, line("Confidential", at=(60, 800))),
        block(BlockKind.PAGE_NUMBER, line("1", at=(300, 820))),
    ),
    page(block(BlockKind.PARAGRAPH, line("model's", "\x07words\uffff", at=None)), number=2, languages=""),
    page(number=3, languages="chi_sim"),
    page(block(BlockKind.PARAGRAPH, line("turned")), number=4, rotation=90),
)


def alto_faults(written: str) -> list[str]:
    """What ALTO's schema finds wrong."""
    SCHEMA.validate(etree.ElementTree(etree.fromstring(written.encode())))
    return [str(one) for one in SCHEMA.xmlschema.error_log]


def hocr_faults(written: str) -> list[str]:
    """What the check of hocr-tools finds wrong."""
    told = io.StringIO()
    with redirect_stderr(told):
        Checker(io.StringIO(written.partition("?>\n")[2])).check()
    return [one for one in told.getvalue().splitlines() if one.startswith("not ok")]
