"""Thai layers whose marks alone are looked at, beside the same layers rebuilt glyph by glyph: fonts, slopes, maps."""

import io
import re
from pathlib import Path

import pikepdf
import pypdfium2 as pdfium
import pytest
from reportlab.pdfbase import pdfmetrics
from reportlab.pdfbase.ttfonts import TTFont
from reportlab.pdfgen.canvas import Canvas

from sidecar.documents.layers import pdf_text
from sidecar.documents.layers.pdf_glyphs import NOTHING_HIDDEN
from sidecar.documents.layers.pdf_text import OpenLayer
from sidecar.documents.layers.thai_marks import MarkEvidence
from tests.matrix import first

FONTS = Path("/usr/share/fonts/truetype/tlwg")
FAMILIES = ("Garuda", "Kinnari", "Loma", "Norasi", "Purisa-Oblique", "Sawasdee-Bold", "TlwgMono", "Waree-Oblique")
LINES = (
    "ผู้รับจ้างต้องทำงานให้แล้วเสร็จ",
    "น้ำประปาและไฟฟ้าเป็นหน้าที่ของผู้ว่าจ้าง",
    "กำหนดชำระเงินภายในสามสิบวัน C-17",
    "ผู้ดูแลที่นี่รู้ว่าใครอยู่ที่ใด",
)

SPLIT = str.maketrans({"ำ": "ํา"})
MAPS = {
    "right": {},
    "tone and lower vowel swapped": {"0E39": "0E49", "0E49": "0E39"},
    "nikhahit unmapped": {"0E4D": "0000"},
    "nikhahit a space": {"0E4D": "0020"},
}

pytestmark = pytest.mark.skipif(not FONTS.is_dir(), reason="Debian's fonts-thai-tlwg is not installed")


def layer(family: str, degrees: float, size: float, meanings: dict[str, str]) -> bytes:
    """A page of lines in a font whose map gives some marks other meanings."""
    pdfmetrics.registerFont(TTFont(family, FONTS / f"{family}.ttf"))
    out = io.BytesIO()
    canvas = Canvas(out, pagesize=(600, 600), pageCompression=0)
    canvas.translate(300, 300)
    canvas.rotate(degrees)
    canvas.setFont(family, size)
    for number, line in enumerate(LINES):
        canvas.drawString(-250, 100 - 3 * size * number, line.translate(SPLIT))
    canvas.save()
    return with_meanings(out.getvalue(), meanings)


def with_meanings(content: bytes, meanings: dict[str, str]) -> bytes:
    """Change what ToUnicode maps say."""
    out = io.BytesIO()
    with pikepdf.open(io.BytesIO(content)) as document:
        for font in (one for one in document.objects if isinstance(one, pikepdf.Dictionary) and "/ToUnicode" in one):
            told = font.ToUnicode.read_bytes().decode()
            changed = re.sub("<([0-9A-F]{4})>", lambda found: f"<{meanings.get(found[1], found[1])}>", told)
            font.ToUnicode = document.make_stream(changed.encode())
        document.save(out)
    return out.getvalue()


def read_both(content: bytes):
    with pdfium.PdfDocument(content) as document:
        page = document[0]
        text_page = pdf_text.open_upright(page)
        text = text_page.get_text_range()
        read = pdf_text.read(OpenLayer(page, text_page, NOTHING_HIDDEN, len(LINES), MarkEvidence()), text)
        rebuilt = pdf_text._rebuilt(text_page, {}, NOTHING_HIDDEN, set(), MarkEvidence())
        alone = pdf_text._with_marks_identified(text_page, text, MarkEvidence())
        text_page.close()
        return read, rebuilt, alone


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize("degrees", first(3, [0, 0.45, 90, 180, -0.45]))
@pytest.mark.parametrize("meanings", MAPS.values(), ids=MAPS)
def test_a_layer_is_read_as_rebuilding_its_lines_reads_it(family, degrees, meanings):
    read, rebuilt, alone = read_both(layer(family, degrees, 14, meanings))
    assert read.text.split() == rebuilt.text.split()
    assert read.text.split() == " ".join(LINES).split()
    assert alone is None or (alone.text.split(), degrees in {90, 180}) == (rebuilt.text.split(), False)
