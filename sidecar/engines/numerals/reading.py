"""Reads the numerals of a page that Tesseract has read, and corrects what it misread. Runs in worker processes."""

import itertools
import statistics
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

import numpy as np

from sidecar.documents.pages import PageImage
from sidecar.engines.numerals import network, strips
from sidecar.engines.numerals.alphabet import ARABIC_DIGITS, MARKS, THAI_DIGITS
from sidecar.engines.numerals.judgement import Glyph, Verdict, judge, spell
from sidecar.engines.numerals.tokens import (
    Symbol,
    Token,
    find_tokens,
    has_thai_digit,
    is_lone_letter,
    may_hide_digits,
)
from sidecar.ocr.engine import Correction

REACH = 1.5
"""How far, in consonant heights, digits may lie beyond the end of a piece according to Tesseract."""
APART, WIDER = 1.3, 1.35
"""Farther apart than this, in consonant heights from middle to middle or, in wide type, multiples of the usual
distance, two glyphs are not one numeral."""
LOOSE = 0.4
"""How far, in consonant heights, Tesseract's boxes may miss a glyph's middle."""
TORN = 0.95
"""Up to this distance from middle to middle, in consonant heights, no space lies between a comma and a digit."""
TEARS = ",."
HEIGHTS = (1.0, 0.88, 1.15)
"""Heights at which a doubtful piece is read: the line's, as Tesseract measured it, a smaller and a larger one."""
ENOUGH_DIGITS = 3
"""Fewest Thai digits of a page with Thai numerals, on which more may hide among the letters."""
MOST_LONE_LETTERS = 12
"""Most lone letters read again on a page without a Thai digit; more of them are a list."""


@dataclass(frozen=True, slots=True)
class Numerals:
    """The text with corrected numerals, what was changed, and whether a numeral in it is a guess."""

    text: str
    corrections: tuple[Correction, ...] = ()
    doubtful: bool = False


def read_numerals(page: PageImage, text: str, symbols: Sequence[Symbol]) -> Numerals:
    """Read a page's numerals again. ``symbols`` are Tesseract's, in the order of its ``text``."""
    tokens = find_tokens(text, symbols)
    pixels = np.frombuffer(page.pixels, np.uint8).reshape(page.height, page.width)
    seen = [token for token in tokens if has_thai_digit(token.text)]
    lone = [] if seen else [token for token in tokens if is_lone_letter(token)]
    first = _judge_all(pixels, seen or (lone if len(lone) <= MOST_LONE_LETTERS else []))
    if _count_digits(first) >= ENOUGH_DIGITS:
        looked_at = {token.start for token, _ in first}
        hidden = [token for token in tokens if token.start not in looked_at and may_hide_digits(token)]
        first = [(token, _doubt_if_unseen(token, verdict)) for token, verdict in first]
        first += [(token, verdict) for token, verdict in _judge_all(pixels, hidden) if verdict.is_number]
    return _put_right(text, first)


def _doubt_if_unseen(token: Token, verdict: Verdict) -> Verdict:
    """Mark a number as a guess if the network saw nothing of it, on a page that has numbers."""
    written = sum(character in THAI_DIGITS for character in token.text)
    return replace(verdict, doubtful=True) if verdict.first is None and written > 1 else verdict


def _count_digits(judged: Iterable[tuple[Token, Verdict]]) -> int:
    """Count the Thai digits that both readers see and that are not guesses."""
    sure = [verdict for _, verdict in judged if verdict.first is not None and not verdict.doubtful]
    return sum(character in THAI_DIGITS for verdict in sure for character in verdict.text)


def _judge_all(pixels: strips.Pixels, tokens: Sequence[Token]) -> list[tuple[Token, Verdict]]:
    judged = list(zip(tokens, _look(pixels, tokens, HEIGHTS[0]), strict=True))
    doubtful = [token for token, verdict in judged if verdict.doubtful]
    if not doubtful:
        return judged
    again = [_look(pixels, doubtful, height) for height in HEIGHTS[1:]]
    settled = {token.start: _settle(verdicts) for token, *verdicts in zip(doubtful, *again, strict=True)}
    return [(token, _weigh(verdict, settled.get(token.start))) for token, verdict in judged]


