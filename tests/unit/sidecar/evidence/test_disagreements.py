"""Two readings of a page differ where their numbers or words do, and in nothing else."""

import time

import pytest

from sidecar.evidence.agreement import Disagreement, Reading, Verify, disagreements, is_blind
from sidecar.evidence.layout import Box, Layout, Line, Source, Word

THAI = "จึงเรียนมาเพื่อโปรดทราบและพิจารณาดำเนินการต่อไป"


def differ(mine: str, other: str, verify: Verify = Verify.NUMBERS):
    found = disagreements(Reading(mine), Reading(other), verify)
    return None if found is None else [(one.mine, one.other) for one in found]


@pytest.mark.parametrize(
    ("mine", "other"),
    [
        ("the sum is 1,234.50 baht", "the sum is 1234.50 baht"),
        ("ราคา ๑,๒๓๔.๕๐ บาท", "ราคา 1,234.50 บาท"),
        ("due 12/03/2567 here", "due 12 / 03 / 2567 here"),
        ("sum 7,183,268.89 baht", "sum 7, 183,268.89 baht"),
        ("no. AB-1234/67 of May", "no. ab\u20131234/67 of May"),
        ("a 100 b 200 c 300 text", "c 300 a 100 b 200 text"),
        ("left 10\nright 20\nmore 30", "left 10 right 20\nmore 30"),
        ("(12) and 15.", "12 and 15"),
        ("เลขที่๑๒๓/๒๕๖๗ลงวันที่", "เลขที่ 123/2567 ลงวันที่"),
        ("", ""),
        ("no numbers at all", "no number at all"),
    ],
)
def test_the_same_numbers_written_otherwise_agree(mine, other):
    assert disagreements(Reading(mine), Reading(other), Verify.NUMBERS) == ()
    assert disagreements(Reading(other), Reading(mine), Verify.NUMBERS) == ()


@pytest.mark.parametrize(
    ("mine", "other", "expected"),
    [
        ("the sum is 1,234.50 baht", "the sum is 1,284.50 baht", [("1,234.50", "1,284.50")]),
        ("ราคา ๑,๒๓๔ บาท", "ราคา ๑,๒๘๔ บาท", [("๑,๒๓๔", "๑,๒๘๔")]),
        ("the sum is 12.50 baht", "the sum is 1250 baht", [("12.50", "1250")]),
        ("the sum is 1,234 baht", "the sum is 1.234 baht", [("1,234", "1.234")]),
        ("on 12/03/2567 we met", "on 12/03/2024 we met", [("12/03/2567", "12/03/2024")]),
        ("invoice A10234-5 is paid", "invoice A10284-5 is paid", [("A10234-5", "A10284-5")]),
        ("sum 100, 100 and 100", "sum 100, 100 and 700", [("100", "700")]),
        ("x 100 and y 250 here", "y 256 and x 100 here", [("250", "256")]),
        ("paid 500 in full today", "paid in full by us today", [("500", None)]),
        ("paid in full by us today", "paid 500 in full today", [(None, "500")]),
    ],
)
def test_numbers_that_differ_are_listed(mine, other, expected):
    assert differ(mine, other) == expected


def test_a_lone_digit_that_only_the_other_saw_is_no_evidence():
    assert differ("a clean page of text", "a clean page of 7 text") == []


def test_a_missing_line_is_one_disagreement():
    lines = [f"row {number} costs {number * 111} baht and {number}.50 more" for number in range(10, 30)]
    without = [*lines[:8], *lines[9:]]
    (found,) = disagreements(Reading("\n".join(without)), Reading("\n".join(lines)), Verify.NUMBERS)
    assert (found.mine, found.other) == (None, "18 1998 18.50")
    (found,) = disagreements(Reading("\n".join(lines)), Reading("\n".join(without)), Verify.NUMBERS)
    assert (found.mine, found.other) == ("18 1998 18.50", None)


@pytest.mark.parametrize(
    ("mine", "other", "expected"),
    [
        ("the quick brown fox", "the quick brown fax", [("fox", "fax")]),
        ("the quick brown fox", "The Quick  brown\nfox", []),
        (THAI, THAI.replace("ราบ", "ราบ "), []),
        (THAI + "\nก่อน", THAI.replace("โปรด", "โปรต") + "\nก่อน", [(THAI, THAI.replace("โปรด", "โปรต"))]),
        ("it is a hyphen-ated word", "it is a hyphen- ated word", []),
    ],
)
def test_every_word_is_compared_where_that_is_asked(mine, other, expected):
    assert differ(mine, other, Verify.ALL) == expected


def test_who_cannot_read_the_script_contradicts_nobody():
    assert is_blind(f"{THAI} 1,234", "a9yUU2n 1,284 un")
    assert disagreements(Reading(f"{THAI} 1,234"), Reading("JuSunniNaTUS 1,284"), Verify.NUMBERS) is None
    assert not is_blind("an English page with ก", "an English page with n")
    assert is_blind("a page full of text that is read well", "a")
    assert not is_blind("", "")


def layout(*words: tuple[str, float], joins: bool = False) -> Layout:
    placed = tuple(
        Word(text, Box(10.0 * at, 0, 10.0 * at + 8, 9), sure, Source.TESSERACT, joins=joins and at > 0)
        for at, (text, sure) in enumerate(words)
    )
    return Layout(200, 100, (Line(placed, None),))


def test_a_disagreement_says_where_it_is():
    mine = Reading("sum 100 baht", layout(("sum", 0.9), ("100", 0.9), ("baht", 0.9)))
    other = Reading("sum 700 baht", layout(("sum", 0.9), ("700", 0.9), ("baht", 0.9)))
    assert disagreements(mine, other, Verify.NUMBERS) == (Disagreement("100", "700", Box(10, 0, 18, 9)),)
    assert disagreements(Reading(mine.text), other, Verify.NUMBERS) == (Disagreement("100", "700", Box(10, 0, 18, 9)),)


def test_who_is_not_sure_contradicts_nobody():
    mine = Reading("sum 100 baht")
    assert disagreements(mine, Reading("", layout(("sum", 0.9), ("700", 0.3), ("baht", 0.9))), Verify.NUMBERS) is None
    other = Reading("sum 700 baht", layout(("sum", 0.9), ("700", 0.3), ("baht", 0.9)))
    assert disagreements(mine, other, Verify.NUMBERS) == ()


def test_joined_words_have_their_places():
    other = Reading("เลขที่700", layout(("เลขที่", 0.9), ("700", 0.9), joins=True))
    assert disagreements(Reading("เลขที่100"), other, Verify.NUMBERS) == (Disagreement("100", "700", Box(10, 0, 18, 9)),)


@pytest.mark.parametrize("verify", [Verify.NUMBERS, Verify.ALL])
def test_a_large_page_takes_bounded_time_and_gives_a_bounded_list(verify):
    mine = " ".join(str(number) for number in range(2900))
    other = " ".join(str(number) for number in range(2901, 5800))
    began_s = time.process_time()
    found = disagreements(Reading(mine), Reading(other), verify)
    assert found is not None
    assert time.process_time() - began_s < 10
    assert len(found) <= 200


@pytest.mark.parametrize("verify", [Verify.NUMBERS, Verify.ALL])
def test_a_page_with_too_many_words_is_not_compared(verify):
    text = " ".join(str(number) for number in range(40_000))
    assert disagreements(Reading(text), Reading(text), verify) is None
