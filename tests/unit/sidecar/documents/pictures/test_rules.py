"""Ruling lines on pictures of pages: long runs of ink, however thin and torn; no letters, bars or pictures."""

import random

import pytest
from PIL import Image, ImageDraw, ImageFont

from sidecar.documents.pages import PageImage
from sidecar.documents.pictures.rules import find_rules

WIDTH, HEIGHT, DPI = 1240, 1754, 150


def page(draw, *, grey=0):
    picture = Image.new("L", (WIDTH, HEIGHT), 255)
    draw(ImageDraw.Draw(picture), grey)
    return PageImage(WIDTH, HEIGHT, DPI, picture.tobytes())


@pytest.mark.parametrize("grey", [0, 120, 170])
@pytest.mark.parametrize("width", [1, 4])
def test_level_and_upright_rules_are_found_to_their_ends(width, grey):
    def draw(pen, grey):
        pen.line((203, 500, 1007, 500), fill=grey, width=width)
        pen.line((407, 611, 407, 1013), fill=grey, width=width)

    level, upright = find_rules(page(draw, grey=grey))
    assert (level[0], level[2]) == (203, 1008)
    assert abs(level[1] - 500) <= width
    assert level[3] - level[1] == width
    assert (upright[1], upright[3]) == (611, 1014)
    assert upright[2] - upright[0] == width


def test_a_torn_rule_is_one():
    def draw(pen, _):
        pen.line((200, 500, 1000, 500), fill=0, width=2)
        for at in random.Random(1).sample(range(260, 960, 90), 4):
            pen.line((at, 498, at + 9, 503), fill=255, width=4)

    assert len(find_rules(page(draw))) == 1


def test_letters_bars_and_pictures_are_no_rules():
    def draw(pen, _):
        font = ImageFont.load_default(size=26)
        for row in range(30):
            pen.text((100, 60 + 40 * row), "THE HARBOUR OFFICE WILL iilll mmmm EEEE HHHH ____", font=font, fill=0)
        pen.rectangle((200, 1400, 900, 1500), fill=0)
        pen.line((200, 1600, 260, 1600), fill=0, width=2)

    assert [one for one in find_rules(page(draw)) if one[3] - one[1] > 8 or one[1] > 1300] == []


def test_a_page_smaller_than_a_rule_has_none():
    assert find_rules(PageImage(3, 3, 300, bytes(9))) == []
