"""What a row asks for, and what becomes of junk."""

import json
import math
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from controller.mirror.rows import (
    MAX_CONTEXT_CHARS,
    JunkRow,
    ProfileRow,
    PromptRow,
    prompt_of_row,
    spec_of_row,
    tags_of,
    user_prompt_of_row,
    wanted_profiles,
    wanted_prompt,
)
from controller.resource.spec import InvalidSpec, parse_spec, payload_of
from sidecar.profiles.payload import ProfileError, parse_profile, render_profile
from tests.unit.controller.mirror.row_makers import profile, prompt


def test_the_seed_row_becomes_the_documented_spec():
    assert spec_of_row(profile()) == {
        "canonicalModel": "np-dms-ocr",
        "isActive": True,
        "temperature": 0.1,
        "topP": 0.5,
        "repeatPenalty": 1,
        "maxTokens": None,
        "numCtx": 8192,
        "keepAliveSeconds": 0,
    }


@pytest.mark.parametrize(
    ("value", "number", "text"),
    [
        (Decimal("0.000"), 0, "0"),
        (Decimal("-0.000"), 0, "0"),
        (Decimal("0.100"), 0.1, "0.1"),
        (Decimal("0.300"), 0.3, "0.3"),
        (Decimal("1.999"), 1.999, "1.999"),
        (Decimal("2.000"), 2, "2"),
        (0, 0, "0"),
        (0.15, 0.15, "0.15"),
        (None, None, "null"),
    ],
)
def test_decimals_are_exact_and_zero_is_a_value(value, number, text):
    temperature = spec_of_row(profile(temperature=value))["temperature"]
    assert temperature == number
    assert json.dumps(temperature) == text


@pytest.mark.parametrize(
    ("columns", "message"),
    [
        ({"temperature": Decimal("2.001")}, "temperature is 2.001: input should be less than or equal to 2"),
        ({"temperature": Decimal("-0.001")}, "temperature is -0.001: input should be greater than or equal to 0"),
        ({"temperature": "0.1"}, "temperature is '0.1', a number is accepted"),
        ({"temperature": b"\xff"}, r"temperature is b'\xff', a number is accepted"),
        ({"temperature": math.nan}, "temperature is nan, a finite number is accepted"),
        ({"temperature": Decimal("sNaN")}, "temperature is sNaN, a finite number is accepted"),
        ({"temperature": Decimal("1e9999")}, "temperature is 1E+9999, a finite number is accepted"),
        ({"temperature": 10**400}, f"temperature is {'1' + 79 * '0'}, a finite number is accepted"),
        ({"top_p": Decimal("1.001")}, "topP is 1.001: input should be less than or equal to 1"),
        ({"repeat_penalty": Decimal("0.499")}, "repeatPenalty is 0.499: input should be greater than or equal to 0.5"),
        ({"repeat_penalty": Decimal(99)}, "repeatPenalty is 99: input should be less than or equal to 2"),
        ({"max_tokens": 0}, "maxTokens is 0: input should be greater than or equal to 1"),
        ({"max_tokens": 131_073}, "maxTokens is 131073: input should be less than or equal to 131072"),
        ({"num_ctx": 511}, "numCtx is 511: input should be greater than or equal to 512"),
        (
            {"num_ctx": Decimal("512.5")},
            "numCtx is 512.5: input should be a whole number",
        ),
        ({"keep_alive_seconds": -1}, "keepAliveSeconds is -1: input should be greater than or equal to 0"),
        ({"is_active": 2}, "is_active is 2, 0 or 1 is accepted"),
        ({"is_active": None}, "is_active is NULL, 0 or 1 is accepted"),
        ({"is_active": Decimal("sNaN")}, "is_active is sNaN, 0 or 1 is accepted"),
        ({"canonical_model": None}, "canonical_model is NULL, text is accepted"),
        (
            {"canonical_model": "NP-DMS-OCR"},
            "canonicalModel is 'NP-DMS-OCR': input should be 'np-dms-ocr' or 'np-dms-ai'",
        ),
    ],
)
def test_a_row_outside_the_ranges_is_refused_with_field_value_and_range(columns, message):
    with pytest.raises(JunkRow) as caught:
        spec_of_row(profile(**columns))
    assert str(caught.value) == message


