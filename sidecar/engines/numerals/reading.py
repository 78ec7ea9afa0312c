"""Reads the numerals of a page that Tesseract has read, and puts right what it mistook. Runs in worker processes."""

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
"""Heights of a consonant by which digits may stand out beyond where Tesseract says that a piece ends."""
APART, WIDER = 1.3, 1.35
"""Heights of a consonant from one glyph's middle to the next beyond which they are not one numeral, or, in wide type,
times what is usual in this one."""
LOOSE = 0.4
"""Heights of a consonant by which Tesseract's boxes may miss a glyph's middle."""
TORN = 0.95
"""Heights of a consonant from middle to middle up to which there is no space between a comma and a digit."""
TEARS = ",."
LOOKS = (1.0, 0.88, 1.15)
"""Heights that a doubtful piece is looked at: the line's, as Tesseract measured it, a smaller and a larger one."""
ENOUGH_DIGITS = 3
"""Thai digits from which a page is one with Thai numerals, so that more may hide among its letters."""
MOST_LONE_LETTERS = 12
"""On a page without a Thai digit; one with more of them is a list of letters."""


@dataclass(frozen=True, slots=True)
class Numerals:
    """The text with its numerals put right, what was changed, and whether a numeral in it is a guess."""

    text: str
    corrections: tuple[Correction, ...] = ()
    doubtful: bool = False


def read_numerals(page: PageImage, text: str, symbols: Sequence[Symbol]) -> Numerals:
    """Read a page's numerals once more. ``symbols`` are Tesseract's, in the order of its ``text``."""
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
    """Doubt a number of which the network saw nothing, on a page that has numbers."""
    written = sum(character in THAI_DIGITS for character in token.text)
    return replace(verdict, doubtful=True) if verdict.first is None and written > 1 else verdict


def _count_digits(judged: Iterable[tuple[Token, Verdict]]) -> int:
    """Count the Thai digits that both readers see and that are no guesses."""
    sure = [verdict for _, verdict in judged if verdict.first is not None and not verdict.doubtful]
    return sum(character in THAI_DIGITS for verdict in sure for character in verdict.text)


def _judge_all(pixels: strips.Pixels, tokens: Sequence[Token]) -> list[tuple[Token, Verdict]]:
    judged = list(zip(tokens, _look(pixels, tokens, LOOKS[0]), strict=True))
    doubtful = [token for token, verdict in judged if verdict.doubtful]
    if not doubtful:
        return judged
    again = [_look(pixels, doubtful, look) for look in LOOKS[1:]]
    settled = {token.start: _settle(verdicts) for token, *verdicts in zip(doubtful, *again, strict=True)}
    return [(token, _weigh(verdict, settled.get(token.start))) for token, verdict in judged]


def _settle(verdicts: Sequence[Verdict]) -> Verdict | None:
    """Give what the other looks agree on, if they are sure of it."""
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
    """Drop what lies beyond the token's ends and does not join on: another piece, a rule, a stamp."""
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
    """Put verdicts in the place of tokens, and join a number that Tesseract tore at a comma."""
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
    """Tell whether two pieces are one number: a mark at the tear, and no room for a space."""
    (token, left), (_, right) = before, after
    if left.last is None or right.first is None or "\n" in between or not between.isspace():
        return False
    at_a_mark = left.text[-1] in TEARS or right.text[0] in TEARS
    return at_a_mark and right.first - left.last < TORN * token.line.consonant
