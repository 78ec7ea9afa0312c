"""Pages whose letters are all as wide: spaces that lie above one another are no gutter."""

import io
from pathlib import Path

import pytest
from PIL import Image, ImageDraw, ImageFont

from tools.numerals.fonts import find_fonts

MONO, SERIF = find_fonts(("DejaVuSansMono",)), find_fonts(("DejaVuSerif",))
pytestmark = pytest.mark.skipif(not (MONO and SERIF), reason="DejaVu's fonts are not installed")

LINES = [
    "The goods were delivered on time and in good order",
    "The order was received and paid without any delay",
    "The goods were returned, since two of them were broken",
    "The order of May is to be paid before the end of June",
    "The goods were packed and sent by the evening train",
    "The order was written down and signed by both sides",
] * 3


def page(columns: list[list[str]], gap: int, font_file: Path) -> bytes:
    image = Image.new("L", (2480, 1400), 255)
    draw, font = ImageDraw.Draw(image), ImageFont.truetype(str(font_file), 38)
    left = 200.0
    for column in columns:
        for at, line in enumerate(column):
            draw.text((left, 150 + 60 * at), line, fill=0, font=font)
        left += max(map(font.getlength, column)) + gap
    image.save(out := io.BytesIO(), "PNG", dpi=(300, 300))
    return out.getvalue()


@pytest.mark.parametrize("count", [6, 12, 18])
async def test_lines_whose_words_begin_at_the_same_places_are_read_across(service, count):
    _, answer = await service.upload(page([LINES[:count]], 0, MONO[0]), engine="tesseract", languages="eng")
    assert [line for line in answer["text"].split("\n") if line] == LINES[:count]


async def test_columns_are_still_read_one_after_the_other(service):
    left, right = [line[:27] for line in LINES], [line[27:].strip() for line in LINES]
    _, answer = await service.upload(page([left, right], 45, SERIF[0]), engine="tesseract", languages="eng")
    text = " ".join(answer["text"].split())
    assert text.index(left[0].strip()) < text.index(left[5].strip()) < text.index(right[0])
