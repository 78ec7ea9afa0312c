"""The blocks of a page that a model wrote as Markdown, as HTML, or as plain text. Pure.

Models write loosely: a line that is no known mark is a line of a paragraph, and nothing that was written is lost but
the marks.
"""

import re
from collections.abc import Iterator
from dataclasses import replace

from sidecar.evidence.alignment import place
from sidecar.evidence.layout import Box, Layout, Line
from sidecar.evidence.markup.inline import lines_of
from sidecar.evidence.markup.tables import bar_table, html_table, is_rule
from sidecar.evidence.page import Block, BlockKind

INDENT = 2
"""Spaces by which an item of a list stands further in than the one that it belongs to."""
MOST_LEVEL = 9
MOST_CUTS = 500
"""How often a page's lines are cut behind an element, since each cut takes as long as the line is."""
_HEADING = re.compile(r"^\s{0,3}(#{1,6})\s+(.*?)\s*#*$")
_HTML_HEADING = re.compile(r"^\s*<h([1-6])[^<>]{0,200}>(.*)$", re.IGNORECASE)
_ITEM = re.compile(r"^(\s*)(?:[-*+\u2022]\s+(.*)|((?:\d{1,3}|[\u0e50-\u0e59]{1,3})[.)]\s+.*))$")
_RULE = re.compile(r"^\s*(?:-{3,}|\*{3,}|_{3,})\s*$")
_FENCE = re.compile(r"^\s*(?:```|~~~)")
_IMAGE = re.compile(r"^\s*!\[([^\[\]]*)\]\([^()]*\)\s*$")
_OPENING = re.compile(r"^\s*<(table|figure|page_number|header|footer|figcaption|caption)\b[^<>]*>", re.IGNORECASE)
_FORMULA = re.compile(r"^\s*(\$\$|\\\[)")
_FORMULA_ENDS = {"$$": "$$", "\\[": "\\]"}
_KINDS = {
    "page_number": BlockKind.PAGE_NUMBER,
    "header": BlockKind.HEADER,
    "footer": BlockKind.FOOTER,
    "figure": BlockKind.CAPTION,
    "figcaption": BlockKind.CAPTION,
    "caption": BlockKind.CAPTION,
}


def placed_blocks(text: str, witness: Layout | None) -> tuple[Block, ...]:
    """Return the blocks of a model's text, its words where another reader saw them on the page."""
    blocks = read_blocks(text)
    words = [word for block in blocks for line in _all_lines(block) for word in line.words]
    seen = [word for line in witness.lines for word in line.words] if witness else []
    boxes = iter(place([word.text for word in words], seen))
    return tuple(_placed(block, boxes) for block in blocks)


def _all_lines(block: Block) -> Iterator[Line]:
    yield from block.lines
    for cell in block.cells:
        yield from cell.lines


def _placed(block: Block, boxes: Iterator[Box | None]) -> Block:
    lines = tuple(_placed_line(line, boxes) for line in block.lines)
    cells = []
    for cell in block.cells:
        inside = tuple(_placed_line(line, boxes) for line in cell.lines)
        cells.append(replace(cell, lines=inside, box=Box.around(line.box for line in inside if line.box)))
    inner = [*(line.box for line in lines), *(cell.box for cell in cells)]
    around = Box.around(box for box in inner if box)
    return replace(block, lines=lines, cells=tuple(cells), box=around)


def _placed_line(line: Line, boxes: Iterator[Box | None]) -> Line:
    words = tuple(replace(word, box=next(boxes)) for word in line.words)
    return replace(line, words=words, box=Box.around(word.box for word in words if word.box))


def read_blocks(text: str) -> list[Block]:
    """Return the blocks of a model's text, without places."""
    return [block for block in _Blocks(text.split("\n")).read() if block.lines or block.cells or _may_be_bare(block)]


def _may_be_bare(block: Block) -> bool:
    return block.kind is BlockKind.FIGURE


