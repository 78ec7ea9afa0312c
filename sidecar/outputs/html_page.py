"""Pages as one HTML page: headings, paragraphs, lists and tables by their own elements, everything escaped. Pure."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from itertools import groupby

from sidecar.evidence.layout import Line
from sidecar.evidence.page import Block, BlockKind, Cell, Page
from sidecar.evidence.structure.blocks import item_mark
from sidecar.outputs.markup import attributes, escaped, language
from sidecar.outputs.text import rows, runs_on

DEEPEST_HEADING = 6
UNTITLED = "Document"
"""HTML wants every page to have a title."""
BREAK = "<wbr>"
"""Where a line ended in a script without spaces: no space, but a place where a line may end again."""
STYLE = (
    "table{border-collapse:collapse}td,th{border:1px solid;padding:.2em .4em;text-align:left;vertical-align:top}"
    "li.numbered{list-style:none}"
)


def html(pages: Sequence[Page], title: str = "") -> str:
    """Write pages as sections of one HTML page; ``title`` is the document's name, else its first heading is."""
    lang = attributes(lang=language(pages[0].languages) if pages else None)
    head = f'<meta charset="utf-8">\n<title>{escaped(title or _first_heading(pages))}</title>\n<style>{STYLE}</style>'
    body = "\n".join(map(_section, pages))
    return f"<!DOCTYPE html>\n<html{lang}>\n<head>\n{head}\n</head>\n<body>\n{body}\n</body>\n</html>\n"


def _first_heading(pages: Iterable[Page]) -> str:
    headings = (block for page in pages for block in page.blocks if block.kind is BlockKind.HEADING)
    texts = (" ".join(line.text for line in block.lines) for block in headings)
    return next(filter(None, texts), UNTITLED)


def _section(page: Page) -> str:
    groups = groupby(page.blocks, key=lambda one: one.kind is BlockKind.LIST)
    parts = [part for is_list, blocks in groups for part in _parts(list(blocks), is_list=is_list)]
    return "\n".join([f'<section id="page-{page.number}">', *parts, "</section>"])


def _parts(blocks: Sequence[Block], *, is_list: bool) -> list[str]:
    return [_list(blocks)] if is_list else list(filter(None, map(_block, blocks)))


def _block(block: Block) -> str:
    if block.cells:
        return _table(block.cells)
    inside = _inline(block.lines)
    if block.kind is BlockKind.HEADING:
        level = min(max(block.level or 1, 1), DEEPEST_HEADING)
        return f"<h{level}>{inside}</h{level}>"
    return ELEMENTS.get(block.kind, _paragraph)(inside) if inside else ""


def _paragraph(inside: str) -> str:
    return f"<p>{inside}</p>"


ELEMENTS: Mapping[BlockKind, Callable[[str], str]] = {
    BlockKind.HEADER: lambda inside: f"<header>{inside}</header>",
    BlockKind.FOOTER: lambda inside: f"<footer>{inside}</footer>",
    BlockKind.PAGE_NUMBER: lambda inside: f'<footer class="page-number">{inside}</footer>',
    BlockKind.CAPTION: lambda inside: f"<figure><figcaption>{inside}</figcaption></figure>",
    BlockKind.FORMULA: lambda inside: f'<p class="formula">{inside}</p>',
}


def _inline(lines: Iterable[Line]) -> str:
    """Write lines as one text that flows: where one ended stands in the source, or may be broken again."""
    return _flowing(line.text for line in lines)


def _flowing(texts: Iterable[str]) -> str:
    written, before = "", ""
    for text in filter(None, texts):
        between = (BREAK if runs_on(before, text) else "\n") if before else ""
        written, before = written + between + escaped(text), text
    return written


def _list(items: Sequence[Block]) -> str:
    """Write the items of a list, those that lie deeper in lists of their own."""
    written, depth = list[str](), 0
    for item in items:
        level = min(max(item.level or 1, 1), depth + 1)
        before = "<ul>" if level > depth else "</li>" + "</ul></li>" * (depth - level)
        written.append(f"{before}{_item(item)}")
        depth = level
    return "".join([*written, "</li></ul>" * depth])


def _item(item: Block) -> str:
    """Write an item without its bullet, which HTML draws; a number stays as it was written, and none is drawn."""
    texts = [line.text for line in item.lines]
    mark = item_mark(texts[0]) if texts else None
    is_bullet = mark is not None and len(mark) == 1
    if mark and is_bullet:
        texts[0] = texts[0][len(mark) :].lstrip()
    kind = ' class="numbered"' if mark and not is_bullet else ""
    return f"<li{kind}>{_flowing(texts)}"


def _table(cells: Iterable[Cell]) -> str:
    written = "\n".join(f"<tr>{''.join(map(_cell, row))}</tr>" for row in rows(cells))
    return f"<table>\n{written}\n</table>"


def _cell(cell: Cell) -> str:
    name = "th" if cell.is_header else "td"
    spans = attributes(
        rowspan=cell.row_span if cell.row_span > 1 else None, colspan=cell.column_span if cell.column_span > 1 else None
    )
    return f"<{name}{spans}>{_inline(cell.lines)}</{name}>"
