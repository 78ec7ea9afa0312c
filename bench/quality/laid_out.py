"""Made pages whose layout has a truth: columns, tables, running headers, lists; tests in the form of olmOCR's.

Each number gives the same document again, in other sizes and with other words.
"""

import io
import random
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import pypdfium2 as pdfium
from PIL import Image, ImageChops, ImageFilter
from reportlab.lib.colors import grey
from reportlab.lib.pagesizes import A4
from reportlab.lib.styles import ParagraphStyle
from reportlab.lib.units import mm
from reportlab.pdfbase import pdfmetrics
from reportlab.pdfbase.ttfonts import TTFont
from reportlab.pdfgen.canvas import Canvas
from reportlab.platypus import BaseDocTemplate, Frame, Paragraph, Spacer, Table, TableStyle
from reportlab.platypus.doctemplate import PageTemplate

from bench.quality.made import ENGLISH, GOODS
from tools.numerals.fonts import find_fonts
from tools.numerals.pages import PROSE

Test = Mapping[str, Any]
WIDTH, HEIGHT = A4
SCAN_DPI, POINTS_PER_INCH, NOISE = 200, 72, 12.0


@dataclass(frozen=True, slots=True)
class LaidOut:
    """A PDF file, and what its Markdown must hold, and must not: tests as olmOCR's benchmark has them."""

    content: bytes
    tests: tuple[Test, ...]


def present(text: str) -> Test:
    return {"type": "present", "text": text, "max_diffs": 1}


def absent(text: str) -> Test:
    return {"type": "absent", "text": text}


def order(before: str, after: str) -> Test:
    return {"type": "order", "before": before, "after": after}


def cell(text: str, **near: str | int) -> Test:
    return {"type": "table", "cell": text, **near}


def _sentences(dice: random.Random, count: int) -> list[str]:
    """Sentences that are all different: each names a number."""
    return [f"{dice.choice(ENGLISH)[:-1]} in case {dice.randrange(10_000, 99_999)}." for _ in range(count)]


def _styles(dice: random.Random) -> tuple[ParagraphStyle, ParagraphStyle]:
    size = dice.choice((9, 10, 11))
    font = dice.choice(("Helvetica", "Times-Roman"))
    text = ParagraphStyle("text", fontName=font, fontSize=size, leading=1.2 * size, alignment=dice.choice((0, 4)))
    bold = {"Helvetica": "Helvetica-Bold", "Times-Roman": "Times-Bold"}[font]
    head = ParagraphStyle("head", fontName=bold, fontSize=1.4 * size, leading=1.8 * size, spaceBefore=size)
    return text, head


def _built(
    story: Sequence[Any], frames: Sequence[Frame], on_page: Callable[[Canvas, Any], None] | None = None
) -> bytes:
    out = io.BytesIO()
    document = BaseDocTemplate(out, pagesize=A4)
    document.addPageTemplates(PageTemplate(frames=list(frames), onPage=on_page or (lambda *_: None)))
    document.build(list(story))
    return out.getvalue()


def _columns(count: int, *, top: float = 30 * mm) -> list[Frame]:
    gutter, margin = 7 * mm, 20 * mm
    width = (WIDTH - 2 * margin - (count - 1) * gutter) / count
    return [
        Frame(margin + at * (width + gutter), 25 * mm, width, HEIGHT - 25 * mm - top, 0, 0, 0, 0) for at in range(count)
    ]


def in_columns(dice: random.Random, count: int) -> LaidOut:
    """Running text in columns under a title over all of them."""
    text, _ = _styles(dice)
    sentences = _sentences(dice, 45 * (2 if count == 3 else 1))
    paragraphs = [" ".join(sentences[at : at + 3]) for at in range(0, len(sentences), 3)]
    story = [item for one in paragraphs for item in (Paragraph(one, text), Spacer(1, dice.choice((0, 4, 8))))]
    title = "The harbour report on all columns of this page"

    def draw(canvas: Canvas, document: Any) -> None:  # noqa: ANN401 - reportlab ships no types
        canvas.setFont("Helvetica-Bold", 20)
        if document.page == 1:
            canvas.drawCentredString(WIDTH / 2, HEIGHT - 22 * mm, title)

    marks = [sentence.split(" in case ")[1].rstrip(".") for sentence in sentences]
    tests = [order(one, other) for one, other in zip(marks[::4], marks[4::4], strict=False)]
    return LaidOut(_built(story, _columns(count), draw), (present(title), order(title, marks[0]), *tests))


def _goods(dice: random.Random, rows: int) -> list[list[str]]:
    names = dice.sample(GOODS, k=min(rows, len(GOODS)))
    return [
        [name, str(dice.randrange(2, 90)), f"{dice.randrange(1000, 99_999) / 100:.2f}", f"A-{dice.randrange(100, 999)}"]
        for name in names
    ]


