"""The order of lines that a detector found: columns, rows, captions, tables, pages that lean or lie on their side."""

import math

import pytest

from sidecar.engines.rapidocr.lines import FoundLine, arrange, confidence, degrees_to_upright

HIGH = 40


def line(text: str, left: float, top: float, width: float | None = None, score: float = 1.0) -> FoundLine:
    right, bottom = left + (width or 20 * len(text)), top + HIGH
    return FoundLine(text, score, ((left, top), (right, top), (right, bottom), (left, bottom)))


def turned(found: FoundLine, radians: float) -> FoundLine:
    cosine, sine = math.cos(radians), math.sin(radians)
    one, two, three, four = ((x * cosine - y * sine, x * sine + y * cosine) for x, y in found.corners)
    return FoundLine(found.text, found.score, (one, two, three, four))


def as_found(lying: FoundLine) -> FoundLine:
    """With the corners as a detector gives them: from the picture's top left, whichever way up the text is."""
    (left, *_, right), (top, *_, bottom) = (sorted(values) for values in zip(*lying.corners, strict=True))
    return FoundLine(lying.text, lying.score, ((left, top), (right, top), (right, bottom), (left, bottom)))


def column(name: str, left: float, lines: int, top: float = 100) -> list[FoundLine]:
    return [line(f"{name}{number} of a column of text", left, top + 60 * number) for number in range(lines)]


def starts(text: str) -> list[str]:
    return [row.split()[0] for row in text.splitlines() if row]


def test_lines_come_from_top_to_bottom():
    assert arrange([line("two", 0, 60), line("one", 0, 0), line("three", 0, 120)]) == "one\ntwo\nthree"


def test_a_wide_gap_is_an_empty_line():
    assert arrange([line("one", 0, 0), line("two", 0, 60), line("three", 0, 200)]) == "one\ntwo\n\nthree"


def test_what_stands_side_by_side_is_one_row():
    found = [line("12.00", 600, 3), line("coffee", 0, 0), line("tea", 0, 60), line("9.00", 600, 57)]
    assert arrange(found) == "coffee 12.00\ntea 9.00"


def test_columns_of_running_text_are_read_one_after_the_other():
    found = column("a", 0, 5) + column("b", 700, 5, top=110)
    assert starts(arrange(found)) == ["a0", "a1", "a2", "a3", "a4", "b0", "b1", "b2", "b3", "b4"]


def test_three_columns_are_three():
    found = column("b", 700, 4) + column("c", 1400, 4) + column("a", 0, 4)
    assert "".join(starts(arrange(found))) == "a0a1a2a3b0b1b2b3c0c1c2c3"


def test_columns_of_a_table_are_read_across():
    names = [line(f"item{number} with a long name", 0, 60 * number) for number in range(5)]
    prices = [line(f"{number}.50", 800, 60 * number) for number in range(5)]
    assert arrange(names + prices).splitlines()[3] == "item3 with a long name 3.50"


def test_a_heading_across_the_columns_parts_what_is_above_from_what_is_below():
    above, heading = column("a", 0, 3) + column("b", 700, 3), line("heading", 100, 400, width=1000)
    below = column("c", 0, 3, top=500) + column("d", 700, 3, top=500)
    order = starts(arrange([*below, heading, *above]))
    assert order == ["a0", "a1", "a2", "b0", "b1", "b2", "heading", "c0", "c1", "c2", "d0", "d1", "d2"]


def test_a_caption_between_the_columns_parts_nothing():
    caption = line("caption", 500, 230, width=300)
    left = [line(f"a{number} of text", 0, 100 + 60 * number, width=480) for number in range(6)]
    right = [line(f"b{number} of text", 820, 100 + 60 * number, width=480) for number in range(6)]
    wide = [line(f"x{number} of a column", 0, 500 + 60 * number, width=600) for number in range(4)]
    also = [line(f"y{number} of a column", 660, 500 + 60 * number, width=600) for number in range(4)]
    order = starts(arrange([caption, *left, *right, *wide, *also]))
    assert order.index("a5") + 1 == order.index("x0")
    assert order.index("b5") + 1 == order.index("y0")
    assert order[-1] == "caption"


@pytest.mark.parametrize("degrees", [-6, -2, 3, 7])
def test_rows_of_a_page_that_leans_stay_together(degrees):
    names = [line(f"item{number} with a long name", 0, 60 * number) for number in range(9)]
    prices = [line(f"{number}.50", 1500, 60 * number) for number in range(9)]
    leaning = [turned(one, math.radians(degrees)) for one in names + prices]
    assert arrange(leaning).splitlines()[4] == "item4 with a long name 4.50"


@pytest.mark.parametrize("degrees", [90, 180, 270])
def test_a_page_that_lies_on_its_side_reads_as_if_upright(degrees):
    upright = [line("first line of it", 0, 0), line("1.00", 900, 0), line("second line of it", 0, 60)]
    lying = [as_found(turned(one, -math.radians(degrees))) for one in upright]
    assert arrange(lying, degrees) == "first line of it 1.00\nsecond line of it"


@pytest.mark.parametrize(
    ("tall", "upside_down", "degrees"), [(False, 0, 0), (False, 1, 180), (True, 0, 270), (True, 1, 90)]
)
def test_most_lines_tell_which_way_up_the_page_lies(tall, upside_down, degrees):
    lines = [turned(line("a line of it", 0, 60 * number), math.pi / 2 if tall else 0) for number in range(3)]
    assert degrees_to_upright([*lines, line("l", 0, 0)], upside_down) == degrees


def test_confidence_is_of_characters():
    assert confidence([line("abcdefghi", 0, 0, score=0.9), line("j", 0, 60, score=0.4)]) == 85
    assert confidence([]) == 0


def test_nothing_found_is_no_text():
    assert arrange([]) == ""
