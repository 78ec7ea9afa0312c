"""What a unit of each page is in points: PDFium takes every unit for one. Runs in worker processes only."""

import mmap
import re
import zlib
from collections.abc import Iterable
from pathlib import Path

import pikepdf

KEY = b"/UserUnit"
_PACKED = re.compile(rb"/ObjStm\b")
"""Dictionaries of pages may lie in compressed objects."""
_STREAM = re.compile(rb"stream\r?\n")
_DICTIONARY_BYTES = 1024
"""A stream of objects begins this near to the name of its kind."""
_MOST_BYTES = 4 * 1024 * 1024
"""Of one stream of objects: in larger ones, QPDF looks for the key."""
MOST_UNIT = 75_000
"""Points: the largest that PDF 1.7 allows (ISO 32000-1, annex C)."""


def user_units(path: Path, indices: Iterable[int]) -> dict[int, float]:
    """Return the units of the pages whose unit is no point; pages count from 0."""
    with path.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as data:
        if not _may_hold_key(data):
            return {}
    try:
        with pikepdf.open(path) as pdf:
            known = {at: _unit(pdf.pages[at]) for at in indices if at < len(pdf.pages)}
    except (pikepdf.PdfError, RuntimeError, ValueError):  # whatever QPDF cannot read, PDFium has taken for points
        return {}
    return {at: unit for at, unit in known.items() if unit != 1}


def _may_hold_key(data: mmap.mmap) -> bool:
    """Return whether the key may be in a file: opening it with QPDF takes ten times as long as looking."""
    if data.find(KEY) >= 0:
        return True
    packed = [found.start() for found in _PACKED.finditer(data)]
    return bool(packed) and (data.find(b"/Encrypt") >= 0 or not all(_lacks_key(data, start) for start in packed))


def _lacks_key(data: mmap.mmap, start: int) -> bool:
    """Return whether a stream of objects, whose kind is named there, is deflated alone and surely lacks the key."""
    found = _STREAM.search(data, start, start + _DICTIONARY_BYTES)
    if found is None or b"/DecodeParms" in data[max(0, start - _DICTIONARY_BYTES) : found.start()]:
        return False
    inflater = zlib.decompressobj()
    try:
        held = inflater.decompress(data[found.end() : found.end() + _MOST_BYTES], _MOST_BYTES)
    except zlib.error:
        return False
    return inflater.eof and KEY not in held


def _unit(page: pikepdf.Page) -> float:
    value = page.obj.get("/UserUnit", 1)
    try:
        unit = float(value)
    except (TypeError, ValueError):
        return 1.0
    return unit if 0 < unit <= MOST_UNIT else 1.0
