import pytest

from sidecar.documents.layers.anchors import MAX_CHARS, picture_anchors, render_anchors


def test_the_size_comes_first_then_pictures_then_text_where_it_begins():
    boxes = [(10.4, 20.6, 110, 220)]
    assert render_anchors(595.276, 841.89, boxes, [((72, 700.2, 200, 712), "สัญญา")]) == (
        "Page dimensions: 595.3x841.9\n[Image 10x21 to 110x220]\n[72x700]สัญญา"
    )


def test_a_picture_is_a_page_that_is_one_picture():
    assert picture_anchors(640, 480) == "Page dimensions: 640.0x480.0\n[Image 0x0 to 640x480]"


@pytest.mark.parametrize("chars", [10, 1000, 2 * MAX_CHARS])
def test_no_line_is_cut_and_the_whole_has_its_limit(chars):
    said = render_anchors(10, 10, [], [((0, 0, 1, 1), "x" * chars)] * 2000)
    assert len(said) <= MAX_CHARS
    assert set(said.splitlines()[1:]) <= {"[0x0]" + "x" * chars}
