"""Damaged documents are mended where that is possible, and say so; bombs and locked ones are told from them."""

import io
import re
import zlib

import pikepdf
import pytest
from PIL import Image
from reportlab.pdfgen.canvas import Canvas

from tests.integration.sidecar.documents import PdfMaker, picture_of_text, raw_pdf, stream
from tests.matrix import first

pytestmark = pytest.mark.asyncio(loop_scope="module")
ENVIRONMENT = {"OCR_LANGUAGES": "eng"}  # what their pages are written in: with Thai beside it, each takes twice as long


@pytest.fixture
def service(shared_service):
    return shared_service


SAYS = "The contractor submits the shop drawing for approval"
DAMAGED = ["document-repaired"]


def lines(pages: int, **options) -> bytes:
    """Pages of text that differ, with streams of ordinary length."""
    out = io.BytesIO()
    canvas = Canvas(out, invariant=True, **options)
    for page in range(1, pages + 1):
        for line in range(30):
            canvas.drawString(50, 780 - 20 * line, f"p{page} line {line}: {SAYS}")
        canvas.showPage()
    canvas.save()
    return out.getvalue()


def with_object_streams(content: bytes) -> bytes:
    """The same as newer producers write it: objects and their table in streams."""
    out = io.BytesIO()
    with pikepdf.open(io.BytesIO(content)) as pdf:
        pdf.save(out, object_stream_mode=pikepdf.ObjectStreamMode.generate)
    return out.getvalue()


def pages_read(body) -> list[bool]:
    return [f"p{page['page']} line 0" in page["text"] for page in body["pages"]]


@pytest.mark.parametrize("compressed", [True, False], ids=["deflated", "plain"])
@pytest.mark.parametrize(
    "lost", [rb"endstream\n", rb"\n?endstream", rb"startxref.*", rb"\n?endstream\s*endobj", rb"endobj\n"]
)
async def test_a_pdf_without_some_of_its_keywords_is_read(service, compressed, lost):
    content = re.sub(lost, b"", lines(6, pageCompression=int(compressed)), flags=re.DOTALL)

    status, body = await service.upload(content)

    assert (status, pages_read(body)) == (200, [True] * 6)
    if compressed or b"startxref" in lost or b"endobj" in lost:
        assert body["warnings"] == DAMAGED


@pytest.mark.parametrize("share", [0.99, 0.9, 0.7])
@pytest.mark.parametrize("wrap", [bytes, with_object_streams], ids=["table", "object streams"])
async def test_of_a_pdf_that_breaks_off_the_pages_that_are_there_are_read(service, wrap, share):
    content = wrap(lines(8))

    status, body = await service.upload(content[: int(share * len(content))])

    if status == 422:  # all pages are named in the part that is missing
        assert (wrap, body["code"]) == (with_object_streams, "document_unreadable")
        return
    assert (status, body["warnings"]) == (200, DAMAGED)
    assert sum(pages_read(body)) >= round(8 * share) - 3


async def test_a_pdf_that_breaks_off_within_a_page_gives_what_is_there_of_it(service):
    content = lines(1, pageCompression=0)
    cut = content.index(b"p1 line 25")

    status, body = await service.upload(content[:cut])

    assert (status, body["warnings"]) in ((200, DAMAGED), (422, None)) or "p1 line 24" in body["text"]


@pytest.mark.parametrize("wrap", [bytes, with_object_streams])
async def test_a_sound_pdf_is_not_said_to_be_mended(service, wrap):
    status, body = await service.upload(wrap(lines(2)))

    assert (status, body["warnings"], pages_read(body)) == (200, [], [True, True])


def as_jpeg(image: Image.Image, **options) -> bytes:
    out = io.BytesIO()
    image.save(out, "JPEG", dpi=(200, 200), **options)
    return out.getvalue()


@pytest.mark.parametrize("options", first(2, [{}, {"progressive": True}, {"quality": 30, "subsampling": 2}]))
@pytest.mark.parametrize("mode", first(1, ["RGB", "L"]))
async def test_a_jpeg_without_its_end_is_read(service, mode, options):
    content = as_jpeg(picture_of_text(10).convert(mode), **options)

    status, body = await service.upload(content.removesuffix(b"\xff\xd9"), languages="eng")

    assert (status, body["text"].count(SAYS), body["warnings"]) == (200, 10, DAMAGED)


