import re

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from controller.resource.spec import InvalidSpec, parse_spec, payload_of, read_resource
from sidecar.profiles.payload import parse_profile, render_profile
from tests.unit.controller.bodies import body


def payload(spec):
    return payload_of("ocr-extract", 7, parse_spec(body(spec=spec)))


def test_spec_becomes_the_payload():
    profile = payload(
        {"temperature": 0, "maxTokens": None, "model": "np-dms-ocr:v2", "keepAliveSeconds": 60, "deadlineSeconds": 90}
    )
    assert profile.runtime_params.temperature == 0
    assert profile.runtime_params.max_tokens is None
    assert (profile.model, profile.keep_alive_seconds, profile.generation) == ("np-dms-ocr:v2", 60, 7)
    assert (profile.retry.max_attempts, profile.retry.temperature_step) == (2, 0.1)
    assert profile.prompt is None
    assert len(profile.revision) == 12


def test_a_part_of_retry_gets_the_rest_of_the_defaults():
    retry = payload({"retry": {"maxAttempts": 3}}).retry
    assert (retry.max_attempts, retry.temperature_step) == (3, 0.1)


def test_prompt_goes_with_its_source():
    prompt = {"promptType": "ocr_extraction", "versionNumber": 2, "systemPrompt": "อ่านเอกสาร"}
    profile = payload({"prompt": prompt})
    assert profile.system_prompt == "อ่านเอกสาร"
    assert (profile.prompt.prompt_type, profile.prompt.version_number) == ("ocr_extraction", 2)


@pytest.mark.parametrize(
    ("tags", "expected"),
    [(None, None), ({}, {}), ({"a": True, "b": False}, {"a": True})],
    ids=["null is the default three", "none is none", "false is left out"],
)
def test_tags(tags, expected):
    assert payload({"prompt": {"dmsTags": tags}}).dms_tags == expected


def test_generation_does_not_change_the_revision_but_every_value_does():
    spec = parse_spec(body())
    assert payload_of("a", 1, spec).revision == payload_of("a", 2, spec).revision
    assert payload({}).revision != payload({"temperature": 0.2}).revision


@pytest.mark.parametrize(
    ("spec", "path"),
    [
        ({"temperature": 2.1}, "spec.temperature: input should be less than or equal to 2"),
        ({"temperature": -0.1}, "spec.temperature:"),
        ({"temperature": "hot"}, "spec.temperature:"),
        ({"temperature": True}, "spec.temperature: input should be a number"),
        ({"topP": 1.1}, "spec.topP:"),
        ({"repeatPenalty": 0.4}, "spec.repeatPenalty:"),
        ({"maxTokens": 0}, "spec.maxTokens:"),
        ({"numCtx": 511}, "spec.numCtx:"),
        ({"keepAliveSeconds": 86_401}, "spec.keepAliveSeconds:"),
        ({"keepAliveSeconds": -1}, "spec.keepAliveSeconds:"),
        ({"deadlineSeconds": 0}, "spec.deadlineSeconds:"),
        ({"deadlineSeconds": 86_401}, "spec.deadlineSeconds:"),
        ({"deadlineSeconds": True}, "spec.deadlineSeconds:"),
        ({"canonicalModel": "gpt"}, "spec.canonicalModel:"),
        ({"isActive": "yes"}, "spec.isActive:"),
        ({"model": ""}, "spec.model:"),
        ({"retry": {"maxAttempts": 11}}, "spec.retry.maxAttempts:"),
        ({"retry": {"temperatureStep": 3}}, "spec.retry.temperatureStep:"),
        ({"prompt": {"systemPrompt": "x" * 10_001}}, "spec.prompt.systemPrompt:"),
        ({"prompt": {"systemPrompt": ""}}, "spec.prompt.systemPrompt:"),
        ({"prompt": {"systemPrompt": " \n"}}, "spec.prompt.systemPrompt:"),
        ({"prompt": {"promptType": "ocr"}}, "spec.prompt.systemPrompt is required when spec.prompt.promptType is set"),
        ({"prompt": {"format": "xml"}}, "spec.prompt.format:"),
        ({"prompt": {"versionNumber": -1}}, "spec.prompt.versionNumber:"),
        ({"prompt": {"dmsTags": {"2nd": True}}}, "spec.prompt.dmsTags: dmsTags holds '2nd'"),
        ({"prompt": {"dmsTags": {"a": "yes"}}}, "spec.prompt.dmsTags.a:"),
        ({"prompt": {"dmsTags": {f"t{n}": True for n in range(201)}}}, "spec.prompt.dmsTags: dmsTags names 201"),
        ({"temprature": 1}, "spec.temprature is not a field that is known here"),
    ],
)
def test_an_invalid_spec_is_refused_with_its_path(spec, path):
    with pytest.raises(InvalidSpec, match=r".*") as refused:
        parse_spec(body(spec=spec))
    assert str(refused.value).startswith(path)
    resource = read_resource(body(spec=spec))
    assert (resource.payload, resource.problem) == (None, str(refused.value))


