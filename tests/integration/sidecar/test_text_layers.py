"""Which pages are taken from their text layer, and which are not: documents as scanners and programs make them."""

import string
import zlib

import pytest

from tests.integration.sidecar.documents import LINE, PdfMaker, as_png, as_tiff, picture_of_text, raw_pdf, stream
from tests.matrix import first

pytestmark = pytest.mark.asyncio(loop_scope="module")
ENVIRONMENT = {"OCR_LANGUAGES": "eng"}  # what their pages are written in: with Thai beside it, each takes twice as long


@pytest.fixture
def service(shared_service):
    return shared_service


async def engines(service, content: bytes) -> list[str | None]:
    status, body = await service.upload(content)
    assert status == 200, body
    return [page["engine"] for page in body["pages"]]


async def test_a_searchable_scan_is_not_read_again(service):
    pdf = PdfMaker().scan_page(picture_of_text(8), hidden_text=[LINE] * 8).finish()

    assert await engines(service, pdf) == ["fast-path"]


@pytest.mark.parametrize("strips", [1, 16])
async def test_a_long_stamp_over_a_scan_is_seen_through_however_the_scan_is_cut(service, strips):
    pdf = PdfMaker().scan_page(picture_of_text(6), stamp=[LINE] * 4, strips=strips).finish()

    assert await engines(service, pdf) == ["tesseract"]


async def test_a_scan_inside_a_form_object_is_seen(service):
    maker = PdfMaker()
    maker.canvas.beginForm("scan")
    maker.canvas.drawInlineImage(picture_of_text(6), 0, 0, 595, 842)
    maker.canvas.endForm()
    maker.canvas.doForm("scan")
    maker.canvas.drawString(20, 825, LINE + LINE)
    pdf = maker.empty_page().finish()

    assert await engines(service, pdf) == ["tesseract"]


async def test_a_digital_page_with_a_photograph_keeps_its_text_layer(service):
    maker = PdfMaker()
    maker.canvas.drawInlineImage(picture_of_text(20), 50, 50, 250, 250)
    pdf = maker.text_page(20).finish()

    assert await engines(service, pdf) == ["fast-path"]


async def test_a_page_whose_font_says_nothing_of_its_letters_is_read_by_eye(service):
    """The letters of a font without ToUnicode come out as bare glyph numbers."""
    text = b"BT /F 18 Tf 50 700 Td 30 TL " + b"<" + bytes(range(1, 25)).hex().encode() * 8 + b"> Tj ET"
    pdf = raw_pdf(
        b"<< /Type /Catalog /Pages 2 0 R >>",
        b"<< /Type /Pages /Kids [3 0 R] /Count 1 >>",
        b"<< /Type /Page /Parent 2 0 R /MediaBox [0 0 595 842] /Contents 4 0 R"
        b" /Resources << /Font << /F << /Type /Font /Subtype /Type3 /FontBBox [0 0 1 1] /FontMatrix [1 0 0 1 0 0]"
        b" /CharProcs << >> /Encoding << /Differences [] >> /FirstChar 1 /LastChar 24 /Widths [1] >> >> >> >>",
        stream(b"", text),
    )

    assert await engines(service, pdf) == ["tesseract"]


@pytest.mark.parametrize("meaning", first(2, ["0000", "00A0", "D800", "200B", "E000", "FFFE"]))
async def test_a_font_that_maps_letters_to_nothing_does_not_stand_for_the_page(service, meaning):
    cmap = "1 begincodespacerange <00> <ff> endcodespacerange 58 beginbfchar "
    cmap += " ".join(f"<{code:02x}> <{meaning}>" for code in range(65, 123)) + " endbfchar"
    pdf = raw_pdf(
        b"<< /Type /Catalog /Pages 2 0 R >>",
        b"<< /Type /Pages /Kids [3 0 R] /Count 1 >>",
        b"<< /Type /Page /Parent 2 0 R /MediaBox [0 0 595 842] /Contents 4 0 R"
        b" /Resources << /Font << /F << /Type /Font /Subtype /Type1 /BaseFont /Helvetica /ToUnicode 5 0 R >> >> >> >>",
        stream(
            b"", b"BT /F 14 Tf 40 780 Td 20 TL " + b" ".join(b"(%s) '" % LINE[:60].encode() for _ in range(4)) + b" ET"
        ),
        stream(b"", cmap.encode()),
    )
    status, body = await service.upload(pdf, languages="eng")

    assert (status, body["engineUsed"]) == (200, "tesseract")
    assert body["text"].count("contractor") >= 4


