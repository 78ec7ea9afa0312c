"""Blocks of pages whose words are placed here by hand: what each is, in which order, on one page and over several."""

import random
import time

import pytest

from sidecar.evidence.layout import Box, Layout, Line, Source, Word
from sidecar.evidence.page import BlockKind
from sidecar.evidence.structure.document import ReadPage, structured
from sidecar.evidence.structure.furniture import is_page_number
from sidecar.evidence.structure.tables import is_number
from sidecar.outputs.markdown import markdown

WIDTH, HEIGHT = 600.0, 840.0


def line(text, x, y, *, size=10.0, is_bold=False, places=None):
    """Letters half as wide as high; ``places`` says where words begin that do not follow the one before."""
    words, at = [], x
    for number, word in enumerate(text.split()):
        at = (places or {}).get(number, at)
        end = at + len(word) * size / 2
        words.append(Word(word, Box(at, y, end, y + size), None, Source.TEXT_LAYER))
        at = end + size / 3
    box = Box.around(word.box for word in words)
    return Line(tuple(words), box, ((box.left, y + size), (box.right, y + size)), size, is_bold)


def page(lines, number=1, *, rules=(), figures=(), rotation=0, width=WIDTH, height=HEIGHT):
    return ReadPage(number, Layout(width, height, tuple(lines), rotation, tuple(rules), tuple(figures)), "", "eng")


def told(*pages):
    return [[(block.kind, [one.text for one in block.lines]) for block in one.blocks] for one in structured(pages)]


BODY = ["the committee has looked at all of the plans", "and found that nothing of them should be changed",
        "before the next meeting in the harbour office"]  # fmt: skip


def body(x=60.0, y=200.0, size=10.0):
    return [line(text, x, y + 12 * at, size=size) for at, text in enumerate(BODY)]


def test_headings_are_larger_or_bold_and_have_levels_over_the_document():
    first = page([line("Harbours", 60, 150, size=20), *body(y=200), line("Depth", 60, 280, is_bold=True), *body(y=300)])
    second = page([line("Depth of water", 60, 150, size=15), *body(y=200)], 2)
    blocks = [block for one in structured([first, second]) for block in one.blocks if block.kind is BlockKind.HEADING]
    assert [(block.lines[0].text, block.level) for block in blocks] == [
        ("Harbours", 1),
        ("Depth", 3),
        ("Depth of water", 2),
    ]


def test_a_running_header_is_told_by_its_repetition_whatever_its_number():
    pages = [page([line(f"Bulletin of May, {at}", 60, 60), *body(y=200)], at) for at in range(1, 4)]
    for blocks in told(*pages):
        assert [kind for kind, _ in blocks] == [BlockKind.HEADER, BlockKind.PARAGRAPH]


def test_what_stands_on_one_page_of_three_is_no_furniture():
    pages = [page([line(f"{name} of the office", 60, 60), *body(y=200)], at) for at, name in enumerate("ABC", 1)]
    assert [kind for blocks in told(*pages) for kind, _ in blocks].count(BlockKind.HEADER) == 0


@pytest.mark.parametrize("text", ["7", "- 12 -", "Page 3 of 9", "หน้า ๓", "xiv", "[4]", "12/30"])
def test_page_numbers_are_told(text):
    assert is_page_number(text)
    blocks = told(page([*body(), line(text, 290, 790)]))[0]
    assert blocks[-1] == (BlockKind.PAGE_NUMBER, [text])


@pytest.mark.parametrize("text", ["12345", "7 ships", "Page", "Article 3", "1.5"])
def test_other_figures_are_no_page_numbers(text):
    assert not is_page_number(text)


@pytest.mark.parametrize("text", ["12", "-3.5", "$ 1,200.00", "(45)", "๑,๒๓๔", "12 %", "-", "3.71T", "1/2/2569"])
def test_figures_are_told(text):
    assert is_number(text)


@pytest.mark.parametrize("text", ["gate valve", "A-12 pipe", "", "12 copper pipes of the best kind there is 1 1 1"])
def test_words_are_no_figures(text):
    assert not is_number(text)


