from dataclasses import replace

import pytest

from sidecar.engines.numerals.alphabet import OTHER
from sidecar.engines.numerals.judgement import Glyph, Seen, judge, spell
from sidecar.engines.numerals.tokens import Token, find_tokens
from tests.unit.sidecar.engines.numerals.test_tokens import symbols

ZERO = "\N{THAI DIGIT ZERO}"
STEP = 20
"""Pixels from one symbol to the next, as in ``symbols``."""


def token(text: str) -> Token:
    return find_tokens(text, symbols(text))[0]


def saw(text: str, *, first: float = 9, sureness: float = 0.99) -> list[Seen]:
    """One glyph a character, a step apart; ``x`` stands for a letter."""
    return [
        Seen(first + STEP * at, OTHER if one == "x" else one, sureness) for at, one in enumerate(text) if one != " "
    ]


@pytest.mark.parametrize(
    ("written", "seen", "expected"),
    [
        ("๕๓,๕๐๐", "๔๗,๕๐๐", "๔๗,๕๐๐"),  # another digit in each place
        ("๒,ดด๓", "๒,๓๓๖", "๒,๓๓๖"),  # letters among digits
        ("on.", "๑๓.", "๑๓."),  # Latin letters before a dot
        ("๒๕.๑", "๒๕.๑", "๒๕.๑"),  # nothing to change
        ("ที่๓/๒๕๕๕", "x๓/๒๕๖๗", "ที่๓/๒๕๖๗"),  # letters with marks stay
        ("พ.ศ.๒๕๕๕", "x.x.๒๕๖๗", "พ.ศ.๒๕๖๗"),
        ("(๓)", "x๗x", "(๗)"),
        ("ต", "๗", "๗"),  # a page's number by itself
    ],
)
def test_digits_are_as_seen_and_letters_as_written(written: str, seen: str, expected: str) -> None:
    verdict = judge(token(written), saw(seen))
    assert (verdict.text, verdict.doubtful) == (expected, False)


def test_a_digit_that_tesseract_left_out_is_put_in() -> None:
    assert judge(token("๒,๒๕๕"), saw("๗๒,๒๕๕", first=9 - STEP)).text == "๗๒,๒๕๕"


def test_a_digit_that_tesseract_made_of_nothing_is_left_out() -> None:
    assert judge(token("๑๓๒,๕"), saw("๗ ๒,๕", first=15)).text == "๗๒,๕"


@pytest.mark.parametrize(
    ("written", "seen"), [("2567", "2567"), ("1,250.00", "1,250.00"), ("กลาง", "xxxx"), ("๓", "x")]
)
def test_without_a_thai_digit_in_sight_nothing_changes(written: str, seen: str) -> None:
    assert judge(token(written), saw(seen)).text == written


def test_one_digit_seen_amid_a_word_does_not_make_it_a_number() -> None:
    assert judge(token("การคลัง"), saw("xx๓xx")).text == "การคลัง"


def test_a_guess_is_a_doubt() -> None:
    assert judge(token("๕๓"), saw("๔๗", sureness=0.7)).doubtful


@pytest.mark.parametrize(
    ("number", "sureness", "expected"),
    [
        ("๑.๕๐๓", 0.8, "๑,๕๐๓"),  # thousands
        ("๑๑.๒๖๘.๘๔", 0.8, "๑๑,๒๖๘.๘๔"),
        ("๖๘๘,๙๓", 0.6, "๖๘๘.๙๓"),  # decimals
        ("๑๓.๗๕๖", 0.99, "๑๓.๗๕๖"),  # both readers are sure
        ("๑,๒", 0.99, "๑,๒"),
        ("๒,", 0.6, "๒,"),  # nothing follows that would tell
        ("๓.", 0.6, "๓."),
    ],
)
def test_what_follows_tells_a_comma_from_a_full_stop_where_they_look_alike(number, sureness, expected) -> None:
    marks = [replace(one, sureness=sureness) if one.character in ",." else one for one in saw(number)]
    assert judge(token(number), marks).text == expected


@pytest.mark.parametrize(
    ("number", "doubtful"),
    [("๘๐,๖๘๘๕๑", True), ("๓๖๗๗,๙๓๗.๙๑", True), ("๘๐,๖๘๘.๕๑", False), ("(๑,๒๓๔,๕๖๗)", False), ("๒๕๖๗", False)],
)
def test_thousands_that_are_separated_wrongly_are_a_doubt(number, doubtful) -> None:
    assert judge(token(number), saw(number)).doubtful is doubtful


def glyph(thai: str, thai_likely: float, arabic: str, arabic_likely: float) -> Glyph:
    return Glyph(0, (thai, thai_likely), (arabic, arabic_likely), (".", 0.0), 0.0)


def test_a_numeral_is_of_one_script() -> None:
    thai = [glyph("๒", 0.98, "6", 0.01), glyph(ZERO, 0.4, "0", 0.55), glyph("๗", 0.97, "9", 0.01)]
    arabic = [glyph("๒", 0.01, "6", 0.98), glyph(ZERO, 0.55, "0", 0.4)]
    assert ["".join(one.character for one in spell(glyphs)) for glyphs in (thai, arabic)] == ["๒๐๗", "60"]
