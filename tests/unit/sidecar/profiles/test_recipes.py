"""Recipes: which one counts, what it fills in, and that none of it overrides what somebody said."""

import re
from pathlib import Path

import pytest

from sidecar.profiles import prompt, recipe_files
from sidecar.profiles.payload import RECIPE_NAMES, Profile, ProfileError, RuntimeParams, parse_profile, revision_of
from sidecar.profiles.precedence import DEFAULT_TAGS, Overrides, instruct
from sidecar.profiles.recipe_files import MAX_FILE_BYTES, RecipeError, book_with, shipped

BOOK = shipped()
TYPHOON = "scb10x/typhoon-ocr1.5-3b:latest"


def test_each_name_of_the_payload_is_a_file_and_no_other_file_is_there():
    files = (Path(recipe_files.__file__).parent / "recipes").iterdir()
    assert sorted(one.name for one in files) == sorted(f"{name}.yaml" for name in RECIPE_NAMES)
    assert list(BOOK.recipes) == list(RECIPE_NAMES)


@pytest.mark.parametrize("name", sorted(set(RECIPE_NAMES) - {"generic"}))
def test_each_names_its_source_and_the_models_that_it_is_for(name):
    recipe = BOOK.recipes[name]
    assert re.match("https://", recipe.source)
    assert recipe.models
    assert recipe.user_prompt


@pytest.mark.parametrize(
    ("model", "recipe"),
    [
        ("scb10x/typhoon-ocr-3b:latest", "typhoon-ocr-1.0"),
        ("scb10x/typhoon-ocr-7b", "typhoon-ocr-1.0"),
        (TYPHOON, "typhoon-ocr-1.5"),
        ("typhoon-ai/typhoon-ocr1.5-2b", "typhoon-ocr-1.5"),
        ("typhoon-ocr", "typhoon-ocr-1.5"),
        ("typhoon-ocr:latest", "typhoon-ocr-1.5"),
        ("zai-org/GLM-OCR", "glm-ocr"),
        ("glm-ocr:bf16", "glm-ocr"),
        ("rednote-hilab/dots.ocr", "dots.ocr"),
        ("deepseek-ai/DeepSeek-OCR", "deepseek-ocr"),
        ("deepseek-ocr:3b", "deepseek-ocr"),
        ("allenai/olmOCR-2-7B-1025-FP8", "olmocr-2"),
        ("qwen2.5vl:7b", "qwen-vl"),
        ("Qwen/Qwen3-VL-8B-Instruct", "qwen-vl"),
        ("np-dms-ocr:latest", "generic"),
        ("gpt-4o", "generic"),
        ("llava", "generic"),
        ("olmocr:7b-0225", "generic"),
    ],
)
def test_a_model_is_known_by_its_name(model, recipe):
    assert BOOK.choose(None, model).name == recipe
    assert instruct(None, model, recipes=BOOK).recipe.name == recipe


def test_the_profile_chooses_over_the_operator_and_he_over_the_models_name():
    assert BOOK.choose("glm-ocr", TYPHOON).name == "glm-ocr"
    assert book_with("qwen-vl").choose(None, TYPHOON).name == "qwen-vl"
    assert book_with("qwen-vl").choose("glm-ocr", TYPHOON).name == "glm-ocr"
    assert book_with("generic").choose(None, TYPHOON).name == "generic"


def test_an_empty_profile_is_enough_for_a_model_that_has_a_recipe():
    found = instruct(Profile(name="ocr-extract"), TYPHOON, recipes=BOOK)
    (message,) = prompt.messages(found, "UE5H")
    assert message["content"].startswith("Extract all text from the image.\n\nInstructions:\n")
    assert "Wrap the document number" not in message["content"], "it works with no other prompt"
    assert found.params == RuntimeParams(temperature=0.1, top_p=0.6, repeat_penalty=1.1, max_tokens=16384)


def test_without_a_recipe_nothing_is_said_that_nobody_said():
    found = instruct(Profile(name="ocr-extract"), "np-dms-ocr", recipes=BOOK)
    assert (found.params, found.user_prompt, found.format, found.tags) == (RuntimeParams(), None, None, DEFAULT_TAGS)


