"""PDFs whose pages show something else than their text layer's order, their notes or their form say."""

import io

import pikepdf
import pytest
from reportlab.pdfgen.canvas import Canvas

from tests.integration.sidecar.documents import LINE, PdfMaker, picture_of_text

pytestmark = pytest.mark.asyncio(loop_scope="module")


@pytest.fixture
def service(shared_service):
    return shared_service


SAYS = "FREETEXT approved by engineer"


def table(page_rotation: int, text_direction: int, rows: int = 4, *, whole_rows: bool = False) -> bytes:
    """Cells, or rows, drawn one by one, in a direction of their own."""
    out = io.BytesIO()
    canvas = Canvas(out, pagesize=(600, 600))
    canvas.setPageRotation(page_rotation)
    canvas.translate(300, 300)
    canvas.rotate(text_direction)
    for row in range(rows):
        cells = (f"item {row}", f"qty {row}5", f"price {row}.50", f"total {row}.75")
        for at, cell in enumerate((" ".join(cells),) if whole_rows else cells):
            canvas.drawString(-250 + 130 * at, 100 - 40 * row, cell)
    canvas.showPage()
    canvas.save()
    return out.getvalue()


@pytest.mark.parametrize("page_rotation", [0, 90, 180, 270])
@pytest.mark.parametrize("text_direction", [0, 90, 180, 270])
@pytest.mark.parametrize("whole_rows", [False, True], ids=["cells", "rows"])
async def test_a_table_comes_in_the_order_of_its_text(service, page_rotation, text_direction, whole_rows):
    status, body = await service.upload(table(page_rotation, text_direction, whole_rows=whole_rows))

    assert (status, body["engineUsed"]) == (200, "fast-path")
    assert body["text"].split("\n") == [f"item {row} qty {row}5 price {row}.50 total {row}.75" for row in range(4)]


# ── notes ─────────────────────────────────────────────────────────────────────────────────────────────────────────


def with_note(content: bytes, **entries) -> bytes:
    """The document with a FreeText note, without an appearance, on its first page."""
    note = {
        "Type": pikepdf.Name.Annot,
        "Subtype": pikepdf.Name.FreeText,
        "Rect": [60, 300, 400, 340],
        "Contents": f"{SAYS} 5512",
        "DA": "/Helv 14 Tf 0 g",
        "F": 4,
    }
    note = {f"/{name}": value for name, value in (note | entries).items() if value is not None}
    out = io.BytesIO()
    with pikepdf.open(io.BytesIO(content)) as pdf:
        pdf.pages[0].Annots = pdf.make_indirect([pdf.make_indirect(pikepdf.Dictionary(note))])
        pdf.save(out)
    return out.getvalue()


LONG = " ".join(f"word{number}" for number in range(60))


@pytest.mark.parametrize("engine", ["auto", "tesseract"])
@pytest.mark.parametrize(
    "entries",
    [
        pytest.param({}, id="as Acrobat writes it"),
        pytest.param({"DA": None}, id="no style"),
        pytest.param({"DA": "0.2 0.2 0.2 rg /F1 0 Tf"}, id="no size"),
        pytest.param({"DA": "nonsense Tf"}, id="nonsense for a style"),
        pytest.param({"Rect": [400, 340, 60, 300]}, id="corners the other way round"),
    ],
)
async def test_a_note_without_an_appearance_is_drawn(service, engine, entries):
    status, body = await service.upload(with_note(PdfMaker().empty_page().finish(), **entries), engine=engine)

    assert (status, body["text"]) == (200, f"{SAYS} 5512")


async def test_a_note_is_added_to_the_text_of_its_page_in_lines(service):
    content = with_note(PdfMaker().text_page(3).finish(), Contents=f"{SAYS}\rsecond (line) \\ \u00e9\n{LONG}")

    status, body = await service.upload(content)

    assert (status, body["engineUsed"], body["text"].count("contractor")) == (200, "fast-path", 3)
    assert SAYS in body["text"]
    assert "second (line) \\ \u00e9" in body["text"]
    assert LONG in body["text"].replace("\n", " ")


THAI = "อนุมัติโดยวิศวกร ๕๕๑๒"


@pytest.mark.parametrize("engine", ["auto", "tesseract"])
@pytest.mark.parametrize(
    ("page", "before"),
    [
        pytest.param(PdfMaker().empty_page().finish(), [], id="an empty page"),
        pytest.param(PdfMaker().text_page(2).finish(), [LINE, LINE], id="a digital page"),
        pytest.param(PdfMaker().scan_page(picture_of_text(2)).finish(), [LINE, LINE], id="a scan"),
    ],
)
async def test_a_note_that_no_font_here_can_draw_is_added_to_the_text_of_its_page(service, engine, page, before):
    content = with_note(page, Contents=f"{THAI}\rOK")

    status, body = await service.upload(content, engine=engine)

    assert (status, [line for line in body["text"].split("\n") if line]) == (200, [*before, THAI, "OK"])
    assert body["warnings"] == []


async def test_a_hidden_note_that_no_font_here_can_draw_stays_hidden(service):
    status, body = await service.upload(with_note(PdfMaker().text_page(2).finish(), Contents=THAI, F=2))

    assert (status, body["text"]) == (200, f"{LINE}\n{LINE}")


@pytest.mark.parametrize("entries", [{"F": 2}, {"F": 32}, {"Subtype": pikepdf.Name.Text}, {"Contents": " "}])
async def test_a_note_that_is_not_to_be_seen_is_not_drawn(service, entries):
    status, body = await service.upload(with_note(PdfMaker().text_page(3).finish(), **entries))

    assert (status, SAYS in body["text"]) == (200, False)


# ── forms ─────────────────────────────────────────────────────────────────────────────────────────────────────────


def form(text: str, *, dynamic: bool) -> bytes:
    """A document with an XFA form; a dynamic one asks programs to make its pages."""
    out = io.BytesIO()
    with pikepdf.open(io.BytesIO(PdfMaker().text_page(6, text).finish())) as pdf:
        xfa = pdf.make_stream(b"<xdp:xdp xmlns:xdp='http://ns.adobe.com/xdp/'></xdp:xdp>")
        pdf.Root.AcroForm = pikepdf.Dictionary(Fields=[], XFA=xfa)
        if dynamic:
            pdf.Root.NeedsRendering = True
        pdf.save(out)
    return out.getvalue()


@pytest.mark.parametrize(
    ("text", "dynamic", "warnings"),
    [
        ("Please wait... If this message is not eventually replaced", True, ["form-not-shown"]),
        ("Please wait... If this message is not eventually replaced", False, ["form-not-shown"]),
        ("To view the full contents of this document, you need a later version", True, ["form-not-shown"]),
        ("Application for a permit, with its fields on the page", False, []),
    ],
)
async def test_a_form_that_its_pages_do_not_show_is_told(service, text, dynamic, warnings):
    status, body = await service.upload(form(text, dynamic=dynamic))

    assert (status, body["warnings"], text in body["text"]) == (200, warnings, True)
