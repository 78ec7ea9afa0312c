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
from sidecar.evidence.edits import Edit, edited
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
LIKE_USUAL = 0.85, 1.18
"""A line whose consonants differ by more than this from the page's may be measured wrongly, or be of other type."""
HEIGHTS = (1.0, 0.88, 1.15)
"""Heights at which a doubtful piece is read: the line's, as Tesseract measured it, a smaller and a larger one."""
SMALL_CONSONANT, LONG_NUMBER = 17.0, 5
"""Numbers of at least five characters are read at another height, too, where a consonant has fewer pixels than this:
in type of 9 and 10 points at 200 dpi, look-alikes such as ๖ and ๒ may be sure and wrong."""
ENOUGH_DIGITS = 3
"""Fewest Thai digits of a page with Thai numerals, on which more may hide among the letters."""
MOST_LONE_LETTERS = 12
"""Most lone letters read again on a page without a Thai digit; more of them are a list."""


@dataclass(frozen=True, slots=True)
class Numerals:
    """The text with corrected numerals, what was changed, and whether a numeral in it is a guess.

    ``edits`` made the text, in its order; what is not replaced stands as it was read.
    """

    text: str
    corrections: tuple[Correction, ...] = ()
    doubtful: bool = False
    edits: tuple[Edit, ...] = ()


def read_numerals(page: PageImage, text: str, symbols: Sequence[Symbol]) -> Numerals:
    """Read a page's numerals again. ``symbols`` are Tesseract's, in the order of its ``text``."""
    tokens = find_tokens(text, symbols)
    pixels = np.frombuffer(page.pixels, np.uint8).reshape(page.height, page.width)
    seen = [token for token in tokens if has_thai_digit(token.text)]
    lone = [] if seen else [token for token in tokens if is_lone_letter(token)]
    usual = statistics.median([token.line.consonant for token in tokens]) if tokens else 0.0
    first = _judge_all(pixels, seen or (lone if len(lone) <= MOST_LONE_LETTERS else []), usual)
    if _count_digits(first) >= ENOUGH_DIGITS:
        looked_at = {token.start for token, _ in first}
        hidden = [token for token in tokens if token.start not in looked_at and may_hide_digits(token)]
        first = [(token, _doubt_if_unseen(token, verdict)) for token, verdict in first]
        first += [(token, verdict) for token, verdict in _judge_all(pixels, hidden, usual) if verdict.is_number]
    return _put_right(text, first)


def _doubt_if_unseen(token: Token, verdict: Verdict) -> Verdict:
    """Mark a number as a guess if the network saw nothing of it, on a page that has numbers."""
    written = sum(character in THAI_DIGITS for character in token.text)
    return replace(verdict, doubtful=True) if verdict.first is None and written > 1 else verdict


def _count_digits(judged: Iterable[tuple[Token, Verdict]]) -> int:
    """Count the Thai digits that both readers see and that are not guesses."""
    sure = [verdict for _, verdict in judged if verdict.first is not None and not verdict.doubtful]
    return sum(character in THAI_DIGITS for verdict in sure for character in verdict.text)


def _judge_all(pixels: strips.Pixels, tokens: Sequence[Token], usual: float) -> list[tuple[Token, Verdict]]:
    """Judge each token; ``usual`` is the height of the page's consonants: Tesseract measures some lines wrongly."""
    odd = {token.start: token for token in tokens if not LIKE_USUAL[0] <= token.line.consonant / usual <= LIKE_USUAL[1]}
    resized = [token.at_height(usual) for token in odd.values()]
    at_usual = dict(zip(odd, _look(pixels, resized, HEIGHTS[0]), strict=True))
    judged = [
        (token, max(at_usual.get(token.start, verdict), verdict, key=_plainness))
        for token, verdict in zip(tokens, _look(pixels, tokens, HEIGHTS[0]), strict=True)
    ]
    return _doubt_if_small(pixels, _look_again(pixels, judged))


def _look_again(pixels: strips.Pixels, judged: Sequence[tuple[Token, Verdict]]) -> list[tuple[Token, Verdict]]:
    """Read what is doubtful at other heights."""
    doubtful = [token for token, verdict in judged if verdict.doubtful]
    if not doubtful:
        return list(judged)
    again = [_look(pixels, doubtful, height) for height in HEIGHTS[1:]]
    settled = {token.start: _settle(verdicts) for token, *verdicts in zip(doubtful, *again, strict=True)}
    return [(token, _weigh(verdict, settled.get(token.start))) for token, verdict in judged]