def test_request_and_profile_win_parameter_by_parameter():
    profile = Profile(name="p", runtime_params={"top_p": 0.9}, dms_tags=["total"], user_prompt="Read.")
    found = instruct(profile, TYPHOON, Overrides(RuntimeParams(temperature=0)), BOOK)
    assert found.params == RuntimeParams(temperature=0, top_p=0.9, repeat_penalty=1.1, max_tokens=16384)
    assert (found.user_prompt, found.tags) == ("Read.", ("total",))
    asked = instruct(profile, TYPHOON, Overrides(user_prompt="Now.", tags=()), BOOK)
    assert (asked.user_prompt, asked.tags) == ("Now.", ())


def test_the_first_typhoon_gets_the_size_and_the_text_layer_of_the_page_and_answers_in_json():
    found = instruct(None, "typhoon-ocr-7b", recipes=BOOK)
    assert prompt.wants_anchors(found.user_prompt)
    (message,) = prompt.messages(found, "UE5H", "Page dimensions: 595.3x841.9")
    assert message["content"].endswith("RAW_TEXT_START\nPage dimensions: 595.3x841.9\nRAW_TEXT_END")
    assert found.format == "json"


# ── one's own ─────────────────────────────────────────────────────────────────────────────────────────────────────


def test_a_file_of_ones_own_counts_for_every_model(tmp_path):
    file = tmp_path / "ours.yaml"
    file.write_text("source: us\nuser_prompt: อ่าน\nstop: [<end>]\nparams: {temperature: 0}\n", encoding="utf-8")
    recipe = book_with(str(file)).choose(None, TYPHOON)
    assert (recipe.name, recipe.user_prompt, recipe.stop, recipe.params.temperature) == ("ours", "อ่าน", ("<end>",), 0)


@pytest.mark.parametrize(
    ("content", "word"),
    [
        (None, "cannot be read"),
        (b"\xff\xfe\x00", "cannot be read"),
        (b"a: [", "cannot be read"),
        (b"!!python/object/apply:os.system [id]", "cannot be read"),
        (b"just text", "an object is accepted"),
        (b"", "an object is accepted"),
        (b"user_prompt: a", "source is missing"),
        (b"source: a\nprompt: b", "prompt is not a field"),
        (b"source: a\nparams: {temperature: 9}", "params.temperature"),
        (b"source: a\nlongest_side: 10", "longest_side"),
        (b"source: a\nanswer: xml", "answer"),
        (b"source: a\nstop: [a, b, c, d, e]", "stop"),
        (b"source: a\n" + b"#" * MAX_FILE_BYTES + b"\nlongest_side: 1000", "at most 65536 bytes"),
    ],
)
def test_a_file_that_is_no_recipe_is_refused_with_the_reason(tmp_path, content, word):
    file = tmp_path / "ours.yaml"
    if content is not None:
        file.write_bytes(content)
    with pytest.raises(RecipeError, match=re.escape(word)):
        book_with(str(file))


def test_a_file_that_is_just_not_too_large_is_read_to_its_end(tmp_path):
    file = tmp_path / "ours.yaml"
    last = b"\nlongest_side: 1000\n"
    file.write_bytes(b"source: a\n".ljust(MAX_FILE_BYTES - len(last), b"#") + last)
    assert book_with(str(file)).default.longest_side == 1000


def test_an_unknown_recipe_is_refused_by_settings_and_profile():
    with pytest.raises(RecipeError, match=r"OCR_RECIPE is typhoon: accepted are generic, typhoon-ocr-1\.0"):
        book_with("typhoon")
    with pytest.raises(ProfileError, match="recipe is 'typhoon', accepted"):
        parse_profile(b'{"recipe": "typhoon"}', "p")


def test_a_profile_without_a_recipe_keeps_the_revision_that_it_had():
    assert revision_of(Profile(name="p")) == revision_of(Profile(name="p", recipe=None))
    assert revision_of(Profile(name="p")) != revision_of(Profile(name="p", recipe="generic"))
    assert revision_of(parse_profile(b'{"name":"ocr-extract"}', "ocr-extract")) == "d99262a4feb2"
