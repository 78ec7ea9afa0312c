"""How many values a JSON text holds, told from its bytes."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sidecar.errors import InvalidValueError
from sidecar.wire import json_size
from sidecar.wire.body import parse
from sidecar.wire.json_size import MAX_NODES, MAX_VALUES, check_size
from sidecar.wire.retrieval import EmbedRequest

MIB = 1024 * 1024
MANY = {
    "empty lists": b"[" + b"[]," * 2 * MIB + b"1]",
    "empty objects": b"[" + b"{}," * 2 * MIB + b"1]",
    "lists in lists": b"[" * MIB + b"]" * MIB,
    "fields": b"{" + b"".join(b'"%x":1,' % number for number in range(700_000)) + b'"a":1}',
    "the same field": b"{" + b'"a":1,' * MIB + b'"a":1}',
    "numbers": b"[" + b"1," * 3 * MIB + b"1]",
    "texts": b"[" + b'"a",' * 2 * MIB + b'"a"]',
    "texts that end in backslashes": b"[" + rb'"\\\\",' * MIB + b"1]",
    "texts that hold a quote": b"[" + rb'"\"",' * 3 * (MIB // 2) + b"1]",
    "lists after half a pair": rb'["\ud800",' + b"[]," * 2 * MIB + b"1]",
}
STRINGS = {
    "prose": b"a, b: [c] {d}, " * (MIB // 2),
    "quotes": rb"\"," * 2 * MIB,
    "backslashes": rb"\\," * 2 * MIB,
    "quotes after backslashes": rb"\\\",[" * MIB,
}


@pytest.mark.parametrize("values", MANY.values(), ids=list(MANY))
@pytest.mark.parametrize("around", [b"%s", b'{"texts":["a"],"x":%s}', b'{"texts":["a"],"x":{"y":%s}}'])
def test_too_many_values_are_refused_wherever_they_lie(values, around):
    with pytest.raises(InvalidValueError, match="the body holds more than 1000000 values"):
        parse(EmbedRequest, around % values, 2048)


def test_another_encoding_hides_none():
    hidden = "\u2200" + MANY["empty lists"].decode()  # in UTF-16 the first character holds the byte of a quote
    body = ('{"texts":["\u2200"],"x":' + hidden[1:] + "}").encode("utf-16")
    with pytest.raises(InvalidValueError, match="the body holds more"):
        parse(EmbedRequest, body, 2048)

    assert parse(EmbedRequest, '{"texts":["\u2200"]}'.encode("utf-16"), 2048).texts == ["\u2200"]


@pytest.mark.parametrize("text", STRINGS.values(), ids=list(STRINGS))
def test_what_a_text_holds_is_no_value(text):
    body = b'{"texts":["' + text + b'"]}'
    check_size(body)

    assert parse(EmbedRequest, body, 2048).texts == [json.loads(b'"' + text + b'"')]


def test_the_limits_themselves_are_accepted():
    check_size(b"[" + b"1," * MAX_VALUES + b"1]")
    check_size(b"[" + b"[]," * (MAX_NODES - 1) + b"1]")
    with pytest.raises(InvalidValueError):
        check_size(b"[" + b"1," * (MAX_VALUES + 1) + b"1]")
    with pytest.raises(InvalidValueError):
        check_size(b"[" + b"[]," * MAX_NODES + b"1]")


JSON = st.recursive(
    st.none() | st.integers() | st.text(alphabet=st.characters(exclude_categories=["Cs"]) | st.sampled_from('\\",[{:')),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(alphabet='a\\",[{:'), inner),
)


def separators(value: object) -> int:
    match value:
        case list():
            return 1 + max(0, len(value) - 1) + sum(map(separators, value))
        case dict():
            return 1 + len(value) + max(0, len(value) - 1) + sum(map(separators, value.values()))
    return 0


@given(JSON)
def test_what_lies_outside_strings_is_found_exactly(value):
    text = json.dumps(value, ensure_ascii=False).encode()
    outside = b"".join(json_size._outside_strings(text))

    assert sum(outside.count(one) for one in (b",", b"[", b"{", b":")) == separators(value)


@pytest.mark.parametrize("shift", range(4))
def test_a_string_may_lie_across_slices(shift):
    text = b"[" + b" " * shift + b'"' + rb",\"" * json_size.SLICE_BYTES + b'",1]'

    assert b"".join(json_size._outside_strings(text)).replace(b" ", b"") == b"[,1]"
