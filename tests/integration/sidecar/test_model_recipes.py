"""Recipes in the running service: what goes over the wire for a model that has one, and what the answer says."""

import io

import pytest
from PIL import Image

from sidecar.settings import SettingsError
from tests.integration.sidecar.documents import as_png, picture_of_text
from tools.fakes.ollama import Answer

TYPHOON = "scb10x/typhoon-ocr1.5-3b:latest"
OLMOCR = "olmocr-2:7b"
FRONT = "---\nprimary_language: en\nis_rotation_valid: True\nrotation_correction: 0\nis_table: False\n---\n"
LARGE = as_png(picture_of_text(lines=20, size=(1700, 2400)))


async def test_an_empty_profile_does_for_a_model_that_has_a_recipe(govern):
    govern.publish(model=TYPHOON)
    govern.fake.install(TYPHOON)
    governed = await govern()
    body = await governed.read()
    assert governed.user_prompts[0].startswith("Extract all text from the image.\n\nInstructions:")
    assert governed.system_prompts == [None]
    sent = {"temperature": 0.1, "top_p": 0.6, "repeat_penalty": 1.1, "num_predict": 16384}
    assert (governed.options, body["parameters"]) == ([sent], sent)
    assert (body["recipe"], body["warnings"]) == ("typhoon-ocr-1.5", [])


async def test_a_profile_names_its_recipe_and_the_picture_is_as_large_as_that_says(govern):
    govern.publish(model=OLMOCR, recipe="olmocr-2")
    govern.fake.install(OLMOCR)
    governed = await govern()
    governed.fake.script([Answer(f"{FRONT}Total: 5")])
    body = await governed.read(LARGE)
    (picture,) = governed.fake.chats[0].images
    assert max(Image.open(io.BytesIO(picture)).size) == 1288
    assert (body["text"], body["recipe"]) == ("Total: 5", "olmocr-2")


async def test_without_a_recipe_all_is_as_it_was(governed):
    body = await governed.read()
    assert (body["recipe"], governed.options) == ("generic", [{}])
    assert governed.user_prompts[0].startswith("Extract all text from this page.")


async def test_where_no_model_was_asked_there_is_no_recipe(governed):
    body = await governed.read(engine="tesseract")
    assert body["recipe"] is None


async def test_a_recipe_of_ones_own_is_used_and_named(govern, tmp_path):
    file = tmp_path / "ours.yaml"
    file.write_text("source: us\nsystem_prompt: You read.\nuser_prompt: Read.\ntags: false\nstop: ['<end>']\n")
    governed = await govern(OCR_RECIPE=str(file))
    body = await governed.read()
    assert (governed.system_prompts, governed.user_prompts) == (["You read."], ["Read."])
    assert (governed.options, body["recipe"]) == ([{"stop": ["<end>"]}], "ours")


async def test_an_unknown_recipe_stops_the_start_and_one_in_a_profile_is_refused(govern):
    with pytest.raises(SettingsError, match="OCR_RECIPE is typhoon"):
        await govern(OCR_RECIPE="typhoon")
    govern.publish(recipe="typhoon")
    governed = await govern()
    refused = (await governed.ops("profiles"))["refused"]
    assert [one["file"] for one in refused] == ["ocr-extract.json"]
    assert "recipe is 'typhoon'" in refused[0]["reason"]
