"""The words of one reading get the places of another's."""

import random
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sidecar.evidence.alignment import place
from sidecar.evidence.layout import Box, Source, Word


def seen(*texts: str) -> list[Word]:
    """Words beside one another, ten points for each letter and ten between them."""
    words, at = [], 0
    for text in texts:
        words.append(Word(text, Box(at, 0, at + 10 * len(text), 12), 0.9, Source.TESSERACT))
        at += 10 * len(text) + 10
    return words


def sides(boxes):
    return [box and (box.left, box.right) for box in boxes]


def test_the_same_words_have_the_same_places():
    found = seen("one", "two", "three")
    assert place(["one", "two", "three"], found) == [word.box for word in found]


def test_markup_signs_and_capitals_make_no_other_word():
    found = seen("INVOICE", "no", "4711")
    assert place(["**Invoice**", "no.", "4711,"], found) == [word.box for word in found]


def test_a_word_that_was_read_otherwise_has_the_place_of_its_ink():
    found = seen("Contract", "N0.", "l5/2568", "of", "the", "port")
    words = ["Contract", "No.", "15/2568", "of", "the", "port"]
    assert sides(place(words, found))[1:3] == [(90, 120), (140, 200)]


def test_words_that_nobody_saw_have_no_place():
    found = seen("The", "contractor", "submits")
    words = ["The", "honourable", "contractor", "zealously", "submits", "xyz"]
    assert [box is None for box in place(words, found)] == [False, True, False, True, False, True]


def test_a_letter_in_common_makes_no_place():
    assert place(["alpha", "unseen", "beta"], seen("alpha", "sky", "beta"))[1] is None


def test_words_that_the_other_reader_did_not_divide_share_its_box():
    found = seen("เอกสาร", "ผู้รับจ้างได้ส่งรายงาน")
    boxes = place(["เอกสาร", "ผู้รับจ้าง", "ได้ส่ง", "รายงาน"], found)
    whole = found[1].box
    assert boxes[0] == found[0].box
    assert boxes[1].left == whole.left
    assert boxes[3].right == whole.right
    assert boxes[1].right == pytest.approx(boxes[2].left)
    assert boxes[2].right == pytest.approx(boxes[3].left)


def test_words_that_the_other_reader_divided_have_all_of_its_boxes():
    assert sides(place(["shop", "drawing", "no"], seen("shop", "dra", "wing", "no")))[1] == (50, 130)


def test_a_part_in_another_order_keeps_its_places():
    left = [f"left{number}" for number in range(30)]
    right = [f"right{number}" for number in range(30)]
    found = seen(*right, *left)
    where = {word.text: word.box for word in found}
    assert place([*left, *right], found) == [where[word] for word in [*left, *right]]


def test_nothing_is_placed_by_a_lone_short_word_in_another_order():
    found = seen("alpha", "beta", "gamma", "of")
    assert place(["of", "alpha", "beta", "gamma"], found)[0] is None


def test_places_are_taken_once():
    boxes = place(["the", "the", "the"], seen("the"))
    assert sum(box is not None for box in boxes) == 1


def test_nothing_seen_places_nothing():
    assert place(["one"], []) == [None]
    assert place([], seen("one")) == []
    assert place(["one"], [Word("one", None, None, Source.MODEL)]) == [None]


@given(st.lists(st.text("ab กา้", min_size=1, max_size=4)), st.lists(st.text("ab กา้", min_size=1, max_size=4)))
def test_each_word_has_a_place_in_what_was_seen_or_none(words, others):
    found = seen(*others)
    boxes = place(words, found)
    assert len(boxes) == len(words)
    end = max((word.box.right for word in found), default=0)
    assert all(box is None or 0 <= box.left <= box.right <= end for box in boxes)


def page_of(count: int) -> list[str]:
    rng = random.Random(1)
    vocabulary = [f"word{number}" for number in range(800)]
    return rng.choices(vocabulary, [1 / (number + 1) for number in range(800)], k=count)


def misread(words: list[str]) -> list[str]:
    rng = random.Random(2)
    return [word if rng.random() > 0.1 else word[:-1] + "x" for word in words if rng.random() > 0.03]


@pytest.mark.alone
def test_a_page_of_three_thousand_words_takes_less_than_fifty_milliseconds():
    words = page_of(3000)
    found = seen(*misread(words))
    place(words[:10], found[:10])
    took = []
    for _ in range(3):
        began = time.process_time()
        boxes = place(words, found)
        took.append(time.process_time() - began)
    assert sum(box is not None for box in boxes) > 2850
    assert min(took) < 0.05


@pytest.mark.parametrize(
    "found", [["x" * 20_000], ["y"] * 20_000, [f"z{n}" for n in range(20_000)]], ids=["one", "same", "many"]
)
def test_pages_that_have_nothing_in_common_take_bounded_time(found):
    began = time.process_time()
    place(page_of(20_000), seen(*found))
    assert time.process_time() - began < 5
