"""What a unit of each page is in points: PDFium takes every unit for one. Runs in worker processes only."""

import mmap
from collections.abc import Iterable
from pathlib import Path

import pikepdf

KEY = b"/UserUnit"
PACKED = b"/ObjStm"
"""Dictionaries of pages may lie in compressed objects, where only QPDF finds the key."""
MOST_UNIT = 75_000
"""Points: the largest that PDF 1.7 allows (ISO 32000-1, annex C)."""


def user_units(path: Path, indices: Iterable[int]) -> dict[int, float]:
    """Return the units of the pages whose unit is no point; pages count from 0."""
    with path.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as data:
        if data.find(KEY) < 0 and data.find(PACKED) < 0:
            return {}
    try:
        with pikepdf.open(path) as pdf:
            known = {at: _unit(pdf.pages[at]) for at in indices if at < len(pdf.pages)}
    except (pikepdf.PdfError, RuntimeError, ValueError):  # whatever QPDF cannot read, PDFium has taken for points
        return {}
    return {at: unit for at, unit in known.items() if unit != 1}


def _unit(page: pikepdf.Page) -> float:
    value = page.obj.get("/UserUnit", 1)
    try:
        unit = float(value)
    except (TypeError, ValueError):
        return 1.0
    return unit if 0 < unit <= MOST_UNIT else 1.0
