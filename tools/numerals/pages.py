"""Generated pages of Thai office documents with their true texts: letters, lists and tables, with and without
numerals."""

import random
from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw, ImageFilter, ImageFont

from tools.numerals.fonts import HELD_OUT, find_fonts

SUITE_SEED = 77
THAI = "๐๑๒๓๔๕๖๗๘๙"
ARABIC = "0123456789"
MONTHS = ("มกราคม", "กุมภาพันธ์", "มีนาคม", "เมษายน", "พฤษภาคม", "มิถุนายน", "กรกฎาคม", "สิงหาคม", "กันยายน", "ตุลาคม")
ITEMS = (
    "ค่าจ้างเหมาบริการ",
    "ค่าวัสดุสำนักงาน",
    "ค่าครุภัณฑ์คอมพิวเตอร์",
    "ค่าเช่าอาคาร",
    "ค่าใช้จ่ายเดินทาง",
    "เงินอุดหนุนทั่วไป",
    "ค่าก่อสร้างถนน",
    "ค่าตอบแทนกรรมการ",
)
PROSE = (
    "ด้วยกระทรวงการคลังได้พิจารณาแล้วเห็นว่าการดำเนินงานตามโครงการ",
    "เป็นไปตามวัตถุประสงค์ของแผนพัฒนาและระเบียบที่เกี่ยวข้องทุกประการ",
    "จึงเรียนมาเพื่อโปรดทราบและพิจารณาดำเนินการต่อไป",
    "ผู้รับจ้างต้องส่งมอบงานให้แก่ผู้ว่าจ้างตามสัญญาฉบับนี้",
    "คณะกรรมการตรวจรับพัสดุได้ตรวจรับงานเรียบร้อยแล้ว ฯลฯ",
    "ทั้งนี้ให้หน่วยงานถือปฏิบัติโดยเคร่งครัด และรายงานผลต่าง ๆ",
    "ขอแสดงความนับถืออย่างสูง ณ โอกาสนี้ ฯพณฯ รัฐมนตรี",
    "ตลอดจนค่าล่วงเวลา ค่าตรวจ ดูแล และรักษาความปลอดภัย",
)


@dataclass(frozen=True, slots=True)
class Look:
    """How a page is set and scanned: ``points`` of type at ``dpi``, grey noise, blur in pixels, skew in degrees."""

    font: Path
    points: float
    dpi: int
    noise: float = 0.0
    blur: float = 0.0
    skew: float = 0.0


@dataclass(frozen=True, slots=True)
class MadePage:
    """A page in grey, how it was made, its true lines, and the amounts of money among them."""

    look: Look
    image: Image.Image
    lines: tuple[str, ...]
    amounts: tuple[str, ...]


class Writing(StrEnum):
    """Which numerals a page has."""

    THAI = "thai"
    ARABIC = "arabic"
    NONE = "none"


def make_page(writing: Writing, number: int, families: tuple[str, ...] = HELD_OUT) -> MadePage:
    """Make a page of the suite: its number alone determines its look and text."""
    dice = random.Random(f"{SUITE_SEED} {writing} {number}")
    look = Look(
        dice.choice(find_fonts(families)),
        dice.choice((9, 10, 11, 12, 14, 16)),
        dice.choice((200, 300)),
        noise=dice.choice((0, 6, 12, 18)),
        blur=dice.choice((0, 0.5, 0.8)),
        skew=dice.choice((0, 0, 0.4, -0.7, 1.0)),
    )
    if writing is Writing.NONE:
        lines, amounts = [dice.choice(PROSE + ITEMS) for _ in range(18)], list[str]()
    else:
        lines, amounts = numeral_lines(dice, 18, 12, thai if writing is Writing.THAI else str)
    return draw_page(lines, amounts, look, number, ruled=number % 3 == 1)


def thai(text: str) -> str:
    """Write Arabic digits as Thai ones."""
    return text.translate(str.maketrans(ARABIC, THAI))


def amount(dice: random.Random) -> str:
    """Make an amount of baht as in office documents: thousands with commas, sometimes with satang."""
    whole = dice.randrange(10 ** dice.randrange(3, 8))
    return f"{whole:,}" + (f".{dice.randrange(100):02d}" if dice.random() < 0.4 else "")


def numeral_lines(
    dice: random.Random, count: int, amounts: int, write: Callable[[str], str] = thai
) -> tuple[list[str], list[str]]:
    """Make the lines of a page with numerals; ``write`` spells the digits. Gives the lines and the amounts in them."""
    kinds = [True] * amounts + [False] * (count - amounts)
    dice.shuffle(kinds)
    year, made, sums = 2500 + dice.randrange(100), [], []
    for number, has_amount in enumerate(kinds, start=1):
        if has_amount:
            sums.append(write(amount(dice)))
            item = dice.choice(ITEMS)
            in_table = f"{write(str(number))}. {item}   {sums[-1]}   บาท"
            made.append(dice.choice((in_table, f"{item} เป็นเงิน {sums[-1]} บาท")))
        else:
            made.append(dice.choice((write(_reference(dice, year)), dice.choice(PROSE))))
    return made, sums


def _reference(dice: random.Random, year: int) -> str:
    """Write a line that has numbers but no amount."""
    number = dice.randrange
    return dice.choice(
        (
            f"ที่ กค {number(9999):04d}/ว {number(999)}",
            f"วันที่ {number(1, 31)} {dice.choice(MONTHS)} พ.ศ. {year}",
            f"ตามสัญญาเลขที่ {number(99)}/{year} ข้อ {number(1, 20)}.{number(1, 9)}",
            f"โทร. 0-{number(2000, 9999)}-{number(1000, 9999)} ต่อ {number(100, 999)}",
            f"ปีงบประมาณ พ.ศ. {year} จำนวน {number(2, 90)} รายการ",
        )
    )


def draw_page(lines: list[str], amounts: list[str], look: Look, seed: int = 0, *, ruled: bool = False) -> MadePage:
    """Set lines on a page as wide as A4 and scan it."""
    size = look.points * look.dpi / 72
    font = ImageFont.truetype(str(look.font), round(size))
    step = round(size * 1.75)
    width, height = round(8.27 * look.dpi), step * (len(lines) + 4)
    page = Image.new("L", (width, height), 255)
    pen = ImageDraw.Draw(page)
    left, top = round(0.9 * look.dpi), step * 2
    for number, line in enumerate(lines):
        y = top + number * step
        free = left
        for column, cell in enumerate(line.split("   ")):
            x = max(free, left + column * round(2.6 * look.dpi))
            pen.text((x, y), cell, font=font, fill=0)
            free = round(x + font.getlength(cell) + size)
        if ruled:
            pen.line(
                (left - step // 3, y + step - 2, width - left, y + step - 2), fill=0, width=max(1, look.dpi // 150)
            )
    return MadePage(look, scan(page, look, seed), tuple(" ".join(line.split()) for line in lines), tuple(amounts))


def scan(page: Image.Image, look: Look, seed: int) -> Image.Image:
    """Degrade a drawn page like a scanner."""
    if look.skew:
        page = page.rotate(look.skew, Image.Resampling.BICUBIC, fillcolor=255)
    if look.blur:
        page = page.filter(ImageFilter.GaussianBlur(look.blur))
    if look.noise:
        noise = np.random.default_rng(seed).normal(0, look.noise, (page.height, page.width))
        page = Image.fromarray(np.clip(np.asarray(page, np.float32) * 0.94 + 8 + noise, 0, 255).astype(np.uint8))
    return page
