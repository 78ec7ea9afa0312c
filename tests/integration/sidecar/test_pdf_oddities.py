"""PDFs whose pages show something else than their text layer's order, their notes or their form say."""

import io

import pikepdf
import pytest
from reportlab.pdfgen.canvas import Canvas

from tests.integration.sidecar.documents import PdfMaker

pytestmark = pytest.mark.asyncio(loop_scope="module")


@pytest.fixture
def service(shared_service):
    return shared_service


SAYS = "FREETEXT approved by engineer"


def table(page_rotation: int, text_direction: int, rows: int = 4) -> bytes:
    """Cells drawn one by one, in a direction of their own."""
    out = io.BytesIO()
    canvas = Canvas(out, pagesize=(600, 600))
    canvas.setPageRotation(page_rotation)
    canvas.translate(300, 300)
    canvas.rotate(text_direction)
    for row in range(rows):
        for at, cell in enumerate((f"item {row}", f"qty {row}5", f"price {row}.50", f"total {row}.75")):
            canvas.drawString(-250 + 130 * at, 100 - 40 * row, cell)
    canvas.showPage()
    canvas.save()
    return out.getvalue()


@pytest.mark.parametrize("page_rotation", [0, 90, 180, 270])
@pytest.mark.parametrize("text_direction", [0, 90, 180, 270])
async def test_the_cells_of_a_table_come_in_the_order_of_its_text(service, page_rotation, text_direction):
    status, body = await service.upload(table(page_rotation, text_direction))

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
