import pytest

from sidecar.text_quality import TextLayer, has_enough, readable_share, reads_like_text


@pytest.mark.parametrize(
    ("length", "spaces", "enough"),
    [(100, 0, False), (101, 0, True), (100, 50, False), (101, 50, True), (0, 200, False)],
)
def test_the_threshold_counts_what_stands_between_the_outer_spaces(length, spaces, enough):
    assert has_enough(TextLayer(" " * spaces + "x" * length + "\n" * spaces), 100) is enough


@pytest.mark.parametrize(
    ("text", "share"),
    [
        ("", 0.0),
        ("Plain text.\nวันที่ 15 มกราคม พ.ศ. 2568\t\r\n", 1.0),
        ("ab\x01\x02", 0.5),
        ("a\ufffd", 0.5),
        ("a\ue000", 0.5),
        ("a\u0378", 0.5),
        ("\x03\x04\x05", 0.0),
        ("soft\u00adhyphen\u200b", 1.0),
    ],
)
def test_unreadable_are_control_private_unassigned_and_replacement_characters(text, share):
    assert readable_share(text) == share


@pytest.mark.parametrize(
    ("layer", "reads"),
    [
        (TextLayer("x" * 100), True),
        (TextLayer("x" * 90 + "\x01" * 10), True),
        (TextLayer("x" * 89 + "\x01" * 11), False),
        (TextLayer("x" * 100, mapped_share=0.9), True),
        (TextLayer("x" * 100, mapped_share=0.89), False),
        (TextLayer(""), False),
    ],
)
def test_nine_tenths_must_be_readable_and_mapped(layer, reads):
    assert reads_like_text(layer) is reads
