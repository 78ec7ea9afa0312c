"""What becomes of the sample documents, through HTTP."""

import unicodedata

import pytest
from rapidfuzz.distance import Levenshtein

from tests.integration.sidecar.documents import PdfMaker
from tests.matrix import first

pytestmark = pytest.mark.asyncio(loop_scope="module")


@pytest.fixture
def service(shared_service):
    return shared_service


def error_rate(read: str, true: str) -> float:
    """Character error rate; runs of spaces count as one, empty lines not at all."""

    def plain(text: str) -> str:
        lines = (" ".join(line.split()) for line in unicodedata.normalize("NFC", text).splitlines())
        return "\n".join(line for line in lines if line)

    return Levenshtein.distance(plain(read), plain(true)) / max(1, len(plain(true)))


@pytest.mark.parametrize(
    ("name", "engines"),
    first(
        6,
        [
            ("scan-thai-english.pdf", ["tesseract"] * 3),
            ("mixed.pdf", ["tesseract", "tesseract", "fast-path"]),
            ("photo.png", ["tesseract"]),
            ("fax.tiff", ["tesseract"] * 2),
            ("digital.pdf", ["fast-path"] * 4),
            ("leading-bytes.pdf", ["fast-path"] * 4),
            ("scan-noisy-skewed.pdf", ["tesseract"] * 2),
        ],
    ),
)
async def test_a_document_is_read_as_it_is_written(service, data, truth, name, engines):
    status, body = await service.upload(data / name)

    assert status == 200
    assert [page["engine"] for page in body["pages"]] == engines
    assert body["engineUsed"] == (engines[0] if len(set(engines)) == 1 else "mixed")
    assert body["ocrUsed"] is ("tesseract" in engines)
    assert body["pageCount"] == body["documentPageCount"] == len(engines)
    assert body["text"] == "\n\n".join(page["text"] for page in body["pages"])
    assert body["charCount"] == len(body["text"])
    assert body["warnings"] == []
    for page, true in zip(body["pages"], truth[name], strict=True):
        assert error_rate(page["text"], true) < 0.03


async def test_a_stamp_over_a_scan_does_not_stand_for_the_page(service, data, truth):
    _, body = await service.upload(data / "mixed.pdf", pages="1")

    assert body["pages"][0]["engine"] == "tesseract"
    assert "RECEIVED BY DOCUMENT CONTROL CENTRE" in body["text"]
    assert error_rate(body["text"], truth["mixed.pdf"][0]) < 0.03


async def test_blank_pages_are_known_and_left_alone(service, data):
    _, body = await service.upload(data / "blank-pages.pdf")

    assert [page["blank"] for page in body["pages"]] == [True, False, True]
    assert [bool(page["text"]) for page in body["pages"]] == [False, True, False]
    assert body["engineUsed"] == "tesseract"
    assert body["text"] == body["pages"][1]["text"]


async def test_the_order_of_languages_makes_no_difference(service, data):
    _, body = await service.upload(data / "scan-thai-english.pdf", pages="1")
    _, turned = await service.upload(data / "scan-thai-english.pdf", pages="1", languages="eng+tha")

    assert turned["text"] == body["text"]
    assert turned["parameters"]["languages"] == "eng+tha"


async def test_thai_vowel_am_is_spelt_as_keyboards_spell_it(service, data):
    _, body = await service.upload(data / "scan-thai-english.pdf", pages="1")

    assert "ทำการ" in body["text"]
    assert "\u0e4d\u0e32" not in body["text"]


async def test_an_explicit_engine_reads_every_page_even_where_text_is_at_hand(service, data):
    _, body = await service.upload(data / "digital.pdf", engine="tesseract", pages="1")

    assert body["engineUsed"] == "tesseract"
    assert body["modelUsed"].startswith("tesseract-")
    assert body["parameters"] == {"languages": "tha+eng", "dpi": 300}


async def test_the_text_layer_answer_says_that_no_engine_worked(service, data):
    _, body = await service.upload(data / "digital.pdf")

    assert (body["modelUsed"], body["parameters"], body["profile"], body["residency"]) == (None, {}, None, None)


async def test_pages_are_chosen_by_number(service, data):
    _, body = await service.upload(data / "digital.pdf", pages="2-3")

    assert [page["page"] for page in body["pages"]] == [2, 3]
    assert (body["pageCount"], body["documentPageCount"]) == (2, 4)


async def test_max_pages_takes_the_first_and_says_so_by_its_count(service, data):
    _, body = await service.upload(data / "digital.pdf", maxPages="1")

    assert (body["pageCount"], body["documentPageCount"], body["warnings"]) == (1, 4, [])


@pytest.mark.asyncio(loop_scope="function")
async def test_the_services_own_page_limit_is_told(start, data):
    service = await start(OCR_MAX_PAGES="2")

    _, body = await service.upload(data / "digital.pdf")

    assert (body["pageCount"], body["warnings"]) == (2, ["pages-limited"])


@pytest.mark.asyncio(loop_scope="function")
async def test_zero_max_pages_means_all_whatever_the_services_own_limit(start, data):
    service = await start(OCR_MAX_PAGES="2")

    _, body = await service.upload(data / "digital.pdf", maxPages="0")

    assert (body["pageCount"], body["warnings"]) == (4, [])


async def test_languages_are_the_callers_choice(service, data):
    _, body = await service.upload(data / "photo.png", languages="eng")

    assert body["parameters"]["languages"] == "eng"
    assert not any("\u0e00" <= char <= "\u0e7f" for char in body["text"])


async def test_the_production_backends_request_is_answered_and_told_what_was_not_applied(service, data):
    status, body = await service.upload(
        data / "scan-thai-english.pdf",
        engine="np-dms-ocr",
        systemPrompt="Read the page.",
        dmsTags='{"document_number": true}',
        runtimeParams='{"temperature": 0.1, "top_p": 0.5, "repeat_penalty": 1.0, "max_tokens": null}',
        temperature="0",
        topP="0.5",
        repeatPenalty="1.0",
        pages="1",
    )

    assert status == 200
    assert body["engineUsed"] == "tesseract"
    assert body["pages"][0]["fallbackFrom"] == "np-dms-ocr"
    assert body["warnings"] == ["engine-fallback", "parameters-not-applied"]


@pytest.mark.asyncio(loop_scope="function")
async def test_without_a_stand_in_a_missing_engine_is_an_error(start, data):
    service = await start(OCR_FALLBACK_ENGINE="none")

    status, body = await service.upload(data / "photo.png", engine="np-dms-ocr")

    assert (status, body["code"]) == (503, "not_configured")


@pytest.mark.asyncio(loop_scope="function")
async def test_health_tells_that_the_default_engine_is_missing_and_nobody_stands_in(start):
    service = await start(OCR_FALLBACK_ENGINE="none", OCR_ENGINE="np-dms-ocr")

    async with service.client.get(f"{service.url}/health") as response:
        assert (response.status, (await response.json())["reasons"]) == (503, ["engine-missing: np-dms-ocr"])


async def test_an_empty_page_is_credited_to_no_engine(service):
    status, body = await service.upload(PdfMaker().empty_page().finish(), engine="np-dms-ocr")

    assert (status, body["engineUsed"], body["ocrUsed"], body["pages"][0]["blank"]) == (200, "fast-path", False, True)


async def test_every_attempt_is_listed(service, data):
    _, body = await service.upload(data / "photo.png")

    (attempt,) = body["pages"][0]["attempts"]
    assert (attempt["engine"], attempt["verdict"], attempt["error"]) == ("tesseract", "good", None)
    assert attempt["durationMs"] == body["pages"][0]["durationMs"] > 0
