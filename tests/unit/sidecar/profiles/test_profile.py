"""The payload of a profile, and who wins over whom."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sidecar.profiles.payload import (
    Profile,
    ProfileError,
    Retry,
    RuntimeParams,
    fold_lines,
    parse_profile,
    render_profile,
    revision_of,
    seal,
)
from sidecar.profiles.precedence import DEFAULT_TAGS, Overrides, instruct

SEED = {
    "name": "ocr-extract",
    "generation": 3,
    "canonicalModel": "np-dms-ocr",
    "model": None,
    "runtimeParams": {"temperature": 0.1, "top_p": 0.5, "repeat_penalty": 1.0, "max_tokens": None, "num_ctx": 8192},
    "keepAliveSeconds": 0,
    "retry": {"maxAttempts": 2, "temperatureStep": 0.1},
    "systemPrompt": "อ่านข้อความ",
    "dmsTags": {"document_number": True},
    "prompt": {"promptType": "ocr_extraction", "versionNumber": 2},
}


def parsed(**changed) -> Profile:
    return parse_profile(json.dumps(SEED | changed).encode(), "ocr-extract")


# ── the payload ───────────────────────────────────────────────────────────────────────────────────────────────────


def test_the_payload_of_the_design_is_read():
    profile = parsed()
    assert profile.runtime_params == RuntimeParams(temperature=0.1, top_p=0.5, repeat_penalty=1.0, num_ctx=8192)
    assert (profile.retry, profile.prompt.version_number) == (Retry(max_attempts=2, temperature_step=0.1), 2)
    assert profile.system_prompt == "อ่านข้อความ"


def test_a_payload_may_hold_nothing_but_what_is_set():
    assert parse_profile(b"{}", "a") == seal(Profile(name="a"))


def test_null_means_not_set_in_every_field():
    nulls = dict.fromkeys(SEED, None) | {"revision": None}
    assert parse_profile(json.dumps(nulls).encode(), "a") == parse_profile(b"{}", "a")


@pytest.mark.parametrize("tags", [{"a": True, "b": ""}, {"a": "RFA-1", "b": None}, ["a", "b"]])
def test_the_keys_of_tags_are_their_names_whatever_their_values(tags):
    assert list(parsed(dmsTags=tags).dms_tags) == ["a", "b"]


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        (
            {"runtimeParams": {"temperature": 2.1}},
            "runtimeParams.temperature is 2.1, accepted: less than or equal to 2",
        ),
        (
            {"runtimeParams": {"temperature": True}},
            "runtimeParams.temperature is true, accepted: a number",
        ),
        ({"runtimeParams": {"keep_alive": 1}}, "runtimeParams.keep_alive is not a field that is known here"),
        ({"keepAlive": 1}, "keepAlive is not a field that is known here"),
        ({"canonicalModel": "np-dms-ai"}, "canonicalModel is 'np-dms-ai', accepted: 'np-dms-ocr'"),
        ({"retry": {"maxAttempts": 0}}, "retry.maxAttempts is 0, accepted: greater than or equal to 1"),
        ({"systemPrompt": "x" * 10_001}, "systemPrompt: systemPrompt has 10001 characters, the limit is 10000"),
        ({"systemPrompt": ""}, "systemPrompt: systemPrompt is empty or no text; leave it out to use the model's own"),
        ({"systemPrompt": " \n"}, "systemPrompt: systemPrompt is empty or no text"),
        ({"systemPrompt": 5}, "systemPrompt: systemPrompt is empty or no text"),
        ({"userPrompt": 5}, "userPrompt: userPrompt is no text"),
        ({"userPrompt": "x" * 10_001}, "userPrompt: userPrompt has 10001 characters, the limit is 10000"),
        ({"dmsTags": {"1a": True}}, "dmsTags: dmsTags holds '1a'"),
        ({"name": "other"}, "name is 'other', the file is that of 'ocr-extract'"),
    ],
)
def test_a_bad_field_is_named_with_what_is_accepted(changed, said):
    with pytest.raises(ProfileError, match="^" + said.replace(".", r"\.")):
        parsed(**changed)


@pytest.mark.parametrize("content", [b"", b"{", b"[]", b"null", b'"x"', b"\xff", b"[" * 100_000])
def test_what_is_no_json_object_is_refused(content):
    with pytest.raises(ProfileError, match="it is not"):
        parse_profile(content, "a")


def test_nan_is_outside_every_range():
    with pytest.raises(ProfileError, match="finite"):
        parse_profile(b'{"runtimeParams": {"temperature": NaN}}', "a")


def test_the_revision_is_that_of_the_content_less_generation():
    assert revision_of(parsed(generation=4)) == revision_of(parsed())
    assert revision_of(parsed(systemPrompt="x")) != revision_of(parsed())
    assert revision_of(parsed(userPrompt="x")) != revision_of(parsed())
    assert revision_of(parsed(deadlineSeconds=9)) != revision_of(parsed())
    assert revision_of(parsed(userPrompt=" \r\n")) == revision_of(parsed())
    assert parsed().revision == revision_of(parsed())
    assert len(parsed().revision) == 12


def test_a_revision_that_is_given_is_kept():
    assert parsed(revision="0123456789ab").revision == "0123456789ab"


def test_the_revision_does_not_change_from_release_to_release():
    assert parse_profile(b'{"runtimeParams": {"temperature": 0}}', "ocr-extract").revision == "9df26f6526b5"


params = st.builds(
    RuntimeParams,
    temperature=st.none() | st.floats(0, 2),
    top_p=st.none() | st.floats(0, 1),
    repeat_penalty=st.none() | st.floats(0.5, 2),
    max_tokens=st.none() | st.integers(1, 131_072),
    num_ctx=st.none() | st.integers(512, 131_072),
)
tag_names = st.from_regex(r"[A-Za-z][A-Za-z0-9_]{0,63}", fullmatch=True)
profiles = st.builds(
    Profile,
    name=st.from_regex(r"[a-z0-9]([-a-z0-9]{0,20}[a-z0-9])?", fullmatch=True),
    generation=st.integers(0, 10**9),
    runtime_params=params,
    keep_alive_seconds=st.integers(0, 86_400),
    retry=st.builds(Retry, max_attempts=st.integers(1, 10), temperature_step=st.floats(0, 2)),
    system_prompt=st.none()
    | st.text(st.characters(exclude_categories=["Cs"]), max_size=200).filter(str.strip).map(fold_lines),
    dms_tags=st.none() | st.dictionaries(tag_names, st.just(True), max_size=5),
).map(seal)


@given(profiles)
def test_every_profile_comes_back_as_it_was_rendered(profile):
    assert parse_profile(render_profile(profile).encode(), profile.name) == profile


# ── who wins ──────────────────────────────────────────────────────────────────────────────────────────────────────

PROFILE = parsed()


def test_a_parameter_of_the_request_wins_over_the_profile_s():
    params = RuntimeParams(temperature=0, top_p=0)
    assert instruct(PROFILE, "m", Overrides(params=params)).params == RuntimeParams(
        temperature=0, top_p=0, repeat_penalty=1.0, num_ctx=8192
    )


def test_what_nobody_set_is_not_set():
    assert instruct(None, "m").params == RuntimeParams()


@given(params, params, params)
def test_the_strongest_value_that_is_set_is_taken_for_each_parameter(single, runtime, profile):
    taken = instruct(Profile(name="a", runtime_params=profile), "m", Overrides(params=single.over(runtime))).params
    for name in RuntimeParams.model_fields:
        said = [value for one in (single, runtime, profile) if (value := getattr(one, name)) is not None]
        assert getattr(taken, name) == (said[0] if said else None)


@pytest.mark.parametrize(
    ("asked", "published", "expected"),
    [
        (None, None, DEFAULT_TAGS),
        (None, {}, ()),
        (None, {"a": True}, ("a",)),
        ((), {"a": True}, ()),
        (("b",), {"a": True}, ("b",)),
    ],
)
def test_tags_of_the_request_win_then_those_of_the_profile_then_the_default_three(asked, published, expected):
    profile = Profile(name="a", dms_tags=published)
    assert instruct(profile, "m", Overrides(tags=asked)).tags == expected


def test_prompt_and_model_of_the_profile_are_used_unless_the_request_says_otherwise():
    profile = parsed(model="other:latest", keepAliveSeconds=30)
    assert instruct(profile, "m").system_prompt == "อ่านข้อความ"
    assert instruct(parsed(userPrompt="ถอด"), "m").user_prompt == "ถอด"
    assert instruct(parsed(deadlineSeconds=9), "m").deadline_s == 9
    assert instruct(parsed(deadlineSeconds=9), "m", Overrides(deadline_s=0.5)).deadline_s == 0.5
    assert instruct(parsed(userPrompt="ถอด"), "m", Overrides(user_prompt="read")).user_prompt == "read"
    assert instruct(profile, "m", Overrides(system_prompt="read")).system_prompt == "read"
    assert (instruct(profile, "m").model, instruct(PROFILE, "m").model) == (
        "other:latest",
        "m",
    )
    assert (instruct(profile, "m").keep_alive_cap_s, instruct(None, "m").retry) == (
        30,
        Retry(),
    )
