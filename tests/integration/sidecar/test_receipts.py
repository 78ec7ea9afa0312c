"""What a text was made from can be told afterwards: in the answer, and in the audit file."""

import hashlib
import json
import stat

import pytest

from sidecar import __version__
from sidecar.engines.tesseract.installation import find_tessdata
from sidecar.wire.common import NDJSON
from tests.integration.sidecar.documents import as_tiff, picture_of_text

HEX_DIGITS = 64


def audit_lines(path) -> list[dict]:
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]


async def readyz(service) -> dict:
    async with service.client.get(f"{service.ops}/readyz") as response:
        return await response.json()


def digest_of(*languages: str) -> str:
    """Do as ``sha256sum eng.traineddata tha.traineddata | sha256sum`` does."""
    lines = []
    for language in languages:
        path = find_tessdata(None) / f"{language}.traineddata"
        lines.append(f"{hashlib.sha256(path.read_bytes()).hexdigest()}  {path.name}\n")
    return hashlib.sha256("".join(lines).encode()).hexdigest()


async def test_the_data_of_the_languages_that_were_read_is_told(start, data):
    service = await start()
    _, body = await service.upload(data / "photo.png", include="receipt", languages="eng", engine="tesseract")
    assert body["pages"][0]["receipt"]["modelDigest"] == digest_of("eng")


async def test_an_answer_has_a_receipt_where_it_is_asked_for(start, data):
    service = await start()
    _, plain = await service.upload(data / "mixed.pdf", pages="3")
    _, body = await service.upload(data / "mixed.pdf", include="receipt")

    assert "receipt" not in plain
    assert all("receipt" not in page for page in plain["pages"])
    content = (data / "mixed.pdf").read_bytes()
    receipt = body["receipt"]
    assert receipt["documentSha256"] == hashlib.sha256(content).hexdigest()
    assert (receipt["documentBytes"], receipt["service"]) == (len(content), __version__)
    scan, _, layer = (page["receipt"] for page in body["pages"])
    assert scan["model"].startswith("tesseract-")
    assert scan["modelDigest"] == digest_of("eng", "tha")
    assert len(scan["pictureSha256"]) == HEX_DIGITS
    assert scan["parameters"] == {"languages": "tha+eng", "dpi": 300}
    assert layer["model"].startswith("pypdfium2-")
    assert (layer["pictureSha256"], layer["promptSha256"], layer["parameters"]) == (None, None, {})


async def test_the_same_page_has_the_same_receipt_and_another_one_another(start):
    service = await start()
    pages = as_tiff([picture_of_text(1), picture_of_text(2)])
    pictures = []
    for _ in range(2):
        _, body = await service.upload(pages, include="receipt")
        pictures.append([page["receipt"]["pictureSha256"] for page in body["pages"]])
    assert pictures[0] == pictures[1]
    assert pictures[0][0] != pictures[0][1]


async def test_a_streamed_answer_has_receipts_too(start, data):
    service = await start()
    _, events = await service.upload(data / "digital.pdf", {"Accept": NDJSON}, include="receipt", pages="1")
    _, page, done = events
    assert page["receipt"]["model"].startswith("pypdfium2-")
    assert len(done["receipt"]["documentSha256"]) == HEX_DIGITS


async def test_a_models_receipt_names_its_content_and_what_it_was_asked(govern, fake, data):
    governed = await govern()
    service = governed.service
    _, body = await service.upload(data / "photo.png", include="receipt", systemPrompt="Read.", engine="np-dms-ocr")
    _, other = await service.upload(data / "photo.png", include="receipt", systemPrompt="Look.", engine="np-dms-ocr")
    receipt, another = body["pages"][0]["receipt"], other["pages"][0]["receipt"]
    assert receipt["modelDigest"] == body["modelDigest"] is not None
    assert receipt["recipe"] == body["recipe"]
    assert receipt["parameters"] == body["parameters"]
    assert receipt["pictureSha256"] == another["pictureSha256"] is not None
    assert len(receipt["promptSha256"]) == HEX_DIGITS
    assert receipt["promptSha256"] != another["promptSha256"]


async def test_each_page_that_was_answered_has_a_line_in_the_audit_file(start, data, tmp_path):
    path = tmp_path / "audit"
    service = await start(OCR_AUDIT_FILE=str(path))
    _, body = await service.upload(data / "mixed.pdf", {"X-Request-Id": "whole"})
    await service.upload(data / "digital.pdf", {"Accept": NDJSON, "X-Request-Id": "streamed"}, pages="2")
    await service.upload(b"no document", {"X-Request-Id": "refused"})
    await service.service.stop(5)

    lines = audit_lines(path)
    assert [(line["requestId"], line["page"]) for line in lines] == [
        ("whole", 1),
        ("whole", 2),
        ("whole", 3),
        ("streamed", 2),
    ]
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    first = lines[0]
    assert first["receipt"]["documentSha256"] == hashlib.sha256((data / "mixed.pdf").read_bytes()).hexdigest()
    assert first["pageReceipt"]["model"].startswith("tesseract-")
    assert (first["engine"], first["verdict"], first["charCount"]) == (
        "tesseract",
        "good",
        body["pages"][0]["charCount"],
    )
    assert (first["quality"], first["verification"]) == (body["pages"][0]["quality"], None)
    assert "receipt" not in body, "the answer has none unless it is asked for"
    written = path.read_text(encoding="utf-8")
    assert "upload.pdf" not in written
    assert not any(line and line in written for page in body["pages"] for line in page["text"].splitlines())


@pytest.mark.parametrize("place", ["missing/audit", "."])
async def test_an_audit_file_that_cannot_be_written_is_told_and_costs_no_document(start, data, tmp_path, place):
    service = await start(OCR_AUDIT_FILE=str(tmp_path / place))
    status, _ = await service.upload(data / "digital.pdf", pages="1")
    told = (await readyz(service))["audit"]
    assert status == 200
    assert told["state"] == "failed"
    assert told["reason"]
    await service.service.stop(5)
    assert service.service.api  # it has stopped as ever


async def test_without_an_audit_file_nothing_is_written(start, data):
    service = await start()
    await service.upload(data / "digital.pdf", pages="1")
    assert (await readyz(service))["audit"] == {"state": "off", "reason": None, "lostLines": 0}
