import unicodedata

import pytest

from sidecar.engines.numerals.tokens import (
    Symbol,
    TextLine,
    find_tokens,
    is_lone_letter,
    may_hide_digits,
    may_hold_numerals,
)

LINE = TextLine(100, 0, 20)


def symbols(text: str, line: TextLine = LINE, confidence: float = 95) -> list[Symbol]:
    """One symbol a character, 20 pixels wide, with the spaces between; marks lie over their letters."""
    found, at = [], 0
    for one in text:
        at -= 20 if unicodedata.combining(one) or one in "\u0e34\u0e35\u0e31" else 0
        if not one.isspace():
            found.append(Symbol(one, at, at + 18, confidence, line))
        at += 20
    return found


def test_tokens_are_what_stands_between_white_space() -> None:
    found = find_tokens("ข้อ ๓.\nปี ๒๕๖๗", [*symbols("ข้อ ๓."), *symbols("ปี ๒๕๖๗", TextLine(140, 0, 20))])
    assert [(one.text, one.start) for one in found] == [("ข้อ", 0), ("๓.", 4), ("ปี", 7), ("๒๕๖๗", 10)]


def test_a_token_is_bounded_by_its_neighbours_on_the_line_and_by_no_other_line() -> None:
    found = find_tokens("ก ๓ ข\n๔", [*symbols("ก ๓ ข"), *symbols("๔", TextLine(140, 0, 20))])
    assert [(one.after, one.before) for one in found] == [(0, 49), (9, 89), (49, 1 << 30), (0, 1 << 30)]


def test_a_symbol_that_is_not_in_the_text_is_left_out() -> None:
    found = find_tokens("๑๒", [Symbol("~", 0, 9, 50, LINE), *symbols("๑๒")])
    assert [symbol.text for symbol in found[0].symbols] == ["๑", "๒"]


@pytest.mark.parametrize("text", ["ปี ๒๕๕๕", "- ต -", "ด.", "x ๓"])
def test_a_page_with_a_thai_digit_or_a_lone_letter_is_worth_a_look(text: str) -> None:
    assert may_hold_numerals(text)


@pytest.mark.parametrize(
    "text", ["", "Page 7 of 9", "a b c", "เรียน ผู้อำนวยการ", "ต่าง ๆ", "ณ วันที่", "ก. ข. ค. ง.", "พ.ศ. 2567"]
)
def test_other_pages_are_not(text: str) -> None:
    assert not may_hold_numerals(text)


@pytest.mark.parametrize(("text", "expected"), [("on.", True), ("12", True), ("ที่", False), ("กระทรวง", False)])
def test_short_pieces_and_arabic_digits_may_hide_thai_ones(text: str, expected: bool) -> None:
    (token,) = find_tokens(text, symbols(text))
    assert may_hide_digits(token) is expected


def test_a_long_piece_may_only_where_tesseract_doubts_it() -> None:
    (token,) = find_tokens("ดดลลคค", symbols("ดดลลคค", confidence=40))
    assert may_hide_digits(token)


def test_a_lone_letter_may_have_dashes_around_it() -> None:
    assert [is_lone_letter(token) for token in find_tokens("-ต- กข ๆ", symbols("-ต- กข ๆ"))] == [True, False, False]
