import pytest

from sidecar.documents.layers.text_layer import (
    TextLayer,
    clean,
    is_short,
    readable_share,
    reads_like_text,
    visible_share,
)


@pytest.mark.parametrize(
    ("length", "spaces", "short"),
    [(100, 0, True), (101, 0, False), (100, 50, True), (101, 50, False), (0, 200, True)],
)
def test_the_threshold_counts_what_stands_between_the_outer_spaces(length, spaces, short):
    assert is_short(" " * spaces + "x" * length + "\n" * spaces, 100) is short


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


@pytest.mark.parametrize(
    ("text", "share"),
    [
        ("", 0.0),
        ("abcd", 1.0),
        ("ab \n", 0.5),
        ("a\u200b\u200b\u200b", 0.25),
        (" \u200b ", 0.0),
        ("\u0e19\u0e49\u0e33", 1.0),
    ],
)
def test_visible_is_neither_white_space_nor_format(text, share):
    assert visible_share(text) == share


@pytest.mark.parametrize(("text", "reads"), [("x " * 100, True), ("x  " * 100, False), ("x\u200b\u200b" * 100, False)])
def test_half_of_the_characters_must_be_visible(text, reads):
    assert reads_like_text(TextLayer(text)) is reads


@pytest.mark.parametrize(
    ("text", "cleaned"), [("a\r\nb", "a\nb"), ("hyphen\ufffeated", "hyphen-ated"), ("a\rb\n", "a\rb\n"), ("", "")]
)
def test_line_ends_are_of_one_kind_and_hyphens_are_hyphens(text, cleaned):
    assert clean(text) == cleaned


def test_what_is_of_no_language_does_not_read_like_text():
    assert not reads_like_text(TextLayer("Plain text", is_plausible=False))
    assert not reads_like_text(TextLayer(",,. ;; 'I-l iI. _ = ~ ^ .. , ' ` ~ i l I | !!", over_picture=True))
    assert reads_like_text(TextLayer(",,. ;; 'I-l iI. _ = ~ ^ .. , ' ` ~ i l I | !!"))