def _settle(verdicts: Sequence[Verdict]) -> Verdict | None:
    """Return what the other readings agree on, if they are sure."""
    agreed = len({verdict.text for verdict in verdicts}) == 1
    return verdicts[0] if agreed and not all(verdict.doubtful for verdict in verdicts) else None


def _weigh(verdict: Verdict, settled: Verdict | None) -> Verdict:
    return replace(settled, doubtful=False) if settled else verdict


def _look(pixels: strips.Pixels, tokens: Sequence[Token], height: float) -> list[Verdict]:
    places = [_place(token, height) for token in tokens]
    pieces = [strips.cut(pixels, place) for place in places]
    return [
        judge(token, spell(_near(token, _glyphs(sights, place, piece.shape[1]))))
        for token, place, piece, sights in zip(tokens, places, pieces, network.read(pieces), strict=True)
    ]


def _place(token: Token, height: float) -> strips.Place:
    reach = round(REACH * token.line.consonant)
    left = max(token.left - reach, min(token.after, token.left))
    right = min(token.right + reach, max(token.before, token.right))
    return strips.Place(left, right, token.line.baseline, token.line.slope, token.line.consonant * height)


def _glyphs(sights: Iterable[network.Sight], place: strips.Place, columns: int) -> list[Glyph]:
    scale = (place.right - place.left) / columns
    return [_glyph(place.left + sight.middle * scale, sight.likely) for sight in sights]


def _glyph(middle: float, likely: network.Array) -> Glyph:
    thai, arabic = likely[1:11], likely[11:21]
    marks = likely[21:25]
    return Glyph(
        middle,
        (THAI_DIGITS[int(thai.argmax())], float(thai.max())),
        (ARABIC_DIGITS[int(arabic.argmax())], float(arabic.max())),
        (MARKS[int(marks.argmax())], float(marks.max())),
        float(likely[25]),
    )


def _near(token: Token, glyphs: Sequence[Glyph]) -> list[Glyph]:
    """Drop glyphs beyond the token's ends that do not adjoin it: another piece, a rule, a stamp."""
    left, right = token.left - LOOSE * token.line.consonant, token.right + LOOSE * token.line.consonant
    inside = [glyph for glyph in glyphs if left <= glyph.middle <= right]
    before = [glyph for glyph in glyphs if glyph.middle < left]
    behind = [glyph for glyph in glyphs if glyph.middle > right]
    steps = [other.middle - one.middle for one, other in itertools.pairwise(inside)]
    usual = statistics.median(steps) if steps else 0.0
    step = max(APART * token.line.consonant, WIDER * usual)
    kept = inside
    while kept and before and kept[0].middle - before[-1].middle <= step:
        kept = [before.pop(), *kept]
    while kept and behind and behind[0].middle - kept[-1].middle <= step:
        kept = [*kept, behind.pop(0)]
    return kept


def _put_right(text: str, judged: Iterable[tuple[Token, Verdict]]) -> Numerals:
    """Replace tokens by their verdicts, and join a number that Tesseract split at a comma."""
    corrections: list[Correction] = []
    pieces: list[str] = []
    end, doubtful = 0, False
    before: tuple[Token, Verdict] | None = None
    for token, verdict in sorted(judged, key=lambda one: one[0].start):
        doubtful = doubtful or verdict.doubtful
        if before and _is_torn(text[end : token.start], before, (token, verdict)):
            pieces[-1] = pieces[-1].rstrip(MARKS if verdict.text[0] in MARKS else "")
        else:
            pieces.append(text[end : token.start])
        pieces.append(verdict.text)
        if verdict.text != token.text:
            corrections.append(Correction(token.text, verdict.text))
        end = token.start + len(token.text)
        before = token, verdict
    return Numerals("".join([*pieces, text[end:]]), tuple(corrections), doubtful)


def _is_torn(between: str, before: tuple[Token, Verdict], after: tuple[Token, Verdict]) -> bool:
    """Return whether two pieces are one number: a mark at the split, and no room for a space."""
    (token, left), (_, right) = before, after
    if left.last is None or right.first is None or "\n" in between or not between.isspace():
        return False
    at_a_mark = left.text[-1] in TEARS or right.text[0] in TEARS
    return at_a_mark and right.first - left.last < TORN * token.line.consonant
