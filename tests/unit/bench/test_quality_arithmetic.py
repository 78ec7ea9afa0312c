"""The arithmetic of bench/quality: what counts as an error, a word, an amount, a passed test."""

import pytest

from bench.quality import arithmetic as a

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
    ("read", "codes", "expected", "right"),
    [
        ("one\ntwo", [], {"present": ["one two"]}, True),
        ("one", [], {"present": ["one", "two"]}, False),
        ("one hidden", [], {"present": ["one"], "absent": ["hidden"]}, False),
        ("", ["document_encrypted"], {"code": "document_encrypted"}, True),
        ("", ["document_unreadable"], {"code": "document_encrypted"}, False),
        ("one", ["pages:1"], {"pages": 1}, True),
        ("one", ["pages:2"], {"pages": 1}, False),
    ],
)
def test_a_file_is_right_if_all_that_is_expected_holds(read, codes, expected, right):
    assert a.is_as_expected(read, codes, expected) is right


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
