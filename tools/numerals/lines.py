"""Makes pieces of lines for training: random text in a random font, poorly scanned, with the middle of each glyph."""

import functools
import io
import random
import re
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFilter, ImageFont

from sidecar.engines.numerals import strips
from sidecar.engines.numerals.alphabet import ARABIC_DIGITS, CLASSES, MARKS, OTHER, READABLE, THAI_DIGITS
from tools.numerals import pages

CONSONANTS = "กขคฆงจฉชซญณดตถทธนบปผฝพฟภมยรลวศษสหฬอฮ"
LIKE_DIGITS = "ดตคศลสฉจณญอฅฯๆฑซอาเโไใแะ"
"""Letters that may look like a digit."""
UPPER, LOWER, TONES = "\u0e31\u0e34\u0e35\u0e36\u0e37\u0e47", "\u0e38\u0e39", "\u0e48\u0e49\u0e4a\u0e4b\u0e4c"
LATIN = "OolISZBgqGQDsabcdefhkmnrtuvwxyzACEFHKMNPRTUVWXY"
SIGNS = "()%฿:;\"'*+=\u2013\u2014\u201c\u201d|"
CLUSTER = re.compile("[^\u0e31\u0e34-\u0e3a\u0e47-\u0e4e][\u0e31\u0e34-\u0e3a\u0e47-\u0e4e]*")


@dataclass(frozen=True, slots=True)
class Sample:
    """A strip, and the glyphs in it: class, and first and last column of the middle, in columns of the strip."""

    ink: NDArray[np.float32]
    glyphs: tuple[tuple[int, float, float], ...]


def make_text(dice: random.Random) -> str:
    """Generate a text: mostly numbers as in office documents, some letters, some of both."""
    kinds = (_thai, _arabic, _thai_among_letters, _arabic_after_letters, _words, _latin, _anything)
    return dice.choices(kinds, (34, 10, 16, 5, 15, 6, 14))[0](dice)


def _thai(dice: random.Random) -> str:
    return _number(dice, THAI_DIGITS)


def _arabic(dice: random.Random) -> str:
    return _number(dice, ARABIC_DIGITS)


def _thai_among_letters(dice: random.Random) -> str:
    return dice.choice(("", "", " ")).join((_letters(dice), _thai(dice), dice.choice(("", _letters(dice)))))


def _arabic_after_letters(dice: random.Random) -> str:
    return dice.choice(("", " ")).join((_letters(dice), _arabic(dice)))


def _words(dice: random.Random) -> str:
    return " ".join(_letters(dice) for _ in range(dice.randrange(1, 3)))


def _latin(dice: random.Random) -> str:
    return "".join(dice.choice(LATIN) for _ in range(dice.randrange(2, 8)))


def _anything(dice: random.Random) -> str:
    kinds = (THAI_DIGITS, THAI_DIGITS, LIKE_DIGITS, ARABIC_DIGITS, SIGNS, LATIN, MARKS)
    return "".join(dice.choice(dice.choice(kinds)) for _ in range(8))


def _number(dice: random.Random, digits: str) -> str:
    kind = dice.random()
    figures = "".join(dice.choice(ARABIC_DIGITS) for _ in range(dice.randrange(1, 9)))
    if kind < 0.35:
        written = pages.amount(dice)
    elif kind < 0.55:
        written = figures + dice.choice(("", "", ".", ")", "/" + str(2500 + dice.randrange(100)), ","))
    elif kind < 0.75:
        written = dice.choice(".,-/ ").join(str(dice.randrange(1000)) for _ in range(dice.randrange(2, 4)))
    else:
        written = figures
    if dice.random() < 0.08:
        written = f"({written})"
    return written.translate(str.maketrans(ARABIC_DIGITS, digits))


def _letters(dice: random.Random) -> str:
    if dice.random() < 0.5:
        return (
            dice.choice(dice.choice(pages.PROSE + pages.ITEMS).split())[: dice.randrange(1, 9)].lstrip(
                UPPER + LOWER + TONES
            )
            or "ที่"
        )
    return "".join(_syllable(dice) for _ in range(dice.randrange(1, 4)))


