import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sidecar.documents.layers.thai_text import compose_sara_am
from sidecar.ocr.text import join_pages, trim


@pytest.mark.parametrize(
    ("text", "trimmed"),
    [
        ("a  \n b \n\n", "a\n b"),
        ("  indented", "  indented"),
        ("|\n-\n\n\n1", "|\n-\n\n\n1"),
        ("\n\na", "\n\na"),
        ("\f", ""),
        ("", ""),
    ],
)
def test_only_the_ends_of_lines_and_of_the_page_are_trimmed(text, trimmed):
    assert trim(text) == trimmed


@given(st.text())
def test_trimming_deletes_nothing_but_white_space(text):
    assert "".join(trim(text).split()) == "".join(text.split())


@pytest.mark.parametrize(
    ("split", "composed"),
    [("ทํา", "ทำ"), ("นํ้า", "น้ำ"), ("น้ํา", "น้ำ"), ("ทำ", "ทำ"), ("กํ", "กํ"), ("กา", "กา"), ("", "")],
)
def test_the_vowel_am_is_spelt_as_one_character(split, composed):
    assert compose_sara_am(split) == composed


@given(st.text(alphabet="กขน\u0e31\u0e32\u0e33\u0e48\u0e49\u0e4d abc"))
def test_composing_changes_the_spelling_and_not_the_letters(text):
    def letters(word: str) -> list[str]:
        return sorted(unicodedata.normalize("NFKC", word))

    assert letters(compose_sara_am(text)) == letters(text)
    assert compose_sara_am(compose_sara_am(text)) == compose_sara_am(text)


def test_pages_are_joined_by_a_blank_line_and_empty_ones_leave_no_gap():
    assert join_pages(["", "one", "", "two", ""]) == "one\n\ntwo"
