"""PDFs for real runs: small pages with a few bars, which cost nearly nothing to draw and are not blank."""

import random
from pathlib import Path

from reportlab.pdfgen.canvas import Canvas

PAGE_POINTS = (96, 128)
BARS = 6


def make_paper(path: Path, pages: int, seed: int) -> None:
    """Write a PDF without any text; no page of it equals a page of another seed."""
    chance = random.Random(seed)
    canvas = Canvas(str(path), pagesize=PAGE_POINTS)
    for _ in range(pages):
        for bar in range(BARS):
            canvas.rect(10, 20 + 16 * bar, 15 + 60 * chance.random(), 4, fill=1, stroke=0)
        canvas.showPage()
    canvas.save()