async def test_a_short_layer_is_the_page_where_nothing_else_looks_like_text(service):
    pdf = PdfMaker().text_page(1, "Annex A").scan_page(picture_of_text(8), stamp=["Annex B"]).finish()

    assert await engines(service, pdf) == ["fast-path", "tesseract"]


async def test_a_faint_title_page_is_not_blank(service):
    maker = PdfMaker()
    maker.canvas.setFillGray(0.8)
    pdf = maker.text_page(1, "CONFIDENTIAL DRAFT 2024").finish()
    _, body = await service.upload(pdf)

    assert (body["text"], body["pages"][0]["blank"]) == ("CONFIDENTIAL DRAFT 2024", False)


async def test_a_picture_of_text_beside_a_few_lines_is_read(service):
    maker = PdfMaker()
    maker.canvas.drawInlineImage(picture_of_text(12, (1654, 1170)), 0, 80, 595, 421)
    _, body = await service.upload(maker.text_page(4).finish(), languages="eng")

    assert body["engineUsed"] == "tesseract"
    assert body["text"].count("contractor submits") >= 14


@pytest.mark.parametrize("wrap", ["pattern", "nested forms"])
async def test_a_scan_is_seen_however_it_is_drawn(service, wrap):
    """As a tiling pattern that fills a rectangle, or in forms inside forms, under a stamp that is long enough."""
    picture = picture_of_text(12, (1190, 1684))
    image = stream(
        b"/Type /XObject /Subtype /Image /Width 1190 /Height 1684 /ColorSpace /DeviceGray /BitsPerComponent 8"
        b" /Filter /FlateDecode",
        zlib.compress(picture.tobytes()),
    )
    stamp = b" BT /F 7 Tf 20 825 Td (" + LINE.encode() + b") Tj 0 -8 Td (" + LINE.encode() + b") Tj ET"
    draw = b"q 595 0 0 842 0 0 cm /I Do Q"
    font = b"/Font << /F << /Type /Font /Subtype /Type1 /BaseFont /Helvetica >> >>"
    if wrap == "pattern":
        uses, content = b"/Pattern << /P 6 0 R >>", b"/Pattern cs /P scn 0 0 595 842 re f"
        holder = b"/Type /Pattern /PatternType 1 /PaintType 1 /TilingType 1 /BBox [0 0 595 842] /XStep 595 /YStep 842"
        others = [stream(holder + b" /Resources << /XObject << /I 5 0 R >> >>", draw)]
    else:
        uses, content = b"/XObject << /X6 6 0 R >>", b"/X6 Do"
        holder = b"/Type /XObject /Subtype /Form /BBox [0 0 595 842]"
        depth = 12
        inner = [
            stream(holder + b" /Resources << /XObject << /X%d %d 0 R >> >>" % (at + 1, at + 1), b"/X%d Do" % (at + 1))
            for at in range(6, 6 + depth)
        ]
        others = [*inner, stream(holder + b" /Resources << /XObject << /I 5 0 R >> >>", draw)]
    pdf = raw_pdf(
        b"<< /Type /Catalog /Pages 2 0 R >>",
        b"<< /Type /Pages /Kids [3 0 R] /Count 1 >>",
        b"<< /Type /Page /Parent 2 0 R /MediaBox [0 0 595 842] /Contents 4 0 R /Resources << "
        + font
        + b" "
        + uses
        + b" >> >>",
        stream(b"", content + stamp),
        image,
        *others,
    )
    assert await engines(service, pdf) == ["tesseract"]


