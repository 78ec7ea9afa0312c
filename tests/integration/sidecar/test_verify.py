"""A number that one reader invents is told by another, through the whole service."""

import pytest

from tests.integration.sidecar.documents import as_png, picture_of_text
from tools.fakes.ollama_answers import Answer

LINE = "Invoice 2024-0117: 1,284.50 baht"
PAGE = as_png(picture_of_text(lines=3, size=(1400, 700), text=LINE))


async def test_a_digit_that_the_model_invents_is_told_with_its_place(govern, fake):
    governed = await govern()
    fake.script([Answer("\n".join([LINE, LINE.replace("1,284.50", "1,234.50"), LINE]))])
    body = await governed.read(PAGE, verify="numbers")
    (page,) = body["pages"]
    (found,) = page["disagreements"]
    assert (found["mine"], found["other"]) == ("1,234.50", "1,284.50")
    left, top, right, bottom = found["box"]
    assert 0 < left < right
    assert 0 < top < bottom
    assert page["verification"] == {
        "outcome": "differs",
        "engine": "tesseract",
        "durationMs": page["verification"]["durationMs"],
        "reason": None,
    }
    assert "readers-disagree" in body["warnings"]
    assert page["engine"] == "np-dms-ocr"
    assert page["quality"]["verdict"] != "high"


async def test_a_profile_asks_for_it_and_a_request_may_decline(govern, fake):
    govern.publish(verify="all")
    governed = await govern()
    fake.script([Answer("\n".join([LINE] * 3)), Answer("\n".join([LINE] * 3))])
    body = await governed.read(PAGE)
    assert body["pages"][0]["verification"]["outcome"] == "agrees"
    assert body["pages"][0]["quality"] == {"score": 1.0, "origin": "agreement", "verdict": "high"}
    declined = await governed.read(PAGE, verify="none")
    assert declined["pages"][0]["verification"] is None
    assert declined["pages"][0]["quality"] is None, "the model told nothing of its certainty"


async def test_a_text_layer_is_held_against_what_is_seen(start, data):
    service = await start()
    _, body = await service.upload(data / "digital.pdf", verify="numbers", pages="1")
    (page,) = body["pages"]
    assert (page["engine"], page["verification"]["engine"]) == ("fast-path", "tesseract")
    assert page["disagreements"] == []
    assert page["quality"]["origin"] == "text+agreement"


@pytest.mark.parametrize("verify", ["some", "1"])
async def test_what_cannot_be_asked_is_refused(start, data, verify):
    service = await start()
    status, body = await service.upload(data / "digital.pdf", verify=verify)
    assert (status, body["code"]) == (422, "invalid_value")
    assert "'none', 'numbers' or 'all'" in body["detail"]
