"""What a caller may say about how a document is read: fields, spellings, ranges."""

import json

import pytest

from sidecar.errors import (
    BadFieldJsonError,
    BadTagError,
    InvalidValueError,
    MalformedBodyError,
    SystemPromptError,
    UnknownEngineError,
    UserPromptError,
)
from sidecar.ocr.engine import RequestedOptions
from sidecar.ocr.job import Wanted
from sidecar.wire.ocr import Accepted, RuntimeParams, check_max_pages, parse_body, parse_form

MAX_PROMPT = 100
HERE = Accepted(MAX_PROMPT, ("np-dms-ocr", "tesseract"))
PATH = "/mnt/uploads/a.pdf"

# camelCase, snake_case, values that are accepted, values outside the range the contract gives
RANGES = [
    ("maxPages", "max_pages", [0, 1, 500, 999_999], [-1, 1.5]),
    ("temperature", "temperature", [0, 0.0, 0.7, 2], [-0.01, 2.01, -1, 1e308]),
    ("topP", "top_p", [0, 0.9, 1], [-0.01, 1.01]),
    ("repeatPenalty", "repeat_penalty", [0.5, 1, 2], [0, 0.49, 2.01]),
    ("maxTokens", "max_tokens", [1, 4096, 131_072], [0, -1, 131_073, 1.5]),
]
PARAMS = [*RANGES[1:], ("numCtx", "num_ctx", [512, 8192, 131_072], [0, 511, 131_073])]
NO_NUMBERS = [float("nan"), float("inf"), float("-inf"), True, False, "many", [], {}, [1]]
ACCEPTED = [(camel, snake, value) for camel, snake, values, _ in RANGES for value in values]
REFUSED = [(camel, snake, value) for camel, snake, _, values in RANGES for value in [*values, *NO_NUMBERS]]
PARAMS_ACCEPTED = [(camel, snake, value) for camel, snake, values, _ in PARAMS for value in values]
PARAMS_REFUSED = [(camel, snake, value) for camel, snake, _, values in PARAMS for value in [*values, *NO_NUMBERS]]


def form(**fields):
    return parse_form(fields, HERE)[0]


def body(**fields):
    return parse_body(json.dumps({"pdfPath": PATH, **fields}).encode(), HERE)


def in_body(name, value):
    return body(**{name: value})


def in_form(name, value):
    return form(**{name: value if isinstance(value, str) else json.dumps(value)})


def refusal(kind, ask, *args, **fields):
    with pytest.raises(kind) as caught:
        ask(*args, **fields)
    return caught.value.detail


EITHER = pytest.mark.parametrize("ask", [in_body, in_form])


# ── numbers ───────────────────────────────────────────────────────────────────────────────────────────────────────


@EITHER
@pytest.mark.parametrize(("camel", "snake", "value"), ACCEPTED)
def test_a_number_within_its_range_is_taken_in_both_spellings_and_zero_is_a_value(ask, camel, snake, value):
    for name in (camel, snake):
        taken = getattr(ask(name, value), snake)
        assert taken == value
        assert taken is not None


@EITHER
@pytest.mark.parametrize(("camel", "snake", "value"), REFUSED)
def test_a_number_outside_its_range_is_refused_by_name_and_value(ask, camel, snake, value):
    for name in (camel, snake):
        detail = refusal(InvalidValueError, ask, name, value)
        assert detail.startswith(f"{camel} is ")
        if isinstance(value, int | float):
            assert str(value).lower() in detail.lower()


@EITHER
@pytest.mark.parametrize(("camel", "snake", "value"), PARAMS_ACCEPTED)
def test_runtime_params_are_taken_in_both_spellings(ask, camel, snake, value):
    for name in (camel, snake):
        for field in ("runtimeParams", "runtime_params"):
            params = ask(field, {name: value}).runtime_params
            assert params == RuntimeParams(**{snake: value})
            assert getattr(params, snake) == value


@EITHER
@pytest.mark.parametrize(("camel", "snake", "value"), PARAMS_REFUSED)
def test_runtime_params_outside_their_range_are_refused_by_name(ask, camel, snake, value):
    for name in (camel, snake):
        detail = refusal(InvalidValueError, ask, "runtimeParams", {name: value})
        assert detail.startswith(f"runtimeParams.{snake} is ")


