"""Finds in what Tesseract read the pieces that may be numerals, and where they lie on the page. Pure."""

import re
from collections.abc import Sequence
from dataclasses import dataclass

from sidecar.engines.numerals.alphabet import ARABIC_DIGITS, THAI_DIGITS

_TOKEN = re.compile(r"\S+")
_LIKE_A_DIGIT = re.compile("[ฆซญฒดตสอ]")
"""Letters that Tesseract takes single Thai digits for."""
_VOWEL = re.compile("[ะ-ฺเ-ไ\u0e47-\u0e4e]")
SHORT = 5
LONG = 20
"""Characters up to which a piece without digits and vowels may be numerals that were taken for letters."""
AHEAD = 64
"""Characters within which a symbol must come next in the text: wide gaps are rows of spaces."""
DOUBTFUL = 80.0
"""Confidence, of 100, below which Tesseract itself is not sure of letters."""


@dataclass(frozen=True, slots=True)
class TextLine:
    """A line of the page: its baseline's height at x = 0, its slope, and the height of a consonant, in pixels."""

    baseline: float
    slope: float
    consonant: float


@dataclass(frozen=True, slots=True)
class Symbol:
    """A character or a few that Tesseract read in one place, between two columns of the page."""

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
    """What stands between white space, from ``start`` in the text; its neighbours on the line bound it."""

    start: int
    text: str
    symbols: tuple[Symbol, ...]
    after: int
    """Where the neighbour to the left ends."""
    before: int
    """Where the neighbour to the right begins."""

    @property
    def line(self) -> TextLine:
        """The line it stands on."""
        return self.symbols[0].line

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
        """Tesseract's, in the symbol it is least sure of."""
        return min(symbol.confidence for symbol in self.symbols)


def find_tokens(text: str, symbols: Sequence[Symbol]) -> list[Token]:
    """Find the pieces of a text between white space, each with its symbols, which come in the order of the text."""
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
    half = 0.5 * line.consonant  # boxes reach into their neighbours, so their middles say where those are
    after = max((symbol.middle + half for symbol in left if symbol.line is line), default=0.0)
    before = min((symbol.middle - half for symbol in right if symbol.line is line), default=float(1 << 30))
    return Token(start, text, symbols, round(after), round(before))


def may_hold_numerals(text: str) -> bool:
    """Tell from a page's text alone whether it is worth a look: it has a Thai digit, or a letter like one by itself."""
    return has_thai_digit(text) or any(_is_lone_letter(piece) for piece in text.split())


def has_thai_digit(text: str) -> bool:
    """Tell whether Tesseract saw a Thai digit."""
    return any(character in THAI_DIGITS for character in text)


def may_hide_digits(token: Token) -> bool:
    """Tell whether a piece in which Tesseract saw no Thai digit may be made of them, on a page that has some."""
    if any(character in ARABIC_DIGITS for character in token.text):
        return True
    if _VOWEL.search(token.text):
        return False
    return len(token.text) <= SHORT or (len(token.text) <= LONG and token.confidence < DOUBTFUL)


def is_lone_letter(token: Token) -> bool:
    """Tell whether a piece is one Thai letter, perhaps between dots or dashes: the number of a page may look so."""
    return _is_lone_letter(token.text)


def _is_lone_letter(piece: str) -> bool:
    return len(piece) <= 5 and len(piece.strip(".,-/()")) == 1 and bool(_LIKE_A_DIGIT.search(piece))
