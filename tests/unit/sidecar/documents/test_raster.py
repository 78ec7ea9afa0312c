"""Grey pictures of pages: turned, and looked at for ink."""

import pytest
from PIL import Image, ImageDraw, ImageFont

from sidecar.documents.raster import INK_DPI, ink_mask, is_blank, page_image, shrink, turn
from tests.matrix import first

DPI = 300
FONT = ImageFont.load_default(10 * DPI / 72)  # ten points


def a4(grey=255):
    return Image.new("L", (2480, 3508), grey)


def page_with(text, at=(1200, 3300), ink=0, paper=255):
    page = a4(paper)
    ImageDraw.Draw(page).text(at, text, font=FONT, fill=ink)
    return page_image(page, DPI)


def rows(page):
    return [list(page.pixels[row * page.width : (row + 1) * page.width]) for row in range(page.height)]


# ── turning ───────────────────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    ("degrees", "turned"),
    [
        (0, [[1, 2, 3], [4, 5, 6]]),
        (90, [[4, 1], [5, 2], [6, 3]]),
        (180, [[6, 5, 4], [3, 2, 1]]),
        (270, [[3, 6], [2, 5], [1, 4]]),
        (360, [[1, 2, 3], [4, 5, 6]]),
        (-90, [[3, 6], [2, 5], [1, 4]]),
        (450, [[4, 1], [5, 2], [6, 3]]),
    ],
)
def test_a_page_is_turned_clockwise_pixel_by_pixel(degrees, turned):
    image = Image.new("L", (3, 2))
    image.putdata([1, 2, 3, 4, 5, 6])
    page = turn(page_image(image, 123), degrees)
    assert rows(page) == turned
    assert (page.width, page.height, page.dpi) == (len(turned[0]), len(turned), 123)


@pytest.mark.parametrize("degrees", [1, 45, 91, 359])
def test_a_page_is_not_turned_by_less_than_a_quarter(degrees):
    with pytest.raises(KeyError):
        turn(page_image(a4(), DPI), degrees)


def test_a_page_holds_one_byte_a_pixel():
    page = page_image(Image.new("L", (7, 5), 200), 300)
    assert (page.width, page.height, page.dpi, page.pixels) == (7, 5, 300, bytes([200]) * 35)


# ── is there ink? ─────────────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("grey", [255, 240, 128, 0])
def test_a_page_of_one_colour_is_blank(grey):
    assert is_blank(page_image(a4(grey), DPI))


@pytest.mark.parametrize("size", [(1, 1), (8, 8), (2480, 1), (9, 4000)])
def test_a_picture_too_small_for_a_page_is_judged_all_the_same(size):
    assert is_blank(page_image(Image.new("L", size, 255), DPI))


@pytest.mark.parametrize(("dpi", "sigma"), first(3, [(150, 15), (200, 20), (300, 40), (600, 60)]))
def test_a_scanned_blank_page_is_blank_for_all_its_noise(dpi, sigma):
    noise = Image.effect_noise((dpi * 8, dpi * 11), sigma)
    assert is_blank(page_image(noise, dpi))
    assert is_blank(page_image(noise.point(lambda grey: min(255, grey + 100)), dpi))


def test_a_shade_across_the_page_that_scanners_leave_is_not_ink():
    gradient = Image.linear_gradient("L").resize((2480, 3508)).point(lambda grey: 225 + grey // 9)
    assert is_blank(page_image(gradient, DPI))


def test_a_few_specks_do_not_make_a_page():
    page = a4()
    for at in range(3):
        page.paste(0, (400 * at + 160, 800, 400 * at + 165, 805))
    assert is_blank(page_image(page, DPI))


@pytest.mark.parametrize("text", ["1", "2", "7", "i", "ii", "12", "- 3 -", "[4]"])
def test_a_page_number_of_ten_points_makes_a_page_wherever_it_stands(text):
    blank = []
    for across in range(8):
        for down in range(8):
            page = Image.new("L", (400, 400), 255)
            ImageDraw.Draw(page).text((150 + across, 150 + down), text, font=FONT, fill=0)
            blank += [(across, down)] * is_blank(page_image(page, DPI))
    assert blank == []


@pytest.mark.parametrize(("ink", "paper"), [(0, 255), (120, 255), (255, 0), (160, 60), (200, 255)])
def test_a_line_of_text_makes_a_page_in_any_colours_that_can_be_told_apart(ink, paper):
    assert not is_blank(page_with("Please review within seven working days.", ink=ink, paper=paper))


def test_a_dark_page_without_text_is_blank_and_with_text_is_not():
    assert is_blank(page_image(a4(20), DPI))
    assert not is_blank(page_with("Total", ink=230, paper=20))


def test_a_full_stop_of_ten_points_counts_as_ink():
    for shift in range(8):
        page = page_with(".", at=(1200 + shift, 3300 + shift))
        small = shrink(Image.frombytes("L", (page.width, page.height), page.pixels), DPI)
        assert sum(ink_mask(small).histogram()[1:]) >= 1


@pytest.mark.parametrize(("dpi", "factor"), [(300, 8), (600, 16), (200, 5), (72, 1), (10, 1)])
def test_a_page_is_looked_at_in_about_37_dots_per_inch(dpi, factor):
    small = shrink(Image.new("L", (1600, 800)), dpi)
    assert small.size == (1600 // factor, 800 // factor)
    assert dpi < INK_DPI or INK_DPI <= dpi / factor < 2 * INK_DPI


@pytest.mark.parametrize(("grey", "marked"), [(255, 0), (224, 0), (223, 0), (222, 255), (0, 255)])
def test_ink_differs_from_the_page_by_more_than_32_of_255(grey, marked):
    page = Image.new("L", (10, 10), 255)
    page.putpixel((3, 4), grey)
    mask = ink_mask(page)
    assert mask.getpixel((3, 4)) == marked
    assert mask.getpixel((0, 0)) == 0