def _line_alone(line: str) -> list[Block] | None:
    """Return the blocks of a line that is marked as a whole; None if it is not."""
    if _RULE.match(line) or _FENCE.match(line):
        return []
    if heading := _HEADING.match(line) or _HTML_HEADING.match(line):
        level = int(heading[1]) if heading[1].isdecimal() else len(heading[1])
        return [Block(BlockKind.HEADING, None, lines_of([heading[2]]), level)]
    if image := _IMAGE.match(line):
        return [Block(BlockKind.FIGURE, None), Block(BlockKind.CAPTION, None, lines_of([image[1]]))]
    return None


class _Blocks:
    """Takes lines one by one; what stands alone is a block, other lines gather until an empty one."""

    def __init__(self, lines: list[str]) -> None:
        self._lines = lines
        self._at = 0
        self._cuts = 0

    def read(self) -> Iterator[Block]:
        """Yield the blocks."""
        paragraph: list[str] = []
        while self._at < len(self._lines):
            line = self._lines[self._at]
            found = self._block(line)
            if found is None and line.strip():
                paragraph.append(line.lstrip("> "))
                self._at += 1
                continue
            if paragraph:
                yield Block(BlockKind.PARAGRAPH, None, lines_of(paragraph))
                paragraph = []
            if found is None:
                self._at += 1
            else:
                yield from found
        if paragraph:
            yield Block(BlockKind.PARAGRAPH, None, lines_of(paragraph))

    def _block(self, line: str) -> list[Block] | None:
        """Read what begins with a mark here; None where nothing does."""
        alone = _line_alone(line)
        if alone is not None:
            self._at += 1
            return alone
        if opening := _OPENING.match(line):
            return self._element(opening[1].casefold())
        if formula := _FORMULA.match(line):
            return [self._formula(formula[1])]
        if self._is_bar_table():
            return [self._bar_table()]
        item = _ITEM.match(line)
        return [self._item(item)] if item else None

    def _element(self, name: str) -> list[Block]:
        """Read up to the element's end; to the text's, where that is missing."""
        whole = self._up_to(f"</{name}>")
        if name == "table":
            return [html_table(whole)]
        block = Block(_KINDS[name], None, lines_of(whole.split("\n")))
        return [Block(BlockKind.FIGURE, None), block] if name == "figure" else [block]

    def _formula(self, opening: str) -> Block:
        end = _FORMULA_ENDS[opening]
        whole = self._up_to(end, after=self._lines[self._at].index(opening) + len(opening))
        bare = whole.strip().removeprefix(opening).removesuffix(end)
        return Block(BlockKind.FORMULA, None, lines_of(bare.split("\n")))

    def _up_to(self, end: str, after: int = 0) -> str:
        """Take lines up to one that holds the end; what follows there stays for the next block."""
        taken: list[str] = []
        while self._at < len(self._lines):
            line = self._lines[self._at]
            found = line.casefold().find(end, after)
            after = 0
            if found >= 0 and self._cuts < MOST_CUTS:
                taken.append(line[: found + len(end)])
                rest = line[found + len(end) :]
                if rest.strip():
                    self._lines[self._at] = rest
                    self._cuts += 1
                else:
                    self._at += 1
                return "\n".join(taken)
            taken.append(line)
            self._at += 1
        return "\n".join(taken)

    def _is_bar_table(self) -> bool:
        """Return whether a row between bars begins here, and another one or a rule follows."""
        here, below = (self._lines[at].strip() if at < len(self._lines) else "" for at in (self._at, self._at + 1))
        if is_rule(below) and "|" in here:
            return True
        return all(line.startswith("|") and line.count("|") > 1 for line in (here, below))

    def _bar_table(self) -> Block:
        first = self._at
        while self._at < len(self._lines) and "|" in self._lines[self._at]:
            self._at += 1
        return bar_table(self._lines[first : self._at])

    def _item(self, item: re.Match[str]) -> Block:
        """Read an item of a list, with the lines that stand further in."""
        indent, texts = len(item[1].expandtabs(4)), [item[2] if item[3] is None else item[3]]
        self._at += 1
        while self._at < len(self._lines):
            line = self._lines[self._at]
            if not line.strip() or _ITEM.match(line) or len(line) - len(line.lstrip()) <= indent:
                break
            texts.append(line)
            self._at += 1
        return Block(BlockKind.LIST, None, lines_of(texts), min(MOST_LEVEL, 1 + indent // INDENT))