@pytest.mark.parametrize(
    "columns",
    [
        {"temperature": 0},
        {"temperature": 2},
        {"top_p": 0},
        {"top_p": 1},
        {"repeat_penalty": Decimal("0.5")},
        {"max_tokens": 1},
        {"max_tokens": 131_072},
        {"num_ctx": 512},
        {"keep_alive_seconds": 86_400},
        {"canonical_model": "np-dms-ai"},
        {"is_active": 0},
    ],
)
def test_the_limits_themselves_are_accepted(columns):
    wanted, _ = wanted_profiles([profile(**columns)])
    assert wanted["ocr-extract"].problem == ""


# ── names ─────────────────────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    "name", ["OCR", "ocr_extract", "-ocr", "ocr-", "ocr extract", "", "a..b", "ocr\n", "สวัสดี", 5, None, "x" * 249]
)
def test_a_name_that_no_resource_can_have_is_refused_not_mapped(name):
    wanted, nameless = wanted_profiles([profile(profile_name=name), profile(profile_name="good")])
    assert list(wanted) == ["good"]
    assert len(nameless) == 1
    assert nameless[0].startswith("row 5: profile_name is ")


@pytest.mark.parametrize("name", ["a", "0", "ocr-extract", "ocr.extract.v2", b"ocr-extract", "x" * 248])
def test_a_name_that_a_resource_can_have_is_the_resources_name(name):
    wanted, nameless = wanted_profiles([profile(profile_name=name)])
    assert nameless == []
    assert list(wanted) == [name.decode() if isinstance(name, bytes) else name]


def test_two_rows_of_one_name_are_both_refused():
    wanted, _ = wanted_profiles([profile(), profile(temperature=Decimal(1))])
    assert wanted["ocr-extract"].spec is None
    assert wanted["ocr-extract"].problem == "more than one row has this name"


# ── prompts ───────────────────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    ("context", "tags"),
    [
        (None, None),
        ("null", None),
        ("{}", None),
        ('{"dmsTags": null}', None),
        ('{"dmsTags": {"documentNumber": true}}', {"documentNumber": True}),
        ('{"dmsTags": {"document_number": ""}}', {"document_number": True}),
        ('{"dmsTags": {"document_number": "RFA-0001"}}', {"document_number": True}),
        ('{"dmsTags": {"document_number": false}}', {"document_number": True}),
        ('{"dmsTags": ["a", "b"]}', {"a": True, "b": True}),
        ('{"dmsTags": ["a", "a"]}', {"a": True}),
        ('{"dmsTags": {}, "other": 1}', {}),
        ('{"dmsTags": []}', {}),
        (b'{"dmsTags": ["a"]}', {"a": True}),
    ],
)
def test_every_seen_shape_of_tags_means_names(context, tags):
    assert tags_of(context) == tags


@pytest.mark.parametrize(
    "context",
    [
        "",
        "{",
        "nope",
        "[]",
        '"text"',
        "3",
        '{"dmsTags": 3}',
        '{"dmsTags": [1]}',
        '{"dmsTags": "a"}',
        '{"dmsTags": ["\ud800"]}',
        7,
        b"\xff",
        pytest.param("[" * 60_000, id="too deep"),
        pytest.param("9" * 5_000, id="too long a number"),
        pytest.param(" " * (MAX_CONTEXT_CHARS + 1), id="too long"),
    ],
)
def test_a_context_that_says_no_tags_is_refused(context):
    with pytest.raises(JunkRow):
        tags_of(context)


