"""What an answer holds beside the text, as a caller gets it."""

import base64
import io

import pikepdf
import pytest
from PIL import Image

from sidecar.client import AsyncClient
from sidecar.wire.ocr import DocumentBody, PageEvent
from tests.integration.sidecar.documents import PdfMaker, as_png, as_tiff, picture_of_text
from tests.matrix import first

NDJSON = {"Accept": "application/x-ndjson"}
NOTHING = {"widthPt": None, "heightPt": None, "blocks": None, "image": None}


@pytest.fixture(scope="module")
def page() -> bytes:
    return as_png(picture_of_text(4))


def words_of(page: dict) -> list[dict]:
    return [word for block in page["blocks"] for line in block["lines"] for word in line["words"]]


def held(page: dict) -> dict:
    return {name: page[name] for name in NOTHING}


async def test_nobody_gets_what_he_did_not_ask_for(service, page):
    status, answer = await service.upload(page)
    assert (status, held(answer["pages"][0]), answer["warnings"]) == (200, NOTHING, [])


async def test_an_answer_with_words_is_what_is_described_and_holds_the_text(service, page):
    _, answer = await service.upload(page, include="words")
    (one,) = DocumentBody.model_validate(answer).pages
    assert [word["text"] for word in words_of(answer["pages"][0])] == one.text.split()
    assert {word["source"] for word in words_of(answer["pages"][0])} == {"tesseract"}
    assert all(0 <= word["box"][0] < word["box"][2] <= one.width_pt for word in words_of(answer["pages"][0]))
    assert one.confidence > 50, "the page's own stays from 0 to 100"
    assert (one.width_pt, one.height_pt) == pytest.approx((595, 842), abs=2)
    assert one.image is None


async def test_blocks_alone_have_lines_without_words(service, page):
    _, answer = await service.upload(page, include="blocks")
    lines = [line for block in answer["pages"][0]["blocks"] for line in block["lines"]]
    assert [line["words"] for line in lines] == [None] * 4
    assert [line["text"] for line in lines] == [line for line in answer["text"].split("\n") if line]
    assert all(line["box"] and line["baseline"] and line["sizePt"] for line in lines)


async def test_a_streamed_answer_has_each_page_s_words_in_its_line(service):
    pages = [picture_of_text(2), Image.new("L", (1654, 2338), 255), picture_of_text(3)]
    _, (opened, *events, done) = await service.upload(as_tiff(pages), NDJSON, include="words,image")
    assert (opened["event"], done["event"], done["warnings"]) == ("document", "done", [])
    assert "blocks" not in done
    for event in events:
        PageEvent.model_validate(event)
        assert [word["text"] for word in words_of(event)] == event["text"].split()
    assert [len(event["blocks"]) > 0 for event in events] == [True, False, True]
    assert all(event["widthPt"] for event in events), "a blank page has a size, too"
    assert all(event["image"] for event in events)


async def test_the_two_ways_to_ask_give_the_same_words(service, page):
    _, whole = await service.upload(page, include="words")
    _, (_, event, _) = await service.upload(page, NDJSON, include="words")
    assert event["blocks"] == whole["pages"][0]["blocks"]


@pytest.mark.parametrize("shape", [(3000, 1000), (200, 900), (40, 30)])
async def test_a_picture_of_a_page_is_one_of_bounded_size(service, shape):
    noise = Image.effect_noise(shape, 120).convert("RGB")
    _, answer = await service.upload(as_png(noise), include="image", engine="tesseract", languages="eng")
    image = answer["pages"][0]["image"]
    content = base64.b64decode(image["base64"])
    with Image.open(io.BytesIO(content)) as shown:
        assert (shown.format, shown.size) == ("JPEG", (image["widthPx"], image["heightPx"]))
    assert image["mediaType"] == "image/jpeg"
    assert len(content) <= 400_000
    assert max(image["widthPx"], image["heightPx"]) <= 1600
    assert image["widthPx"] / image["heightPx"] == pytest.approx(shape[0] / shape[1], rel=0.05)
    assert answer["pages"][0]["blocks"] is None


async def test_a_picture_of_a_pdf_s_page_is_upright_and_in_colour(service):
    pdf = PdfMaker()
    pdf.canvas.setFillColorRGB(1, 0, 0)
    turned = io.BytesIO()
    with pikepdf.open(io.BytesIO(pdf.text_page(5).finish())) as opened:
        opened.pages[0].Rotate = 90
        opened.save(turned)
    _, answer = await service.upload(turned.getvalue(), include="image")
    image = answer["pages"][0]["image"]
    assert image["widthPx"] > image["heightPx"]
    with Image.open(io.BytesIO(base64.b64decode(image["base64"]))) as shown:
        assert shown.mode == "RGB"


async def test_pages_that_fail_and_pages_that_are_blank_hold_what_is_known_of_them(service, data):
    status, events = await service.upload(data / "mixed.pdf", NDJSON, include="words,image", pages="1-3")
    assert (status, len(events)) == (200, 5)
    for event in events[1:4]:
        assert [word["text"] for word in words_of(event)] == event["text"].split()
        assert event["image"]
    _, events = await service.upload(data / "huge-page.pdf", NDJSON, include="words,image")
    assert held(events[1]) == NOTHING | {"blocks": []}


@pytest.mark.parametrize(
    ("engine", "packed"),
    first(3, [("auto", False), ("auto", True), ("tesseract", True), ("tesseract", False)]),
)
async def test_a_page_whose_unit_is_no_point_has_the_places_that_are_shown(service, engine, packed):
    """A viewer shows it twice as large as the numbers in it say."""
    plain, doubled = PdfMaker().text_page(4).finish(), io.BytesIO()
    with pikepdf.open(io.BytesIO(plain)) as opened:
        opened.pages[0].UserUnit = 2
        mode = pikepdf.ObjectStreamMode.generate if packed else pikepdf.ObjectStreamMode.disable
        opened.save(doubled, object_stream_mode=mode, min_version="1.6")
    fields = {"include": "words", "engine": engine, "languages": "eng"}
    (one,), (two,) = [(await service.upload(pdf, **fields))[1]["pages"] for pdf in (plain, doubled.getvalue())]
    assert two["text"] == one["text"]
    assert (two["widthPt"], two["heightPt"]) == pytest.approx((2 * one["widthPt"], 2 * one["heightPt"]), abs=0.1)
    for word, other in zip(words_of(one), words_of(two), strict=True):
        assert other["box"] == pytest.approx([2 * edge for edge in word["box"]], abs=0.1)


async def test_an_unknown_part_is_refused_by_name(service, page):
    status, answer = await service.upload(page, include="words,pictures")
    assert (status, answer["code"]) == (422, "invalid_value")
    assert answer["detail"] == "include.1 is 'pictures', accepted: 'words', 'blocks', 'image' or 'receipt'"


async def test_the_client_takes_words_and_pictures(service, page):
    async with AsyncClient(service.url) as client:
        document = await client.read(page, include=["words", "image"])
        (block, *_) = document.pages[0].blocks
        assert block.lines[0].words[0].text == document.text.split()[0]
        assert len(block.lines[0].words[0].box) == 4
        assert base64.b64decode(document.pages[0].image.base64).startswith(b"\xff\xd8")
