"""A page's quality is the share of its text that its reader is sure of and that looks like text, less its doubts."""

import math

import pytest

from sidecar.evidence.confidence import (
    Certainty,
    Doubts,
    Origin,
    QualityLimits,
    certainty,
    certainty_of_tokens,
    fragments,
    joined_certainty,
    of_text,
    quality,
)

LIMITS = QualityLimits(low=0.85, high=0.95)
NO_DOUBTS = Doubts()
MARKS = "QV  qa VA ๑4 ao 1 ๐ ="  # noqa: RUF001
"""What Tesseract makes of the marks above a line of Thai."""


def test_words_that_the_reader_is_not_sure_of_count_by_their_letters():
    assert certainty([("sure", 96), ("unsure", 84), (" ", 95)], "sure unsure") == Certainty(Origin.WORDS, 10, 6, 0)


@pytest.mark.parametrize("text", [MARKS, f"ก่อน\n{MARKS}", "a b c d"])
def test_lines_of_nothing_but_pieces_are_no_text(text):
    assert fragments(text) == sum(map(len, text.splitlines()[-1].split()))


@pytest.mark.parametrize(
    "text", ["", "I am", "12 34 56 78", "1. 2. 3. 4.", "it is a page of text", "ด้วยกระทรวงการคลัง ได้ พิจารณาแล้ว"]
)
def test_short_words_and_rows_of_figures_are_text(text):
    assert fragments(text) == 0


@pytest.mark.parametrize(
    ("read", "doubts", "score", "verdict"),
    [
        (Certainty(Origin.WORDS, 100, 0, 0), NO_DOUBTS, 1.0, "high"),
        (Certainty(Origin.WORDS, 100, 5, 0), NO_DOUBTS, 0.95, "high"),
        (Certainty(Origin.WORDS, 100, 6, 0), NO_DOUBTS, 0.94, "medium"),
        (Certainty(Origin.WORDS, 100, 10, 6), NO_DOUBTS, 0.84, "low"),
        (Certainty(Origin.WORDS, 100, 90, 20), NO_DOUBTS, 0.0, "low"),
        (Certainty(Origin.WORDS, 0, 0, 0), NO_DOUBTS, 0.0, "low"),
        (Certainty(Origin.WORDS, 100, 0, 0), Doubts(is_guessed=True), 0.9, "medium"),
        (Certainty(Origin.WORDS, 100, 0, 0), Doubts(is_partial=True), 0.5, "low"),
    ],
)
def test_the_score_and_its_verdict(read, doubts, score, verdict):
    judged = quality(read, doubts, LIMITS)
    assert judged
    assert (judged.score, judged.origin, judged.verdict) == (score, "words", verdict)


def test_another_readers_word_is_heard():
    sure = Certainty(Origin.WORDS, 100, 0, 0)
    agreed = quality(sure, Doubts(disagreed=0.0), LIMITS)
    assert agreed
    assert (agreed.score, agreed.origin) == (1.0, "words+agreement")
    one_word = quality(sure, Doubts(disagreed=0.01), LIMITS)
    assert one_word
    assert (one_word.score, one_word.verdict) == (0.9, "medium")
    many = quality(None, Doubts(disagreed=0.4), LIMITS)
    assert many
    assert (many.score, many.origin, many.verdict) == (0.6, "agreement", "low")


def test_of_what_nothing_is_known_nothing_is_said():
    assert quality(None, NO_DOUBTS, LIMITS) is None
    assert quality(None, Doubts(is_partial=True), LIMITS) is None


def test_tokens_are_judged_by_their_probabilities():
    tokens = [("sure", math.log(0.9)), (" unsure", math.log(0.4)), ("\n", -9.0)]
    assert certainty_of_tokens(tokens) == Certainty(Origin.TOKENS, 10, 6, 0)


def test_pieces_of_a_page_add_up():
    one, two = Certainty(Origin.WORDS, 10, 1, 2), Certainty(Origin.WORDS, 20, 3, 4)
    assert joined_certainty([one, None, two]) == Certainty(Origin.WORDS, 30, 4, 6)
    assert joined_certainty([None]) is None


def test_words_that_another_reader_lost_count_against_it():
    assert Certainty(Origin.WORDS, 80, 0, 0).lacking(20) == Certainty(Origin.WORDS, 100, 20, 0)


def test_a_text_layer_is_judged_by_its_looks():
    assert of_text("a page of text", was_read=True) == Certainty(Origin.TEXT, 11, 0, 0)
    assert of_text(MARKS, was_read=True).share == 0.0


@pytest.mark.parametrize("text", ["if x > 0 :", "E = m c 2", "1) A B C D E", "to be or not to be"])
def test_short_pieces_of_a_documents_own_text_are_no_doubt(text):
    assert of_text(text, was_read=False).share == 1.0