@pytest.mark.parametrize(("camel", "snake", "value"), [(camel, snake, good[0]) for camel, snake, good, _ in RANGES])
def test_a_number_left_empty_in_a_form_or_null_in_json_is_unset(camel, snake, value):
    for name in (camel, snake):
        for empty in ("", "  ", "\n"):
            assert getattr(form(**{name: empty}), snake) is None
        assert getattr(body(**{name: None}), snake) is None
        assert getattr(form(**{name: f" {value} "}), snake) == value


@pytest.mark.parametrize(("asked", "limit"), [(None, 5), (0, 5), (5, 5)])
def test_max_pages_up_to_the_limit_is_taken_as_it_is(asked, limit):
    assert check_max_pages(asked, limit) == asked


def test_max_pages_beyond_the_limit_is_refused_with_both_numbers():
    assert refusal(InvalidValueError, check_max_pages, 900, 500) == "maxPages is 900, the limit is 500"


# ── names of fields ───────────────────────────────────────────────────────────────────────────────────────────────


def test_a_form_that_says_nothing_leaves_everything_to_the_service():
    assert form().model_dump(exclude_defaults=True) == {}
    assert form().engine == "auto"
    assert form().requested_options == RequestedOptions()


def test_fields_that_mean_nothing_in_a_form_are_listed_and_ignored():
    request, ignored = parse_form({"engine": "tesseract", "foo": "1", "barBaz": "2", "pdfPath": PATH}, HERE)
    assert (request.engine, sorted(ignored)) == ("tesseract", ["barBaz", "foo", "pdfPath"])


@pytest.mark.parametrize("name", ["foo", "barBaz", "numCtx", "maxPage", "requestId"])
def test_a_field_that_means_nothing_in_json_is_named(name):
    assert refusal(InvalidValueError, body, **{name: 1}) == f"{name} is not a field that is known here"


@EITHER
def test_a_runtime_param_that_is_not_known_is_named(ask):
    detail = refusal(InvalidValueError, ask, "runtimeParams", {"mirostat": 2})
    assert detail == "runtimeParams.mirostat is not a field that is known here"


@pytest.mark.parametrize(
    ("camel", "snake", "value"),
    [
        ("systemPrompt", "system_prompt", "Read it"),
        ("userPrompt", "user_prompt", "Read it"),
        ("deadlineSeconds", "deadline_seconds", 90),
        ("dmsTags", "dms_tags", ["a"]),
        ("activeProfile", "active_profile", "chat"),
        ("runtimeParams", "runtime_params", {}),
        ("maxPages", "max_pages", 1),
    ],
)
def test_a_field_is_known_in_both_spellings_but_not_in_both_at_once(camel, snake, value):
    assert in_body(camel, value) == in_body(snake, value)
    assert in_form(camel, value) == in_form(snake, value)
    twice = dict.fromkeys((camel, snake), value)
    assert refusal(InvalidValueError, body, **twice) == f"{camel} is given twice, in both spellings"
    twice = dict.fromkeys((camel, snake), value if isinstance(value, str) else json.dumps(value))
    assert refusal(InvalidValueError, form, **twice) == f"{camel} is given twice, in both spellings"


def test_a_path_is_known_in_both_spellings_and_must_be_there():
    assert parse_body(b'{"pdf_path": "/a"}', HERE).pdf_path == "/a"
    assert refusal(InvalidValueError, parse_body, b"{}", HERE) == "pdfPath is missing"
    assert refusal(InvalidValueError, body, pdf_path=PATH) == "pdfPath is given twice, in both spellings"


def test_a_runtime_param_may_not_be_given_in_both_spellings():
    detail = refusal(InvalidValueError, body, runtimeParams={"topP": 1, "top_p": 1})
    assert detail == "topP is given twice, in both spellings"


