import pytest

from sidecar.engines.tesseract.layout import Block, BlockKind, is_broken_single_column, lies_on_its_side, reading_order

WIDTH, DPI = 2480, 300
TEXT = BlockKind.TEXT
BODY = Block(TEXT, 240, 250, 1990, 2200)
FOOT = Block(TEXT, 240, 2260, 1600, 2330)
TORN_MARK = Block(TEXT, 270, 1900, 420, 1920)
LEFT, RIGHT = Block(TEXT, 200, 300, 1150, 1500), Block(TEXT, 1300, 300, 2200, 1500)


@pytest.mark.parametrize(
    ("blocks", "broken"),
    [
        pytest.param([], False, id="nothing"),
        pytest.param([BODY], False, id="one block"),
        pytest.param([BODY, FOOT], False, id="blocks below each other"),
        pytest.param([BODY, TORN_MARK], True, id="a mark inside another block"),
        pytest.param([BODY, Block(BlockKind.VERTICAL_TEXT, 245, 2300, 280, 2380)], True, id="a syllable set upright"),
        pytest.param([LEFT, RIGHT], False, id="two columns"),
        pytest.param([LEFT, RIGHT, TORN_MARK], False, id="two columns with a torn mark"),
        pytest.param(
            [LEFT, RIGHT, Block(TEXT, 270, 400, 420, 420)], False, id="two columns, one with a torn mark in it"
        ),
        pytest.param(
            [Block(TEXT, 200, 100, 900, 219), Block(TEXT, 1500, 100, 2200, 219), BODY, TORN_MARK],
            True,
            id="a date beside the heading makes no column",
        ),
        pytest.param(
            [Block(TEXT, 200, 100, 900, 220), Block(TEXT, 1500, 100, 2200, 220), BODY, TORN_MARK],
            False,
            id="two lines side by side make columns",
        ),
        pytest.param([BODY, TORN_MARK, Block(BlockKind.TABLE, 200, 2400, 2200, 3000)], False, id="a table"),
        pytest.param(
            [Block(TEXT, 200, 100, 900, 150), Block(TEXT, 1500, 100, 2200, 150), BODY], False, id="a letterhead"
        ),
        pytest.param([BODY, TORN_MARK, Block(TEXT, 2300, 250, 2400, 2200)], True, id="a margin is no column"),
        pytest.param([BODY, Block(BlockKind.OTHER, 300, 300, 400, 400)], False, id="a picture in the text"),
    ],
)
def test_a_page_of_one_column_is_broken_when_its_text_blocks_lie_in_each_other(blocks, broken):
    assert is_broken_single_column(blocks, WIDTH, DPI) is broken


TORN = [Block(TEXT, 224, 115, 617, 475), Block(TEXT, 637, 115, 1634, 475)]
"""What layout analysis makes of lines that begin alike, in letters that are all as wide."""


@pytest.mark.parametrize(
    ("blocks", "torn"),
    [
        pytest.param(TORN, True, id="a space below a space"),
        pytest.param([*TORN, Block(TEXT, 226, 555, 1616, 585)], True, id="and a line below"),
        pytest.param([TORN[0], Block(TEXT, 644, 115, 1634, 475)], False, id="a gutter"),
        pytest.param([*TORN, Block(TEXT, 1700, 115, 2100, 475)], False, id="a gutter beside them"),
        pytest.param([TORN[0], Block(TEXT, 638, 170, 822, 475), Block(TEXT, 843, 115, 1634, 475)], True, id="a piece"),
        pytest.param([TORN[0], Block(TEXT, 638, 170, 800, 475), Block(TEXT, 843, 115, 1634, 475)], False, id="columns"),
        pytest.param([Block(TEXT, 224, 115, 300, 475), Block(TEXT, 320, 115, 1634, 475)], True, id="a narrow piece"),
        pytest.param([*TORN, Block(BlockKind.TABLE, 200, 800, 1634, 900)], False, id="a table"),
    ],
)
def test_columns_that_only_a_space_parts_are_one(blocks, torn):
    assert is_broken_single_column(blocks, 2068, 250, line_height=30) is torn


def test_the_largest_text_block_says_whether_a_page_lies_on_its_side():
    small_upright = Block(TEXT, 0, 0, 10, 10)
    large_lying = Block(TEXT, 0, 0, 1000, 1000, on_its_side=True)
    huge_picture = Block(BlockKind.OTHER, 0, 0, 2000, 2000, on_its_side=True)

    assert lies_on_its_side([small_upright, large_lying])
    assert not lies_on_its_side([BODY, Block(TEXT, 0, 0, 10, 10, on_its_side=True), huge_picture])
    assert not lies_on_its_side([])


HEADLINE = Block(TEXT, 200, 1600, 2200, 1750)
BELOW_LEFT, BELOW_RIGHT = Block(TEXT, 200, 1800, 1150, 3000), Block(TEXT, 1300, 1800, 2200, 3000)


@pytest.mark.parametrize(
    ("blocks", "order"),
    [
        pytest.param([], [], id="nothing"),
        pytest.param([LEFT, RIGHT], [0, 1], id="columns"),
        pytest.param([LEFT, HEADLINE, RIGHT], [0, 2, 1], id="a headline below columns"),
        pytest.param(
            [LEFT, HEADLINE, BELOW_LEFT, RIGHT, BELOW_RIGHT], [0, 3, 1, 2, 4], id="a headline between rows of columns"
        ),
        pytest.param([LEFT, BELOW_LEFT, RIGHT, BELOW_RIGHT], [0, 1, 2, 3], id="columns in pieces"),
        pytest.param([LEFT, Block(TEXT, 200, 1600, 1500, 1750), RIGHT], [0, 1, 2], id="hardly below the second"),
        pytest.param([LEFT, Block(BlockKind.OTHER, 200, 1600, 2200, 1750), RIGHT], [0, 1, 2], id="a picture"),
        pytest.param([HEADLINE, LEFT, RIGHT], [1, 2, 0], id="a headline at the front"),
    ],
)
def test_what_stands_below_several_columns_is_read_after_them(blocks, order):
    assert reading_order(blocks) == order
