"""Documents in other formats than JSON, as a caller gets them."""

import io
import os
import shutil

import aiohttp
import pikepdf
import pytest
from rapidfuzz.distance import Levenshtein

from sidecar.api.answers.files import KEPT_BYTES
from sidecar.api.app_keys import SPOOL
from tests.conftest import until
from tests.integration.sidecar.documents import PdfMaker, as_png, picture_of_text
from tests.matrix import first
from tests.unit.sidecar.documents.searchable.making import pdfium_text, poppler_text
from tests.unit.sidecar.documents.searchable.test_searchable import signed_pdf
from tests.unit.sidecar.outputs.pages import alto_faults, hocr_faults

needs_poppler = pytest.mark.skipif(not shutil.which("pdftotext"), reason="poppler-utils is not installed")
MEDIA_TYPES = {
    "text": "text/plain",
    "markdown": "text/markdown",
    "html": "text/html",
    "hocr": "text/vnd.hocr+html",
    "alto": "application/alto+xml",
    "pdf": "application/pdf",
}
READABLE = (
    "digital.pdf", "blank-pages.pdf", "photo.png",
    "scan-thai-english.pdf", "scan-noisy-skewed.pdf", "mixed.pdf", "dot-leaders.pdf", "fax.tiff", "leading-bytes.pdf",
)  # fmt: skip
SCANS = ("digital.pdf", "photo.png", "scan-thai-english.pdf", "scan-noisy-skewed.pdf", "fax.tiff", "mixed.pdf")


@pytest.fixture(scope="module")
def page() -> bytes:
    return as_png(picture_of_text(1, (1654, 300)))


async def asked(service, content: bytes, accept: str | None = None, **fields: str):
    """Send a document; return status, headers and body of the answer."""
    form = aiohttp.FormData()
    form.add_field("file", content, filename="document")
    for name, value in fields.items():
        form.add_field(name, value)
    headers = {"Accept": accept} if accept else {}
    async with service.client.post(f"{service.url}/ocr-upload", data=form, headers=headers) as response:
        return response.status, response.headers, await response.read()


def pages_of(pdf: bytes) -> int:
    with pikepdf.open(io.BytesIO(pdf)) as made:
        return len(made.pages)


# ── asking ────────────────────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("output", first(2, list(MEDIA_TYPES)))
async def test_the_field_and_the_header_ask_for_the_same(service, page, output):
    by_field = await asked(service, page, output=output)
    by_header = await asked(service, page, MEDIA_TYPES[output])
    for status, headers, body in (by_field, by_header):
        assert (status, headers["Content-Type"].split(";")[0]) == (200, MEDIA_TYPES[output])
        assert int(headers["Content-Length"]) == len(body)
        assert headers["X-Ocr-Engine"] == "tesseract"
        assert headers["X-Ocr-Model"].startswith("tesseract-")
        assert headers["X-Ocr-Pages"] == "1/1"
        assert "X-Request-Id" in headers
        assert "X-Ocr-Warnings" not in headers
    if output != "pdf":
        assert by_field[2] == by_header[2]
        assert b"drawing" in by_field[2]


async def test_the_field_wins_over_the_header(service, page):
    status, headers, _ = await asked(service, page, "text/html", output="json")
    assert (status, headers["Content-Type"]) == (200, "application/json")


@pytest.mark.parametrize(
    "accept", ["*/*", "application/json, text/plain, */*", "image/png", "text/plain;q=0", "", "a;q=b,"]
)
async def test_json_is_the_answer_where_nothing_else_is_wanted_most(service, page, accept):
    status, headers, _ = await asked(service, page, accept)
    assert (status, headers["Content-Type"]) == (200, "application/json")


async def test_a_stream_and_another_format_do_not_go_together(service, page):
    status, _, body = await asked(service, page, "application/x-ndjson", output="pdf")
    assert (status, b"output is pdf, which is not streamed" in body) == (422, True)


async def test_what_an_answer_in_json_includes_has_no_place_in_other_formats(service, page):
    status, _, body = await asked(service, page, output="html", include="words")
    assert (status, b"include is accepted with json alone" in body) == (422, True)


async def test_a_format_that_there_is_not_is_refused_with_those_that_there_are(service, page):
    status, _, body = await asked(service, page, output="docx")
    assert (status, b"'alto' or 'pdf'" in body) == (422, True)


async def test_errors_remain_json(service):
    status, headers, body = await asked(service, b"no document", output="pdf")
    assert (status, headers["Content-Type"]) == (415, "application/json")
    assert b"unsupported_media_type" in body


async def test_headers_say_what_json_says(service, data):
    status, headers, _ = await asked(service, (data / "digital.pdf").read_bytes(), output="text", pages="1", odd="1")
    assert (status, headers["X-Ocr-Engine"], headers["X-Ocr-Warnings"]) == (200, "fast-path", "unknown-field")
    assert headers["X-Ignored-Fields"] == "odd"
    assert headers["X-Ocr-Pages"].startswith("1/")
    assert "X-Ocr-Model" not in headers


