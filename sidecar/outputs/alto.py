"""Pages as ALTO 4, the Library of Congress' format of what was read where. Pure.

https://www.loc.gov/standards/alto/. It is written for version 4.2, and is valid by the later ones. Places are in
1200ths of an inch, which no page has to be drawn for.
"""

from collections.abc import Iterable, Iterator, Sequence

from sidecar.evidence.layout import Box, Line, Word
from sidecar.evidence.page import Block, BlockKind, Cell, Page
from sidecar.outputs.markup import attributes, escaped, language, scaled

UNIT = 1200 / 72
"""1200ths of an inch in a point."""
NAMESPACE = "http://www.loc.gov/standards/alto/ns-v4#"
SCHEMA = f"{NAMESPACE} http://www.loc.gov/standards/alto/v4/alto-4-2.xsd"
SOFTWARE = (
    '<OCRProcessing ID="OCR"><ocrProcessingStep><processingSoftware><softwareName>ocr-sidecar</softwareName>'
    "</processingSoftware></ocrProcessingStep></OCRProcessing>"
)


def alto(pages: Sequence[Page]) -> str:
    """Write pages; what each block is stands in its tag. A word without a place has none here, either."""
    kinds = {block.kind for page in pages for block in page.blocks}
    body = "".join(f"{line}\n" for page in pages for line in _page(page))
    return (
        '<?xml version="1.0" encoding="UTF-8"?>\n'
        f'<alto xmlns="{NAMESPACE}" xmlns:xsi="http://www.w3.org/2001/XMLSchema-instance" '
        f'xsi:schemaLocation="{SCHEMA}" SCHEMAVERSION="4.2">\n'
        f"<Description><MeasurementUnit>inch1200</MeasurementUnit>{SOFTWARE}</Description>\n"
        f"{_tags(kinds)}<Layout>\n{body}</Layout>\n</alto>\n"
    )


def _tags(kinds: set[BlockKind]) -> str:
    tags = "".join(f"<LayoutTag{attributes(ID=_tag(one), LABEL=one)}/>" for one in sorted(kinds))
    return f"<Tags>{tags}</Tags>\n" if tags else ""


def _tag(kind: BlockKind) -> str:
    return f"kind_{kind}"


def _page(page: Page) -> Iterator[str]:
    size = {"WIDTH": _number(page.width * UNIT), "HEIGHT": _number(page.height * UNIT)}
    yield f"<Page{attributes(ID=f'page_{page.number}', PHYSICAL_IMG_NR=page.number, **size)}>"
    yield f"<PrintSpace{attributes(HPOS=0, VPOS=0, **size)}>"
    lang = language(page.languages)
    for at, block in enumerate(page.blocks, 1):
        yield from _block(block, f"{page.number}_{at}", lang)
    yield "</PrintSpace>"
    yield "</Page>"


def _block(block: Block, number: str, lang: str | None) -> Iterator[str]:
    names = {"ID": f"block_{number}", "TAGREFS": _tag(block.kind)} | _place(block.box or _around(block.lines))
    if block.kind is BlockKind.FIGURE:
        yield f"<Illustration{attributes(**names)}/>"
    elif block.cells:
        yield f"<ComposedBlock{attributes(**names, TYPE='table')}>"
        for cell in block.cells:
            yield from _cell(cell, number, lang)
        yield "</ComposedBlock>"
    else:
        yield f"<TextBlock{attributes(**names, LANG=lang)}>"
        yield from _lines(block.lines, number)
        yield "</TextBlock>"


def _cell(cell: Cell, number: str, lang: str | None) -> Iterator[str]:
    own = f"{number}_r{cell.row}_c{cell.column}"
    yield f"<TextBlock{attributes(ID=f'block_{own}', **_place(cell.box or _around(cell.lines)), LANG=lang)}>"
    yield from _lines(cell.lines, own)
    yield "</TextBlock>"


def _lines(lines: Iterable[Line], number: str) -> Iterator[str]:
    for at, line in enumerate(lines, 1):
        if line.words:
            names = {"ID": f"line_{number}_{at}"} | _place(line.box or _around([line])) | _baseline(line)
            yield f"<TextLine{attributes(**names)}>{''.join(_strings(line.words, f'{number}_{at}'))}</TextLine>"


def _strings(words: Iterable[Word], number: str) -> Iterator[str]:
    for at, word in enumerate(words, 1):
        if at > 1 and not word.joins:
            yield "<SP/>"
        names = {"ID": f"word_{number}_{at}"} | _place(word.box)
        sure = None if word.confidence is None else _number(min(1.0, max(0.0, word.confidence)))
        yield f'<String{attributes(**names)} CONTENT="{escaped(word.text)}"{attributes(WC=sure)}/>'


def _around(lines: Iterable[Line]) -> Box | None:
    return Box.around(box for line in lines for box in [line.box, *(word.box for word in line.words)] if box)


def _place(box: Box | None) -> dict[str, str]:
    if box is None:
        return {}
    left, top, right, bottom = scaled(box, UNIT)
    sides = {"HPOS": left, "VPOS": top, "WIDTH": right - left, "HEIGHT": bottom - top}
    return {name: _number(side) for name, side in sides.items()}


def _baseline(line: Line) -> dict[str, str]:
    if line.baseline is None:
        return {}
    return {"BASELINE": " ".join(f"{_number(x * UNIT)},{_number(y * UNIT)}" for x, y in line.baseline)}


def _number(value: float) -> str:
    return f"{value:.2f}".rstrip("0").rstrip(".")
