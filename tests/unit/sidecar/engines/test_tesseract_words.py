"""Which words a text of Tesseract has, and from which of its pieces."""

from hypothesis import given
from hypothesis import strategies as st

from sidecar.engines.tesseract.words import Piece, PlacedWord, Row, place_words
from sidecar.evidence.edits import Edit, edited

ROW = Row((0, 0, 900, 30), ((0, 25), (900, 25)), 28)


def pieces(*texts: str, row: Row = ROW) -> list[Piece]:
    return [Piece(text, (10 * at, 5, 10 * at + 8, 25), 90, row) for at, text in enumerate(texts)]


def lines(read, found, text=None, edits=()):
    return [
        [(word.text, word.box and (word.box[0], word.box[2])) for word in line]
        for line in place_words(read, found, read if text is None else text, edits)
    ]


def test_each_line_of_the_text_has_its_words():
    assert lines("one two\n\nthree\n", pieces("one", "two", "three")) == [
        [("one", (0, 8)), ("two", (10, 18))],
        [("three", (20, 28))],
    ]


def test_letters_that_stand_together_are_one_word():
    (line,) = place_words("ผู้รับ จ้าง", pieces("ผู", "้", "รับ", "จ้าง"), "ผู้รับ จ้าง")
    assert line == [
        PlacedWord("ผู้รับ", (0, 5, 28, 25), 90.0, ROW, changed=False),
        PlacedWord("จ้าง", (30, 5, 38, 25), 90.0, ROW, changed=False),
    ]


def test_a_word_s_confidence_is_the_mean_of_its_letters():
    found = [Piece("abc", (0, 0, 1, 1), 80, ROW), Piece("d", (1, 0, 2, 1), 40, ROW)]
    assert [word.confidence for line in place_words("abcd", found, "abcd") for word in line] == [70]


def test_what_was_mended_keeps_its_place_and_says_so():
    read, edits = "no 1, 2 of 9", [Edit(3, 6, "๑,"), Edit(6, 7, "๒")]
    (line,) = place_words(read, pieces("no", "1,", "2", "of", "9"), edited(read, edits), edits)
    assert [(word.text, word.box[0], word.box[2], word.changed) for word in line] == [
        ("no", 0, 8, False),
        ("๑,๒", 10, 28, True),
        ("of", 30, 38, False),
        ("9", 40, 48, False),
    ]


def test_a_word_without_pieces_has_no_place():
    assert lines("one two", pieces("two")) == [[("one", None), ("two", (0, 8))]]


def test_pieces_of_white_space_and_pieces_that_the_text_lacks_are_nobody_s():
    assert lines("a  b", pieces("a", " ", "?", "b")) == [[("a", (0, 8)), ("b", (30, 38))]]


@given(st.lists(st.lists(st.sampled_from(["a", "ab", "ก", "กา", " ", "b "]), min_size=1, max_size=6), max_size=5))
def test_the_words_are_those_of_the_text_and_all_have_places(rows):
    read = "\n".join("".join(row) for row in rows)
    found = pieces(*(part.strip() for row in rows for part in row if part.strip()))
    words = [word for line in place_words(read, found, read) for word in line]
    assert [word.text for word in words] == read.split()
    assert all(word.box for word in words)
