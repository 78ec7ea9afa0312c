"""What a page consists of: one walk over PDFium's page objects. Runs in worker processes only."""

import ctypes
import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import pypdfium2 as pdfium
import pypdfium2.raw as pdfium_c

from sidecar.documents.layers import pdf_calls
from sidecar.documents.pictures.scaling import POINTS_PER_INCH

OBJECTS_LOOKED_AT = 5_000
"""A scan's image is among its page's first objects; a drawing has hundreds of thousands, none of them an image."""
FORM_DEPTH = 4
"""How deep nested form objects are searched for images."""
SCAN_SHARE, FINE_SHARE = 0.5, 0.25
"""A page is a scan if images cover this share of it; the finest of them that cover the second share decide."""
RULE_SEGMENTS = 6
"""A path of at most this many segments is a rule, a frame or a bullet's box: no letter has so few."""
MIN_OUTLINE_SEGMENTS = 60
"""All other paths with at least this many segments together may be letters: about five."""
MIN_FILLED_SHARE = 0.1
"""A filled path over at least this share of the page may hold a picture, as a pattern does."""
MIN_WHITE = 0xF0
"""Lowest red, green and blue of text that may be white on white."""
MAX_FAINT_ALPHA = 0x10
_UNPAINTED_MODES = frozenset({pdfium_c.FPDF_TEXTRENDERMODE_INVISIBLE, pdfium_c.FPDF_TEXTRENDERMODE_CLIP})
_MARK_NAME_BYTES = 64
_OPTIONAL_CONTENT = "OC\0".encode("utf-16-le")

Matrix = tuple[float, float, float, float, float, float]
IDENTITY: Matrix = (1, 0, 0, 1, 0, 0)


@dataclass(slots=True)
class Survey:
    """What a page's objects tell about visible content missing from its text layer, and the reverse."""

    image_share: float = 0.0
    """Share of the page that images cover, those in forms included."""
    text_objects: int = 0
    may_show_more: bool = False
    """Whether something drawn may be text outside the layer: images, outlines, patterns, forms."""
    may_hide_text: bool = False
    """Whether some text may be hidden: invisible, white, or in a layer that may be off."""

    @property
    def needs_a_look(self) -> bool:
        """Return whether the ink must be examined."""
        return self.may_show_more or self.may_hide_text


def survey(page: pdfium.PdfPage) -> Survey:
    """Walk the page once."""
    found = Survey()
    width, height = page.get_size()
    outline_segments, covered, colour, raw = 0, 0.0, _Colour(), page.raw
    for at in range(min(pdfium_c.FPDFPage_CountObjects(raw), OBJECTS_LOOKED_AT)):
        item = pdf_calls.get_object(raw, at)
        kind = pdf_calls.get_type(item)
        if kind == pdfium_c.FPDF_PAGEOBJ_TEXT:
            found.text_objects += 1
            found.may_hide_text = found.may_hide_text or _may_be_hidden(item, colour)
            continue
        if kind == pdfium_c.FPDF_PAGEOBJ_PATH:
            segments = pdfium_c.FPDFPath_CountSegments(item)
            outline_segments += segments if segments > RULE_SEGMENTS else 0
            is_large = not found.may_show_more and area(bounds(item)) >= MIN_FILLED_SHARE * width * height
            found.may_show_more = found.may_show_more or is_large or outline_segments >= MIN_OUTLINE_SEGMENTS
            continue
        found.may_show_more = True
        if kind == pdfium_c.FPDF_PAGEOBJ_IMAGE:
            covered += area(bounds(item))
        elif kind == pdfium_c.FPDF_PAGEOBJ_FORM:
            found.may_hide_text = True
            covered += sum(area(bounds(image), matrix) for image, matrix in images(item, matrix_of(item), 1))
    found.image_share = covered / (width * height) if width * height > 0 else 0.0
    return found


class _Colour:
    """Buffer for a colour that PDFium writes: made once for all objects of a page."""

    def __init__(self) -> None:
        self._parts = tuple(ctypes.c_uint() for _ in range(4))
        self._places = tuple(map(ctypes.byref, self._parts))

    def is_pale(self, text: Any) -> bool:  # noqa: ANN401 - a PDFium handle
        """Return whether a text object's colour may be white."""
        if not pdf_calls.get_fill_colour(text, *self._places):
            return False
        red, green, blue, alpha = self._parts
        is_white = red.value >= MIN_WHITE and green.value >= MIN_WHITE and blue.value >= MIN_WHITE
        return is_white or alpha.value <= MAX_FAINT_ALPHA


def _may_be_hidden(text: Any, colour: _Colour) -> bool:  # noqa: ANN401 - a PDFium handle
    return (
        pdf_calls.get_text_render_mode(text) in _UNPAINTED_MODES
        or colour.is_pale(text)
        or (pdf_calls.count_marks(text) > 0 and _is_optional(text))
    )


