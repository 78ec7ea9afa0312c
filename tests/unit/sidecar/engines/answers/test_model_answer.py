"""What a model's answer is worth, and the text inside it."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sidecar.engines.answers.model_answer import ModelAnswer, inner_text, judge
from sidecar.ocr.engine import PageVerdict

GOOD, TRUNCATED, LOOPED, EMPTY = PageVerdict.GOOD, PageVerdict.TRUNCATED, PageVerdict.LOOPED, PageVerdict.EMPTY
THAI = "ประกาศกระทรวง\nเรื่อง การจัดซื้อ"


def wrapped(text: object, **others: object) -> str:
    return json.dumps({"natural_text": text} | others, ensure_ascii=False)


# ── the verdict ───────────────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    ("content", "done_reason", "verdict"),
    [
        (THAI, "stop", GOOD),
        (THAI, "length", TRUNCATED),
        (THAI, "cut", TRUNCATED),
        (THAI, "deadline", TRUNCATED),
        (THAI, "error", TRUNCATED),
        (THAI, "too-long", TRUNCATED),
        (THAI, "load", TRUNCATED),
        (THAI, "", TRUNCATED),
        (THAI, "loop", LOOPED),
        ("", "stop", EMPTY),
        (" \n\t ", "stop", EMPTY),
        ("", "cut", TRUNCATED),
        ("", "length", TRUNCATED),
        ("", "loop", LOOPED),
    ],
)
def test_only_a_stream_that_stopped_by_itself_and_said_something_is_good(content, done_reason, verdict):
    assert judge(content, done_reason) == ModelAnswer(content, verdict, done_reason)


@pytest.mark.parametrize("empty", ["", " \n", None])
def test_json_that_holds_no_text_is_an_empty_answer(empty):
    assert judge(wrapped(empty), "stop").verdict is EMPTY


def test_json_that_breaks_off_is_a_truncated_answer_whatever_the_server_said():
    assert judge('{"natural_text": "a page', "stop") == ModelAnswer("a page", TRUNCATED, "cut")


@pytest.mark.parametrize(("done_reason", "verdict"), [("length", TRUNCATED), ("loop", LOOPED)])
def test_the_inner_text_is_taken_whatever_the_verdict(done_reason, verdict):
    assert judge(wrapped(THAI), done_reason) == ModelAnswer(THAI, verdict, done_reason)


# ── the text ──────────────────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    "content",
    [
        wrapped(THAI),
        "\n  " + wrapped(THAI) + "\n",
        wrapped(THAI, page=1, primary_language="th"),
        json.dumps({"is_table": False, "natural_text": THAI}),
        "```json\n" + wrapped(THAI) + "\n```",
        "```\n" + wrapped(THAI) + "\n```\n",
        '{\n "natural_text" : "' + THAI + '"\n}',
    ],
)
def test_the_text_is_taken_out_of_json(content):
    assert inner_text(content) == (THAI, True)


@pytest.mark.parametrize(
    "content",
    [
        THAI,
        "",
        "{not json}",
        "{1} see below",
        "Total: {",
        '{"document_number": "RFA-1"}',
        '{"natural_text": ["a", "b"]}',
        '{"document_number": "x"} and so on',
        "{} and so on",
        "[1, 2]",
        '"natural_text": "x"',
        "```python\nprint()\n```",
        "{{placeholder}}",
        "{ ข้อ 1 }",
    ],
)
def test_what_is_no_such_json_is_left_as_it_is(content):
    assert inner_text(content) == (content, True)


@pytest.mark.parametrize(
    ("content", "text"),
    [
        ('{"natural_text": "a page', "a page"),
        ('{"natural_text": "two\\nlines', "two\nlines"),
        ('{"natural_text": "two\nlines\\t', "two\nlines\t"),
        ('{"natural_text": "he said \\"yes', 'he said "yes'),
        ('{"natural_text": "two\\nlines\\', "two\nlines"),
        ('{"natural_text": "two\\nlines\\u0e0', "two\nlines"),
        ('{"natural_text": "\\u0e01', "ก"),
        ('{"natural_text": "', ""),
        ('{"page": 1, "natural_text": "a page', "a page"),
        ('```json\n{"natural_text": "a page', "a page"),
        ('{"natural_te', '{"natural_te'),
        ('{"page": 1, "na', '{"page": 1, "na'),
    ],
)
def test_of_json_that_breaks_off_the_text_so_far_is_taken(content, text):
    assert inner_text(content) == (text, False)


@pytest.mark.parametrize(
    "content",
    [
        pytest.param('{"natural_text": "two\\nlines"', id="before the closing brace"),
        pytest.param('{"natural_text": "two\\nlines", ', id="after the comma"),
        pytest.param('{"natural_text": "two\\nlines", "primary_la', id="in the next key"),
    ],
)
def test_json_that_breaks_off_after_its_text_gives_the_text_alone(content):
    assert inner_text(content) == ("two\nlines", False)


def test_json_that_breaks_off_after_an_escaped_backslash_gives_the_text():
    assert inner_text('{"natural_text": "two\\nlines C:\\\\') == ("two\nlines C:\\", False)


@pytest.mark.parametrize(
    "content", ['{"natural_text": "a \\ud83d"}', '{"natural_text": "a \\ud83d', '{"natural_text": "\\ud83d\\']
)
def test_the_text_is_unicode_even_where_the_model_s_escapes_are_not(content):
    assert "\ud83d" not in inner_text(content)[0]


@given(st.text())
def test_json_gives_back_the_text_that_went_in(text):
    assert inner_text(wrapped(text)) == (text, True)


@given(st.text(st.characters(exclude_categories=["Cs"])), st.booleans(), st.data())
def test_json_that_breaks_off_anywhere_gives_the_beginning_of_its_text(text, ascii_only, data):
    content = json.dumps({"natural_text": text}, ensure_ascii=ascii_only)
    start, end = len('{"natural_text": "'), len(content) - len('"}')
    partial, whole = inner_text(content[: data.draw(st.integers(start, end))])
    assert not whole
    beginning = partial[:-1] if partial and "\ud800" <= partial[-1] <= "\udfff" else partial
    assert text.startswith(beginning)


@given(
    st.text(st.sampled_from('{}[]"\\:,`\n natural_text1u'), max_size=60), st.sampled_from(["stop", "length", "loop"])
)
def test_no_answer_breaks_the_judge(content, done_reason):
    assert isinstance(judge(content, done_reason).text, str)


@pytest.mark.parametrize("inner", ["[" * 100_000, "{" * 100_000, '{"a":' * 100_000, "9" * 10_000])
def test_json_beyond_reason_breaks_nothing(inner):
    assert judge('{"natural_text": ' + inner, "stop").verdict is TRUNCATED


@pytest.mark.parametrize("remark", [" and so on", "\n```\nThat is all.", "\n\n"])
def test_a_remark_behind_the_json_is_not_the_page_s(remark):
    assert inner_text('{"natural_text": "x"}' + remark) == ("x", True)


@pytest.mark.parametrize(
    ("content", "text"),
    [
        ("---\nprimary_language: en\nis_table: False\n---\n# Title\ntext", "# Title\ntext"),
        ("\n---\nprimary_language: en\n---\n", ""),
        ("---\nprimary_language: en\n---", ""),
        ("---\nprimary_language: en\nis_ta", "---\nprimary_language: en\nis_ta"),
        ("---\nThe first rule: a page may begin with a line\n---\n", None),
        ("# Title\n---\na: b\n---\n", None),
        ("no block", None),
    ],
)
def test_a_block_of_yaml_before_the_text_is_no_text_where_the_model_writes_one(content, text):
    assert judge(content, "stop", form="front-matter").text == (content if text is None else text)
    assert judge(content, "stop").text == content
