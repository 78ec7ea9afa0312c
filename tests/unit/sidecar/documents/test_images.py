import pytest
from PIL import Image

from sidecar.documents.images import Images, Scaling, plan_scaling
from sidecar.errors import PageTooLargeError, UnreadableDocumentError

MANY = 150_000_000


@pytest.mark.parametrize(
    ("size", "claimed", "scaling"),
    [
        pytest.param((2480, 3508), (300, 300), Scaling(1, 1, 300), id="as it should be"),
        pytest.param((1654, 2338), (200, 200), Scaling(1, 1, 200), id="good enough"),
        pytest.param((1654, 2338), None, Scaling(1, 1, 200), id="taken for A4"),
        pytest.param((1654, 2338), (72, 72), Scaling(1, 1, 200), id="a screen's claim is not believed"),
        pytest.param((1654, 2338), (1, 1), Scaling(1, 1, 200), id="nor a nonsensical one"),
        pytest.param((4960, 7016), (600, 600), Scaling(0.5, 0.5, 300), id="more than is of use"),
        pytest.param((1240, 1754), (150, 150), Scaling(2, 2, 300), id="too little"),
        pytest.param((1728, 1078), (204, 98), Scaling(300 / 204, 3, 300), id="fax"),
        pytest.param((300, 100), None, Scaling(3, 3, 77), id="a snippet is enlarged threefold at most"),
        pytest.param((9000, 9000), (150, 150), Scaling(1, 1, 150), id="not beyond the pixel limit"),
    ],
)
def test_pictures_are_brought_to_about_the_wanted_resolution(size, claimed, scaling):
    planned = plan_scaling(size, claimed, 300, MANY)

    assert (planned.x, planned.y) == pytest.approx((scaling.x, scaling.y))
    assert planned.dpi == scaling.dpi


def render(tmp_path, image: Image.Image, kind: str, **options):
    path = tmp_path / f"picture.{kind}"
    image.save(path, kind, **options)
    with Images.open(path, MANY) as images:
        page = images.render(0, 300)
        return Image.frombytes("L", (page.width, page.height), page.pixels)


def corner_dark(mode: str, dark, light, size=(1800, 2400)) -> Image.Image:
    image = Image.new(mode, size, light)
    image.paste(dark, (0, 0, 600, 600))
    return image


@pytest.mark.parametrize(
    ("mode", "dark", "light", "kind"),
    [
        ("1", 0, 1, "tiff"),
        ("L", 0, 255, "png"),
        ("P", 0, 255, "bmp"),
        ("RGB", (0, 0, 0), (255, 255, 255), "webp"),
        ("RGBA", (0, 0, 0, 255), (0, 0, 0, 0), "png"),
        ("LA", (0, 255), (0, 0), "png"),
        ("CMYK", (0, 0, 0, 255), (0, 0, 0, 0), "jpeg"),
        ("I;16", 0, 65535, "png"),
        ("I;16", 0, 65535, "tiff"),
    ],
)
def test_every_kind_of_pixel_becomes_grey(tmp_path, mode, dark, light, kind):
    image = corner_dark("L", 0, 255).convert("P") if mode == "P" else corner_dark(mode, dark, light)
    grey = render(tmp_path, image, kind)

    assert grey.getpixel((100, 100)) < 20
    assert grey.getpixel((1500, 2000)) > 235


def test_a_picture_is_turned_as_its_exif_orientation_says(tmp_path):
    exif = Image.Exif()
    exif[0x0112] = 6  # the camera was turned: the picture is shown after a quarter turn clockwise
    grey = render(tmp_path, corner_dark("L", 0, 255), "jpeg", exif=exif.tobytes())

    assert grey.size == (2400, 1800)
    assert grey.getpixel((2300, 100)) < 20
    assert grey.getpixel((100, 100)) > 235


def test_a_tiff_has_as_many_pages_as_frames_and_a_webp_one(tmp_path):
    frames = [Image.new("L", (100, 100), shade) for shade in (0, 128, 255)]
    frames[0].save(tmp_path / "a.tiff", save_all=True, append_images=frames[1:])
    frames[0].save(tmp_path / "a.webp", save_all=True, append_images=frames[1:])

    with Images.open(tmp_path / "a.tiff", MANY) as images:
        assert images.page_count == 3
        assert [images.render(index, 300).pixels[0] for index in range(3)] == [0, 128, 255]
    with Images.open(tmp_path / "a.webp", MANY) as images:
        assert images.page_count == 1


@pytest.mark.parametrize("kind", ["png", "jpeg", "tiff", "webp", "bmp"])
def test_a_picture_that_breaks_off_is_told(tmp_path, kind):
    path = tmp_path / f"whole.{kind}"
    Image.effect_noise((800, 800), 50).convert("RGB").save(path, kind)
    cut = tmp_path / "cut"
    cut.write_bytes(path.read_bytes()[: path.stat().st_size // 2])

    with pytest.raises(UnreadableDocumentError), Images.open(cut, MANY) as images:
        images.render(0, 300)


def test_too_many_pixels_are_refused_from_the_header_alone(tmp_path):
    Image.new("1", (10_000, 10_000)).save(tmp_path / "a.png")
    with Images.open(tmp_path / "a.png", 99_999_999) as images:
        with pytest.raises(PageTooLargeError, match="page 1 has 10000 x 10000 pixels, the limit is 99999999 pixels"):
            images.check_page(0, 300)
        with pytest.raises(PageTooLargeError):
            images.render(0, 300)
    with Images.open(tmp_path / "a.png", 100_000_000) as images:
        images.check_page(0, 300)
