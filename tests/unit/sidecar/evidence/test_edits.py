"""A text after edits, and the way back from it."""

from hypothesis import given
from hypothesis import strategies as st

from sidecar.evidence.edits import Back, Edit, edited

TEXT = "abcdefghij"


def test_a_text_is_made_of_what_was_read_and_of_what_replaced_it():
    assert edited(TEXT, [Edit(0, 2, "A"), Edit(5, 5, "--"), Edit(7, 10, "")]) == "Acde--fg"
    assert edited(TEXT, []) == TEXT


def test_places_lead_back_to_what_was_read():
    back = Back([Edit(2, 4, "CDE"), Edit(8, 9, "")])  # ab CDE efgh j
    assert [back.start(at) for at in (0, 2, 3, 5, 6)] == [0, 2, 2, 4, 5]
    assert [back.end(at) for at in (1, 2, 3, 5, 6)] == [1, 2, 4, 4, 5]
    assert [back.touches(*part) for part in ((0, 2), (1, 3), (4, 5), (5, 9))] == [False, True, True, False]


@st.composite
def texts_with_edits(draw):
    text = draw(st.text("ab ", max_size=30))
    bounds = sorted(draw(st.lists(st.integers(0, len(text)), max_size=8)))
    pairs = zip(bounds[::2], bounds[1::2], strict=False)
    return text, [Edit(start, end, draw(st.text("xy", max_size=4))) for start, end in pairs]


@given(texts_with_edits())
def test_what_was_not_changed_leads_back_to_itself(case):
    text, edits = case
    after, back = edited(text, edits), Back(edits)
    for at, letter in enumerate(after):
        if letter in "ab ":
            assert text[back.start(at) : back.end(at + 1)] == letter
        else:
            assert back.touches(at, at + 1)
