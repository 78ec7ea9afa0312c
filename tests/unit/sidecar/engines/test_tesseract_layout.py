import pytest

from sidecar.engines.tesseract.layout import Block, BlockKind, is_broken_single_column, lies_on_its_side

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


def test_the_largest_text_block_says_whether_a_page_lies_on_its_side():
    small_upright = Block(TEXT, 0, 0, 10, 10)
    large_lying = Block(TEXT, 0, 0, 1000, 1000, on_its_side=True)
    huge_picture = Block(BlockKind.OTHER, 0, 0, 2000, 2000, on_its_side=True)

    assert lies_on_its_side([small_upright, large_lying])
    assert not lies_on_its_side([BODY, Block(TEXT, 0, 0, 10, 10, on_its_side=True), huge_picture])
    assert not lies_on_its_side([])