def test_a_page_that_lies_on_its_side_is_read_as_it_is_turned_and_keeps_its_places():
    upright = [line("Title of it all", 60, 100, size=20), *body(x=60), *body(x=360, y=200)]

    def lie(one):  # turned by 90 degrees counterclockwise: to be turned clockwise to be read
        return Box(one.top, WIDTH - one.right, one.bottom, WIDTH - one.left)

    lying = [
        Line(
            tuple(Word(word.text, lie(word.box), None, word.source) for word in one.words), lie(one.box), None, one.size
        )
        for one in upright
    ]
    expected, got = told(page(upright)), told(page(lying, rotation=90, width=HEIGHT, height=WIDTH))
    assert got == expected
    block = structured([page(lying, rotation=90, width=HEIGHT, height=WIDTH)])[0].blocks[0]
    assert block.box == lie(upright[0].box)


def test_lines_without_places_are_kept():
    unplaced = Line((Word("somewhere", None, None, Source.MODEL),), None)
    blocks = told(page([*body(), unplaced]))[0]
    assert blocks[-1] == (BlockKind.PARAGRAPH, ["somewhere"])


def test_a_page_of_nothing_has_no_blocks():
    assert told(ReadPage(1, None, "", "eng"), page([])) == [[], []]


def test_pairs_of_names_and_values_are_read_row_by_row():
    pairs = ("Author: Hammel", "Editor: Bennett", "Printer: Sievers", "Place: Songkhla")
    rows = [line(text, 60, 200 + 16 * at, places={1: 200}) for at, text in enumerate(pairs)]
    assert "Author: Hammel" in markdown(structured([page(rows)])).replace("\n", " ")


def test_headings_of_several_columns_span_them():
    rows = [
        line("Sums", 260, 100),
        line("first second third", 200, 115, places={1: 260, 2: 320}),
        *(line(f"{name} {at}1 {at}2 {at}3", 60, 130 + 15 * at, places={1: 205, 2: 265, 3: 325})
          for at, name in enumerate(("Copper", "Iron", "Zinc", "Tin"), 1)),
    ]  # fmt: skip
    (table,) = [block for block in structured([page(rows)])[0].blocks if block.kind is BlockKind.TABLE]
    spanning = next(cell for cell in table.cells if cell.lines[0].text == "Sums")
    assert (spanning.column, spanning.column_span, spanning.is_header) == (1, 3, True)


def grid_of(xs, ys):
    level = [Box(xs[0], y, xs[-1], y + 0.5) for y in ys]
    return [*level, *(Box(x, ys[0], x + 0.5, ys[-1]) for x in xs)]


def test_rules_that_were_read_as_bars_are_no_part_of_their_cells():
    rows = [line("| Count | Price", 98, 103, places={2: 195}), line("| 73 | 9.50", 98, 123, places={2: 195})]
    rules = grid_of([100, 200, 300], [100, 120, 140])
    assert markdown(structured([page(rows, rules=rules)])) == "| Count | Price |\n| --- | --- |\n| 73 | 9.50 |"


def test_a_frame_around_running_text_is_no_table():
    rows = [*(line(BODY[at % 3], 60, 200 + 12 * at) for at in range(20)), line("signed in May", 60, 455)]
    frame = grid_of([50, 550], [190, 450, 470])
    kinds = [kind for kind, _ in told(page(rows, rules=frame))[0]]
    assert BlockKind.TABLE not in kinds


def test_rows_between_two_level_rules_of_a_grid_are_rows():
    rows = [line("Copper 1", 105, 103, places={1: 205}), *(line(f"Iron {at}", 105, 110 + 12 * at, places={1: 205})
            for at in range(1, 4))]  # fmt: skip
    (table,) = structured([page(rows, rules=grid_of([100, 200, 300], [100, 118, 160]))])[0].blocks
    assert [cell.lines[0].text for cell in table.cells] == ["Copper", "1", "Iron", "1", "Iron", "2", "Iron", "3"]