def _is_optional(text: Any) -> bool:  # noqa: ANN401 - a PDFium handle
    """Return whether a text object is marked as optional content, which may be switched off."""
    name, size = ctypes.create_string_buffer(_MARK_NAME_BYTES), ctypes.c_ulong()
    target = ctypes.cast(name, ctypes.POINTER(ctypes.c_ushort))
    for at in range(pdfium_c.FPDFPageObj_CountMarks(text)):
        mark = pdfium_c.FPDFPageObj_GetMark(text, at)
        has_name = pdfium_c.FPDFPageObjMark_GetName(mark, target, _MARK_NAME_BYTES, size)
        if has_name and name.raw[: size.value] == _OPTIONAL_CONTENT:
            return True
    return False


# ── images and their places ───────────────────────────────────────────────────────────────────────────────────────


def images(container: Any, matrix: Matrix = IDENTITY, depth: int = 0) -> Iterator[tuple[Any, Matrix]]:  # noqa: ANN401
    """Yield a page's images, those in form objects included, each with its container's matrix."""
    in_form = depth > 0
    count = (pdfium_c.FPDFFormObj_CountObjects if in_form else pdfium_c.FPDFPage_CountObjects)(container)
    get = pdfium_c.FPDFFormObj_GetObject if in_form else pdfium_c.FPDFPage_GetObject
    for at in range(min(count, OBJECTS_LOOKED_AT)):
        item = get(container, at)
        kind = pdfium_c.FPDFPageObj_GetType(item)
        if kind == pdfium_c.FPDF_PAGEOBJ_IMAGE:
            yield item, matrix
        elif kind == pdfium_c.FPDF_PAGEOBJ_FORM and depth < FORM_DEPTH:
            yield from images(item, multiply(matrix_of(item), matrix), depth + 1)


def scan_dpi(page: pdfium.PdfPage) -> float | None:
    """Return the resolution of the images that cover the page, by the page's own measure; None if none do.

    Of several, as in scans of separate layers or strips, the finest that cover a good part decide.
    """
    width, height = page.get_size()
    shown = sorted((_shown(image, multiply(matrix_of(image), matrix)) for image, matrix in images(page)), reverse=True)
    if sum(covered for _, covered in shown) < SCAN_SHARE * width * height:
        return None
    seen = 0.0
    for dpi, covered in shown:
        seen += covered
        if seen >= FINE_SHARE * width * height:
            return dpi
    return None


def has_text(page: pdfium.PdfPage) -> bool:
    """Return whether the page shows text that is no picture."""
    return any(
        pdfium_c.FPDFPageObj_GetType(pdfium_c.FPDFPage_GetObject(page, at)) == pdfium_c.FPDF_PAGEOBJ_TEXT
        for at in range(min(pdfium_c.FPDFPage_CountObjects(page), OBJECTS_LOOKED_AT))
    )


def _shown(image: Any, matrix: Matrix) -> tuple[float, float]:  # noqa: ANN401 - a PDFium handle
    """Return an image's resolution and the area that it covers, in square points: it fills the matrix's unit square."""
    a, b, c, d, _, _ = matrix
    covered, pixels = abs(a * d - b * c), pixel_size(image)
    return (math.sqrt(pixels[0] * pixels[1] / covered) * POINTS_PER_INCH if covered else 0.0), covered


def pixel_size(image: Any) -> tuple[int, int]:  # noqa: ANN401 - a PDFium handle
    """Return an image's width and height in pixels."""
    width, height = ctypes.c_uint(), ctypes.c_uint()
    pdfium_c.FPDFImageObj_GetImagePixelSize(image, width, height)
    return width.value, height.value


def bounds(item: Any) -> tuple[float, float, float, float]:  # noqa: ANN401 - a PDFium handle
    """Return the box around an object: left, bottom, right, top."""
    left, bottom, right, top = (ctypes.c_float() for _ in range(4))
    pdfium_c.FPDFPageObj_GetBounds(item, left, bottom, right, top)
    return left.value, bottom.value, right.value, top.value


def moved(box: tuple[float, float, float, float], matrix: Matrix) -> tuple[float, float, float, float]:
    """Return the box around a rectangle after the matrix: left, bottom, right, top."""
    if matrix == IDENTITY:
        return box
    a, b, c, d, e, f = matrix
    corners = [(a * x + c * y + e, b * x + d * y + f) for x in box[::2] for y in box[1::2]]
    across, up = zip(*corners, strict=True)
    return min(across), min(up), max(across), max(up)


def area(box: tuple[float, float, float, float], matrix: Matrix = IDENTITY) -> float:
    """Area, in square points, of a rectangle after the matrix: its own area times the determinant."""
    left, bottom, right, top = box
    a, b, c, d, _, _ = matrix
    return abs((right - left) * (top - bottom) * (a * d - b * c))


def matrix_of(item: Any) -> Matrix:  # noqa: ANN401 - a PDFium handle
    """Return where an object puts its content."""
    found = pdfium_c.FS_MATRIX()
    if not pdfium_c.FPDFPageObj_GetMatrix(item, found):
        return IDENTITY
    return found.a, found.b, found.c, found.d, found.e, found.f


def multiply(first: Matrix, then: Matrix) -> Matrix:
    """Return the matrix that does what one does and then the other."""
    a, b, c, d, e, f = first
    A, B, C, D, E, F = then  # noqa: N806 - the letters of the PDF reference
    return (a * A + b * C, a * B + b * D, c * A + d * C, c * B + d * D, e * A + f * C + E, e * B + f * D + F)
