"""Finds pieces of Tesseract's text that may be numerals, and their positions on the page. Pure."""

import re
from collections.abc import Sequence
from dataclasses import dataclass, replace

from sidecar.engines.numerals.alphabet import ARABIC_DIGITS, THAI_DIGITS

_TOKEN = re.compile(r"\S+")
_LIKE_A_DIGIT = re.compile("[ฆซญฒดตสอ]")
"""Letters as which Tesseract misreads single Thai digits."""
_VOWEL = re.compile("[ะ-ฺเ-ไ\u0e47-\u0e4e]")
SHORT = 5
LONG = 20
"""Longest piece without digits and vowels that may be numerals misread as letters, in characters."""
AHEAD = 64
"""Characters within which the next symbol must come in the text: wide gaps are rows of spaces."""
DOUBTFUL = 80.0
"""Below this confidence, of 100, Tesseract itself is not sure of letters."""


@dataclass(frozen=True, slots=True)
class TextLine:
    """A line of the page: its baseline's height at x = 0, its slope, and the height of a consonant, in pixels."""

    baseline: float
    slope: float
    consonant: float


@dataclass(frozen=True, slots=True)
class Symbol:
    """One or a few characters that Tesseract read at one position, between two columns of the page."""

    text: str
    left: int
    right: int
    confidence: float
    line: TextLine

    @property
    def middle(self) -> float:
        """The column in the middle."""
        return (self.left + self.right) / 2


@dataclass(frozen=True, slots=True)
class Token:
    """A piece between white space, from ``start`` in the text; its neighbours on the line bound it."""

    start: int
    text: str
    symbols: tuple[Symbol, ...]
    after: float
    """The middle of the last glyph of the neighbour to the left, a column; 0 without one."""
    before: float
    """The middle of the first glyph of the neighbour to the right."""

    @property
    def line(self) -> TextLine:
        """Its line."""
        return self.symbols[0].line

    def at_height(self, consonant: float) -> "Token":
        """Return the same piece on a line whose consonants are this high."""
        line = replace(self.line, consonant=consonant)
        return replace(self, symbols=tuple(replace(symbol, line=line) for symbol in self.symbols))

    @property
    def left(self) -> int:
        """Its first column on the page."""
        return min(symbol.left for symbol in self.symbols)

    @property
    def right(self) -> int:
        """The column behind it."""
        return max(symbol.right for symbol in self.symbols)

    @property
    def confidence(self) -> float:
        """Tesseract's lowest confidence in any of its symbols."""
        return min(symbol.confidence for symbol in self.symbols)


def find_tokens(text: str, symbols: Sequence[Symbol]) -> list[Token]:
    """Split a text at white space; each piece gets its symbols, which come in the order of the text."""
    placed: list[tuple[int, Symbol]] = []
    at = 0
    for symbol in symbols:
        found = text.find(symbol.text, at, at + AHEAD)
        if found >= 0 and not symbol.text.isspace():  # Tesseract reads rules as spaces
            placed.append((found, symbol))
            at = found + len(symbol.text)
    pieces: list[tuple[int, str, tuple[Symbol, ...]]] = []
    index = 0
    for piece in _TOKEN.finditer(text):
        inside = []
        while index < len(placed) and placed[index][0] < piece.end():
            inside.append(placed[index][1])
            index += 1
        if inside:
            pieces.append((piece.start(), piece.group(), tuple(inside)))
    return [_token(pieces, number) for number in range(len(pieces))]


def _token(pieces: Sequence[tuple[int, str, tuple[Symbol, ...]]], number: int) -> Token:
    start, text, symbols = pieces[number]
    line = symbols[0].line
    left = pieces[number - 1][2] if number else ()
    right = pieces[number + 1][2] if number + 1 < len(pieces) else ()
    after = max((symbol.middle for symbol in left if symbol.line is line), default=0.0)
    before = min((symbol.middle for symbol in right if symbol.line is line), default=float(1 << 30))
    return Token(start, text, symbols, after, before)


def may_hold_numerals(text: str) -> bool:
    """Return whether a page's text alone suggests numerals: a Thai digit, or a lone letter that looks like one."""
    return has_thai_digit(text) or any(_is_lone_letter(piece) for piece in text.split())


def has_thai_digit(text: str) -> bool:
    """Return whether Tesseract saw a Thai digit."""
    return any(character in THAI_DIGITS for character in text)


def may_hide_digits(token: Token) -> bool:
    """Return whether a piece in which Tesseract saw no Thai digit may consist of them, on a page that has some."""
    if any(character in ARABIC_DIGITS for character in token.text):
        return True
    if _VOWEL.search(token.text):
        return False
    return len(token.text) <= SHORT or (len(token.text) <= LONG and token.confidence < DOUBTFUL)


def is_lone_letter(token: Token) -> bool:
    """Return whether a piece is one Thai letter, perhaps between dots or dashes: a page number may look like that."""
    return _is_lone_letter(token.text)


def _is_lone_letter(piece: str) -> bool:
    return len(piece) <= 5 and len(piece.strip(".,-/()")) == 1 and bool(_LIKE_A_DIGIT.search(piece))