def _about_tables(rows: Sequence[Sequence[str]], heads: Sequence[str]) -> list[Test]:
    tests = [cell(heads[0]), cell(rows[0][2], top_heading=heads[2]), cell(rows[-1][3], left_heading=rows[-1][0])]
    tests += [cell(rows[at][1], right=rows[at][2]) for at in range(len(rows))]
    return tests + [cell(rows[at][2], down=rows[at + 1][2]) for at in range(len(rows) - 1)]


HEADS = ("Article", "Count", "Price", "Code")


def _table_page(dice: random.Random, style: Sequence[Any], **room: float) -> LaidOut:
    text, _ = _styles(dice)
    rows = _goods(dice, dice.choice((4, 6)))
    before, after = _sentences(dice, 6), _sentences(dice, 6)
    commands = [("FONT", (0, 0), (-1, -1), text.fontName, text.fontSize), ("ALIGN", (1, 0), (2, -1), "RIGHT"), *style]
    table = Table([list(HEADS), *rows], colWidths=[room.get("wide", 42) * mm, 24 * mm, 26 * mm, 26 * mm])
    table.setStyle(TableStyle(commands))
    story = [Paragraph(" ".join(before), text), Spacer(1, 12), table, Spacer(1, 12), Paragraph(" ".join(after), text)]
    tests = [*_about_tables(rows, HEADS), order(before[-1][-12:], rows[0][0]), order(rows[-1][2], after[0][-12:])]
    return LaidOut(_built(story, _columns(1)), tuple(tests))


def ruled_table(dice: random.Random) -> LaidOut:
    """A grid of lines around every cell."""
    return _table_page(dice, [("GRID", (0, 0), (-1, -1), 0.5, grey)])


def booktabs_table(dice: random.Random) -> LaidOut:
    """Lines above and below the headings, and below the table."""
    return _table_page(
        dice, [("LINEABOVE", (0, 0), (-1, 0), 1, grey), ("LINEBELOW", (0, 0), (-1, 0), 0.5, grey),
               ("LINEBELOW", (0, -1), (-1, -1), 1, grey)]
    )  # fmt: skip


def plain_table(dice: random.Random) -> LaidOut:
    """No line at all."""
    return _table_page(dice, [])


def wrapped_table(dice: random.Random) -> LaidOut:
    """A grid with cells of several lines, and a heading over two columns."""
    text, _ = _styles(dice)
    descriptions = [" ".join(_sentences(dice, 1)) for _ in range(4)]
    rows = [
        [Paragraph(one, text), str(dice.randrange(100, 999)), str(dice.randrange(1000, 9999))] for one in descriptions
    ]
    table = Table(
        [["Description", "Measured", ""], ["", "first", "second"], *rows], colWidths=[80 * mm, 30 * mm, 30 * mm]
    )
    table.setStyle(TableStyle([("GRID", (0, 0), (-1, -1), 0.5, grey), ("SPAN", (1, 0), (2, 0)),
                               ("SPAN", (0, 0), (0, 1)),
                               ("VALIGN", (0, 0), (-1, -1), "MIDDLE")]))  # fmt: skip
    tests = [cell(one, right=row[1], max_diffs=2) for one, row in zip(descriptions, rows, strict=True)]
    tests += [cell(rows[0][2], top_heading="Measured"), cell(rows[0][2], top_heading="second")]
    tests += [cell(rows[1][1], up=rows[0][1])]
    return LaidOut(_built([table], _columns(1)), tuple(tests))


def running(dice: random.Random) -> LaidOut:
    """Three pages with a running header, a footer and page numbers."""
    text, _ = _styles(dice)
    sentences = _sentences(dice, 110)
    story = [Paragraph(" ".join(sentences[at : at + 4]), text) for at in range(0, len(sentences), 4)]
    name = f"Quarterly bulletin no. {dice.randrange(10, 99)}"

    def draw(canvas: Canvas, document: Any) -> None:  # noqa: ANN401 - reportlab ships no types
        canvas.setFont("Helvetica", 9)
        canvas.drawString(20 * mm, HEIGHT - 14 * mm, name)
        canvas.drawRightString(WIDTH - 20 * mm, HEIGHT - 14 * mm, "Harbour office")
        canvas.drawCentredString(WIDTH / 2, 12 * mm, f"Page {document.page}")

    tests = [absent(name), absent("Harbour office"), absent("Page 2"), order(sentences[0][-12:], sentences[-1][-12:])]
    return LaidOut(_built(story, _columns(1), draw), (*tests, *map(present, sentences[::9])))


def letter(dice: random.Random) -> LaidOut:
    """A letter from the top of the page: nothing of it is furniture."""
    lines = ["Port of Songkhla, Engineering Division", "12 Harbour Road", "", "Dear Sir or Madam,", "",
             *_sentences(dice, 14), "", "Yours faithfully,", "Somchai Jaidee"]  # fmt: skip
    out = io.BytesIO()
    canvas = Canvas(out, pagesize=A4)
    canvas.setFont("Helvetica", 11)
    for row, line in enumerate(lines):
        canvas.drawString(25 * mm, HEIGHT - 20 * mm - 16 * row, line)
    canvas.save()
    return LaidOut(out.getvalue(), tuple(present(line) for line in lines if line))


