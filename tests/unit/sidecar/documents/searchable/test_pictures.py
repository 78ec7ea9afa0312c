"""Pictures become pages of their true size, and show what they showed."""

import io

import pikepdf
import pypdfium2 as pdfium
import pytest
from PIL import Image, ImageChops, ImageDraw

from sidecar.documents.searchable import png, writing
from tests.unit.sidecar.documents.searchable.making import LIMITS, joined, line_at, page_with, pdfium_text, pdfium_words

DPI = 150
SIZE = 620, 877


def drawn(mode: str = "RGB") -> Image.Image:
    """A page at 150 dots per inch with a red corner, upper left, and a blue one, lower right."""
    image = Image.new("RGB", SIZE, "white")
    ImageDraw.Draw(image).rectangle((0, 0, 300, 200), fill=(200, 30, 30))
    ImageDraw.Draw(image).rectangle((400, 700, 619, 876), fill=(30, 30, 200))
    return image.convert(mode, dither=Image.Dither.NONE)


def saved(image: Image.Image, kind: str, **options: object) -> bytes:
    held = io.BytesIO()
    image.save(held, kind, dpi=(DPI, DPI), **options)
    return held.getvalue()


def made(folder, content: bytes, *pages):
    (folder / "source").write_bytes(content)
    path = folder / "searchable.pdf"
    path.write_bytes(joined(writing.searchable(folder / "source", LIMITS, pages), content))
    return path


def shown(path, index: int = 0) -> Image.Image:
    pdf = pdfium.PdfDocument(path)
    try:
        return pdf[index].render(scale=DPI / 72).to_pil().convert("RGB")
    finally:
        pdf.close()


def differs(one: Image.Image, other: Image.Image) -> float:
    """Mean difference of pixels, of 255."""
    difference = ImageChops.difference(one.resize(SIZE), other.convert("RGB").resize(SIZE)).convert("L")
    return sum(value * count for value, count in enumerate(difference.histogram())) / (SIZE[0] * SIZE[1])


def size_of(path, index: int = 0) -> tuple[float, ...]:
    with pikepdf.open(path) as pdf:
        return tuple(float(one) for one in pdf.pages[index].mediabox[2:])


def only_image(path) -> pikepdf.Object:
    with pikepdf.open(path) as pdf:
        picture = pdf.pages[0].obj.Resources.XObject.Picture
        return picture.read_raw_bytes(), picture.get("/Filter")


@pytest.mark.parametrize("mode", ["RGB", "L", "CMYK"])
def test_a_jpeg_is_passed_on_as_it_is(tmp_path, mode):
    content = saved(drawn(mode), "JPEG", quality=90)
    path = made(tmp_path, content)
    assert only_image(path) == (content, "/DCTDecode")
    assert size_of(path) == pytest.approx((297.6, 420.96), abs=0.1)
    assert differs(shown(path), drawn(mode)) < 8


@pytest.mark.parametrize("orientation", range(1, 9))
def test_a_jpeg_is_shown_as_its_camera_was_held(tmp_path, orientation):
    exif = Image.Exif()
    exif[0x0112] = orientation
    undo = {
        2: Image.Transpose.FLIP_LEFT_RIGHT,
        3: Image.Transpose.ROTATE_180,
        4: Image.Transpose.FLIP_TOP_BOTTOM,
        5: Image.Transpose.TRANSPOSE,
        6: Image.Transpose.ROTATE_90,
        7: Image.Transpose.TRANSVERSE,
        8: Image.Transpose.ROTATE_270,
    }
    stored = drawn().transpose(undo[orientation]) if orientation in undo else drawn()
    path = made(tmp_path, saved(stored, "JPEG", quality=90, exif=exif))
    assert size_of(path) == pytest.approx((297.6, 420.96), abs=0.1)
    assert differs(shown(path), drawn()) < 4


@pytest.mark.parametrize("mode", ["RGB", "L", "P", "1"])
def test_the_pixels_of_a_png_are_passed_on_or_kept(tmp_path, mode):
    content = saved(drawn(mode), "PNG")
    path = made(tmp_path, content)
    raw, filtered = only_image(path)
    assert raw == png.pixels(content).rows
    assert filtered == "/FlateDecode"
    assert len(path.read_bytes()) < len(content) + 2000
    assert differs(shown(path), drawn(mode)) < 1


@pytest.mark.parametrize(
    ("mode", "kind"),
    [("RGBA", "PNG"), ("LA", "PNG"), ("I;16", "PNG"), ("RGB", "WEBP"), ("RGB", "BMP"), ("CMYK", "TIFF")],
)
def test_all_others_are_written_without_loss(tmp_path, mode, kind):
    image = drawn("L").convert("I").point(lambda value: value * 257).convert("I;16") if mode == "I;16" else drawn(mode)
    options = {"lossless": True} if kind == "WEBP" else {}
    path = made(tmp_path, saved(image, kind, **options))
    wanted = Image.open(tmp_path / "source").convert("RGB") if mode != "I;16" else drawn("L")
    assert differs(shown(path), wanted) < 4


def test_each_page_of_a_tiff_is_a_page_of_its_size(tmp_path):
    wide = drawn("1").transpose(Image.Transpose.ROTATE_90)
    held = io.BytesIO()
    drawn("1").save(held, "TIFF", save_all=True, append_images=[wide], dpi=(DPI, DPI), compression="group4")
    path = made(tmp_path, held.getvalue(), page_with(line_at(60, 100, "second"), size=(420.96, 297.6), number=2))
    assert size_of(path) == pytest.approx((297.6, 420.96), abs=0.1)
    assert size_of(path, 1) == pytest.approx((420.96, 297.6), abs=0.1)
    assert [pdfium_text(path, index).strip() for index in (0, 1)] == ["", "second"]
    assert differs(shown(path), drawn("1")) < 1
    assert differs(shown(path, 1).transpose(Image.Transpose.ROTATE_270), drawn("1")) < 1
    assert len(path.read_bytes()) < len(held.getvalue()) + 12_000


def test_the_words_of_a_picture_stand_where_they_are_seen(tmp_path):
    page = page_with(line_at(60, 100, "Concrete", "ทดสอบ"), size=(297.6, 420.96))
    (first, second) = pdfium_words(made(tmp_path, saved(drawn(), "JPEG"), page))
    assert (first.text, second.text) == ("Concrete", "ทดสอบ")
    assert (first.left, second.left) == pytest.approx((60, 112), abs=1)


def test_a_jpeg_that_is_cut_off_shows_what_there_is_of_it(tmp_path):
    content = saved(drawn(), "JPEG", quality=90)
    path = made(tmp_path, content[: len(content) * 9 // 10])
    assert differs(shown(path).crop((0, 0, 620, 400)), drawn().crop((0, 0, 620, 400))) < 4


def test_the_version_is_one_that_has_the_bits_of_all_pictures(tmp_path):
    image = drawn("L").convert("I").point(lambda value: value * 257).convert("I;16")
    with pikepdf.open(made(tmp_path, saved(image, "PNG"))) as pdf:
        assert pdf.pages[0].obj.Resources.XObject.Picture.BitsPerComponent == 16
        assert pdf.pdf_version >= "1.5"