@pytest.mark.parametrize(
    ("columns", "message"),
    [
        ({"template": None}, "template is NULL, text is accepted"),
        ({"template": " \n"}, "template is empty, text is accepted"),
        ({"template": "ก" * 10_001}, "template has more than 10000 characters, which is the limit"),
        ({"template": "\ud800"}, "template is not UTF-8"),
        ({"version_number": None}, "version_number is NULL, a whole number is accepted"),
        ({"version_number": -1}, "prompt.versionNumber: input should be greater than or equal to 0"),
        (
            {"context_config": '{"dmsTags": ["1st"]}'},
            "prompt.dmsTags: dmsTags holds '1st', accepted are a letter, then up to 63 letters, digits and underscores",
        ),
    ],
)
def test_a_junk_prompt_is_refused_without_its_text(columns, message):
    with pytest.raises(JunkRow) as caught:
        prompt_of_row(prompt(**columns), "ocr_extraction")
    assert str(caught.value) == message


@pytest.mark.parametrize(
    "text",
    [
        "",
        " ",
        "\n\t",
        "\u3000",
        "\u200b",
        "\x00",
        "a",
        " a ",
        "😀" * 10_000,
        "a" * 10_001,
        " " * 10_001,
        "\udc80",
        7,
        True,
    ],
    ids=ascii,
)
def test_row_spec_and_payload_judge_a_prompt_alike(text):
    def takes(parse, *given):
        try:
            parse(*given)
        except (JunkRow, InvalidSpec, ProfileError):
            return False
        return True

    body = {"metadata": {"name": "a"}, "spec": {"canonicalModel": "np-dms-ocr", "prompt": {"systemPrompt": text}}}
    verdicts = {
        "row": takes(prompt_of_row, prompt(template=text), "ocr_extraction"),
        "spec": takes(parse_spec, body),
        "payload": takes(parse_profile, json.dumps({"systemPrompt": text}).encode(), "a"),
    }
    assert len(set(verdicts.values())) == 1, verdicts


def test_both_prompts_of_a_row_have_one_kind_of_line_end():
    row = prompt(template="a\r\nb\rc\nd")
    assert prompt_of_row(row, "ocr_system")["systemPrompt"] == "a\nb\nc\nd"
    assert user_prompt_of_row(row) == {"userPrompt": "a\nb\nc\nd"}


def test_a_prompt_is_passed_on_as_it_is_placeholders_and_all():
    text = "ก" * 9_990 + "{{text}}"
    assert prompt_of_row(prompt(template=text), "ocr_system") == {
        "promptType": "ocr_system",
        "versionNumber": 2,
        "systemPrompt": text,
        "dmsTags": {"documentNumber": True},
    }


def test_of_two_active_prompts_the_higher_version_wins_and_it_is_said():
    found = wanted_prompt([prompt(version_number=3), prompt(version_number=2)], "ocr_extraction")
    assert found.block is not None
    assert found.block["versionNumber"] == 3
    assert found.warning == (
        "TwoActivePrompts",
        "more than one prompt of type ocr_extraction is active, versions 3 and 2 among them; the higher wins",
    )


def test_no_active_prompt_is_said():
    found = wanted_prompt([], "ocr_extraction")
    assert (found.block, found.is_known) == (None, True)
    assert found.warning == ("NoActivePrompt", "no prompt of type ocr_extraction is active")


def test_a_junk_prompt_is_not_known():
    found = wanted_prompt([prompt(context_config="{")], "ocr_extraction")
    assert (found.block, found.is_known) == (None, False)
    assert found.warning is not None
    assert found.warning[0] == "PromptInvalid"


# ── whatever stands in the tables ─────────────────────────────────────────────────────────────────────────────────

JUNK = st.one_of(
    st.none(),
    st.integers(),
    st.booleans(),
    st.floats(),
    st.decimals(),
    st.text(st.characters(), max_size=60),
    st.binary(max_size=20),
    st.just(10**5000),
    st.datetimes(),
)


