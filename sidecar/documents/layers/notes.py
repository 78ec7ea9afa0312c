"""Notes written onto a page that lack an appearance: they get one, so that they are drawn and are part of its text."""

import ctypes
import re
import textwrap
from collections.abc import Sequence
from typing import Any

import pypdfium2.raw as pdfium_c

HIDDEN_FLAGS = 0x02 | 0x20
"""Hidden, and not to be viewed (ISO 32000-1, table 165)."""
USUAL_SIZE, LEAST_SIZE = 12.0, 4.0
"""Points: of a note that names no size, and of one whose text is more than its box holds."""
LEADING = 1.2
LETTER_WIDTH = 0.5
"""Of the size: Helvetica's mean."""
MARGIN = 2.0
CHARACTERS = "cp1252"
"""Those that the font Helvetica has. PDFium carries no font with others: the text of other notes is added as it is."""

_SIZE = re.compile(r"([\d.]{1,8})\s+Tf")
_COLOUR = re.compile(r"(?:[\d.]{1,8}\s+){1,4}(?:g|rg|k)\b")

Rect = tuple[float, float, float, float]


def give_appearance(annotation: Any) -> str:  # noqa: ANN401 - a PDFium handle
    """Give a FreeText annotation an appearance, if it has none and is to be seen; return its text if that cannot be."""
    if pdfium_c.FPDFAnnot_GetAP(annotation, pdfium_c.FPDF_ANNOT_APPEARANCEMODE_NORMAL, None, 0) > len(
        "\0".encode("utf-16-le")
    ):
        return ""
    text = _string(annotation, b"Contents").strip()
    if not text or pdfium_c.FPDFAnnot_GetFlags(annotation) & HIDDEN_FLAGS:
        return ""
    if not _is_drawable(text):
        return text
    content = appearance(text, _string(annotation, b"DA"), _rect(annotation))
    buffer = ctypes.create_string_buffer(content.encode("utf-16-le") + b"\0\0")
    wide = ctypes.cast(buffer, ctypes.POINTER(ctypes.c_ushort))
    pdfium_c.FPDFAnnot_SetAP(annotation, pdfium_c.FPDF_ANNOT_APPEARANCEMODE_NORMAL, wide)
    return ""


def appearance(text: str, style: str, rect: Rect) -> str:
    """Return the operators that draw a text within a box, by the note's default appearance: its size and colour."""
    left, bottom, right, top = rect
    found, colour = _SIZE.search(style), _COLOUR.search(style)
    size, lines = _fitted(text, _number(found[1]) if found else 0.0, right - left, top - bottom)
    start = f"{colour[0] if colour else '0 g'} /Helv {size:g} Tf {size * LEADING:g} TL"
    shown = " ".join(f"{_escaped(line)} Tj T*" for line in lines)
    return f"BT {start} 1 0 0 1 {left + MARGIN:g} {top - MARGIN - size:g} Tm {shown} ET"


def _fitted(text: str, size: float, width: float, height: float) -> tuple[float, Sequence[str]]:
    """Return the size, at most the wanted one, at which a text fits into a box, and its lines."""
    size = size or USUAL_SIZE
    while True:
        letters = max(1, int((width - 2 * MARGIN) / (LETTER_WIDTH * size)))
        lines = [line for part in text.splitlines() for line in (textwrap.wrap(part, letters) or [""])]
        if size <= LEAST_SIZE or len(lines) * size * LEADING <= height:
            return size, lines
        size = max(LEAST_SIZE, size * 0.9)


def _escaped(line: str) -> str:
    return "(" + "".join(f"\\{code:03o}" for code in line.encode(CHARACTERS, "replace")) + ")"


def _is_drawable(text: str) -> bool:
    return text.encode(CHARACTERS, "ignore").decode(CHARACTERS) == text


def _number(digits: str) -> float:
    try:
        return float(digits)
    except ValueError:
        return 0.0


def _string(annotation: Any, key: bytes) -> str:  # noqa: ANN401 - a PDFium handle
    size = pdfium_c.FPDFAnnot_GetStringValue(annotation, key, None, 0)
    buffer = ctypes.create_string_buffer(size)
    pdfium_c.FPDFAnnot_GetStringValue(annotation, key, ctypes.cast(buffer, ctypes.POINTER(ctypes.c_ushort)), size)
    return buffer.raw.decode("utf-16-le", "replace").rstrip("\0").replace("\r\n", "\n").replace("\r", "\n")


def _rect(annotation: Any) -> Rect:  # noqa: ANN401 - a PDFium handle
    """Return the note's box: left, bottom, right, top. Its corners are put into this order in the note, too."""
    found = pdfium_c.FS_RECTF()
    pdfium_c.FPDFAnnot_GetRect(annotation, found)
    found.left, found.right = sorted((found.left, found.right))
    found.bottom, found.top = sorted((found.bottom, found.top))
    pdfium_c.FPDFAnnot_SetRect(annotation, found)
    return found.left, found.bottom, found.right, found.top