def chapters(dice: random.Random) -> LaidOut:
    """Headings of two levels, paragraphs, and lists with numbers and bullets."""
    text, head = _styles(dice)
    small = ParagraphStyle("small", parent=head, fontSize=1.2 * text.fontSize)
    sentences = _sentences(dice, 12)
    indented = ParagraphStyle("item", parent=text, leftIndent=14, firstLineIndent=-10)
    items = [Paragraph(f"{at + 1}. {one}", indented) for at, one in enumerate(sentences[4:7])]
    bullets = [Paragraph(f"• {one}", indented) for one in sentences[7:9]]
    story = [Paragraph("Scope of the works", head), Paragraph(" ".join(sentences[:2]), text),
             Paragraph("Materials", small), Paragraph(" ".join(sentences[2:4]), text), Spacer(1, 6), *items,
             Spacer(1, 6),
             *bullets, Paragraph("Payment", head), Paragraph(" ".join(sentences[9:]), text)]  # fmt: skip
    tests = [present("# Scope of the works"), present("## Materials"), present("# Payment"),
             present(f"2. {sentences[5]}"), present(f"- {sentences[7]}"), *map(present, sentences)]  # fmt: skip
    return LaidOut(_built(story, _columns(1)), tuple(tests))


def thai(dice: random.Random) -> LaidOut:
    """A Thai heading, running text, and a table with lines."""
    font = next(one for one in find_fonts(("Norasi", "Umpush")) if "Bold" not in one.stem and "Oblique" not in one.stem)
    pdfmetrics.registerFont(TTFont(font.stem, str(font)))
    lines = [f"{dice.choice(PROSE)} ข้อ {dice.randrange(1000, 9999)}" for _ in range(6)]
    rows = [[dice.choice(("ท่อทองแดง", "หมวกนิรภัย", "สีทาเรือ")) + f" {at}", str(dice.randrange(10, 99)),
             f"{dice.randrange(1000, 9999)}.50"] for at in range(1, 5)]  # fmt: skip
    out = io.BytesIO()
    canvas = Canvas(out, pagesize=A4)
    canvas.setFont(font.stem, 22)
    canvas.drawString(60, 740, "รายงานการตรวจรับพัสดุ")
    canvas.setFont(font.stem, 14)
    for at, line in enumerate(lines):
        canvas.drawString(60, 700 - 22 * at, line)
    table = Table([["รายการ", "จำนวน", "ราคา"], *rows], colWidths=[150, 80, 100])
    table.setStyle(TableStyle([("GRID", (0, 0), (-1, -1), 0.5, grey), ("FONT", (0, 0), (-1, -1), font.stem, 14)]))
    table.wrapOn(canvas, 400, 300)
    table.drawOn(canvas, 60, 400)
    canvas.save()
    tests = [present("# รายงานการตรวจรับพัสดุ"), *map(present, lines), cell("รายการ"),
             cell(rows[2][1], right=rows[2][2]), cell(rows[1][2], top_heading="ราคา"),
             cell(rows[3][1], left_heading=rows[3][0])]  # fmt: skip
    return LaidOut(out.getvalue(), tuple(tests))


KINDS: Mapping[str, Callable[[random.Random], LaidOut]] = {
    "two columns": lambda dice: in_columns(dice, 2),
    "three columns": lambda dice: in_columns(dice, 3),
    "ruled table": ruled_table,
    "table between rules": booktabs_table,
    "unruled table": plain_table,
    "wrapped cells": wrapped_table,
    "running header": running,
    "letter": letter,
    "headings and lists": chapters,
    "Thai": thai,
}


def make(kind: str, number: int) -> LaidOut:
    """Make the document of this kind and number."""
    return KINDS[kind](random.Random(f"{kind} {number}"))


def scanned(made: LaidOut) -> bytes:
    """Return the same document as scans: its pages drawn, blurred a little, with noise, as pictures in a PDF file."""
    document = pdfium.PdfDocument(made.content)
    pages = [page.render(scale=SCAN_DPI / POINTS_PER_INCH, grayscale=True).to_pil() for page in document]
    noise = [Image.effect_noise(page.size, NOISE) for page in pages]
    scans = [
        ImageChops.add(page.filter(ImageFilter.GaussianBlur(0.6)), one, offset=-128)
        for page, one in zip(pages, noise, strict=True)
    ]
    out = io.BytesIO()
    scans[0].save(out, "PDF", save_all=True, append_images=scans[1:], resolution=SCAN_DPI, quality=80)
    return out.getvalue()
