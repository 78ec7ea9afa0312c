"""Pictures as scanners, faxes and cameras really write them, and as nobody should."""

import struct
import warnings
import zlib

import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from sidecar.documents.images import Images, plan_scaling
from sidecar.documents.raster import MAX_SIDE_PIXELS
from sidecar.errors import PageTooLargeError, SidecarError, UnreadableDocumentError

LIMIT = 150_000_000
A4 = (2480, 3508)


def render(path, index=0, limit=LIMIT):
    with Images.open(path, limit) as images:
        page = images.render(index, 300)
    return Image.frombytes("L", (page.width, page.height), page.pixels)


def outcome(path, limit=1_000_000):
    try:
        render(path, limit=limit)
    except SidecarError as error:
        return error.status
    return "read"


def tiff(order, size, bits, pixels):
    """Write a TIFF by hand: Pillow writes 16 bits in one byte order only."""
    tags = {256: size[0], 257: size[1], 258: bits, 259: 1, 262: 1, 273: 8, 277: 1, 278: size[1], 279: len(pixels)}
    directory = struct.pack(f"{order}H", len(tags))
    directory += b"".join(struct.pack(f"{order}HHII", tag, 4, 1, value) for tag, value in tags.items())
    head = {"<": b"II", ">": b"MM"}[order] + struct.pack(f"{order}HI", 42, 8 + len(pixels))
    return head + pixels + directory + bytes(4)


# ── pixels ────────────────────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("order", ["<", ">"])
@pytest.mark.parametrize(("value", "grey"), [(0, 0), (0x4000, 64), (0x8000, 128), (0xFEFF, 254), (0xFFFF, 255)])
def test_sixteen_bits_become_eight_in_both_byte_orders(tmp_path, order, value, grey):
    path = tmp_path / "a.tiff"
    path.write_bytes(tiff(order, (200, 300), 16, struct.pack(f"{order}H", value) * 200 * 300))
    assert render(path).getpixel((50, 50)) == grey


@pytest.mark.parametrize(
    ("mode", "paper", "ink"), [("F", 1.0, 0.5), ("F", 255.0, 128.0), ("I", 65_535, 32_768), ("I", 255, 128)]
)
def test_pixels_wider_than_eight_bits_keep_their_contrast(tmp_path, mode, paper, ink):
    image = Image.new(mode, (300, 400), paper)
    image.paste(ink, (0, 0, 100, 100))
    image.save(tmp_path / "a.tiff", dpi=(300, 300))
    grey = render(tmp_path / "a.tiff")
    assert grey.getpixel((200, 300)) == 255
    assert grey.getpixel((50, 50)) == pytest.approx(128, abs=1)


@pytest.mark.parametrize(
    ("mode", "colour", "kind", "grey"),
    [
        ("RGB", (255, 0, 0), "png", 76),
        ("RGB", (0, 255, 0), "bmp", 150),
        ("RGBA", (0, 0, 0, 0), "png", 255),
        ("RGBA", (0, 0, 0, 128), "png", 127),
        ("RGBA", (0, 0, 0, 0), "tiff", 255),
        ("RGBA", (0, 0, 0, 0), "webp", 255),
        ("LA", (0, 0), "png", 255),
        ("LA", (100, 255), "png", 100),
        ("CMYK", (0, 0, 0, 0), "jpeg", 255),
        ("CMYK", (0, 0, 0, 255), "jpeg", 0),
        ("CMYK", (0, 0, 0, 255), "tiff", 0),
        ("1", 1, "png", 255),
        ("1", 0, "bmp", 0),
        ("L", 128, "jpeg", 128),
    ],
)
def test_a_colour_becomes_the_grey_the_eye_sees_and_what_is_transparent_is_white(tmp_path, mode, colour, kind, grey):
    path = tmp_path / f"a.{kind}"
    Image.new(mode, (300, 400), colour).save(path)
    assert render(path).getpixel((60, 60)) == pytest.approx(grey, abs=2)


@pytest.mark.parametrize(("mode", "transparency"), [("L", 0), ("RGB", (0, 0, 0)), ("P", 0), ("P", b"\0")])
def test_a_colour_that_stands_for_transparent_is_white(tmp_path, mode, transparency):
    path = tmp_path / "a.png"
    image = Image.new(mode, (300, 400), 0)
    if mode == "P":
        image.putpalette([0, 0, 0, 255, 255, 255])
    image.save(path, transparency=transparency)
    assert render(path).getpixel((60, 60)) == 255


