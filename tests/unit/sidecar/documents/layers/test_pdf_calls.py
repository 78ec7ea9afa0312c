"""PDFium's functions without the types of their arguments: what they say of handles and places that do not exist."""

import ctypes

import pypdfium2 as pdfium
import pypdfium2.raw as pdfium_c
import pytest

from sidecar.documents.layers import pdf_calls


@pytest.fixture
def text_page(data):
    with pdfium.PdfDocument(data / "digital.pdf") as document:
        opened = document[0].get_textpage()
        yield opened.raw
        opened.close()


@pytest.mark.parametrize("at", [-1, 10**6, 2**31 - 1])
@pytest.mark.parametrize("handle", ["a page", "none"])
def test_a_place_that_does_not_exist_gives_nothing(text_page, handle, at):
    raw = text_page if handle == "a page" else None
    left, right, bottom, top = (ctypes.c_double(7) for _ in range(4))
    assert pdf_calls.get_unicode(raw, at) == 0
    assert pdf_calls.is_generated(raw, at) == -1
    assert pdf_calls.has_map_error(raw, at) == -1
    assert pdf_calls.get_char_angle(raw, at) == -1
    assert not pdf_calls.get_char_box(raw, at, *map(ctypes.byref, (left, right, bottom, top)))
    assert not pdf_calls.get_loose_char_box(raw, at, ctypes.byref(pdfium_c.FS_RECTF()))
    assert not pdf_calls.get_char_origin(raw, at, ctypes.byref(left), ctypes.byref(right))
    assert left.value == 7


def test_an_object_that_does_not_exist_is_nothing():
    nothing = pdf_calls.get_object(None, 0)
    assert not nothing
    assert pdf_calls.get_type(nothing) == pdfium_c.FPDF_PAGEOBJ_UNKNOWN
    assert pdf_calls.get_text_render_mode(nothing) == pdfium_c.FPDF_TEXTRENDERMODE_UNKNOWN
    assert not pdf_calls.get_fill_colour(nothing, *map(ctypes.byref, [ctypes.c_uint() for _ in range(4)]))
    assert pdf_calls.count_marks(nothing) == -1