def _doubt_if_small(pixels: strips.Pixels, judged: Sequence[tuple[Token, Verdict]]) -> list[tuple[Token, Verdict]]:
    """Mark small numbers as guesses that read otherwise at another height."""
    small = [token for token, verdict in judged if _is_small(token, verdict)]
    other = dict(zip((token.start for token in small), _look(pixels, small, HEIGHTS[-1]), strict=True))
    return [
        (token, replace(verdict, doubtful=verdict.doubtful or other.get(token.start, verdict).text != verdict.text))
        for token, verdict in judged
    ]


def _is_small(token: Token, verdict: Verdict) -> bool:
    return verdict.is_number and len(verdict.text) >= LONG_NUMBER and token.line.consonant < SMALL_CONSONANT


def _plainness(verdict: Verdict) -> tuple[bool, bool]:
    return verdict.is_number, not verdict.doubtful


def _settle(verdicts: Sequence[Verdict]) -> Verdict | None:
    """Return what the other readings agree on, if they are sure."""
    agreed = len({verdict.text for verdict in verdicts}) == 1
    return verdicts[0] if agreed and not all(verdict.doubtful for verdict in verdicts) else None


def _weigh(verdict: Verdict, settled: Verdict | None) -> Verdict:
    return replace(settled, doubtful=False) if settled else verdict


def _look(pixels: strips.Pixels, tokens: Sequence[Token], height: float) -> list[Verdict]:
    places = [_place(pixels, token, height) for token in tokens]
    pieces = [strips.cut(pixels, place) for place in places]
    return [
        judge(token, spell(_near(token, _glyphs(sights, place, piece.shape[1]))))
        for token, place, piece, sights in zip(tokens, places, pieces, network.read(pieces), strict=True)
    ]


def _place(pixels: strips.Pixels, token: Token, height: float) -> strips.Place:
    """Return where to look: as far as digits may reach, or to the space between the token and its neighbour.

    Tesseract's boxes miss their glyphs by up to half of one, so that the space is looked for in the pixels.
    """
    reach = round(REACH * token.line.consonant)
    left, right = token.left - reach, token.right + reach
    if token.after > left:
        left = min(_space(pixels, token, token.after, token.symbols[0].middle), token.left)
    if token.before < right:
        right = max(_space(pixels, token, token.symbols[-1].middle, token.before), token.right)
    return strips.Place(left, right, token.line.baseline, token.line.slope, token.line.consonant * height)


def _space(pixels: strips.Pixels, token: Token, start: float, end: float) -> int:
    line = token.line
    place = strips.Place(round(start), round(end), line.baseline, line.slope, line.consonant)
    return round(strips.widest_gap(pixels, place))


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
    edits: list[Edit] = []
    doubtful = False
    before: tuple[Token, Verdict] | None = None
    for token, verdict in sorted(judged, key=lambda one: one[0].start):
        doubtful = doubtful or verdict.doubtful
        if before and _is_torn(text[edits[-1].end : token.start], before, (token, verdict)):
            last = edits[-1].text.rstrip(MARKS if verdict.text[0] in MARKS else "")
            edits[-1] = replace(edits[-1], end=token.start, text=last)
        edits.append(Edit(token.start, token.start + len(token.text), verdict.text))
        if verdict.text != token.text:
            corrections.append(Correction(token.text, verdict.text))
        before = token, verdict
    changes = tuple(edit for edit in edits if text[edit.start : edit.end] != edit.text)
    return Numerals(edited(text, changes), tuple(corrections), doubtful, changes)


def _is_torn(between: str, before: tuple[Token, Verdict], after: tuple[Token, Verdict]) -> bool:
    """Return whether two pieces are one number: a mark at the split, and no room for a space."""
    (token, left), (_, right) = before, after
    if left.last is None or right.first is None or "\n" in between or not between.isspace():
        return False
    at_a_mark = left.text[-1] in TEARS or right.text[0] in TEARS
    return at_a_mark and right.first - left.last < TORN * token.line.consonant