@pytest.mark.parametrize(
    ("fields", "requested"),
    [
        ({"temperature": 0}, RequestedOptions(parameters=True)),
        ({"top_p": 0}, RequestedOptions(parameters=True)),
        ({"repeat_penalty": 1}, RequestedOptions(parameters=True)),
        ({"max_tokens": 1}, RequestedOptions(parameters=True)),
        ({"runtime_params": {"num_ctx": 512}}, RequestedOptions(parameters=True)),
        ({"system_prompt": "x"}, RequestedOptions(prompt=True)),
        ({"user_prompt": "x"}, RequestedOptions(prompt=True)),
        ({"user_prompt": " "}, RequestedOptions()),
        ({"dms_tags": []}, RequestedOptions(prompt=True)),
        ({"profile": "a"}, RequestedOptions(profile=True)),
        ({"active_profile": "a"}, RequestedOptions(residency=True)),
        ({"max_pages": 1, "pages": "1", "languages": "eng", "engine": "tesseract"}, RequestedOptions()),
    ],
)
def test_what_not_every_engine_can_follow_is_told(fields, requested):
    assert body(**fields).requested_options == requested


def test_a_single_field_is_stronger_than_runtime_params():
    asked = body(temperature=0, runtimeParams={"temperature": 1, "topP": 0})
    assert asked.parameters == RuntimeParams(temperature=0, top_p=0)


def test_the_engines_are_those_of_the_service():
    here = Accepted(MAX_PROMPT, ("pixels",))
    assert parse_form({"engine": "Pixels"}, here)[0].engine == "pixels"
    detail = refusal(UnknownEngineError, parse_form, {"engine": "tesseract"}, here)
    assert detail == "engine is 'tesseract', accepted are auto, pixels"


# ── engine, prompt, tags, JSON ────────────────────────────────────────────────────────────────────────────────────


@EITHER
@pytest.mark.parametrize(
    ("spelling", "engine"),
    [
        ("auto", "auto"),
        ("", "auto"),
        (" ", "auto"),
        ("AUTO", "auto"),
        ("np-dms-ocr", "np-dms-ocr"),
        (" NP-DMS-OCR ", "np-dms-ocr"),
        ("Tesseract", "tesseract"),
    ],
)
def test_an_engine_may_be_spelt_in_any_case(ask, spelling, engine):
    assert ask("engine", spelling).engine == engine


@EITHER
@pytest.mark.parametrize("engine", ["easyocr", "np_dms_ocr", "fast-path", "mixed", "auto,tesseract", "x" * 1000])
def test_an_unknown_engine_is_refused_with_those_that_are_known(ask, engine):
    detail = refusal(UnknownEngineError, ask, "engine", engine)
    assert detail == f"engine is {engine[:80]!r}, accepted are auto, np-dms-ocr, tesseract"


EMPTY_PROMPT = "is empty or no text; leave it out to use the profile's"


@EITHER
@pytest.mark.parametrize("prompt", ["", " ", "\n\t", "x" * (MAX_PROMPT + 1)])
def test_an_empty_or_overlong_prompt_is_refused(ask, prompt):
    said = f"has {MAX_PROMPT + 1} characters, the limit is {MAX_PROMPT}" if "x" in prompt else EMPTY_PROMPT
    assert refusal(SystemPromptError, ask, "systemPrompt", prompt) == f"systemPrompt {said}"


@pytest.mark.parametrize("prompt", [5, True, ["x"], {"x": 1}, "half a character: " + chr(0xD800)])
def test_a_prompt_that_is_no_text_is_refused(prompt):
    with pytest.raises(SystemPromptError, match=EMPTY_PROMPT):
        body(systemPrompt=prompt)


@EITHER
def test_a_prompt_of_the_greatest_length_is_taken_without_the_space_around_it(ask):
    assert ask("systemPrompt", f" {'ก' * MAX_PROMPT}\n").system_prompt == "ก" * MAX_PROMPT


