"""Made pages in many grades of damage, with their true texts: from clean print to what nobody can read.

Two parts that share neither fonts nor grades: thresholds are fitted on one and reported on the other.
"""

import io
import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

import numpy as np
from PIL import Image, ImageChops, ImageFilter, ImageFont

from bench.quality.made import ENGLISH, GOODS
from tools.numerals.fonts import find_fonts
from tools.numerals.pages import ITEMS, PROSE, Look, draw_page, numeral_lines

LINES = 12
SET_POINTS = 450
"""Width of the lines at most: A4 less its margins."""


class Part(StrEnum):
    """Which pages: those that thresholds are fitted on, or those that are held back."""

    FIT = "fit"
    HELD_BACK = "held-back"


@dataclass(frozen=True, slots=True)
class Grade:
    """How a page is damaged. ``dpi`` it is scanned at; blur in points, noise in grey levels, skew in degrees.

    ``shadow`` is how dark the darkest edge gets, 0 to 1; ``fade``: how much of the ink's darkness is lost, 0 to 1;
    ``quality`` that of the JPEG it went through, 0: none.
    """

    dpi: int = 200
    blur: float = 0.0
    noise: float = 0.0
    skew: float = 0.0
    shadow: float = 0.0
    fade: float = 0.0
    quality: int = 0


@dataclass(frozen=True, slots=True)
class GradedPage:
    """A page as a PNG, its true text, the languages it is read in, and how it was damaged."""

    name: str
    content: bytes
    text: str
    languages: str
    grade: Grade


_RANGES: dict[Part, dict[str, Sequence[float]]] = {
    Part.FIT: {
        "dpi": (300, 200, 150, 110, 80),
        "blur": (0, 0.3, 0.6, 0.9, 1.3),
        "noise": (0, 8, 25, 50),
        "skew": (0, 0, 0.5, 2, 4),
        "shadow": (0, 0, 0.4, 0.7),
        "fade": (0, 0, 0.4, 0.75),
        "quality": (0, 60, 20),
    },
    Part.HELD_BACK: {
        "dpi": (250, 170, 130, 96, 72),
        "blur": (0, 0.2, 0.45, 0.75, 1.1),
        "noise": (0, 14, 35, 60),
        "skew": (0, 0, 0.9, 3),
        "shadow": (0, 0, 0.55, 0.8),
        "fade": (0, 0, 0.55, 0.85),
        "quality": (0, 40, 12),
    },
}
_FAMILIES = {
    Part.FIT: (("Norasi", "Sawasdee", "Garuda", "Loma"), ("DejaVuSans", "DejaVuSerif", "Norasi")),
    Part.HELD_BACK: (("Umpush", "Kinnari", "Laksaman", "Waree"), ("DejaVuSansMono", "DejaVuSansCondensed", "Kinnari")),
}
MOST_DAMAGES = 3
"""Of one page: all at once, and nothing is left to read."""


def thai_lines(dice: random.Random) -> list[str]:
    return [dice.choice(PROSE + ITEMS) for _ in range(LINES)]


def thai_numbers(dice: random.Random) -> list[str]:
    """Lines with numbers, each in one piece: cells far apart may be read column by column, which is no error."""
    return [" ".join(line.split()) for line in numeral_lines(dice, LINES, LINES // 2, str)[0]]


def english_lines(dice: random.Random) -> list[str]:
    return [dice.choice(ENGLISH) for _ in range(LINES)]


def english_numbers(dice: random.Random) -> list[str]:
    def line() -> str:
        goods, count, price = dice.choice(GOODS), dice.randrange(2, 90), dice.randrange(1000, 9999999) / 100
        day = f"{dice.randrange(1, 29):02d}/{dice.randrange(1, 13):02d}/{dice.randrange(2019, 2027)}"
        return dice.choice(
            (
                f"{goods}, {count} pieces at {price:,.2f} each",
                f"Invoice no. {dice.choice('ABCK')}{dice.randrange(10000, 99999)}-{dice.randrange(99)} of {day}",
                dice.choice(ENGLISH),
            )
        )

    return [line() for _ in range(LINES)]


KINDS: dict[str, tuple[Callable[[random.Random], list[str]], str]] = {
    "thai": (thai_lines, "tha+eng"),
    "thai-numbers": (thai_numbers, "tha+eng"),
    "english": (english_lines, "eng"),
    "english-numbers": (english_numbers, "eng"),
    "english-as-both": (english_numbers, "tha+eng"),
}


def make_graded(part: Part, number: int) -> GradedPage:
    """Make a page; part and number alone determine it."""
    dice = random.Random(f"graded {part} {number}")
    kind = list(KINDS)[number % len(KINDS)]
    lines, languages = KINDS[kind]
    grade = _grade(part, dice)
    families = _FAMILIES[part][0 if kind.startswith("thai") else 1]
    font, points, written = dice.choice(find_fonts(families)), dice.choice((10, 12, 14)), lines(dice)
    drawn = draw_page(written, [], Look(font, _fitting(points, font, written), grade.dpi))
    out = io.BytesIO()
    damaged(drawn.image, grade, number).save(out, "PNG", dpi=(grade.dpi, grade.dpi))
    return GradedPage(f"{part}-{number}-{kind}.png", out.getvalue(), "\n".join(drawn.lines), languages, grade)


def _fitting(points: int, font: Path, lines: Sequence[str]) -> int:
    """Return a size of type at which no line runs off the page: what is cut off is no error of who reads it."""
    while max(ImageFont.truetype(str(font), points).getlength(line) for line in lines) > SET_POINTS:
        points -= 1
    return points


def _grade(part: Part, dice: random.Random) -> Grade:
    """Draw a grade: every fourth page is as clean as a page is, others have up to three damages."""
    ranges = _RANGES[part]
    chosen = dice.sample(list(ranges), dice.randrange(MOST_DAMAGES + 1))
    drawn = {name: dice.choice(values) if name in chosen else values[0] for name, values in ranges.items()}
    return Grade(**{name: type(getattr(Grade(), name))(value) for name, value in drawn.items()})


def damaged(page: Image.Image, grade: Grade, seed: int) -> Image.Image:
    """Fade, shade, turn and blur a page, then add noise and send it through JPEG, as a bad scanner would."""
    if grade.fade:
        page = page.point([round(255 - (255 - value) * (1 - grade.fade)) for value in range(256)])
    if grade.shadow:
        edge = Image.linear_gradient("L").rotate(90).resize(page.size)
        page = ImageChops.multiply(page, edge.point([round(255 - value * grade.shadow) for value in range(256)]))
    if grade.skew:
        page = page.rotate(grade.skew, Image.Resampling.BICUBIC, fillcolor=255)
    if grade.blur:
        page = page.filter(ImageFilter.GaussianBlur(grade.blur * grade.dpi / 72))
    if grade.noise:
        noise = np.random.default_rng(seed).normal(0, grade.noise, (page.height, page.width))
        page = Image.fromarray(np.clip(np.asarray(page, np.float32) + noise, 0, 255).astype(np.uint8))
    if grade.quality:
        packed = io.BytesIO()
        page.save(packed, "JPEG", quality=grade.quality)
        page = Image.open(packed).convert("L")
    return page
