"""Pages made by hand, the searchable PDFs made of them, and where readers find their words."""

import ctypes
import io
import re
import subprocess
from dataclasses import dataclass
from html import unescape
from pathlib import Path

import pikepdf
import pypdfium2 as pdfium
import pypdfium2.raw as pdfium_c

from sidecar.documents.document import DocumentLimits
from sidecar.documents.searchable import writing
from sidecar.documents.searchable.pieces import Searchable, Stretch
from sidecar.evidence.layout import Box, Line, Source, Word
from sidecar.evidence.page import Block, BlockKind, Page

LIMITS = DocumentLimits(150_000_000, 32 << 20, 300)
LETTER_WIDTH, SIZE = 6.0, 12.0


@dataclass(frozen=True)
class Found:
    """A word as a reader of text layers tells it, its place from the top left corner of the page as shown."""

    text: str
    left: float
    top: float
    right: float
    bottom: float


def line_at(left: float, baseline: float, *texts: str, joins: bool = False, gap: float = 4.0) -> Line:
    """A line of words, each as wide as it has letters."""
    words, at = [], left
    for number, text in enumerate(texts):
        end = at + LETTER_WIDTH * len(text)
        box = Box(at, baseline - 9, end, baseline)
        words.append(Word(text, box, 0.9, Source.TESSERACT, joins=joins and number > 0))
        at = end + (0 if joins else gap)
    return Line(tuple(words), Box.around(one.box for one in words if one.box), size=SIZE)


def page_with(*lines: Line, size: tuple[float, float] = (595.0, 842.0), number: int = 1, rotation: float = 0) -> Page:
    return Page(number, *size, (Block(BlockKind.PARAGRAPH, None, lines),), rotation)


def empty_pdf(
    pages: int = 1,
    box: tuple[float, ...] = (0, 0, 595, 842),
    content: bytes = b"0.9 g 50 50 80 80 re f",
    **entries: object,
) -> bytes:
    """A PDF of pages without text, with a grey square each; ``entries`` go into each page."""
    pdf = pikepdf.Pdf.new()
    for _ in range(pages):
        pdf.add_blank_page()
        page = pdf.pages[-1].obj
        page.MediaBox = pikepdf.Array(box)
        page.Contents = pdf.make_stream(content)
        for name, value in entries.items():
            page["/" + name] = pikepdf.Array(value) if isinstance(value, tuple) else value
    held = io.BytesIO()
    pdf.save(held)
    return held.getvalue()


def joined(made: Searchable, document: bytes) -> bytes:
    """Put the pieces of a searchable PDF together."""
    return b"".join(
        document[one.start : one.start + one.length] if isinstance(one, Stretch) else one for one in made.pieces
    )


def made_searchable(folder: Path, document: bytes, *pages: Page) -> Path:
    source, target = folder / "source", folder / "searchable.pdf"
    source.write_bytes(document)
    target.write_bytes(joined(writing.searchable(source, LIMITS, pages), document))
    return target


def pdfium_text(path: Path, index: int = 0) -> str:
    pdf = pdfium.PdfDocument(path)
    try:
        return pdf[index].get_textpage().get_text_range()
    finally:
        pdf.close()


def pdfium_words(path: Path, index: int = 0) -> list[Found]:
    """Where PDFium finds each run of letters, turned to the page as it is shown."""
    pdf = pdfium.PdfDocument(path)
    try:
        page = pdf[index]
        text_page = page.get_textpage()
        text = text_page.get_text_range()
        spans = [found.span() for found in re.finditer(r"\S+", text)]
        return [_shown(page, text[start:end], text_page, start, end) for start, end in spans]
    finally:
        pdf.close()


def _shown(page: pdfium.PdfPage, text: str, text_page: pdfium.PdfTextPage, start: int, end: int) -> Found:
    boxes = [text_page.get_charbox(at) for at in range(start, end)]
    width, height = page.get_size()
    corners = [
        _device(page, width, height, x, y) for left, low, right, up in boxes for x in (left, right) for y in (low, up)
    ]
    across, down = zip(*corners, strict=True)
    return Found(text, min(across), min(down), max(across), max(down))


def _device(page: pdfium.PdfPage, width: float, height: float, x: float, y: float) -> tuple[float, float]:
    fine = 100
    across, down = ctypes.c_int(), ctypes.c_int()
    pdfium_c.FPDF_PageToDevice(page, 0, 0, round(width * fine), round(height * fine), 0, x, y, across, down)
    return across.value / fine, down.value / fine


def poppler_text(path: Path, page: int = 1, *options: str) -> str:
    command = ["pdftotext", "-f", str(page), "-l", str(page), *options, str(path), "-"]
    return subprocess.run(command, capture_output=True, text=True, check=True, timeout=60).stdout


def poppler_words(path: Path, page: int = 1) -> list[Found]:
    """Where poppler finds each word, from the top left corner of the crop box."""
    told = poppler_text(path, page, "-bbox", "-cropbox")
    return [
        Found(unescape(text), *(float(one) for one in places))
        for *places, text in re.findall(
            r'<word xMin="([\d.-]+)" yMin="([\d.-]+)" xMax="([\d.-]+)" yMax="([\d.-]+)">([^<]*)</word>', told
        )
    ]
