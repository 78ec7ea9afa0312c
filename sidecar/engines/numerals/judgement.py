"""Decides, glyph by glyph, between Tesseract's text and the network's glyphs. Pure.

Tesseract's letters and spaces are kept. Digits come from the network where it sees Thai ones; real Arabic numbers stay
Tesseract's, which reads them better.
"""

import math
import re
from collections.abc import Sequence
from dataclasses import dataclass

from sidecar.engines.numerals.alignment import align
from sidecar.engines.numerals.alphabet import ARABIC_DIGITS, MARKS, OTHER, THAI_DIGITS
from sidecar.engines.numerals.tokens import Token

SURE = 0.9
"""Lowest likelihood of a digit that is accepted; below it the numeral is doubtful."""
ALONE, OTHER_ALONE = 0.7, 0.4
"""Costs of a glyph that only one reader saw; Tesseract's letters are often badly segmented."""
_CLUSTER = re.compile("[^\u0e31\u0e34-\u0e3a\u0e47-\u0e4e][\u0e31\u0e34-\u0e3a\u0e47-\u0e4e]*|.")
_DIGITS = THAI_DIGITS + ARABIC_DIGITS
_TINY = 1e-6
_OPEN = "\x00"
DISPUTED = {frozenset(",."): _OPEN}
"""Marks that look alike; others stay as Tesseract wrote them."""
SURE_MARK = 0.92
"""Sureness up to which a comma may be a full stop, and the reverse: of type of 9 to 16 points, most have more."""
UNSURE = {",": "\x01", ".": "\x02"}
_UNSETTLED = {_OPEN: ".", "\x01": ",", "\x02": "."}
_DISPUTE = re.compile(f"[{_OPEN}\x01\x02]")
_DECIMALS = re.compile(r"\d{1,2}(?!\d)")
_NUMBER = re.compile(r"\d[\d,.]*\d")
_GROUPED = re.compile(r"\d{1,3}(?:,\d{3})+(?:\.\d+)?")
_THOUSANDS = re.compile(r"\d{3}(?!\d)")


@dataclass(frozen=True, slots=True)
class Glyph:
    """A glyph that the network saw: its middle (a column of the page), and the likeliest character of each kind."""

    middle: float
    thai: tuple[str, float]
    arabic: tuple[str, float]
    mark: tuple[str, float]
    other: float


@dataclass(frozen=True, slots=True)
class Seen:
    """A glyph in its numeral's script: the character, or ``OTHER``, and its likelihood, 0 to 1."""

    middle: float
    character: str
    sureness: float
    digit: str = ""
    """The likeliest digit, whatever the character."""

    @property
    def is_digit(self) -> bool:
        """Return whether it is a digit of either script."""
        return self.character in _DIGITS


@dataclass(frozen=True, slots=True)
class Verdict:
    """The text that replaces a token, and whether a digit in it is a guess."""

    text: str
    doubtful: bool = False
    first: float | None = None
    """Middle of the first glyph that was seen, a column of the page; None where no numeral was seen."""
    last: float | None = None
    is_number: bool = False
    """Whether only digits and marks were seen."""


@dataclass(frozen=True, slots=True)
class _Unit:
    """What Tesseract wrote at one position: a character with its marks."""

    text: str
    middle: float

    @property
    def is_digit(self) -> bool:
        return self.text in _DIGITS

    @property
    def is_mark(self) -> bool:
        return self.text in MARKS


_Pair = tuple[_Unit | None, Seen | None]


def spell(glyphs: Sequence[Glyph]) -> list[Seen]:
    """Read glyphs in the one script that makes them likeliest: a numeral has digits of one script only."""
    readings = [
        [_choose(glyph, digit) for glyph, digit in zip(glyphs, digits, strict=True)]
        for digits in (
            [glyph.thai for glyph in glyphs],
            [glyph.arabic for glyph in glyphs],
        )
    ]
    worth = [sum(math.log(likely + _TINY) for _, likely in reading) for reading in readings]
    return [seen for seen, _ in readings[0 if worth[0] >= worth[1] else 1]]


def _choose(glyph: Glyph, digit: tuple[str, float]) -> tuple[Seen, float]:
    options = (digit, glyph.mark, (OTHER, glyph.other))
    character, likely = max(options, key=lambda option: option[1])
    sureness = likely if character in MARKS else likely / (sum(option[1] for option in options) + _TINY)
    return Seen(glyph.middle, character, sureness, digit[0]), likely


