"""Payloads that nobody should write: whatever they hold, they are read or refused, and can be written again."""

import pytest

from sidecar.profiles.payload import ProfileError, parse_profile, render_profile


@pytest.mark.parametrize(
    "content",
    [
        rb'{"systemPrompt": "a \ud800 b"}',
        rb'{"model": "\udc00"}',
        rb'{"revision": "\ud800"}',
        rb'{"name": "\ud800"}',
        rb'{"dmsTags": ["\ud800"]}',
        rb'{"dmsTags": {"\ud800": true}}',
        rb'{"prompt": {"promptType": "\ud800"}}',
        rb'{"runtimeParams": {"\ud800": 1}}',
        rb'{"\ud800": 1}',
    ],
)
def test_half_of_a_surrogate_pair_is_refused_wherever_it_stands(content):
    with pytest.raises(ProfileError):
        parse_profile(content, "a")


@pytest.mark.parametrize("depth", [10, 200, 300, 900, 100_000])
def test_a_tag_s_value_however_deep_is_read_or_refused(depth):
    content = b'{"dmsTags": {"a": ' + b"[" * depth + b"]" * depth + b"}}"
    try:
        profile = parse_profile(content, "a")
    except ProfileError:
        return
    assert parse_profile(render_profile(profile).encode(), "a") == profile


@pytest.mark.parametrize(
    "value", ["NaN", "Infinity", "-Infinity", "1e999", "9" * 4000, "9" * 5000, '"' + "x" * 10_000 + '"']
)
def test_a_tag_s_value_however_odd_is_read_or_refused(value):
    try:
        profile = parse_profile(b'{"dmsTags": {"a": ' + value.encode() + b"}}", "a")
    except ProfileError:
        return
    assert list(parse_profile(render_profile(profile).encode(), "a").dms_tags) == ["a"]


def test_a_refusal_repeats_no_long_value():
    with pytest.raises(ProfileError) as refused:
        parse_profile(b'{"dmsTags": ["' + b"1" * 100_000 + b'"], "systemPrompt": "' + b"x" * 20_000 + b'"}', "a")
    assert len(str(refused.value)) < 1000


def test_a_whole_surrogate_pair_is_a_character():
    assert parse_profile(rb'{"systemPrompt": "\ud83d\ude00"}', "a").system_prompt == "\U0001f600"