def test_a_cell_beside_rows_without_lines_between_them_spans_all_of_them():
    xs, ys = [100, 200, 300, 400], [100, 118, 190]
    rules = [box for box in grid_of(xs, ys) if (box.left, box.top) != (100, 118)]
    rules += [Box(200, 118, 400, 119)]
    rows = [line("Group", 110, 112), line("Name", 210, 112), line("Sum", 310, 112)]
    rows += [line(f"{text}{at}", x, 132 + 14 * at) for at in range(4) for text, x in (("name", 210), ("9", 310))]
    (table,) = structured([page(rows, rules=rules)])[0].blocks
    group = next(cell for cell in table.cells if cell.lines and cell.lines[0].text == "Group")
    assert (group.row, group.row_span) == (0, 5)
    places = [(cell.row + down, cell.column) for cell in table.cells for down in range(cell.row_span)]
    assert sorted(places) == [(row, column) for row in range(5) for column in range(3)]


def test_a_slope_of_a_scan_turns_nothing():
    rows = [line(f"{name} {at}1 {at}2", 60, 130 + 15 * at, places={1: 205, 2: 265})
            for at, name in enumerate(("Copper", "Iron", "Zinc", "Tin"), 1)]  # fmt: skip
    straight, sloping = (markdown(structured([page(rows, rotation=degrees)])) for degrees in (0, 0.7))
    assert sloping == straight
    assert straight.startswith("| Copper | 11 | 12 |")


def scattered(count, dice):
    return [line("ab", dice.uniform(0, 580), dice.uniform(0, 820)) for _ in range(count)]


def far_apart(count, step):
    return {at: step * at for at in range(count)}


def crossing(level):
    return [*level, *(Box(one.top, one.left, one.bottom, one.right) for one in level)]


HOSTILE = {
    "scattered": lambda dice: page(scattered(20_000, dice)),
    "in one place": lambda _: page([line("ab", 100, 100) for _ in range(20_000)]),
    "in one line": lambda _: page([line("a " * 20_000, 0, 100)]),
    "far apart": lambda _: page(
        [line("a " * 4_000, 0, 100 + 12 * at, places=far_apart(4_000, 20.0)) for at in range(5)]
    ),
    "in rows": lambda _: page(
        [line("ab " * 14, 0, 8.0 * at, size=6, places=far_apart(14, 40.0)) for at in range(1_428)]
    ),
    "rules": lambda dice: page(
        scattered(2_000, dice),
        rules=crossing([Box(x, y, x + dice.uniform(0, 100), y + 1) for x, y in places_of(10_000, dice)]),
    ),
    "figures": lambda dice: page(
        scattered(4_000, dice), figures=[Box(x, y, x + 9, y + 9) for x, y in places_of(20_000, dice)]
    ),
    "grid": lambda dice: page(
        scattered(2_000, dice), rules=crossing([Box(0, 3.0 * at, 600, 3.0 * at + 0.5) for at in range(200)])
    ),
}


def places_of(count, dice):
    return [(dice.uniform(0, 500), dice.uniform(0, 500)) for _ in range(count)]


def test_pictures_stand_where_they_are_read_and_of_very_many_the_largest():
    small = [Box(60, 300 + at / 20, 61, 301 + at / 20) for at in range(1_200)]
    (found,) = structured(
        [page([*body(), *body(y=500)], figures=[Box(60, 600, 300, 700), *small, Box(60, 100, 300, 190)])]
    )
    kinds = [block.kind for block in found.blocks]
    figures = [block.box for block in found.blocks if block.kind is BlockKind.FIGURE]
    assert (kinds[0], kinds[-1], len(figures)) == (BlockKind.FIGURE, BlockKind.FIGURE, 1_000)
    assert (figures[0].top, figures[-1].top) == (100, 600)
    assert [box.top for box in figures] == sorted(box.top for box in figures)


@pytest.mark.alone
@pytest.mark.parametrize("kind", HOSTILE)
def test_a_hostile_page_takes_at_most_a_few_seconds_and_loses_no_word(kind):
    read = HOSTILE[kind](random.Random(kind))
    started = time.process_time()
    (found,) = structured([read])
    markdown([found])
    assert time.process_time() - started < 8
    lines = [
        one for block in found.blocks for one in (*block.lines, *(one for cell in block.cells for one in cell.lines))
    ]
    assert sum(len(one.words) for one in lines) == sum(len(one.words) for one in read.layout.lines)