def judge(token: Token, seen: Sequence[Seen]) -> Verdict:
    """Return the text that replaces a token."""
    if not any(one.character in THAI_DIGITS for one in seen):
        return Verdict(token.text)
    pairs = _pairs(_units(token), seen, token.line.consonant)
    is_number = all(one.character != OTHER for one in seen) and len(pairs) <= 2 * len(seen) + 1
    text, doubtful = "", False
    for number, (unit, one) in enumerate(pairs):
        beside = [other for _, other in pairs[max(0, number - 1) : number] + pairs[number + 1 : number + 2] if other]
        piece = _letter_or_digit(unit, one, beside, is_number=is_number)
        text += piece
        doubtful = doubtful or _is_guess(unit, one, piece)
    text = _settle_marks(text)
    doubtful = doubtful or _is_misgrouped(text)
    return Verdict(text, doubtful, seen[0].middle, seen[-1].middle, is_number)


def _letter_or_digit(unit: _Unit | None, one: Seen | None, beside: Sequence[Seen], *, is_number: bool) -> str:
    """Return the text at one position. In a number, what only Tesseract saw is dropped."""
    written = unit.text if unit else ""
    among_digits = is_number or any(other.is_digit for other in beside)
    if one is None:
        seen_mark = any(other.character in MARKS for other in beside)
        keeps = unit is None or (unit.is_mark and not seen_mark) or not (unit.is_digit or among_digits)
        return written if keeps else ""
    if one.character == OTHER:
        return one.digit if unit and unit.is_digit and among_digits and one.digit else written
    if one.is_digit:
        stands_together = among_digits or not beside or any(other.character in MARKS for other in beside)
        return one.character if unit is None or unit.is_digit or stands_together else written
    if unit and unit.is_mark:
        return _mark(written, one)
    return _mark(one.character, one) if among_digits or (unit and unit.is_digit) else written


def _mark(written: str, one: Seen) -> str:
    """Return a mark, or what stands for one that is not settled: the readers differ, or the network is not sure."""
    if written != one.character:
        return DISPUTED.get(frozenset((written, one.character)), written)
    return UNSURE.get(written, written) if one.sureness < SURE_MARK else written


def _is_guess(unit: _Unit | None, one: Seen | None, piece: str) -> bool:
    """Return whether the text at a position is a guess: an unsure digit, or one that only Tesseract sees."""
    if one is None or piece not in _DIGITS or not piece:
        return False
    return one.sureness < SURE or (one.character == OTHER and unit is not None)


def _settle_marks(text: str) -> str:
    """Decide between comma and full stop where the readers differ: before three digits it separates thousands."""
    return _DISPUTE.sub(lambda found: _settled(found[0], text[found.end() :]), text)


def _settled(mark: str, after: str) -> str:
    if _THOUSANDS.match(after):
        return ","
    return _UNSETTLED[mark] if not after or (mark != _OPEN and not _DECIMALS.match(after)) else "."


def _is_misgrouped(text: str) -> bool:
    """Return whether a number's commas do not separate thousands: a digit or a mark is missing, or too many."""
    number = _NUMBER.search(text)
    return number is not None and "," in number[0] and not _GROUPED.fullmatch(number[0])


def _units(token: Token) -> list[_Unit]:
    middles: dict[int, float] = {}
    at = 0
    for symbol in token.symbols:
        at = token.text.find(symbol.text, at)
        each = (symbol.right - symbol.left) / len(symbol.text)
        for offset in range(len(symbol.text)):
            middles[at + offset] = symbol.left + (offset + 0.5) * each
        at += len(symbol.text)
    last = float(token.left)
    units = []
    for cluster in _CLUSTER.finditer(token.text):
        last = middles.get(cluster.start(), last)
        units.append(_Unit(cluster.group(), last))
    return units


def _pairs(units: Sequence[_Unit], seen: Sequence[Seen], consonant: float) -> list[_Pair]:
    """Pair what Tesseract wrote with what the network saw; either may have no partner."""
    costs = [[_cost(unit, one, consonant) for one in seen] for unit in units]
    seen_alone = [OTHER_ALONE if one.character == OTHER else ALONE for one in seen]
    pairs = align(costs, ALONE, seen_alone)
    return [(None if row is None else units[row], None if column is None else seen[column]) for row, column in pairs]


def _cost(unit: _Unit, one: Seen, consonant: float) -> float:
    """Return how unlikely it is that both are the same glyph, by their kinds and their distance."""
    apart = 0.3 * min(1.5, abs(unit.middle - one.middle) / consonant)
    if unit.text == one.character:
        return apart
    if unit.is_digit:
        return apart + (0.15 if one.is_digit else 0.6)
    if unit.is_mark:
        return apart + (0.2 if one.character in MARKS else 0.7)
    return apart + (0.05 if one.character == OTHER else 0.4 if one.is_digit else 0.7)
