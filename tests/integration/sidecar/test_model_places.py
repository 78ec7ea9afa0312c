"""The places of what a model read: those of the same words in a cheaper reading of the page."""

import pytest

from tests.integration.sidecar.documents import PdfMaker, as_png, picture_of_text
from tests.integration.sidecar.test_evidence import words_of
from tools.fakes.ollama import Answer

LINE = "Invoice 4711 for the new pier"
PAGE = as_png(picture_of_text(lines=2, size=(760, 300), text=LINE))
SAID = f"# **Invoice** 4711 for the new pier\n\n{LINE}\n\nZzyzx"


async def test_its_words_stand_where_tesseract_saw_them(governed):
    governed.fake.script([Answer(SAID)])
    body = await governed.read(PAGE, include="words")
    (page,) = body["pages"]
    assert [(block["kind"], block["level"]) for block in page["blocks"]] == [
        ("heading", 1),
        ("paragraph", None),
        ("paragraph", None),
    ]
    words = words_of(page)
    assert [word["text"] for word in words] == [*LINE.split(), *LINE.split(), "Zzyzx"]
    assert {(word["source"], word["confidence"]) for word in words} == {("model", None)}
    assert [word["box"] is None for word in words] == [False] * 12 + [True], "what nobody else saw has no place"
    assert words[0]["box"][1] < words[6]["box"][1], "the second line lies below the first"
    assert page["blocks"][2]["box"] is None
    assert (page["text"], page["engine"], body["warnings"]) == (SAID, "np-dms-ocr", ["profile-missing"])
    assert [(one["engine"], one["verdict"]) for one in page["attempts"]] == [
        ("np-dms-ocr", "good"),
        ("tesseract", "good"),
    ]


async def test_a_text_layer_is_asked_before_tesseract(governed):
    governed.fake.script([Answer(LINE)])
    body = await governed.read(PdfMaker().text_page(1, LINE).finish(), include="words")
    (page,) = body["pages"]
    assert [one["engine"] for one in page["attempts"]] == ["np-dms-ocr"]
    assert [word["box"][0] for word in words_of(page)][:1] == [pytest.approx(50, abs=2)]
    assert page["widthPt"] == pytest.approx(595, abs=1)


async def test_no_second_reading_is_made_that_nobody_asked_for(governed):
    governed.fake.script([Answer(LINE)])
    body = await governed.read(PAGE)
    assert [one["engine"] for one in body["pages"][0]["attempts"]] == ["np-dms-ocr"]


async def test_where_no_reader_sees_them_its_words_have_no_places(govern, tmp_path):
    governed = await govern(TESSDATA_PREFIX=str(tmp_path))
    governed.fake.script([Answer("สัญญา เลขที่ ๔")])
    body = await governed.read(PAGE, include="words")
    (page,) = body["pages"]
    assert [word["box"] for word in words_of(page)] == [None] * 3
    assert page["text"] == "สัญญา เลขที่ ๔"


async def test_a_table_of_a_model_has_its_cells(governed):
    governed.fake.script([Answer("<table><tr><th>Invoice</th><td>4711</td></tr></table>")])
    body = await governed.read(PAGE, include="words")
    (table,) = body["pages"][0]["blocks"]
    assert table["kind"] == "table"
    assert [(cell["row"], cell["column"], cell["header"], cell["lines"][0]["text"]) for cell in table["cells"]] == [
        (0, 0, True, "Invoice"),
        (0, 1, False, "4711"),
    ]
    assert table["cells"][0]["box"][2] < table["cells"][1]["box"][0]


async def test_what_is_verified_is_read_once_more_only_once(governed):
    governed.fake.script([Answer(LINE)])
    body = await governed.read(PAGE, include="words", verify="all")
    (page,) = body["pages"]
    assert [one["engine"] for one in page["attempts"]] == ["np-dms-ocr", "tesseract"]
    assert page["verification"]["engine"] == "tesseract"
    assert governed.service.engine("tesseract").read_slots.busy == 0