def decimals(low: str, high: str, places: int = 3):
    return st.decimals(Decimal(low), Decimal(high), places=places)


NAMES = st.from_regex(r"[a-z0-9]([-a-z0-9]{0,20}[a-z0-9])?(\.[a-z0-9]{1,5})?", fullmatch=True)
VALID = st.builds(
    ProfileRow,
    id=st.integers(1, 2**31),
    profile_name=NAMES,
    canonical_model=st.just("np-dms-ocr"),
    temperature=st.none() | decimals("0", "2"),
    top_p=st.none() | decimals("0", "1"),
    max_tokens=st.none() | st.integers(1, 131_072),
    num_ctx=st.none() | st.integers(512, 131_072),
    repeat_penalty=st.none() | decimals("0.5", "2"),
    keep_alive_seconds=st.none() | st.integers(0, 86_400),
    is_active=st.sampled_from([0, 1, True]),
)
TAGS = st.from_regex(r"[A-Za-z][A-Za-z0-9_]{0,63}", fullmatch=True)
CONTEXTS = st.one_of(
    st.none(),
    st.lists(TAGS, max_size=5).map(lambda tags: json.dumps({"dmsTags": tags})),
    st.dictionaries(TAGS, st.text(max_size=5) | st.booleans(), max_size=5).map(lambda t: json.dumps({"dmsTags": t})),
)
TEXTS = st.text(st.characters(codec="utf-8"), min_size=1, max_size=60).filter(lambda text: text.strip())
VALID_PROMPTS = st.builds(PromptRow, version_number=st.integers(0, 2**31 - 1), template=TEXTS, context_config=CONTEXTS)
JUNK_ROWS = st.builds(ProfileRow, **dict.fromkeys(ProfileRow.__dataclass_fields__, JUNK))
JUNK_PROMPTS = st.builds(PromptRow, **dict.fromkeys(PromptRow.__dataclass_fields__, JUNK))


@given(row=VALID, active=VALID_PROMPTS)
def test_any_valid_row_gives_a_profile_that_the_sidecar_accepts(row, active):
    wanted, nameless = wanted_profiles([row])
    found = wanted_prompt([active], "ocr_extraction")
    assert (nameless, found.warning) == ([], None)
    spec = wanted[row.profile_name].spec
    assert spec is not None
    body = {"metadata": {"name": row.profile_name}, "spec": {**spec, "prompt": found.block}}
    payload = payload_of(row.profile_name, 1, parse_spec(body))
    assert parse_profile(render_profile(payload).encode(), row.profile_name) == payload
    for column, value in (("temperature", payload.runtime_params.temperature), ("top_p", payload.runtime_params.top_p)):
        told = getattr(row, column)
        assert (value is None) == (told is None)
        assert told is None or Decimal(repr(value)) == told


@given(rows=st.lists(JUNK_ROWS | VALID, max_size=4), prompts=st.lists(JUNK_PROMPTS | VALID_PROMPTS, max_size=2))
def test_whatever_stands_in_the_tables_is_read_or_refused_in_words(rows, prompts):
    wanted, nameless = wanted_profiles(rows)
    found = wanted_prompt(prompts, "ocr_extraction")
    for sentence in (*nameless, *(one.problem for one in wanted.values()), *(found.warning or ())):
        assert len(sentence.encode()) < 4_096
    for name, one in wanted.items():
        if one.spec is not None:
            body = {"metadata": {"name": name}, "spec": {**one.spec, "prompt": found.block}}
            assert payload_of(name, 1, parse_spec(body)).name == name


@given(column=st.sampled_from(sorted(ProfileRow.__dataclass_fields__)), value=JUNK)
def test_one_junk_value_harms_its_own_row_only(column, value):
    wanted, _ = wanted_profiles([profile(**{column: value}), profile(profile_name="unharmed")])
    assert wanted["unharmed"].spec == spec_of_row(profile())
