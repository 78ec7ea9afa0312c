"""Which pages are taken from their text layer, and which are not: documents as scanners and programs make them."""

import pytest

from tests.integration.sidecar.documents import LINE, PdfMaker, as_png, as_tiff, picture_of_text, raw_pdf, stream


async def engines(service, content: bytes) -> list[str | None]:
    status, body = await service.upload(content)
    assert status == 200, body
    return [page["engine"] for page in body["pages"]]


async def test_a_searchable_scan_is_not_read_again(service):
    pdf = PdfMaker().scan_page(picture_of_text(8), hidden_text=[LINE] * 8).finish()

    assert await engines(service, pdf) == ["fast-path"]


@pytest.mark.parametrize("strips", [1, 16])
async def test_a_long_stamp_over_a_scan_is_seen_through_however_the_scan_is_cut(service, strips):
    pdf = PdfMaker().scan_page(picture_of_text(20), stamp=[LINE] * 4, strips=strips).finish()

    assert await engines(service, pdf) == ["tesseract"]


async def test_a_scan_inside_a_form_object_is_seen(service):
    maker = PdfMaker()
    maker.canvas.beginForm("scan")
    maker.canvas.drawInlineImage(picture_of_text(20), 0, 0, 595, 842)
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


@pytest.mark.parametrize("meaning", ["0000", "D800", "00A0", "200B", "E000", "FFFE"])
async def test_a_font_that_maps_letters_to_nothing_does_not_stand_for_the_page(service, meaning):
    cmap = "1 begincodespacerange <00> <ff> endcodespacerange 58 beginbfchar "
    cmap += " ".join(f"<{code:02x}> <{meaning}>" for code in range(65, 123)) + " endbfchar"
    pdf = raw_pdf(
        b"<< /Type /Catalog /Pages 2 0 R >>",
        b"<< /Type /Pages /Kids [3 0 R] /Count 1 >>",
        b"<< /Type /Page /Parent 2 0 R /MediaBox [0 0 595 842] /Contents 4 0 R"
        b" /Resources << /Font << /F << /Type /Font /Subtype /Type1 /BaseFont /Helvetica /ToUnicode 5 0 R >> >> >> >>",
        stream(
            b"", b"BT /F 14 Tf 40 780 Td 20 TL " + b" ".join(b"(%s) '" % LINE[:60].encode() for _ in range(12)) + b" ET"
        ),
        stream(b"", cmap.encode()),
    )
    status, body = await service.upload(pdf, languages="eng")

    assert (status, body["engineUsed"]) == (200, "tesseract")
    assert body["text"].count("contractor") >= 10


async def test_a_page_with_too_little_text_is_read_by_eye(service):
    pdf = PdfMaker().text_page(1, "Annex A").text_page(10).finish()

    assert await engines(service, pdf) == ["tesseract", "fast-path"]


async def test_an_empty_page_between_digital_ones_makes_nobody_work(service):
    status, body = await service.upload(PdfMaker().text_page().empty_page().text_page().finish())

    assert (status, body["engineUsed"], body["ocrUsed"]) == (200, "fast-path", False)
    assert [page["blank"] for page in body["pages"]] == [False, True, False]


@pytest.mark.parametrize("rotate", [90, 180, 270])
async def test_a_rotated_scan_is_read_as_the_file_says(service, rotate):
    maker = PdfMaker()
    width, height = (842, 595) if rotate % 180 else (595, 842)
    maker.canvas.setPageRotation(rotate)  # the canvas swaps the sides of the page itself
    maker.canvas.drawInlineImage(picture_of_text(8).rotate(rotate, expand=True), 0, 0, width, height)
    status, body = await service.upload(maker.empty_page().finish(), languages="eng")

    assert (status, body["pages"][0]["rotation"]) == (200, 0)
    assert "contractor submits" in body["text"]


@pytest.mark.parametrize(("turned", "to_upright"), [(90, 90), (180, 180), (270, 270)])
async def test_a_page_scanned_the_wrong_way_up_is_turned(service, data, turned, to_upright):
    """``turned`` counts counter-clockwise, as Pillow does; the answer says by how much it went back, clockwise."""
    picture = picture_of_text(20).rotate(turned, expand=True)

    status, body = await service.upload(as_png(picture), languages="eng")

    assert (status, body["pages"][0]["rotation"]) == (200, to_upright)
    assert body["text"].count("contractor submits") >= 18


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
