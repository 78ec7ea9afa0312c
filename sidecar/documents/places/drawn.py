"""The ruling lines and the pictures of a page, from its path and image objects. Runs in worker processes only."""

import ctypes
from collections.abc import Iterator
from ctypes import byref
from itertools import pairwise
from typing import Any

import pypdfium2 as pdfium
import pypdfium2.raw as pdfium_c

from sidecar.documents import pdf_objects
from sidecar.documents.layers import pdf_calls
from sidecar.documents.pdf_objects import IDENTITY, Matrix
from sidecar.documents.places.frame import Frame
from sidecar.evidence.layout import Box

MAX_THICKNESS = 4.0
"""Points: what is thicker is a bar, not a rule."""
MIN_LENGTH = 6.0
"""Points: what is shorter separates nothing: dashes and letters drawn as outlines."""
MAX_RULES = 4_000
"""A table of a page has hundreds; a map has any number, and nobody needs them."""
MAX_SEGMENTS = 400
"""Of one path: a grid has fewer, drawings have more."""
MIN_PICTURE = 8.0
"""Points on a side: smaller pictures are bullets and pieces of rules."""

Corners = tuple[float, float, float, float]
Point = tuple[float, float]


def read_drawn(page: pdfium.PdfPage, frame: Frame) -> tuple[tuple[Box, ...], tuple[Box, ...]]:
    """Return the ruling lines, as thin boxes, and the pictures, as the page is shown."""
    rules: list[Box] = []
    figures: list[Box] = []
    for item, kind, matrix in _painted(page.raw, pdfium_c.FPDFPage_CountObjects, pdf_calls.get_object, IDENTITY, 0):
        if kind == pdfium_c.FPDF_PAGEOBJ_IMAGE:
            shown = frame.clipped(frame.box(*pdf_objects.moved(pdf_objects.bounds(item), matrix)))
            if shown and min(shown.width, shown.height) >= MIN_PICTURE:
                figures.append(shown)
        elif len(rules) < MAX_RULES:
            boxes = (frame.clipped(frame.box(*one)) for one in _rules(item, matrix))
            rules += [one for one in boxes if one]
    return tuple(rules), tuple(figures)


def _painted(raw: Any, count: Any, get: Any, matrix: Matrix, depth: int) -> Iterator[tuple[Any, int, Matrix]]:  # noqa: ANN401
    """Give the paths and images of a page or form, with the matrix of what they stand in."""
    for at in range(min(count(raw), pdf_objects.OBJECTS_LOOKED_AT)):
        item = get(raw, at)
        kind = pdf_calls.get_type(item)
        if kind in {pdfium_c.FPDF_PAGEOBJ_PATH, pdfium_c.FPDF_PAGEOBJ_IMAGE}:
            yield item, kind, matrix
        elif kind == pdfium_c.FPDF_PAGEOBJ_FORM and depth < pdf_objects.FORM_DEPTH:
            inner = pdf_objects.multiply(pdf_objects.matrix_of(item), matrix)
            yield from _painted(
                item, pdfium_c.FPDFFormObj_CountObjects, pdfium_c.FPDFFormObj_GetObject, inner, depth + 1
            )


def _rules(path: Any, matrix: Matrix) -> Iterator[Corners]:  # noqa: ANN401 - a PDFium handle
    """Give the thin boxes that a path draws: itself if it is thin, or its level and upright strokes."""
    filled, stroked = ctypes.c_int(), ctypes.c_int()
    if not pdfium_c.FPDFPath_GetDrawMode(path, filled, stroked) or not (filled.value or stroked.value):
        return
    corners = pdf_objects.moved(pdf_objects.bounds(path), matrix)
    if _is_rule(corners):
        yield corners
    elif stroked.value:
        own = pdf_objects.multiply(pdf_objects.matrix_of(path), matrix)
        yield from filter(_is_rule, _strokes(path, own))


def _is_rule(corners: Corners) -> bool:
    left, bottom, right, top = corners
    return min(right - left, top - bottom) <= MAX_THICKNESS and max(right - left, top - bottom) >= MIN_LENGTH


def _strokes(path: Any, matrix: Matrix) -> Iterator[Corners]:  # noqa: ANN401 - a PDFium handle
    """Give the boxes of the straight strokes of a path; nothing of a drawing with curves."""
    count = pdfium_c.FPDFPath_CountSegments(path)
    if count > MAX_SEGMENTS:
        return
    parts: list[list[Point]] = []
    x, y = ctypes.c_float(), ctypes.c_float()
    to_x, to_y = byref(x), byref(y)
    for at in range(count):
        segment = pdfium_c.FPDFPath_GetPathSegment(path, at)
        kind = pdfium_c.FPDFPathSegment_GetType(segment)
        if kind == pdfium_c.FPDF_SEGMENT_BEZIERTO:
            return
        pdfium_c.FPDFPathSegment_GetPoint(segment, to_x, to_y)
        if kind == pdfium_c.FPDF_SEGMENT_MOVETO or not parts:
            parts.append([])
        parts[-1].append(_at(x.value, y.value, matrix))
        if pdfium_c.FPDFPathSegment_GetClose(segment):
            parts[-1].append(parts[-1][0])
    for part in parts:
        for (x0, y0), (x1, y1) in pairwise(part):
            yield min(x0, x1), min(y0, y1), max(x0, x1), max(y0, y1)


def _at(x: float, y: float, matrix: Matrix) -> Point:
    a, b, c, d, e, f = matrix
    return a * x + c * y + e, b * x + d * y + f
