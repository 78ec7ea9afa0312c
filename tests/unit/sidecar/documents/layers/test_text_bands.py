"""Lines of text are told from rules, charts and photographs by their ink."""

import random

from PIL import Image, ImageDraw, ImageFont

from sidecar.documents.layers.text_bands import count_bands

SIZE = 600, 400


def bands(draw_on) -> int:
    image = Image.new("L", SIZE, 0)
    draw_on(ImageDraw.Draw(image))
    mask = image.point([255 if grey > 100 else 0 for grey in range(256)])
    return count_bands(mask.tobytes(), mask.width)


def test_each_line_of_text_counts_in_each_strip_that_it_crosses():
    def text(draw):
        for at in range(10):
            draw.text(
                (5, 10 + 30 * at),
                "Purchase order 48213 dated 14 March 2024 deliver to the warehouse " * 2,
                fill=255,
                font=ImageFont.load_default(14),
            )

    assert 30 <= bands(text) <= 50


def test_rules_frames_bars_and_noise_are_not_text():
    def drawing(draw):
        for at in range(10):
            draw.line((0, 20 + 35 * at, 600, 20 + 35 * at), fill=255)
            draw.line((60 * at, 0, 60 * at, 400), fill=255)
            draw.line((20 * at, 300, 20 * at, 330), fill=255)

    def noise(draw):
        rng = random.Random(1)
        for _ in range(60_000):
            draw.point((rng.randrange(600), rng.randrange(400)), fill=255)

    assert bands(drawing) <= 1
    assert bands(noise) == 0
    assert bands(lambda draw: draw.rectangle((50, 50, 500, 300), fill=255)) == 0