# ── what comes ────────────────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("name", first(3, READABLE))
async def test_sample_documents_are_valid_hocr_and_alto(service, data, name):
    content = (data / name).read_bytes()
    _, _, alto = await asked(service, content, output="alto", pages="1")
    _, _, hocr = await asked(service, content, output="hocr", pages="1")
    assert (alto_faults(alto.decode()), hocr_faults(hocr.decode())) == ([], [])


@needs_poppler
@pytest.mark.parametrize("name", first(2, SCANS))
async def test_readers_of_pdfs_find_what_was_read(service, data, tmp_path, name):
    content = (data / name).read_bytes()
    status, _, pdf = await asked(service, content, output="pdf")
    assert status == 200
    path = tmp_path / "searchable.pdf"
    path.write_bytes(pdf)
    _, _, text = await asked(service, content, output="text")
    own = "".join(text.decode().split())
    by_pdfium = "".join(pdfium_text(path, page) for page in range(pages_of(pdf)))
    by_poppler = "".join(poppler_text(path, page + 1, "-raw") for page in range(pages_of(pdf)))
    for read in (by_pdfium, by_poppler):
        assert Levenshtein.distance("".join(read.split()), own) <= 0.01 * len(own)


@pytest.mark.parametrize("name", first(1, ["photo.png", "scan-thai-english.pdf", "fax.tiff"]))
async def test_a_searchable_pdf_comes_back_through_the_fast_path(service, data, name):
    content = (data / name).read_bytes()
    _, _, pdf = await asked(service, content, output="pdf")
    _, before = await service.upload(content)
    _, after = await service.upload(pdf)
    assert (before["engineUsed"], after["engineUsed"]) == ("tesseract", "fast-path")
    wanted, found = ("".join(one["text"].split()) for one in (before, after))
    assert Levenshtein.distance(wanted, found) <= 0.01 * len(wanted)


async def test_a_digital_document_stays_as_it_is(service):
    content = PdfMaker().text_page().finish()
    _, headers, pdf = await asked(service, content, output="pdf")
    assert pdf == content
    assert "X-Ocr-Warnings" not in headers


async def test_only_pages_without_a_good_layer_get_one(service):
    scan = picture_of_text(6)
    content = PdfMaker().text_page(text="A digital page stays as it came.").scan_page(scan).finish()
    _, _, pdf = await asked(service, content, output="pdf")
    assert pdf.startswith(content)
    with pikepdf.open(io.BytesIO(content)) as before, pikepdf.open(io.BytesIO(pdf)) as after:
        assert before.pages[0].obj.unparse(resolved=True) == after.pages[0].obj.unparse(resolved=True)
        assert len(after.pages[1].obj.Contents) == 2


async def test_what_is_large_and_new_waits_in_the_spool_and_leaves_nothing_there(service):
    held = io.BytesIO()
    with pikepdf.open(io.BytesIO(PdfMaker().scan_page(picture_of_text(3)).finish())) as pdf:
        pdf.attachments["noise"] = pikepdf.AttachedFileSpec(pdf, os.urandom(2 * KEPT_BYTES))
        pdf.save(held, encryption=pikepdf.Encryption(owner="o", user=""))  # so it must be written anew
    _, _, made = await asked(service, held.getvalue(), output="pdf")
    assert len(made) > 2 * KEPT_BYTES
    with pikepdf.open(io.BytesIO(made)) as pdf:
        assert len(pdf.pages[0].obj.Contents) == 2
    await until(lambda: service.service.api[SPOOL].used_bytes == 0)


# ── signatures ────────────────────────────────────────────────────────────────────────────────────────────────────


def signed_scan() -> bytes:
    held = io.BytesIO()
    with pikepdf.open(io.BytesIO(PdfMaker().scan_page(picture_of_text(6)).finish())) as pdf:
        with pikepdf.open(io.BytesIO(signed_pdf())) as signed:
            pdf.Root.AcroForm = pdf.copy_foreign(signed.make_indirect(signed.Root.AcroForm))
        pdf.save(held)
    return held.getvalue()


async def test_an_answer_says_that_a_signature_no_longer_fits(service):
    status, headers, _ = await asked(service, signed_scan(), output="pdf")
    assert (status, headers["X-Ocr-Warnings"]) == (200, "signature-invalidated")


async def test_a_signature_that_must_stay_is_kept_by_refusing(service):
    status, _, body = await asked(service, signed_scan(), output="pdf", keepSignature="true")
    assert (status, b"signature_would_break" in body) == (422, True)
    status, headers, body = await asked(service, signed_scan(), output="text", keepSignature="true")
    assert (status, "X-Ocr-Warnings" in headers) == (200, False)


async def test_a_signed_document_that_needs_no_layer_stays_signed(service):
    held = io.BytesIO()
    with pikepdf.open(io.BytesIO(PdfMaker().text_page().finish())) as pdf:
        with pikepdf.open(io.BytesIO(signed_pdf())) as signed:
            pdf.Root.AcroForm = pdf.copy_foreign(signed.make_indirect(signed.Root.AcroForm))
        pdf.save(held)
    status, headers, pdf = await asked(service, held.getvalue(), output="pdf", keepSignature="true")
    assert (status, pdf, "X-Ocr-Warnings" in headers) == (200, held.getvalue(), False)
