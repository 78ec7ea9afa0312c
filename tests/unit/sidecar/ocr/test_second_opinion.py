"""Which pages are doubtful, and which of two readings is taken."""

import pytest

from sidecar.ocr.engine import PageText, PageVerdict
from sidecar.ocr.second_opinion import is_better, is_doubtful, without_strays

SENTENCE = "the contractor shall deliver the revised drawings of the pier within seven working days"
GARBLED = 2 * "sgd bnmsqzbsnq rgzkk cdkhudq sgd qduhrdc cqzvhmfr ne sgd ohdq vhsghm rdudm vnqjhmf czxr "
"""The same with each letter shifted by one: what a wrong font map gives."""
NOISE = ". , | _ - ~ : ; ' ` | | . . _ ~ = + - ,"


def page(text: str, confidence: int | None = 95, **fields: object) -> PageText:
    return PageText(text, confidence=confidence, **fields)


@pytest.mark.parametrize(
    ("read", "doubtful"),
    [
        (page(SENTENCE, 90), False),
        (page(SENTENCE, 89), True),
        (page(SENTENCE, 0), True),
        (page(SENTENCE, None), False),  # an engine that tells no confidence is not doubted for it
        (page("", None, verdict=PageVerdict.EMPTY), True),
        (page("", None, blank=True), False),
    ],
)
def test_a_page_is_doubtful_if_its_reader_is_unsure_or_sees_nothing(read, doubtful):
    assert is_doubtful(read) is doubtful


@pytest.mark.parametrize(
    ("second", "first", "better"),
    [
        (page(SENTENCE, 97), page(SENTENCE, 80), True),
        (page(SENTENCE, 79), page(SENTENCE, 80), False),
        (page(SENTENCE, 97), page("", None), True),
        (page("", None), page(SENTENCE, 40), False),
        (page("", None), page("", None), False),
        (page(SENTENCE[:40], 97), page(SENTENCE, 80), False),  # half of the page is lost
        (page(SENTENCE[:50], 97), page(SENTENCE, 80), True),
        (page(SENTENCE[:20], 97), page(NOISE * 9, 40), True),  # but there was nothing to lose
        (page(NOISE, 97), page(SENTENCE, 60), False),
        (page(NOISE, 97), page("", None), False),
        (page(GARBLED, 97), page(SENTENCE, 60), False),
        (page(SENTENCE, 50), page(GARBLED, 60), True),
        (page("合同 金额 25,000 元", 97), page("", None), True),
    ],
)
def test_the_better_reading_reads_like_text_is_whole_and_sure(second, first, better):
    assert is_better(second, first) is better


@pytest.mark.parametrize(
    ("text", "sure", "kept"),
    [
        (f"{SENTENCE} ก 25.00 ภร", "the contractor", f"{SENTENCE}  25.00 "),
        (f"{SENTENCE} ก", f"{SENTENCE} ก", f"{SENTENCE} "),  # one letter may look sure by chance
        (f"{SENTENCE} สัญญา", f"{SENTENCE} สัญญา", f"{SENTENCE} สัญญา"),
        ("TOTAL สัญญา", "", "TOTAL สัญญา"),  # too much of the page to be specks
        (f"{SENTENCE} ก", None, f"{SENTENCE} ก"),  # nothing is known of its words
        ("", "", ""),
    ],
)
def test_a_script_that_the_reader_is_not_sure_of_anywhere_is_not_on_the_page(text, sure, kept):
    assert without_strays(page(text, 60, sure_text=sure)) == kept
