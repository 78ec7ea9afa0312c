"""A document is looked over once; what a page gives depends on the file alone, and not on what was opened before."""

import zlib

import pytest

from sidecar.documents import document
from sidecar.documents.document import DocumentLimits, Inquiry
from sidecar.documents.page_selection import PageRequest
from sidecar.errors import ExpansionBombError
from tests.integration.sidecar.documents import raw_pdf, stream

LIMITS = DocumentLimits(max_page_pixels=150_000_000, max_stream_bytes=1 << 20, dpi=72)
INQUIRY = Inquiry(PageRequest((), None, 0, 500), use_text_layer=True, char_threshold=20)


def one_page(content: bytes, *others: bytes) -> bytes:
    return raw_pdf(
        b"<< /Type /Catalog /Pages 2 0 R >>",
        b"<< /Type /Pages /Kids [3 0 R] /Count 1 >>",
        b"<< /Type /Page /Parent 2 0 R /MediaBox [0 0 100 100] /Contents 4 0 R >>",
        stream(b"", content),
        *others,
    )


BLACK = b"0 0 50 100 re f"
WHITE = b"1 g 0 0 50 100 re f"
BOMB = stream(b"/Filter /FlateDecode", zlib.compress(bytes(8 << 20), 9))


@pytest.fixture
def path(tmp_path):
    return tmp_path / "document"


def test_bombs_are_looked_for_when_a_document_is_inspected_and_not_again_with_each_page(path):
    path.write_bytes(one_page(BLACK, BOMB))
    with pytest.raises(ExpansionBombError):
        document.inspect(path, LIMITS, INQUIRY)
    assert 0 in document.render(path, 0, LIMITS).pixels
    assert not document.picture(path, 0, LIMITS, 256).blank


def test_another_file_of_the_same_name_is_another_document(path):
    seen = []
    for content in (BLACK, WHITE, BLACK):
        path.write_bytes(one_page(content))
        seen.append(0 in document.render(path, 0, LIMITS).pixels)
        path.unlink()
    assert seen == [True, False, True]
