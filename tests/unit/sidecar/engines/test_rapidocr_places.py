"""How a line's box is divided among its words."""

import pytest

from sidecar.engines.rapidocr.lines import FoundLine, rows_of, text_of
from sidecar.engines.rapidocr.places import place_rows
from sidecar.evidence.layout import Box, Source
from sidecar.evidence.placement import Placement

PAGE = Placement.filling((500, 500), (1000, 1000))


def box(left, top, right, bottom):
    return ((left, top), (right, top), (right, bottom), (left, bottom))


def placed(*found, degrees=0):
    blocks = rows_of(found, degrees)
    lines = place_rows([row for block in blocks for row in block], degrees, PAGE)
    assert " ".join(line.text for line in lines) == " ".join(text_of(blocks).split())
    return lines


def test_words_have_the_share_of_their_letters():
    (line,) = placed(FoundLine("abc  de f", 0.91234, box(100, 200, 800, 240)))  # 3 + 0.5 + 2 + 0.5 + 0.5
    assert [(word.text, word.box, word.confidence, word.source) for word in line.words] == [
        ("abc", Box(50, 100, 211.54, 120), 0.912, Source.RAPIDOCR),
        ("de", Box(238.46, 100, 346.15, 120), 0.912, Source.RAPIDOCR),
        ("f", Box(373.08, 100, 400, 120), 0.912, Source.RAPIDOCR),
    ]
    assert line.box == Box(50, 100, 400, 120)


def test_marks_of_thai_letters_take_no_width():
    (line,) = placed(FoundLine("นี้ กา", 0.9, box(0, 0, 350, 40)))
    assert [word.box.right for word in line.words] == [50, 175]


def test_two_boxes_on_a_row_are_one_line():
    (line,) = placed(FoundLine("tea", 0.9, box(600, 0, 700, 40)), FoundLine("12 cups of", 0.8, box(0, 0, 300, 40)))
    assert line.text == "12 cups of tea"
    assert line.box == Box(0, 0, 350, 20)


@pytest.mark.parametrize(
    ("degrees", "corners", "first"),
    [
        (180, box(100, 100, 500, 140), Box(150, 50, 250, 70)),
        (90, box(100, 100, 140, 500), Box(50, 150, 70, 250)),
        (270, box(100, 100, 140, 500), Box(50, 50, 70, 150)),
    ],
)
def test_on_a_turned_page_words_are_where_it_shows_them(degrees, corners, first):
    (line,) = placed(FoundLine("abcd efgh", 0.9, corners), degrees=degrees)
    assert line.words[0].box == first


def test_a_line_that_runs_up_an_upright_page_gives_its_words_all_of_its_box():
    level = [FoundLine(f"a long line of text {at}", 0.9, box(200, 100 * at, 900, 100 * at + 40)) for at in range(1, 6)]
    lines = placed(FoundLine("side ways", 0.9, box(50, 100, 90, 500)), *level)
    (words,) = [line.words for line in lines if line.text.startswith("side")] or [
        tuple(word for line in lines for word in line.words if word.text in ("side", "ways"))
    ]
    assert [word.box for word in words if word.text in ("side", "ways")] == [Box(25, 50, 45, 250)] * 2