@EITHER
@pytest.mark.parametrize(
    ("said", "taken"),
    [("a\r\nb\rc\nd", "a\nb\nc\nd"), ("ก\r\n" * (MAX_PROMPT // 2), "ก\n" * (MAX_PROMPT // 2 - 1) + "ก")],
)
def test_a_system_prompt_has_one_kind_of_line_end_too(ask, said, taken):
    """A form cannot send a LF alone; what that makes longer does not count."""
    assert ask("systemPrompt", said).system_prompt == taken


@EITHER
@pytest.mark.parametrize(
    ("said", "taken"),
    [
        ("a\r\nb\rc\nd", "a\nb\nc\nd"),
        ("  อ่าน\r\n", "อ่าน"),
        ("", None),
        (" \r\n ", None),
        (f" {'ก' * MAX_PROMPT}\n", "ก" * MAX_PROMPT),
    ],
)
def test_a_user_prompt_has_one_kind_of_line_end_and_an_empty_one_is_not_set(ask, said, taken):
    assert ask("userPrompt", said).user_prompt == taken


@EITHER
def test_a_user_prompt_has_the_system_prompt_s_limit(ask):
    told = refusal(UserPromptError, ask, "userPrompt", "ก" * (MAX_PROMPT + 1))
    assert told == f"userPrompt has {MAX_PROMPT + 1} characters, the limit is {MAX_PROMPT}"


@pytest.mark.parametrize("prompt", [5, ["a"], "\ud800"])
def test_a_user_prompt_that_is_no_text_is_refused(prompt):
    assert refusal(UserPromptError, body, userPrompt=prompt).startswith("userPrompt is no text")


@EITHER
@pytest.mark.parametrize(
    "tags", [{}, [], {"a": True, "B_2": "", "c": {"sample": [1]}}, ["a", "Z" * 64], {"a" * 64: None}, ["x1"] * 200]
)
def test_tags_are_an_object_or_a_list_of_names(ask, tags):
    assert ask("dmsTags", tags).dms_tags == tags


@EITHER
@pytest.mark.parametrize(
    "name", ["", "1a", "_a", "a-b", "a b", "a.b", "a\n", "\u00e9", "ก", "a" * 65, "a{b}", "\N{KELVIN SIGN}", "a\0"]
)
def test_a_tag_name_outside_its_syntax_is_refused(ask, name):
    for tags in ({name: True}, [name], ["good", name]):
        with pytest.raises(BadTagError, match="accepted are a letter"):
            ask("dmsTags", tags)


@EITHER
@pytest.mark.parametrize("tags", [5, True, 1.5, ["a", 5], [None], [["a"]], ["a"] * 201])
def test_tags_of_another_shape_are_refused(ask, tags):
    with pytest.raises(BadTagError):
        ask("dmsTags", tags)


@pytest.mark.parametrize(("camel", "snake"), [("dmsTags", "dms_tags"), ("runtimeParams", "runtime_params")])
@pytest.mark.parametrize("text", ["{", "{'a': 1}", "a", "[1,]", "[" * 100_000, '{"a": 1} x'])
def test_a_form_field_that_should_hold_json_and_does_not_is_refused(camel, snake, text):
    for name in (camel, snake):
        assert refusal(BadFieldJsonError, form, **{name: text}) == f"{camel} is not JSON"


@pytest.mark.parametrize("text", ["", "  ", "null"])
def test_a_json_field_left_empty_in_a_form_is_unset(text):
    request = form(dmsTags=text, runtimeParams=text)
    assert (request.dms_tags, request.runtime_params) == (None, RuntimeParams())


@pytest.mark.parametrize("text", [b"", b"{", b"no", b"\xff\xfe\xfd", b"[" * 100_000, b"[]", b'"x"', b"5", b"null"])
def test_a_body_that_is_no_json_object_is_malformed(text):
    with pytest.raises(MalformedBodyError):
        parse_body(text, HERE)


# ── what is included ──────────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("ask", [in_form, in_body])
@pytest.mark.parametrize("spelled", ["words,blocks", " blocks , words ", "words,,blocks,words"])
def test_what_is_included_is_a_list_with_commas(ask, spelled):
    assert ask("include", spelled).wanted == Wanted(words=True, blocks=True)


def test_what_is_included_is_a_list_in_json():
    assert body(include=["image"]).wanted == Wanted(image=True)
    assert body(include=[]).wanted == body(include=None).wanted == form(include=" ").wanted == form().wanted == Wanted()


@pytest.mark.parametrize("ask", [in_form, in_body])
def test_what_cannot_be_included_is_named_with_what_can(ask):
    assert refusal(InvalidValueError, ask, "include", "words,pictures") == (
        "include.1 is 'pictures', accepted: 'words', 'blocks', 'image' or 'receipt'"
    )


@pytest.mark.parametrize("bad", [7, {"words": True}, True, [["words"]], [None], ["Words"], "x" * 1000, ["words"] * 100])
def test_what_is_no_list_of_parts_is_refused(bad):
    assert refusal(InvalidValueError, in_body, "include", bad).startswith("include")