def test_a_name_that_leaves_no_room_for_the_key_is_refused():
    assert read_resource(body("a" * 248)).problem is None
    assert read_resource(body("a" * 249)).problem == "metadata.name has 249 characters, the limit is 248"


def test_a_resource_without_a_spec_is_invalid_not_fatal():
    empty = body()
    del empty["spec"]
    assert read_resource(empty).problem == "spec.canonicalModel is missing"


@pytest.mark.parametrize("name", ["", "Ocr", "../x", "a b", "a\n", "-a"])
def test_a_name_that_no_resource_can_have_is_invalid_not_fatal(name):
    assert read_resource(body(name)).problem.startswith(f"metadata.name is {name!r}")


@pytest.mark.parametrize("spec", [[1], "x", 7, True])
def test_a_spec_that_is_no_object_is_invalid_not_fatal(spec):
    assert read_resource(body() | {"spec": spec}).problem.startswith("spec: ")


def finite(low, high):
    return st.floats(low, high, allow_nan=False) | st.none()


def spec_strategy():
    tag = st.from_regex(r"[A-Za-z][A-Za-z0-9_]{0,63}", fullmatch=True)
    text = st.text(st.characters(exclude_categories=["Cs"]), max_size=200).filter(str.strip)
    prompt = st.fixed_dictionaries(
        {"systemPrompt": text},
        optional={
            "promptType": st.text("abc_", min_size=1, max_size=50),
            "versionNumber": st.integers(0, 2**31 - 1),
            "dmsTags": st.dictionaries(tag, st.booleans(), max_size=20) | st.none(),
        },
    )
    return st.fixed_dictionaries(
        {"canonicalModel": st.sampled_from(["np-dms-ocr", "np-dms-ai"])},
        optional={
            "isActive": st.booleans(),
            "temperature": finite(0, 2),
            "topP": finite(0, 1),
            "repeatPenalty": finite(0.5, 2),
            "maxTokens": st.integers(1, 131_072) | st.none(),
            "numCtx": st.integers(512, 131_072) | st.none(),
            "keepAliveSeconds": st.integers(0, 86_400),
            "model": st.text("abc:", min_size=1, max_size=253) | st.none(),
            "retry": st.fixed_dictionaries(
                {}, optional={"maxAttempts": st.integers(1, 10), "temperatureStep": st.floats(0, 2)}
            ),
            "prompt": prompt | st.none(),
        },
    )


@example({"canonicalModel": "np-dms-ocr", "prompt": {"systemPrompt": "a\rb\r\nc\n\r"}})
@given(spec_strategy())
def test_any_valid_spec_goes_through_the_payload_unchanged_but_for_line_ends(spec):
    resource = read_resource(body() | {"spec": spec})
    assert resource.problem is None
    text = render_profile(resource.payload)
    assert parse_profile(text.encode(), resource.name) == resource.payload
    assert resource.payload.runtime_params.temperature == spec.get("temperature")
    assert resource.payload.runtime_params.num_ctx == spec.get("numCtx")
    written = (spec.get("prompt") or {}).get("systemPrompt")
    assert resource.payload.system_prompt == (written and re.sub("\r\n?", "\n", written))


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=12), inner, max_size=4),
    max_leaves=12,
)
FIELDS = ["canonicalModel", "isActive", "temperature", "prompt", "retry", "maxTokens", "model", "x"]


@given(st.dictionaries(st.sampled_from(FIELDS), JSON, max_size=5))
def test_a_junk_spec_is_invalid_and_never_more(spec):
    resource = read_resource(body() | {"spec": spec})
    assert (resource.payload is None) == (resource.problem is not None)
