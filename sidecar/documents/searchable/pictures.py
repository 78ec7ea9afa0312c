"""Pictures as pages of a PDF, of their true size. Runs in worker processes only.

What PDF has too goes over as it is: JPEG files whole, the pixels of PNG, both without being decoded. Everything else
is written without loss: black and white as fax machines do (CCITT group 4), the rest as PNG.
"""

import io
from collections.abc import Iterable, Mapping
from pathlib import Path

import pikepdf
from pikepdf import Array, Dictionary, Name, Object, Pdf
from PIL import Image
from PIL.TiffImagePlugin import TiffImageFile

from sidecar.documents.document import DocumentLimits
from sidecar.documents.images import Images, StoredJpeg
from sidecar.documents.pictures import pixels
from sidecar.documents.searchable import png
from sidecar.documents.searchable.graft import Grafter
from sidecar.documents.searchable.pieces import Piece
from sidecar.errors import SidecarError
from sidecar.evidence.page import Page

VERSION = "1.5"
"""Of PDF: the first that has pictures with 16 bits a component, as PNG files may."""
DECIMALS = 3
"""Of a point, in the size of a page."""
Matrix = tuple[float, float, float, float, float, float]
STRIP_OFFSETS, STRIP_BYTE_COUNTS, PHOTOMETRIC, BLACK_IS_ZERO = 273, 279, 262, 1
"""Tags of TIFF, and a value of the last."""
SPACES = {"L": Name.DeviceGray, "RGB": Name.DeviceRGB, "CMYK": Name.DeviceCMYK}


def as_pdf(path: Path, limits: DocumentLimits, pages: Iterable[Page]) -> list[Piece]:
    """Make a PDF of a file of pictures, with the words of those ``pages`` that were read, in order.

    A page of a file that cannot be decoded is an empty one.
    """
    pdf, ahead = Pdf.new(), iter(pages)
    grafter, read = Grafter(pdf), next(ahead, None)
    with Images.open(path, limits.max_page_pixels) as images:
        for index in range(images.page_count):
            mine = read if read and read.number == index + 1 else None
            size = (mine.width, mine.height) if mine and mine.width and mine.height else images.size_points(index)
            try:
                picture, matrix = _picture(pdf, images, index, path)
            except SidecarError:
                pdf.add_blank_page(page_size=size)
            else:
                _add_page(pdf, picture, size, matrix)
            if mine:
                grafter.add(index, mine)
                read = next(ahead, None)
    grafter.finish()
    written = io.BytesIO()
    pdf.save(written, min_version=VERSION)
    return [written.getvalue()]


def _add_page(pdf: Pdf, picture: Object, size: tuple[float, float], matrix: Matrix) -> None:
    width, height = (round(one, DECIMALS) for one in size)
    pdf.add_blank_page(page_size=(width, height))
    page = pdf.pages[-1].obj
    placed = [one * side for one, side in zip(matrix, [width, height] * 3, strict=True)]
    numbers = " ".join(f"{one:.{DECIMALS}f}" for one in placed)
    page.Contents = pdf.make_stream(f"q {numbers} cm /Picture Do Q\n".encode())
    page.Resources = Dictionary(XObject=Dictionary(Picture=picture))


def _picture(pdf: Pdf, images: Images, index: int, path: Path) -> tuple[Object, Matrix]:
    """Return one picture, and how the square that a picture fills is laid on the page."""
    images.check_page(index, 0)
    if stored := images.stored_jpeg():
        return _jpeg(pdf, stored), LAYING.get(stored.orientation, LAYING[1])
    if found := png.pixels(path.read_bytes()):
        return _png(pdf, found), LAYING[1]
    decoded = images.upright(index)
    encoded = _encoded(decoded)
    if decoded.mode == "1" and len(strip := _strip(decoded)) < len(encoded.rows):
        return _fax(pdf, strip, decoded.size), LAYING[1]
    return _png(pdf, encoded), LAYING[1]


LAYING: Mapping[int, Matrix] = {
    1: (1, 0, 0, 1, 0, 0),
    2: (-1, 0, 0, 1, 1, 0),
    3: (-1, 0, 0, -1, 1, 1),
    4: (1, 0, 0, -1, 0, 1),
    5: (0, -1, -1, 0, 1, 1),
    6: (0, -1, 1, 0, 0, 1),
    7: (0, 1, 1, 0, 0, 0),
    8: (0, 1, -1, 0, 1, 0),
}
"""By EXIF's orientation: where the right and the upper side of the stored picture go, and its lower left corner."""


def _jpeg(pdf: Pdf, stored: StoredJpeg) -> Object:
    picture = _image(pdf, stored.content, stored.size, 8, SPACES[stored.mode], Filter=Name.DCTDecode)
    if stored.is_inverted:
        picture.Decode = Array([1, 0] * 4)
    return picture


def _strip(image: Image.Image) -> bytes:
    """Write black and white pixels in CCITT group 4, black as 0."""
    held = io.BytesIO()
    tags = {PHOTOMETRIC: BLACK_IS_ZERO}
    image.save(held, "TIFF", compression="group4", strip_size=image.width * image.height, tiffinfo=tags)
    held.seek(0)
    with TiffImageFile(held) as saved:
        start, length = saved.tag_v2[STRIP_OFFSETS][0], saved.tag_v2[STRIP_BYTE_COUNTS][0]
        assert saved.tag_v2[PHOTOMETRIC] == BLACK_IS_ZERO, "as it was asked for"
    return held.getvalue()[start : start + length]


def _fax(pdf: Pdf, strip: bytes, size: tuple[int, int]) -> Object:
    terms = Dictionary(K=-1, Columns=size[0], Rows=size[1], BlackIs1=True)
    return _image(pdf, strip, size, 1, Name.DeviceGray, Filter=Name.CCITTFaxDecode, DecodeParms=terms)


def _encoded(image: Image.Image) -> png.Pixels:
    held = io.BytesIO()
    shown = image if image.mode in {"1", "L", "RGB"} else pixels.colour(image)
    shown.save(held, "PNG")
    found = png.pixels(held.getvalue())
    assert found, "what has just been written is neither interlaced nor transparent"
    return found


def _png(pdf: Pdf, found: png.Pixels) -> Object:
    space: Object = Name.DeviceRGB if found.components == 3 else Name.DeviceGray
    if found.palette:
        space = Array([Name.Indexed, Name.DeviceRGB, len(found.palette) // 3 - 1, pikepdf.String(found.palette)])
    terms = Dictionary(Predictor=15, Colors=found.components, BitsPerComponent=found.bits, Columns=found.size[0])
    return _image(pdf, found.rows, found.size, found.bits, space, Filter=Name.FlateDecode, DecodeParms=terms)


def _image(pdf: Pdf, content: bytes, size: tuple[int, int], bits: int, space: Object, **entries: object) -> Object:
    return pdf.make_stream(
        content,
        Type=Name.XObject,
        Subtype=Name.Image,
        Width=size[0],
        Height=size[1],
        BitsPerComponent=bits,
        ColorSpace=space,
        **entries,
    )
