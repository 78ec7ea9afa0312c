"""Requests made to break the parser: whatever comes, it answers soon, in UTF-8, and tells no prompt."""

import json
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sidecar.errors import SidecarError
from sidecar.wire.common import ErrorBody, render
from sidecar.wire.ocr import Accepted, OcrPathRequest, ReadRequest, parse_body, parse_form

HERE = Accepted(100, ("np-dms-ocr", "tesseract"))
SECRET = "the prompt nobody may see"
SURROGATE = chr(0xD800)
NAMES = [*OcrPathRequest.model_fields, "pdfPath", "maxPages", "topP", "runtimeParams", "dmsTags", "systemPrompt"]

anything = st.text(st.characters())
scalars = st.none() | st.booleans() | st.integers() | st.integers(-(10**400), 10**400) | st.floats() | anything
names = st.sampled_from(NAMES) | anything
values = st.recursive(
    scalars, lambda inner: st.lists(inner, max_size=4) | st.dictionaries(names, inner, max_size=4), max_leaves=10
)


def refusal(body):
    with pytest.raises(SidecarError) as caught:
        parse_body(json.dumps(body).encode(), HERE)
    return caught.value


def outcome(parse, *args):
    try:
        return parse(*args)
    except SidecarError as error:
        return error


def is_for_the_caller(error):
    return isinstance(error, SidecarError) and 400 <= error.status < 500


@given(st.dictionaries(names, values, max_size=8) | values)
def test_any_json_gives_a_request_or_an_error_of_ours(value):
    parsed = outcome(parse_body, json.dumps(value).encode(), HERE)
    assert isinstance(parsed, OcrPathRequest) or is_for_the_caller(parsed)


@given(st.binary(max_size=200))
def test_any_bytes_give_an_error_of_ours(raw):
    assert is_for_the_caller(outcome(parse_body, raw, HERE))


@given(st.dictionaries(st.sampled_from(NAMES) | st.text(), st.text() | values.map(json.dumps), max_size=8))
def test_any_form_gives_a_request_or_an_error_of_ours(fields):
    parsed = outcome(parse_form, fields, HERE)
    assert is_for_the_caller(parsed) or isinstance(parsed[0], ReadRequest)


@pytest.mark.parametrize(
    "body",
    [
        {SURROGATE + "keep_alive": 1},
        {SURROGATE: 1},
        {"pdfPath": "/a", SURROGATE: 1},
        {SURROGATE + "aB": 1, SURROGATE + "a_b": 2},
        {"pdfPath": "/a", "runtimeParams": {SURROGATE: 1}},
        {"pdfPath": "/a", "runtimeParams": {SURROGATE + "keepAlive": 1}},
        {"pdfPath": "/a", "engine": SURROGATE},
        {"pdfPath": "/a", "dmsTags": {SURROGATE: 1}},
        {"pdfPath": "/a", "languages": SURROGATE},
        {"pdfPath": "/a", "maxPages": SURROGATE},
    ],
    ids=ascii,
)
def test_half_a_character_in_a_request_still_gives_an_error_that_can_be_sent(body):
    error = refusal(body)
    sent = json.loads(render(ErrorBody(detail=error.detail, code=error.code, request_id="1")))
    assert sent["code"] == error.code


@pytest.mark.parametrize(
    "body",
    [
        {"systemPrompt": SECRET * 10},
        {"systemPrompt": [SECRET]},
        {"systemPrompt": {SECRET: 1}},
        {"systemPrompt": SECRET, "pdfPath": 5},
        {"systemPrompt": SECRET, "temperature": 9},
        {"systemPrompt": SECRET, "engine": "none"},
        {"systemPrompt": SECRET, "dmsTags": ["1"]},
        {"systemPrompt": SECRET, "foo": 1},
        {"systemPrompt": SECRET, "system_prompt": SECRET},
        {"systemPrompt": SECRET, "keep_alive": 1},
        {"systemPrompt": SECRET},
    ],
    ids=ascii,
)
def test_no_error_shows_the_prompt(body):
    error = refusal(body)
    assert SECRET not in f"{error.detail} {error!r}"


def test_no_error_shows_a_prompt_that_is_no_text():
    parsed = outcome(parse_body, json.dumps({"pdfPath": "/a", "systemPrompt": SECRET + SURROGATE}).encode(), HERE)
    assert SECRET not in getattr(parsed, "detail", "")


@pytest.mark.parametrize("depth", [1, 8, 9, 100, 900, 5000, 100_000])
def test_a_request_however_deep_gives_a_request_or_an_error_of_ours(depth):
    deep = '{"a":' * depth + "{}" + "}" * depth
    body = outcome(parse_body, f'{{"pdfPath": "/a", "dmsTags": {deep}}}'.encode(), HERE)
    form = outcome(parse_form, {"dmsTags": deep}, HERE)
    assert isinstance(body, OcrPathRequest) or is_for_the_caller(body)
    assert is_for_the_caller(form) or isinstance(form[0], ReadRequest)


@pytest.mark.parametrize(
    "name", ["A" * 20_000, "a" * 20_000, "aA" * 10_000, "A1" * 10_000, "_" * 20_000, "-" * 20_000, "A-" * 10_000]
)
def test_a_long_name_takes_no_longer_to_refuse_than_it_is(name):
    started = time.process_time()
    refusal({"pdfPath": "/a", name: 1})
    parse_form({name: "1"}, HERE)
    assert time.process_time() - started < 0.3  # seconds; what is quadratic takes 2


@pytest.mark.parametrize(
    "body",
    [
        {"pdfPath": "/a", "x" * 100_000: 1},
        {"pdfPath": ["x" * 100_000]},
        {"pdfPath": "/a", "pages": "1," * 50_000},
        {"pdfPath": "/a", "temperature": "9" * 100_000},
        {"pdfPath": "/a", "dmsTags": ["1" * 100_000]},
        {"pdfPath": "/a", "runtimeParams": {"x" * 100_000: 1}},
        {"pdfPath": "/a", "xY" * 50_000: 1, "x_y" * 50_000: 1},
    ],
    ids=lambda body: list(body)[-1][:20],
)
def test_an_error_is_short_however_long_the_mistake(body):
    assert len(refusal(body).detail) < 1000
