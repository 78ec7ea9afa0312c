"""The arithmetic of bench/quality: what counts as an error, a word, an amount, a passed test."""

import pytest

from bench.quality import arithmetic as a
from bench.quality.failing import Wanted

TABLE = "| item | price |\n|---|---|\n| tea | 9.00 |\n| coffee | 12.00 |"


@pytest.mark.parametrize(
    ("read", "true", "rate"),
    [
        ("same", "same", 0.0),
        ("sane", "same", 0.25),
        ("", "same", 1.0),
        ("much more than there is", "same", 1.0),  # never more than all
        ("", "", 0.0),
        ("a  b\n\nc", "a b c", 0.0),
        ("\u201cit\u2019s\u201d \u2013 here", '"it\'s" - here', 0.0),
        ("cafe\u0301", "café", 0.0),
    ],
)
def test_the_error_rate_counts_edits_per_true_character(read, true, rate):
    assert a.error_rate(read, true) == pytest.approx(rate)


def test_without_spaces_only_letters_count():
    assert a.error_rate_without_spaces("ผู้ รับจ้าง", "ผู้รับจ้าง") == 0
    assert a.error_rate("ผู้ รับจ้าง", "ผู้รับจ้าง") > 0


def test_words_count_as_often_as_they_are_there_and_in_any_order():
    assert a.word_scores("b A a", "a b c d") == (0.5, pytest.approx(2 / 3))
    assert a.word_scores("", "a") == (0, 0)
    assert a.f1([(0.5, 1.0), (0.7, 1.0)]) == pytest.approx(2 * 0.6 / 1.6)
    assert a.f1([]) == 0
    assert a.f1([(0, 0)]) == 0


def test_amounts_count_whole_and_once_each():
    assert a.whole_amounts("รวม ๔๗,๕๐๐ บาท (๑๒.๕๐)", ["๔๗,๕๐๐", "๑๒.๕๐"]) == 2
    assert a.whole_amounts("๔๗,๕๐ ๕๓,๕๐๐", ["๔๗,๕๐๐"]) == 0
    assert a.whole_amounts("7 7", ["7", "7", "7"]) == 2


@pytest.mark.parametrize(
    ("wanted", "pages", "codes", "problems"),
    [
        (Wanted(("one two",)), ["one\ntwo"], [], []),
        (Wanted(("one", "two")), ["one"], [], ["lacks two"]),
        (Wanted(("one",), times=2), ["one"], [], ["lacks one"]),
        (Wanted(("one",), absent="hidden"), ["one hidden"], [], ["has hidden"]),
        (Wanted(("one",), pages=2), ["one"], [], ["has 1 pages"]),
        (Wanted(()), [""], [], ["is empty"]),
        (Wanted(("one",), warnings=("document-repaired",)), ["one"], [], ["without document-repaired"]),
        (Wanted(("ก",)), ["ก ่"], [], ["has a Thai mark without its letter: ' ่'"]),
        (Wanted(code="document_encrypted"), [], ["document_encrypted"], []),
        (Wanted(code="document_encrypted"), [], ["document_unreadable"], ["without document_encrypted"]),
    ],
)
def test_a_file_is_right_if_all_that_is_wanted_holds(wanted, pages, codes, problems):
    assert list(wanted.problems(pages, codes)) == problems


@pytest.mark.parametrize(
    ("test", "passed"),
    [
        ({"type": "present", "text": "tea"}, True),
        ({"type": "present", "text": "toa"}, False),
        ({"type": "present", "text": "cofeee", "max_diffs": 2}, True),
        ({"type": "present", "text": "coffee", "first_n": 10}, False),
        ({"type": "present", "text": "coffee", "last_n": 20}, True),
        ({"type": "absent", "text": "milk"}, True),
        ({"type": "absent", "text": "tea"}, False),
        ({"type": "order", "before": "tea", "after": "coffee"}, True),
        ({"type": "order", "before": "coffee", "after": "tea"}, False),
        ({"type": "baseline"}, True),
        ({"type": "baseline", "max_length": 5}, False),
        ({"type": "table", "cell": "9.00", "left": "tea", "top_heading": "price"}, True),
        ({"type": "table", "cell": "9.00", "down": "12.00", "left_heading": "tea"}, True),
        ({"type": "table", "cell": "9.00", "left": "coffee"}, False),
        ({"type": "math", "math": "x"}, None),
    ],
)
def test_olmocrs_tests(test, passed):
    assert a.passes(TABLE, test) is passed


def test_tables_of_html_are_tables():
    html = "<table><tr><th>item</th><th>price</th></tr><tr><td>tea</td><td><b>9</b></td></tr></table>"
    assert a.tables(html) == [[["item", "price"], ["tea", "9"]]]
    assert a.tables("no | table") == []
