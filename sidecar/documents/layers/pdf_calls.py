"""PDFium's functions that are called for each character or object of a page: without the types of their arguments.

ctypes takes longer to convert arguments to their types than most of these functions take. Without, handles must be raw
ones, and a result goes to what ``byref`` names. Runs in worker processes only.
"""

import ctypes
from typing import Any

import pypdfium2.raw as pdfium_c


def _unchecked(function: Any) -> Any:  # noqa: ANN401 - a function of PDFium
    """Return the same function without the types of its arguments."""
    same = type(function)(ctypes.cast(function, ctypes.c_void_p).value)
    same.restype = function.restype
    return same


get_unicode = _unchecked(pdfium_c.FPDFText_GetUnicode)
is_generated = _unchecked(pdfium_c.FPDFText_IsGenerated)
has_map_error = _unchecked(pdfium_c.FPDFText_HasUnicodeMapError)
get_char_angle = _unchecked(pdfium_c.FPDFText_GetCharAngle)
get_char_box = _unchecked(pdfium_c.FPDFText_GetCharBox)
get_loose_char_box = _unchecked(pdfium_c.FPDFText_GetLooseCharBox)
get_char_origin = _unchecked(pdfium_c.FPDFText_GetCharOrigin)

count_rects = _unchecked(pdfium_c.FPDFText_CountRects)
get_rect = _unchecked(pdfium_c.FPDFText_GetRect)
get_char_index = _unchecked(pdfium_c.FPDFText_GetCharIndexFromTextIndex)
get_text_object = _unchecked(pdfium_c.FPDFText_GetTextObject)
get_font = _unchecked(pdfium_c.FPDFTextObj_GetFont)
get_text_object.restype = get_font.restype = ctypes.c_void_p
"""These two give numbers: a handle of its own type takes longer to make than the call."""

get_object = _unchecked(pdfium_c.FPDFPage_GetObject)
get_type = _unchecked(pdfium_c.FPDFPageObj_GetType)
get_text_render_mode = _unchecked(pdfium_c.FPDFTextObj_GetTextRenderMode)
get_fill_colour = _unchecked(pdfium_c.FPDFPageObj_GetFillColor)
count_marks = _unchecked(pdfium_c.FPDFPageObj_CountMarks)