async def test_text_that_nobody_sees_is_not_in_the_answer(service):
    maker = PdfMaker()
    for at in range(6):
        maker.canvas.drawString(700, 780 - 20 * at, f"OUTSIDE number {at} of what lies beside the page")
    maker.canvas.setFillGray(1)
    maker.canvas.drawString(50, 300, "WHITE on white, for those who search")
    hidden = maker.canvas.beginText(50, 250)
    hidden.setTextRenderMode(3)
    hidden.textLine("INVISIBLE words without anything below them")
    maker.canvas.drawText(hidden)
    maker.canvas._code.append("0 Tr")
    maker.canvas.setFillGray(0)
    _, body = await service.upload(maker.text_page(6).finish())

    assert body["engineUsed"] == "fast-path"
    assert body["text"] == "\n".join([LINE] * 6)


async def test_a_layer_that_is_switched_off_is_not_in_the_answer(service):
    text = b"BT /F 12 Tf 50 780 Td 20 TL " + b" ".join(b"(%s) '" % LINE.encode() for _ in range(5)) + b" ET "
    hidden = b"/OC /Off BDC BT /F 12 Tf 50 400 Td (SWITCHED OFF draft of the contract) Tj ET EMC"
    pdf = raw_pdf(
        b"<< /Type /Catalog /Pages 2 0 R /OCProperties << /OCGs [5 0 R] /D << /OFF [5 0 R] >> >> >>",
        b"<< /Type /Pages /Kids [3 0 R] /Count 1 >>",
        b"<< /Type /Page /Parent 2 0 R /MediaBox [0 0 595 842] /Contents 4 0 R /Resources <<"
        b" /Font << /F << /Type /Font /Subtype /Type1 /BaseFont /Helvetica >> >> /Properties << /Off 5 0 R >> >> >>",
        stream(b"", text + hidden),
        b"<< /Type /OCG /Name (Draft) >>",
    )
    _, body = await service.upload(pdf)

    assert body["text"] == "\n".join([LINE] * 5)


def shifted(char: str, by: int = 3) -> str:
    first = ord("a") if char.islower() else ord("A")
    return chr((ord(char) - first + by) % 26 + first)


async def test_a_layer_of_no_language_is_read_by_eye_with_a_warning(service):
    letters = string.ascii_letters
    cmap = f"1 begincodespacerange <00> <ff> endcodespacerange {len(letters)} beginbfchar "
    cmap += " ".join(f"<{ord(char):02x}> <{ord(shifted(char)):04x}>" for char in letters) + " endbfchar"
    pdf = raw_pdf(
        b"<< /Type /Catalog /Pages 2 0 R >>",
        b"<< /Type /Pages /Kids [3 0 R] /Count 1 >>",
        b"<< /Type /Page /Parent 2 0 R /MediaBox [0 0 842 595] /Contents 4 0 R"
        b" /Resources << /Font << /F << /Type /Font /Subtype /Type1 /BaseFont /Helvetica /ToUnicode 5 0 R >> >> >> >>",
        stream(b"", b"BT /F 14 Tf 40 550 Td 22 TL " + b" ".join(b"(%s) '" % LINE.encode() for _ in range(8)) + b" ET"),
        stream(b"", cmap.encode()),
    )
    _, body = await service.upload(pdf, languages="eng")

    assert (body["engineUsed"], body["warnings"]) == ("tesseract", ["text-layer-implausible"])
    assert body["text"].count("contractor submits") >= 7


async def test_noise_over_a_scan_does_not_stand_for_it(service):
    noise = ["lll1 I1| ~~ ,,. ;; 'I-l iI. _ = ~ ^ .. , ' ` ~ i l I | !! l1l lll1 I1| ~~ ,,. ;; 'I-l iI."] * 8
    pdf = PdfMaker().scan_page(picture_of_text(8), hidden_text=noise).finish()
    _, body = await service.upload(pdf, languages="eng")

    assert body["engineUsed"] == "tesseract"
    assert body["text"].count("contractor submits") >= 7
    assert "~~" not in body["text"]


