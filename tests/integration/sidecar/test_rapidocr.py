"""RapidOCR through HTTP: by name, as second opinion, with another model in place of its Thai one, and not at all."""

import shutil

import pytest
from PIL import Image, ImageFont

from sidecar.api.app_keys import WORKERS
from sidecar.engines.rapidocr.engine import RapidEngine
from sidecar.engines.rapidocr.installation import RECOGNISER, THAI_RECOGNISER, find_models
from sidecar.service.engines import ENGINES, EngineFactory
from tests.integration.sidecar.documents import as_png, as_tiff, picture_of_text

LINE = "Invoice 4711 for the new pier"
RAPID = "rapidocr"
ENVIRONMENT = {"OCR_SECOND_ENGINE": RAPID}

pytestmark = pytest.mark.asyncio(loop_scope="module")


@pytest.fixture
def service(shared_service):
    return shared_service


def picture(lines: int = 3) -> Image.Image:
    return picture_of_text(lines=lines, size=(760, 100 + 60 * lines + 60), text=LINE)


def doubtful() -> Image.Image:
    """A picture in whose noise Tesseract finds no text."""
    clean = picture()
    return Image.blend(clean, Image.effect_noise(clean.size, 70), 0.5)


async def readyz(service) -> dict:
    async with service.client.get(f"{service.ops}/readyz") as response:
        return (await response.json())["engines"]


async def test_it_reads_by_name_and_says_so(service):
    status, body = await service.upload(as_png(picture()), engine=RAPID, languages="eng")

    assert (status, body["engineUsed"], body["warnings"]) == (200, RAPID, [])
    assert body["modelUsed"] == f"rapidocr-{find_models(service.settings.thai_model_dir).version}"
    (page,) = body["pages"]
    assert page["text"].splitlines() == [LINE] * 3
    assert (page["confidence"] > 90, page["rotation"], page["secondOpinion"]) == (True, 0, None)
    assert [(one["engine"], one["verdict"]) for one in page["attempts"]] == [(RAPID, "good")]
    assert page["attempts"][0]["parameters"] == {"languages": "eng", "model": "PP-OCRv6_rec_small"}


@pytest.mark.parametrize("angle", [0, 180])
async def test_its_words_are_in_the_places_of_their_lines(service, angle):
    _, body = await service.upload(as_png(picture().rotate(angle)), engine=RAPID, languages="eng", include="words")
    (page,) = body["pages"]
    lines = [line for block in page["blocks"] for line in block["lines"]]
    assert [line["text"] for line in lines] == page["text"].splitlines() == [LINE] * 3
    words = lines[0]["words"]
    assert {word["source"] for word in words} == {RAPID}
    scale, width, height = page["widthPt"] / 760, page["widthPt"], page["heightPt"]
    font = ImageFont.load_default(32)
    begin, end = 100, 100 + font.getlength(LINE)
    left, top, right, bottom = (edge / scale for edge in lines[0]["box"])
    if angle:
        left, top, right, bottom = (
            width / scale - right,
            height / scale - bottom,
            width / scale - left,
            height / scale - top,
        )
    assert (left, right) == pytest.approx((begin, end), abs=16)
    assert (top, bottom) == pytest.approx((128, 158), abs=16)
    number = font.getlength("Invoice "), font.getlength("Invoice 4711")
    found = words[1]["box"][0] / scale - 100, words[1]["box"][2] / scale - 100
    if angle:
        found = width / scale - found[1] - 200, width / scale - found[0] - 200
    assert found == pytest.approx(number, abs=24)


async def test_a_doubtful_page_is_read_once_more_and_both_readings_are_told(service):
    status, body = await service.upload(as_png(doubtful()), languages="eng")

    (page,) = body["pages"]
    assert (status, page["engine"], page["secondOpinion"], page["fallbackFrom"]) == (200, RAPID, RAPID, None)
    assert LINE in page["text"]
    assert [one["engine"] for one in page["attempts"]] == ["tesseract", RAPID]
    assert (body["engineUsed"], body["warnings"]) == (RAPID, [])
    assert body["modelUsed"].startswith("rapidocr-")