def test_every_frame_of_a_fax_is_a_page_of_its_own(tmp_path):
    path = tmp_path / "fax.tiff"
    frames = [Image.new("1", (1728, 1078), shade) for shade in (0, 1, 0)]
    frames[0].save(path, save_all=True, append_images=frames[1:], compression="group4", dpi=(204, 98))
    with Images.open(path, LIMIT) as images:
        assert images.page_count == 3
        pages = [images.render(index, 300) for index in (2, 1, 0)]
    assert [page.pixels[0] for page in pages] == [0, 255, 0]
    assert {(page.width, page.height, page.dpi) for page in pages} == {(2541, 3234, 300)}


# ── which way up, and how large ───────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("kind", ["jpeg", "png", "webp", "tiff"])
@pytest.mark.parametrize(
    ("orientation", "size", "corner"),
    [
        (1, (1800, 2400), (0, 0)),
        (3, (1800, 2400), (1, 1)),
        (6, (2400, 1800), (1, 0)),
        (8, (2400, 1800), (0, 1)),
        (2, (1800, 2400), (1, 0)),
        (5, (2400, 1800), (0, 0)),
    ],
)
def test_the_upper_left_corner_goes_where_the_orientation_says(tmp_path, kind, orientation, size, corner):
    image = Image.new("L", (1800, 2400), 255)
    image.paste(0, (0, 0, 500, 500))
    exif = Image.Exif()
    exif[0x0112] = orientation
    image.save(tmp_path / f"a.{kind}", exif=exif)
    grey = render(tmp_path / f"a.{kind}")
    assert grey.size == size
    dark = [(x, y) for x in (0, 1) for y in (0, 1) if grey.getpixel((x * (size[0] - 1), y * (size[1] - 1))) < 20]
    assert dark == [corner]


@pytest.mark.parametrize(("orientation", "shape"), [(1, 8.47 / 11), (3, 8.47 / 11), (6, 11 / 8.47), (8, 11 / 8.47)])
def test_a_fax_that_was_turned_keeps_the_shape_of_its_paper(tmp_path, orientation, shape):
    path = tmp_path / "fax.tiff"
    fax = Image.new("1", (1728, 1078), 1)  # 8.47 by 11 inches at 204 by 98 dots per inch
    fax.save(path, compression="group4", dpi=(204, 98), tiffinfo={274: orientation})
    width, height = render(path).size
    assert width / height == pytest.approx(shape, rel=0.03)


def test_a_picture_wider_than_tesseract_can_count_is_made_narrower(tmp_path):
    path = tmp_path / "a.png"
    Image.new("L", (MAX_SIDE_PIXELS + 8000, 100), 255).save(path)
    assert render(path).size == (MAX_SIDE_PIXELS, 80)


@given(
    st.tuples(st.integers(1, 60_000), st.integers(1, 60_000)),
    st.none() | st.tuples(st.floats(), st.floats()) | st.tuples(st.floats(50, 1300), st.floats(50, 1300)),
    st.integers(72, 600),
    st.integers(1, LIMIT),
)
def test_scaling_never_goes_beyond_threefold_or_the_pixel_limit(size, claimed, dpi, limit):
    limit = max(limit, size[0] * size[1])  # larger pictures are refused
    scaling = plan_scaling(size, claimed, dpi, limit)
    assert 0 < scaling.x <= 3
    assert 0 < scaling.y <= 3
    assert (scaling.x, scaling.y) == (1, 1) or size[0] * scaling.x * size[1] * scaling.y <= limit


