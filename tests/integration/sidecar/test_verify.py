"""A number that one reader invents is told by another, through the whole service."""

import io

import pikepdf
import pytest
from PIL import Image

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


async def test_its_place_is_in_points_whatever_the_page_s_unit_is(govern, fake):
    """A viewer shows the page three times as large as the numbers in it say."""
    plain, larger = io.BytesIO(), io.BytesIO()
    Image.open(io.BytesIO(PAGE)).save(plain, "PDF", resolution=150)
    with pikepdf.open(plain) as opened:
        opened.pages[0].obj["/UserUnit"] = 3
        opened.save(larger, min_version="1.6")
    governed = await govern()
    wrong = LINE.replace("1,284.50", "1,234.50")
    places = []
    for content in (plain.getvalue(), larger.getvalue()):
        fake.script([Answer(f"{LINE}\n{wrong}\n{LINE}")])
        (page,) = (await governed.read(content, verify="numbers"))["pages"]
        places.append(page["disagreements"][0]["box"])
    assert places[1] == pytest.approx([3 * edge for edge in places[0]], abs=0.1)


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
