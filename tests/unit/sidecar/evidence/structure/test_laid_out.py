"""Made documents whose layout has a truth: read from their text layers, structured, written as Markdown."""

from collections import Counter

import pytest

from bench.quality.arithmetic import passes
from bench.quality.laid_out import KINDS, make
from sidecar.documents.document import DocumentLimits, Inquiry, inspect
from sidecar.documents.page_selection import PageRequest
from sidecar.evidence.structure.document import ReadPage, structured
from sidecar.outputs.markdown import markdown
from tests.matrix import first
from tools.numerals.fonts import find_fonts

LIMITS = DocumentLimits(50_000_000, 100_000_000, 300)
NUMBERS = 6


def read(content, folder):
    path = folder / "made.pdf"
    path.write_bytes(content)
    facts = inspect(path, LIMITS, Inquiry(PageRequest(), use_text_layer=True, char_threshold=50, wants_layout=True))
    return [ReadPage(page.index + 1, page.layout.unpacked(), page.text, "tha+eng") for page in facts.pages]


def words_of(pages):
    blocks = [block for page in pages for block in page.blocks]
    lines = [line for block in blocks for line in (*block.lines, *(one for cell in block.cells for one in cell.lines))]
    return Counter(word.text for line in lines for word in line.words)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("number", first(2, range(NUMBERS)))
def test_a_made_document_keeps_its_layout_in_markdown(kind, number, tmp_path):
    if kind == "Thai" and not find_fonts(("Norasi",)):
        pytest.skip("Debian's fonts-thai-tlwg is not installed")
    made = make(kind, number)
    pages = read(made.content, tmp_path)
    structure = structured(pages)
    written = markdown(structure)
    assert [test for test in made.tests if not passes(written, test)] == []
    assert words_of(structure) == Counter(
        word.text for page in pages for line in page.layout.lines for word in line.words
    )