@pytest.mark.parametrize(
    ("size", "claimed", "x", "y", "dpi"),
    [
        (A4, (180, 180), 1, 1, 180),
        (A4, (179, 179), 300 / 179, 300 / 179, 300),
        (A4, (400, 400), 1, 1, 400),
        (A4, (401, 401), 300 / 401, 300 / 401, 300),
        (A4, (101, 101), 300 / 101, 300 / 101, 300),
        (A4, (96, 96), 1, 1, 300),
        (A4, (100, 100), 1, 1, 300),
        (A4, (1200, 1200), 1, 1, 300),  # no paper is 7 cm long and so fine
        ((9921, 14_031), (1200, 1200), 0.25, 0.25, 300),
        (A4, (1201, 1201), 1, 1, 300),
        (A4, (300, 150), 1, 2, 300),
        (A4, (0, 0), 1, 1, 300),
        (A4, (float("nan"), float("nan")), 1, 1, 300),
        (A4, (float("inf"), float("inf")), 1, 1, 300),
        (A4, (-300, -300), 1, 1, 300),
        ((3508, 2480), None, 1, 1, 300),
        ((16_000, 100), (150, 150), 2, 2, 300),
        ((16_001, 100), (150, 150), 1, 1, 150),
        ((100, 16_001), (150, 150), 2, 2, 300),  # what is tall is read in pieces
        ((720, 25_000), None, 180 / (720 / 8.27), 180 / (720 / 8.27), 180),
        ((1500, 25_000), None, 1, 1, 181),
        ((40_000, 600), None, 0.8, 0.8, 320),
        ((9000, 600), None, 1, 1, 400),
        ((1240, 1754), (1200, 1200), 300 * 11.69 / 1754, 300 * 11.69 / 1754, 300),
        ((1654, 2339), (600, 600), 1, 1, 200),
        ((2480, 3508), (600, 600), 1, 1, 300),
        ((3508, 4961), (600, 600), 0.5, 0.5, 300),
        ((600, 400), (1200, 1200), 1, 1, 51),
        ((1728, 2156), (204, 196), 1, 1, 204),
    ],
)
def test_a_claim_is_followed_where_it_can_be_believed(size, claimed, x, y, dpi):
    scaling = plan_scaling(size, claimed, 300, LIMIT)
    assert (scaling.x, scaling.y) == pytest.approx((x, y))
    assert scaling.dpi == dpi


# ── what is broken or too large ───────────────────────────────────────────────────────────────────────────────────


def png_header(width, height):
    head = struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0)
    chunk = b"IHDR" + head
    return b"\x89PNG\r\n\x1a\n" + struct.pack(">I", len(head)) + chunk + struct.pack(">I", zlib.crc32(chunk))


@pytest.mark.parametrize(("width", "height"), [(20_000, 20_000), (2**31 - 1, 2**31 - 1), (LIMIT + 1, 1)])
def test_too_many_pixels_are_refused_by_a_header_that_no_pixels_follow(tmp_path, width, height):
    path = tmp_path / "a.png"
    path.write_bytes(png_header(width, height) + b"\0\0\0\0IDAT" + struct.pack(">I", zlib.crc32(b"IDAT")))
    with Images.open(path, LIMIT) as images:
        for refuse in (images.check_page, images.render):
            with pytest.raises(PageTooLargeError):
                refuse(0, 300)


@pytest.mark.filterwarnings("ignore:Corrupt EXIF")  # Pillow's; what counts is what it raises
@pytest.mark.parametrize(
    "content",
    [b"\x89PNG\r\n\x1a\n", b"\xff\xd8\xff", b"II*\0", b"MM\0*\0\0\0\x08", b"BM", b"RIFF\0\0\0\0WEBP", b"GIF89a", b"x"],
)
def test_a_head_without_a_body_is_unreadable(tmp_path, content):
    path = tmp_path / "a"
    path.write_bytes(content)
    with pytest.raises(UnreadableDocumentError), Images.open(path, LIMIT) as images:
        images.render(0, 300)


def test_a_format_that_is_not_read_here_is_unreadable_whatever_pillow_knows(tmp_path):
    Image.new("L", (10, 10)).save(tmp_path / "a.gif")
    with pytest.raises(UnreadableDocumentError), Images.open(tmp_path / "a.gif", LIMIT) as images:
        images.render(0, 300)


@given(st.sampled_from(["png", "jpeg", "tiff", "webp", "bmp"]), st.data())
def test_a_damaged_picture_is_read_or_refused_and_nothing_else(tmp_path_factory, kind, data):
    path = tmp_path_factory.getbasetemp() / "damaged"
    Image.linear_gradient("L").resize((40, 50)).save(path, kind)
    content = bytearray(path.read_bytes())
    for at, value in data.draw(st.lists(st.tuples(st.integers(0, len(content) - 1), st.integers(0, 255)), max_size=6)):
        content[at] = value
    path.write_bytes(content[: data.draw(st.integers(1, len(content)))])
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # Pillow's, about what it mends
        assert outcome(path) in {"read", 413, 422}
