"""Pixels as files hold them become grey as an eye sees the page."""

import pytest
from PIL import Image, ImageCms, ImageDraw

from sidecar.documents.images import Images
from sidecar.documents.pictures.frames import MASK, REDUCED, Frame, pages_of
from sidecar.documents.pictures.lines import line_height
from sidecar.documents.pictures.pixels import colour, grey
from tests.integration.sidecar.documents import picture_of_text

SIZE = (300, 200)
TEXT = picture_of_text(3, (1200, 400))


def page(mode, paper, ink) -> Image.Image:
    image = Image.new(mode, SIZE, paper)
    image.paste(ink, (0, 0, 100, 100))
    return image


def shades(image: Image.Image) -> tuple[int, int]:
    """The grey of the ink and of the paper."""
    return image.getpixel((50, 50)), image.getpixel((250, 150))


@pytest.mark.parametrize("bits", [9, 10, 12, 14, 16])
def test_pixels_of_fewer_bits_in_sixteen_are_as_bright_as_if_they_filled_them(bits):
    white = (1 << bits) - 1
    assert shades(grey(page("I", white, white // 2).convert("I;16"))) == (
        pytest.approx(127, abs=1),
        pytest.approx(255, abs=1),
    )


@pytest.mark.parametrize("kind", ["png", "tiff"])
def test_a_picture_of_twelve_bits_is_read_from_a_file(tmp_path, kind):
    page("I;16", 4095, 0).save(tmp_path / f"a.{kind}", dpi=(300, 300))
    with Images.open(tmp_path / f"a.{kind}", 10**8) as images:
        drawn = images.render(0, 300)
    assert (drawn.pixels[50 * 300 + 50], drawn.pixels[-1]) == (0, 255)


def test_eight_bits_that_lost_their_upper_ones_are_brightened():
    assert shades(grey(page("L", 15, 0))) == (0, 255)
    assert shades(grey(page("RGB", (15, 15, 15), (0, 0, 0)))) == (0, 255)


@pytest.mark.parametrize("paper", [64, 100, 200, 255])
def test_a_page_that_may_be_as_dark_as_it_is_stays_so(paper):
    assert shades(grey(page("L", paper, 10))) == (10, paper)


def test_all_black_stays_black():
    assert grey(Image.new("L", SIZE, 0)).getextrema() == (0, 0)


def lab() -> Image.Image:
    rgb = page("RGB", (255, 255, 255), (200, 0, 0))
    profiles = ImageCms.createProfile("sRGB"), ImageCms.createProfile("LAB")
    return ImageCms.applyTransform(rgb, ImageCms.buildTransform(*profiles, "RGB", "LAB"))


def test_lab_is_read_by_its_lightness_and_shown_in_its_colours(tmp_path):
    ink, paper = shades(grey(lab()))
    assert ink < 120
    assert paper > 250
    red, green, _ = colour(lab()).getpixel((50, 50))
    assert (red > 180, green < 60) == (True, True)
    lab().save(tmp_path / "a.tiff", dpi=(300, 300))
    with Images.open(tmp_path / "a.tiff", 10**8) as images:
        assert images.render(0, 300).pixels[-1] > 250


@pytest.mark.parametrize(
    ("ground", "ink", "shows"),
    [
        pytest.param((0, 0, 0, 0), (255, 255, 255, 255), (0, 255), id="white on transparent black"),
        pytest.param((255, 255, 255, 0), (255, 255, 255, 255), (0, 255), id="white on transparent white"),
        pytest.param((0, 0, 0, 0), (255, 255, 120, 255), (15, 255), id="pale yellow"),
        pytest.param((0, 0, 0, 0), (0, 0, 0, 255), (0, 255), id="black on transparent"),
        pytest.param((255, 255, 255, 0), (90, 90, 90, 255), (90, 255), id="grey on transparent"),
        pytest.param((255, 255, 255, 255), (0, 0, 0, 255), (0, 255), id="nothing is transparent"),
        pytest.param((0, 0, 0, 0), (0, 0, 0, 0), (255, 255), id="all is transparent"),
    ],
)
def test_what_is_transparent_is_paper_and_what_is_not_shows_on_it(ground, ink, shows):
    assert shades(grey(page("RGBA", ground, ink))) == pytest.approx(shows, abs=12)
    assert shades(colour(page("RGBA", ground, ink)).convert("L")) == pytest.approx(shows, abs=12)


def test_a_white_card_with_black_text_on_transparent_ground_stays_as_it_is():
    image = Image.new("RGBA", (1000, 1000), (0, 0, 0, 0))
    card = Image.new("RGBA", (600, 600), (255, 255, 255, 255))
    ImageDraw.Draw(card).text((50, 50), "Black on white", fill=(0, 0, 0, 255), font_size=40)
    image.paste(card, (200, 200))
    assert grey(image).getpixel((210, 210)) == 255


@pytest.mark.parametrize("mode", ["LA", "PA", "P"])
def test_white_on_transparent_shows_in_every_mode_that_has_transparency(mode):
    image = page("LA", (255, 0), (255, 255))
    if mode == "PA":
        image = image.convert("RGBA").convert("PA")
    if mode == "P":
        image = page("P", 0, 1)
        image.putpalette([255, 255, 255, 255, 255, 255])
        image.info["transparency"] = 0
    assert shades(grey(image)) == (0, 255)


# ── frames of a TIFF ──────────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    ("frames", "pages"),
    [
        ([Frame((1240, 1754))], (0,)),
        ([Frame((1240, 1754)), Frame((1240, 1754), 2)], (0, 1)),
        ([Frame((1240, 1754)), Frame((155, 219), REDUCED)], (0,)),
        ([Frame((155, 219), REDUCED), Frame((1240, 1754))], (1,)),
        ([Frame((1240, 1754)), Frame((620, 877), REDUCED), Frame((310, 438), REDUCED)], (0,)),
        ([Frame((1240, 1754)), Frame((1240, 1754), MASK)], (0,)),
        ([Frame((1240, 1754)), Frame((155, 219))], (0,)),
        ([Frame((155, 219)), Frame((1240, 1754)), Frame((155, 219)), Frame((1240, 1754))], (1, 3)),
        ([Frame((1240, 1754)), Frame((300, 100))], (0, 1)),
        ([Frame((1240, 1754)), Frame((620, 877))], (0, 1)),
        ([Frame((100, 100)), Frame((100, 100))], (0, 1)),
        ([Frame((155, 219), REDUCED)], (0,)),
    ],
)
def test_previews_and_masks_are_no_pages(frames, pages):
    assert pages_of(frames) == pages


@pytest.mark.parametrize("first", [True, False])
def test_the_preview_of_a_fax_is_no_page_of_the_file(tmp_path, first):
    fax, preview = TEXT.convert("1"), TEXT.resize((150, 50))
    preview.encoderinfo = {"tiffinfo": {254: 1}}
    frames = [preview, fax] if first else [fax, preview]
    frames[0].save(tmp_path / "a.tiff", save_all=True, append_images=frames[1:], dpi=(200, 200))
    with Images.open(tmp_path / "a.tiff", 10**8) as images:
        assert images.page_count == 1
        assert images.render(0, 300).width == TEXT.width


# ── lines ─────────────────────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("factor", [0.5, 1, 2])
def test_the_height_of_lines_is_measured(factor):
    image = picture_of_text(12).resize((round(1654 * factor), round(2338 * factor)))
    assert line_height(image) == pytest.approx(31 * factor, rel=0.15)


@pytest.mark.parametrize(
    "image", [Image.new("L", (500, 500), 255), Image.effect_noise((500, 500), 80), Image.new("L", (1, 1), 0)]
)
def test_where_there_are_no_lines_none_are_measured(image):
    assert line_height(image) is None