@pytest.mark.parametrize("pages", ["1-4", "3-4"], ids=["proof comes before", "proof comes after"])
async def test_thai_that_its_producer_mapped_wrongly_is_put_right_where_the_document_proves_it(
    service, data, truth, pages
):
    """As WeasyPrint 70 writes it: a cluster's marks swapped, NIKHAHIT without meaning. Page 3 alone lacks the proof."""
    _, body = await service.upload(data / "digital.pdf", pages=pages)

    assert [page["text"] for page in body["pages"]] == [
        truth["digital.pdf"][page["page"] - 1] for page in body["pages"]
    ]
    assert (body["engineUsed"], body["warnings"]) == ("fast-path", [])
    assert all("marks-identified" in page["textLayer"]["repaired"] for page in body["pages"])


async def test_thai_whose_proof_is_missing_is_read_by_an_engine(service, data):
    _, body = await service.upload(data / "digital.pdf", pages="3", languages="tha+eng")

    assert (body["engineUsed"], body["warnings"]) == ("tesseract", ["text-layer-implausible"])


async def test_a_layer_that_was_right_says_nothing_of_repairs(service):
    _, body = await service.upload(PdfMaker().text_page(10).finish())

    assert body["pages"][0]["textLayer"] is None


async def test_an_empty_page_between_digital_ones_makes_nobody_work(service):
    status, body = await service.upload(PdfMaker().text_page().empty_page().text_page().finish())

    assert (status, body["engineUsed"], body["ocrUsed"]) == (200, "fast-path", False)
    assert [page["blank"] for page in body["pages"]] == [False, True, False]


@pytest.mark.parametrize("rotate", first(1, [90, 180, 270]))
async def test_a_rotated_scan_is_read_as_the_file_says(service, rotate):
    maker = PdfMaker()
    width, height = (842, 595) if rotate % 180 else (595, 842)
    maker.canvas.setPageRotation(rotate)  # the canvas swaps the sides of the page itself
    maker.canvas.drawInlineImage(picture_of_text(8).rotate(rotate, expand=True), 0, 0, width, height)
    status, body = await service.upload(maker.empty_page().finish(), languages="eng")

    assert (status, body["pages"][0]["rotation"]) == (200, 0)
    assert "contractor submits" in body["text"]


@pytest.mark.parametrize(("turned", "to_upright"), first(2, [(90, 90), (180, 180), (270, 270)]))
async def test_a_page_scanned_the_wrong_way_up_is_turned(service, data, turned, to_upright):
    """``turned`` counts counter-clockwise, as Pillow does; the answer says by how much it went back, clockwise."""
    picture = picture_of_text(8).rotate(turned, expand=True)

    status, body = await service.upload(as_png(picture), languages="eng")

    assert (status, body["pages"][0]["rotation"]) == (200, to_upright)
    assert body["text"].count("contractor submits") >= 7


async def test_every_page_of_a_tiff_is_read(service):
    pages = [picture_of_text(6, text=f"Page number {number} of this long facsimile") for number in range(1, 4)]

    status, body = await service.upload(as_tiff(pages), languages="eng")

    assert status == 200
    assert [f"number {page['page']} of" in page["text"] for page in body["pages"]] == [True] * 3


async def test_what_was_filled_into_a_form_is_part_of_the_page(service):
    maker = PdfMaker()
    maker.canvas.acroForm.textfield(name="reference", value="LCBP3-RFA-2025-0815", x=50, y=400, width=300, height=30)
    pdf = maker.text_page(10).finish()

    _, body = await service.upload(pdf)

    assert body["engineUsed"] == "fast-path"
    assert "LCBP3-RFA-2025-0815" in body["text"]


async def test_a_small_picture_is_enlarged_before_it_is_read(service):
    small = picture_of_text(8).resize((700, 990))

    _, body = await service.upload(as_png(small), languages="eng")

    assert body["text"].count("contractor submits") >= 6