@pytest.mark.parametrize(("share", "status"), [(0.9, 200), (0.3, 422)])
async def test_a_jpeg_that_breaks_off_is_read_if_most_of_it_is_there(service, share, status):
    content = as_jpeg(picture_of_text(35))

    got, body = await service.upload(content[: int(share * len(content))], languages="eng")

    assert (got, body.get("code")) == (status, None if status == 200 else "document_unreadable")
    if status == 200:
        assert body["warnings"] == DAMAGED
        assert body["text"].count(SAYS) >= 25


async def test_bytes_behind_the_end_of_a_jpeg_are_no_damage(service):
    status, body = await service.upload(as_jpeg(picture_of_text(4)) + bytes(5000), languages="eng")

    assert (status, body["warnings"]) == (200, [])


# ── bombs, and what was taken for one ─────────────────────────────────────────────────────────────────────────────


def page_of_image(image: bytes) -> bytes:
    return raw_pdf(
        b"<< /Type /Catalog /Pages 2 0 R >>",
        b"<< /Type /Pages /Kids [3 0 R] /Count 1 >>",
        b"<< /Type /Page /Parent 2 0 R /MediaBox [0 0 595 842] /Contents 4 0 R"
        b" /Resources << /XObject << /I 5 0 R >> >> >>",
        stream(b"", b"q 595 0 0 842 0 0 cm /I Do Q"),
        image,
    )


@pytest.mark.parametrize("before", first(1, [True, False]))
async def test_a_picture_with_a_long_palette_is_no_bomb(service, before):
    """The palette as octal escapes has three thousand bytes, and parts the dictionary's keys from the stream."""
    picture = picture_of_text(6).resize((6616, 9352))
    palette = b"(" + b"".join(b"\\%03o" % (value // 3) for value in range(768)) + b")"
    head = b"/Type /XObject /Subtype /Image /Width 6616 /Height 9352 /BitsPerComponent 8 /Filter /FlateDecode"
    space = b"/ColorSpace [/Indexed /DeviceRGB 255 " + palette + b"]"
    image = stream(b" ".join((head, space) if before else (space, head)), zlib.compress(picture.tobytes(), 9))

    status, body = await service.upload(page_of_image(image), languages="eng")

    assert (status, body["text"].count(SAYS)) == (200, 6)


@pytest.mark.parametrize("lost", [b"endstream", b"endstream\nendobj"])
async def test_a_bomb_without_its_end_is_a_bomb(service, lost):
    bomb = stream(b"/Filter /FlateDecode", zlib.compress(b" " * (64 << 20), 9))

    status, body = await service.upload(page_of_image(bomb).replace(lost, b""))

    assert (status, body["code"]) == (422, "decompression_bomb")


async def test_a_word_within_a_stream_does_not_end_the_search_for_a_bomb(service):
    squeezer = zlib.compressobj(9)
    start = squeezer.compress(b"\n") + squeezer.flush(zlib.Z_FULL_FLUSH)
    word = b"\n endobj \n"
    stored = b"\x00" + len(word).to_bytes(2, "little") + (len(word) ^ 0xFFFF).to_bytes(2, "little") + word
    data = start + stored + squeezer.compress(b" " * (64 << 20)) + squeezer.flush()
    for length in (b"%d" % len(data), b"6 0 R"):
        bomb = b"<< /Filter /FlateDecode /Length " + length + b" >>\nstream\n" + data + b"\nendstream"
        content = page_of_image(bomb) + b"6 0 obj\n%d\nendobj\n" % len(data)

        status, body = await service.upload(content)

        assert (status, body["code"]) == (422, "decompression_bomb")


@pytest.mark.parametrize(
    "encryption",
    [
        b"/Filter /Adobe.PubSec /SubFilter /adbe.pkcs7.s5 /V 4 /R 4 /Length 128 /P -1028",
        b"/Filter /Adobe.PubSec /SubFilter /adbe.pkcs7.s4 /V 2 /Length 128",
        b"/Filter /Somebody.Else /V 4",
    ],
)
async def test_a_pdf_that_is_encrypted_for_the_holders_of_keys_is_said_to_be(service, encryption):
    content = PdfMaker().text_page().finish()
    content = content.replace(b"/Root", b"/Encrypt << " + encryption + b" >> /Root", 1)

    status, body = await service.upload(content)

    assert (status, body["code"]) == (422, "document_encrypted")