@pytest.mark.asyncio(loop_scope="function")
@pytest.mark.parametrize("fields", [{"engine": "tesseract"}, {}])
async def test_no_second_opinion_is_taken_where_an_engine_is_named_or_none_is_set(start, fields):
    service = await start(OCR_SECOND_ENGINE="rapidocr" if fields else "none")
    _, body = await service.upload(as_png(doubtful()), languages="eng", **fields)
    assert [one["engine"] for one in body["pages"][0]["attempts"]] == ["tesseract"]
    assert body["pages"][0]["secondOpinion"] is None


async def test_a_page_that_is_read_well_costs_no_second_reading(service):
    _, body = await service.upload(as_png(picture()), languages="eng")
    assert [one["engine"] for one in body["pages"][0]["attempts"]] == ["tesseract"]


async def test_pages_that_lie_on_their_side_are_put_upright(service):
    pages = [picture().rotate(angle, expand=True) for angle in (90, 180, 270)]
    _, body = await service.upload(as_tiff(pages), engine=RAPID, languages="eng")
    assert [page["rotation"] for page in body["pages"]] == [90, 180, 270]
    assert [page["text"].splitlines() for page in body["pages"]] == [[LINE] * 3] * 3


async def test_blank_pages_are_blank_to_it(service):
    _, body = await service.upload(as_png(picture(lines=0)), engine=RAPID)
    assert (body["text"], body["pages"][0]["blank"], body["pages"][0]["doneReason"]) == ("", True, "blank")


async def test_thai_without_its_model_is_refused_if_asked_for_and_warned_of_by_default(service):
    status, body = await service.upload(as_png(picture()), engine=RAPID, languages="tha+eng")
    assert (status, body["code"]) == (422, "language_missing")
    assert body["detail"].endswith("; `ocr-sidecar fetch` gets its Thai model")
    status, body = await service.upload(as_png(picture()), engine=RAPID)
    assert (status, body["warnings"]) == (200, ["languages-unread"])
    assert (await readyz(service))[RAPID] == {"state": "ready", "reason": "language-missing: tha"}


@pytest.mark.asyncio(loop_scope="function")
async def test_the_thai_model_reads_where_it_is_there_and_thai_is_asked_for(start, tmp_path):
    folder = tmp_path / "rapidocr"
    folder.mkdir()
    shutil.copy(find_models(folder).folder / RECOGNISER, folder / THAI_RECOGNISER)
    service = await start(**ENVIRONMENT)

    used = []
    for languages in ("tha+eng", "eng"):
        status, body = await service.upload(as_png(picture()), engine=RAPID, languages=languages)
        assert (status, body["text"].splitlines(), body["warnings"]) == (200, [LINE] * 3, [])
        used.append(body["parameters"]["model"])
    assert used == ["th_PP-OCRv5_rec_mobile", "PP-OCRv6_rec_small"]
    assert (await readyz(service))[RAPID] == {"state": "ready", "reason": None}


def build_missing(app, limits):
    return RapidEngine(app[WORKERS], limits, None)


MISSING = (*ENGINES[:-1], EngineFactory(RapidEngine.traits, build_missing))


@pytest.mark.asyncio(loop_scope="function")
async def test_without_the_extra_its_name_is_refused_with_what_to_install_and_auto_reads_on(start):
    service = await start(None, MISSING, OCR_FALLBACK_ENGINE="none", **ENVIRONMENT)
    status, body = await service.upload(as_png(picture()), engine=RAPID)
    assert (status, body["code"]) == (503, "engine_unavailable")
    assert body["detail"].startswith("the engine rapidocr is not installed here: pip install")
    assert (await readyz(service))[RAPID] == {"state": "unavailable", "reason": "rapidocr-missing"}
    _, body = await service.upload(as_png(doubtful()), languages="eng")
    assert [one["engine"] for one in body["pages"][0]["attempts"]] == ["tesseract"]


@pytest.mark.asyncio(loop_scope="function")
async def test_its_deadline_ends_it_and_the_next_page_is_read(start):
    service = await start(OCR_TIMEOUT="0.05", OCR_FALLBACK_ENGINE="none", **ENVIRONMENT)
    status, body = await service.upload(as_png(picture()), engine=RAPID, languages="eng")
    assert (status, body["code"]) == (504, "deadline_exceeded")
    assert service.service.api[WORKERS].alive
