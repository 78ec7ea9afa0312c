"""The font of text layers: every letter is its own code, and comes back as it was."""

import io
import struct

import pytest
from PIL import ImageFont

from sidecar.documents.searchable import font


def test_a_letter_s_code_is_the_letter_itself():
    assert font.Codes().encoded("aก") == "00610E01"


def test_letters_beyond_the_first_plane_get_codes_that_no_letter_has_and_are_named_in_the_map():
    codes = font.Codes()
    assert codes.encoded("😀a😀𠀀") == "D8000061D800D801"
    assert b"<D800> <D83DDE00>" in font.to_unicode(codes.beyond)


def test_half_a_letter_is_an_unknown_one():
    assert font.Codes().encoded("\ud800") == "FFFD"


def test_marks_have_no_width_and_are_all_that_the_widths_name_of_thai():
    assert font.width("กิ์") == font.width("ก") == 500
    assert font.width("中") == 1000
    assert list(font.widths(map(ord, "กขิีึ์่"))) == [(0x0E34, 0x0E36, 0), (0x0E48, 0x0E48, 0), (0x0E4C, 0x0E4C, 0)]


def test_the_map_to_letters_holds_no_range_that_crosses_a_first_byte():
    for line in font.to_unicode({}).decode().splitlines():
        if line.startswith("<") and line.count("<") == 3:
            first, last, _ = (int(one.strip("<> "), 16) for one in line.split())
            assert first >> 8 == last >> 8


def test_freetype_opens_the_font_file_and_each_glyph_fills_a_box_without_ink():
    opened = ImageFont.truetype(io.BytesIO(font.font_file()), 100)
    assert opened.getlength("a") == 50
    assert opened.getmask("a").getbbox() is None


def test_the_font_file_adds_up():
    content = font.font_file()
    assert sum(struct.unpack(f">{len(content) // 4}I", content)) & 0xFFFFFFFF == 0xB1B0AFBA


@pytest.mark.parametrize(("code", "glyph"), [(0x41, 1), (0x4E2D, 2), (0x0E48, 3), (0xFF41, 2)])
def test_the_glyph_of_a_code(code, glyph):
    assert struct.unpack_from(">H", font.glyph_map(), 2 * code) == (glyph,)