def _syllable(dice: random.Random) -> str:
    base = dice.choice(dice.choice((CONSONANTS, LIKE_DIGITS)))
    vowel = dice.choice(("", "", dice.choice(UPPER), dice.choice(LOWER))) if base in CONSONANTS else ""
    tone = dice.choice(("", "", dice.choice(TONES))) if base in CONSONANTS else ""
    return base + vowel + tone + dice.choice(("", "", ".", "า", "ำ", dice.choice(CONSONANTS)))


@dataclass(frozen=True, slots=True)
class Face:
    """A font at a size, and the height of its consonants in pixels."""

    font: ImageFont.FreeTypeFont
    size: int
    consonant: float
    absent: bytes

    def has(self, glyph: str) -> bool:
        return glyph.isspace() or bytes(self.font.getmask(glyph)) != self.absent


@functools.lru_cache(maxsize=512)
def face(path: Path, size: int, weight: int) -> Face:
    font = ImageFont.truetype(str(path), size)
    if "[" in path.name:
        font.set_variation_by_axes([100, weight] if font.get_variation_axes()[0]["name"] == b"Width" else [weight, 100])
    top = font.getbbox("บ", anchor="ls")[1]
    return Face(font, size, max(4.0, -top), bytes(font.getmask("\U000fffff")))


@functools.cache
def _drawable(path: Path, glyph: str) -> bool:
    return face(path, 32, 400).has(glyph)


@dataclass(frozen=True, slots=True)
class Drawn:
    """A piece of a line as drawn: its glyphs with their first and last columns, its ends, baseline and slope."""

    image: Image.Image
    glyphs: tuple[tuple[int, float, float], ...]
    left: int
    right: int
    base: float
    slope: float


def make_sample(dice: random.Random, noise: np.random.Generator, fonts: list[Path]) -> Sample:
    """Draw, degrade and cut one piece of a line."""
    path = dice.choice(fonts)
    points, dpi = dice.uniform(8.5, 17), dice.choice((200, 200, 200, 300, 150))
    written = face(path, max(15, round(points * dpi / 72)), dice.choice((300, 400, 500, 700)))
    clusters = [cluster for cluster in CLUSTER.findall(make_text(dice)) if _drawable(path, cluster[0])]
    drawn = _draw(dice, written, clusters)
    if dice.random() < 0.4:
        drawn = _warp(dice, drawn)
    return _cut(dice, drawn, written, _spoil(dice, noise, drawn.image, written.size))


def _draw(dice: random.Random, written: Face, clusters: list[str]) -> Drawn:
    """Draw a piece of a line, slightly skewed, its glyphs nearer or farther than the font's spacing; they may touch."""
    size, slope = written.size, dice.gauss(0, 0.012)
    loose = dice.gauss(0, 0.015) if dice.random() < 0.7 else dice.uniform(-0.09, 0.08)
    widths = [written.font.getlength(cluster) for cluster in clusters]
    width = round(sum(widths) + len(clusters) * size * max(0, loose + 0.02)) + 2 * size
    image = Image.new("L", (width, round(size * 2.6)), 255)
    pen = ImageDraw.Draw(image)
    x, base, glyphs = float(size), size * 1.7, []
    for cluster, advance in zip(clusters, widths, strict=True):
        pen.text((x, base + slope * x), cluster, font=written.font, fill=0, anchor="ls")
        if not cluster.isspace():
            glyphs.append((_class(cluster), x, x + advance))
        x += advance + size * (loose + dice.gauss(0, 0.008))
    drawn = Drawn(image, tuple(glyphs), size, round(x), base, slope)
    _rule(dice, pen, written, drawn)
    return drawn


