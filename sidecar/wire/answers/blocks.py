"""The blocks of pages as an answer has them, as JSON. Pure; workers run it, since a long document has a million words.

:mod:`sidecar.wire.ocr` describes the same. It is not used here: its checks would take longer than all the rest.
"""

import json
from collections.abc import Iterable, Sequence

from sidecar.evidence.layout import Box, Line, Word
from sidecar.evidence.packed import Packed
from sidecar.evidence.page import Block, Cell, Page


def render_pages(pages: Iterable[Page], with_words: bool) -> list[Packed[bytes]]:
    """Return each page's fields, without the braces around them, packed: large ones a fifth of what will be sent."""
    return [Packed(render_page(page, with_words=with_words)) for page in pages]


def render_page(page: Page, *, with_words: bool) -> bytes:
    """Return a page's fields ``widthPt``, ``heightPt`` and ``blocks`` as JSON, without the braces around them."""
    fields = {
        "widthPt": _number(page.width or None),
        "heightPt": _number(page.height or None),
        "blocks": [_block(block, with_words=with_words) for block in page.blocks],
    }
    return json.dumps(fields, ensure_ascii=False, separators=(",", ":")).encode("utf-8", "replace")[1:-1]


def _block(block: Block, *, with_words: bool) -> dict[str, object]:
    return {
        "kind": block.kind.value,
        "level": block.level,
        "box": _box(block.box),
        "lines": _lines(block.lines, with_words=with_words),
        "cells": [_cell(cell, with_words=with_words) for cell in block.cells],
    }


def _cell(cell: Cell, *, with_words: bool) -> dict[str, object]:
    return {
        "row": cell.row,
        "column": cell.column,
        "rowSpan": cell.row_span,
        "columnSpan": cell.column_span,
        "header": cell.is_header,
        "box": _box(cell.box),
        "lines": _lines(cell.lines, with_words=with_words),
    }


def _lines(lines: Sequence[Line], *, with_words: bool) -> list[dict[str, object]]:
    return [_line(line, with_words=with_words) for line in lines]


def _line(line: Line, *, with_words: bool) -> dict[str, object]:
    baseline = line.baseline
    return {
        "text": line.text,
        "box": _box(line.box),
        "baseline": [_number(value) for end in baseline for value in end] if baseline else None,
        "sizePt": _number(line.size),
        "bold": line.is_bold,
        "words": [_word(word) for word in line.words] if with_words else None,
    }


def _word(word: Word) -> dict[str, object]:
    return {
        "text": word.text,
        "box": _box(word.box),
        "confidence": None if word.confidence is None else round(word.confidence, 3),
        "source": word.source.value,
        "joins": word.joins,
    }


def _box(box: Box | None) -> list[float | None] | None:
    return None if box is None else [_number(edge) for edge in (box.left, box.top, box.right, box.bottom)]


def _number(value: float | None) -> float | None:
    return None if value is None else round(value, 2)
