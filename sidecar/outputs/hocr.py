"""Pages as hOCR 1.2, as Tesseract writes it: https://kba.github.io/hocr-spec/1.2/. Pure.

hOCR counts in pixels of a picture. These are of one with :data:`DPI` dots per inch, which each page says.
"""

from collections.abc import Iterable, Iterator, Sequence

from sidecar.evidence.layout import Box, Line, Word
from sidecar.evidence.page import Block, BlockKind, Page
from sidecar.outputs.markup import attributes, escaped, language, scaled

DPI = 300
PIXELS = DPI / 72
"""Of a point."""
LINE_CLASSES = {BlockKind.HEADER: "ocr_header", BlockKind.CAPTION: "ocr_caption"}
CAPABILITIES = "ocr_page ocr_carea ocr_par ocr_line ocr_header ocr_caption ocr_photo ocrx_word ocrp_wconf"
HEAD = f"""<?xml version="1.0" encoding="UTF-8"?>
<!DOCTYPE html PUBLIC "-//W3C//DTD XHTML 1.0 Transitional//EN" "http://www.w3.org/TR/xhtml1/DTD/xhtml1-transitional.dtd">
<html xmlns="http://www.w3.org/1999/xhtml">
<head>
<title></title>
<meta http-equiv="Content-Type" content="text/html; charset=utf-8" />
<meta name="ocr-system" content="ocr-sidecar" />
<meta name="ocr-capabilities" content="{CAPABILITIES}" />
</head>
<body>
"""


def hocr(pages: Sequence[Page]) -> str:
    """Write pages; a word without a place has none here, either."""
    return HEAD + "".join(f"{line}\n" for page in pages for line in _page(page)) + "</body>\n</html>\n"


def _page(page: Page) -> Iterator[str]:
    whole = Box(0, 0, page.width, page.height)
    title = f"{_bbox(whole)}; ppageno {page.number - 1}; scan_res {DPI} {DPI}"
    lang = language(page.languages)
    names = {"class": "ocr_page", "id": f"page_{page.number}", "title": title, "lang": lang}
    yield f"<div{attributes(**names)}>"
    for at, block in enumerate(page.blocks, 1):
        yield from _block(block, page, f"{page.number}_{at}")
    yield "</div>"


def _block(block: Block, page: Page, number: str) -> Iterator[str]:
    parts = [cell.lines for cell in block.cells] or [block.lines]
    lines = [line for part in parts for line in part]
    box = block.box or Box.around(box for line in lines if (box := _line_box(line)))
    title = _bbox(box) if box else None
    if block.kind is BlockKind.FIGURE:
        yield f"<div{attributes(**{'class': 'ocr_photo', 'id': f'block_{number}', 'title': title})}></div>"
        return
    yield f"<div{attributes(**{'class': 'ocr_carea', 'id': f'block_{number}', 'title': title})}>"
    first = 1
    for at, part in enumerate(parts, 1):
        part_box = Box.around(one for line in part if (one := _line_box(line))) or box
        names = {"class": "ocr_par", "id": f"par_{number}_{at}", "title": _bbox(part_box) if part_box else None}
        yield f"<p{attributes(**names)}>"
        for line in part:
            yield _line(line, LINE_CLASSES.get(block.kind, "ocr_line"), page, f"{number}_{first}", box)
            first += 1
        yield "</p>"
    yield "</div>"


def _line_box(line: Line) -> Box | None:
    return line.box or Box.around(word.box for word in line.words if word.box)


def _line(line: Line, name: str, page: Page, number: str, around: Box | None) -> str:
    box = _line_box(line) or around or Box(0, 0, page.width, page.height)
    parts = [_bbox(box), *_baseline(line, box, page.rotation)]
    if line.size:
        parts.append(f"x_size {line.size * PIXELS:.1f}")
    if turned := round(page.rotation / 90) % 4 * 90:
        parts.append(f"textangle {turned}")
    names = {"class": name, "id": f"line_{number}", "title": "; ".join(parts)}
    return f"<span{attributes(**names)}>{''.join(_words(line.words, number))}</span>"


def _baseline(line: Line, box: Box, rotation: float) -> Iterator[str]:
    """Say where a line's letters stand: a slope, and how far below its box's lower left corner; not of turned lines."""
    if line.baseline is None or round(rotation / 90) % 4:
        return
    (x0, y0), (x1, y1) = line.baseline
    if x0 != x1:
        slope = (y1 - y0) / (x1 - x0)
        yield f"baseline {slope:.4f} {round((y0 + slope * (box.left - x0) - box.bottom) * PIXELS)}"


def _words(words: Iterable[Word], number: str) -> Iterator[str]:
    for at, word in enumerate(words, 1):
        parts = [_bbox(word.box)] if word.box else []
        if word.confidence is not None:
            parts.append(f"x_wconf {round(100 * word.confidence)}")
        names = {"class": "ocrx_word", "id": f"word_{number}_{at}", "title": "; ".join(parts) or None}
        between = "" if word.joins or at == 1 else " "
        yield f"{between}<span{attributes(**names)}>{escaped(word.text)}</span>"


def _bbox(box: Box) -> str:
    return "bbox " + " ".join(str(round(one)) for one in scaled(box, PIXELS))