def _warp(dice: random.Random, drawn: Drawn) -> Drawn:
    """Make the glyphs narrower or wider and slant them, to cover more fonts than are trained on."""
    wider, slant = dice.uniform(0.85, 1.15), dice.gauss(0, 0.08)
    x0 = drawn.left
    affine = (1 / wider, slant / wider, x0 - (x0 + slant * drawn.base) / wider, 0, 1, 0)
    size = (round(drawn.image.width * max(1.0, wider)), drawn.image.height)
    image = drawn.image.transform(size, Image.Transform.AFFINE, affine, Image.Resampling.BILINEAR, fillcolor=255)
    glyphs = tuple((kind, x0 + (a - x0) * wider, x0 + (b - x0) * wider) for kind, a, b in drawn.glyphs)
    right = round(x0 + (drawn.right - x0) * wider)
    return Drawn(image, glyphs, x0, right, drawn.base, drawn.slope / wider)


def _cut(dice: random.Random, drawn: Drawn, written: Face, grey: NDArray[np.uint8]) -> Sample:
    """Cut the piece out with errors like those of Tesseract's line measurements."""
    size = written.size
    place = strips.Place(
        drawn.left - round(dice.uniform(0, 0.5) * size),
        drawn.right + round(dice.uniform(0, 0.5) * size),
        drawn.base + dice.gauss(0, 0.06) * written.consonant,
        drawn.slope * dice.choice((0.0, 0.6, 1.0, 1.0)),
        written.consonant * dice.uniform(0.82, 1.28),
    )
    ink = strips.cut(grey, place)
    scale = ink.shape[1] / (min(place.right, grey.shape[1]) - place.left)
    return Sample(ink, tuple((kind, (a - place.left) * scale, (b - place.left) * scale) for kind, a, b in drawn.glyphs))


def _class(cluster: str) -> int:
    return 1 + (READABLE.index(cluster) if cluster in READABLE else CLASSES.index(OTHER))


def _rule(dice: random.Random, pen: ImageDraw.ImageDraw, written: Face, drawn: Drawn) -> None:
    """Draw lines as in tables and forms: a rule below or above, a bar at an end, a dotted line."""
    left, right, base, slope = drawn.left, drawn.right, drawn.base, drawn.slope
    thick, kind = max(1, round(written.size * dice.uniform(0.02, 0.06))), dice.random()
    if kind < 0.08:
        y = base + written.consonant * dice.uniform(0.12, 0.5)
        pen.line((0, y, right + written.size, y + slope * right), fill=0, width=thick)
    elif kind < 0.12:
        y = base - written.consonant * dice.uniform(1.35, 1.7)
        pen.line((0, y, right + written.size, y + slope * right), fill=0, width=thick)
    elif kind < 0.17:
        x = dice.choice((left - written.size * dice.uniform(0.1, 0.4), right + written.size * dice.uniform(0.1, 0.4)))
        pen.line((x, 0, x, written.size * 3), fill=0, width=thick)
    elif kind < 0.20:
        for x in range(0, right + written.size, max(3, written.size // 5)):
            pen.ellipse((x, base + thick, x + thick, base + 2 * thick), fill=0)


def _spoil(dice: random.Random, noise: np.random.Generator, image: Image.Image, size: int) -> NDArray[np.uint8]:
    """Thicken or thin, blur, add noise, reduce contrast, threshold, compress; each at random."""
    kind = dice.random()
    if kind < 0.10 and size > 28:
        image = image.filter(ImageFilter.MinFilter(3))
    elif kind < 0.18 and size > 44:
        image = image.filter(ImageFilter.MaxFilter(3))
    if dice.random() < 0.75:
        image = image.filter(ImageFilter.GaussianBlur(dice.uniform(0.2, 0.036 * size)))
    grey = np.asarray(image, np.float32)
    if dice.random() < 0.75:
        light, dark = dice.uniform(200, 255), dice.uniform(0, 90)
        grey = dark + grey * (light - dark) / 255
        grey = grey + noise.standard_normal(grey.shape, np.float32) * dice.uniform(0, 24)
    if dice.random() < 0.18:
        grey = np.where(grey > dice.uniform(100, 190), 255, 0)
    spoilt = np.clip(grey, 0, 255).astype(np.uint8)
    if dice.random() < 0.15:
        packed = io.BytesIO()
        Image.fromarray(spoilt).save(packed, "JPEG", quality=dice.randrange(25, 80))
        spoilt = np.asarray(Image.open(packed))
    return spoilt
