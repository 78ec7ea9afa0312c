"""Made pages with their true texts, of the kinds that the service meets. Each number gives the same page again."""

import io
import random
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from PIL import Image, ImageChops, ImageDraw, ImageFilter, ImageFont
from reportlab.lib.pagesizes import A4
from reportlab.pdfbase import pdfmetrics
from reportlab.pdfbase.ttfonts import TTFont
from reportlab.pdfgen.canvas import Canvas

from tools.numerals.fonts import find_fonts
from tools.numerals.pages import PROSE, Look, Writing, draw_page, make_page

FAMILIES = ("Norasi", "Sawasdee", "Umpush")
"""With Thai and Latin letters, of Debian's fonts-thai-tlwg."""
ENGLISH = (
    "The contractor shall submit the revised drawings within seven working days.",
    "Delivery of the steel piles was postponed until the third week of October.",
    "Please find enclosed the minutes of the meeting held at the harbour office.",
    "The laboratory tested twelve concrete cubes and reports an average strength.",
    "Payment is due thirty days after receipt of the invoice and its attachments.",
    "All measurements were taken at low tide and refer to the local datum.",
    "The engineer approved the method statement subject to the comments below.",
    "Access to the site is restricted to persons who hold a valid permit.",
)
GOODS = ("copper pipe", "gate valve", "safety helmet", "marine paint", "anchor bolt", "rubber fender", "steel cable")
PAPER = (231, 228, 219)
LINES = 12


@dataclass(frozen=True, slots=True)
class Made:
    """A file with its name, its true text, and the amounts in it, where the kind is about those."""

    name: str
    content: bytes
    text: str
    amounts: tuple[str, ...] = ()


def thai_lines(dice: random.Random) -> list[str]:
    return [dice.choice(PROSE) for _ in range(LINES)]


def english_lines(dice: random.Random) -> list[str]:
    return [dice.choice(ENGLISH) for _ in range(LINES)]


def table_lines(dice: random.Random) -> list[str]:
    """Rows of a bill; three spaces part the cells."""
    return [
        f"{dice.choice(GOODS)}   {dice.randrange(2, 90)} pcs   {dice.randrange(1000, 99999) / 100:.2f}"
        for _ in range(LINES)
    ]


def _look(dice: random.Random, **degraded: float) -> Look:
    return Look(dice.choice(find_fonts(FAMILIES)), dice.choice((11, 12, 14)), 200, **degraded)


def _page(lines: list[str], look: Look) -> tuple[Image.Image, str]:
    made = draw_page(lines, [], look)
    return made.image, "\n".join(made.lines)


def _scanned(lines: Callable[[random.Random], list[str]], dice: random.Random, number: int) -> Made:
    look = _look(dice, noise=dice.choice((4, 8, 12)), blur=0.5, skew=dice.choice((0.0, 0.6, -0.8)))
    picture, text = _page(lines(dice), look)
    return Made(f"{number}.png", _png(picture, look.dpi), text)


def _photographed(lines: Callable[[random.Random], list[str]], dice: random.Random, number: int) -> Made:
    """Take a picture of the page: in perspective, with a shadow, out of focus a little, as JPEG without resolution."""
    picture, text = _page(lines(dice), _look(dice))
    width, height = picture.size
    shifts = [dice.uniform(0.0, 0.03) for _ in range(8)]
    corners = (
        -shifts[0] * width,
        -shifts[1] * height,
        -shifts[2] * width,
        height * (1 + shifts[3]),
        width * (1 + shifts[4]),
        height * (1 + shifts[5]),
        width * (1 + shifts[6]),
        -shifts[7] * height,
    )
    tilted = picture.transform(picture.size, Image.Transform.QUAD, corners, Image.Resampling.BICUBIC, fillcolor=255)
    shadow = Image.linear_gradient("L").rotate(dice.choice((0, 90, 180))).resize(picture.size)
    shadow = shadow.point([110 + value * 145 // 255 for value in range(256)])
    lit = ImageChops.multiply(tilted, shadow).filter(ImageFilter.GaussianBlur(0.9))
    tinted = ImageChops.multiply(lit.convert("RGB"), Image.new("RGB", picture.size, PAPER))
    out = io.BytesIO()
    tinted.save(out, "JPEG", quality=60)
    return Made(f"{number}.jpg", out.getvalue(), text)


def _digital(lines: Callable[[random.Random], list[str]], dice: random.Random, number: int) -> Made:
    font, chosen, out = dice.choice(find_fonts(FAMILIES)), lines(dice), io.BytesIO()
    pdfmetrics.registerFont(TTFont(font.stem, str(font)))
    canvas = Canvas(out, pagesize=A4)
    canvas.setFont(font.stem, 14)
    for row, line in enumerate(chosen):
        canvas.drawString(60, 760 - 24 * row, line)
    canvas.save()
    return Made(f"{number}.pdf", out.getvalue(), "\n".join(chosen))


def _stamped(dice: random.Random, number: int) -> Made:
    """Stamp a page in red, across its text."""
    look = _look(dice, noise=4.0)
    lines = english_lines(dice)
    page = draw_page(lines, [], Look(look.font, look.points, look.dpi)).image.convert("RGB")
    stamp = Image.new("RGB", (520, 130), "white")
    pen, font = ImageDraw.Draw(stamp), ImageFont.truetype(str(look.font), 64)
    pen.rectangle((4, 4, 515, 125), outline=(200, 30, 40), width=6)
    pen.text((40, 20), "APPROVED", font=font, fill=(200, 30, 40))
    place = Image.new("RGB", page.size, "white")
    place.paste(stamp.rotate(12, expand=True, fillcolor="white"), (dice.randrange(200, 900), page.height - 420))
    return Made(f"{number}.png", _png(ImageChops.multiply(page, place), look.dpi), "\n".join([*lines, "APPROVED"]))


def _numerals(dice: random.Random, number: int) -> Made:  # noqa: ARG001 - its number alone makes that page
    page = make_page(Writing.THAI, number, FAMILIES)
    return Made(f"{number}.png", _png(page.image, page.look.dpi), "\n".join(page.lines), page.amounts)


def _png(picture: Image.Image, dpi: int) -> bytes:
    out = io.BytesIO()
    picture.save(out, "PNG", dpi=(dpi, dpi))
    return out.getvalue()


def _of(make: Callable[..., Made], lines: Callable[[random.Random], list[str]]) -> Callable[[random.Random, int], Made]:
    return lambda dice, number: make(lines, dice, number)


KINDS: Mapping[str, Callable[[random.Random, int], Made]] = {
    "Thai, digital": _of(_digital, thai_lines),
    "Thai, scanned": _of(_scanned, thai_lines),
    "Thai, photographed": _of(_photographed, thai_lines),
    "Thai numerals": _numerals,
    "English, digital": _of(_digital, english_lines),
    "English, scanned": _of(_scanned, english_lines),
    "English, photographed": _of(_photographed, english_lines),
    "table, scanned": _of(_scanned, table_lines),
    "stamp over text": _stamped,
}


def make(kind: str, number: int, folder: Path) -> tuple[Path, Made]:
    """Make the page of this kind and number, and write it into a folder."""
    made = KINDS[kind](random.Random(f"{kind} {number}"), number)
    path = folder / f"{kind.replace(', ', '-').replace(' ', '-')}-{made.name}"
    path.write_bytes(made.content)
    return path, made
