"""A document in a JSON body: whatever the pieces in which it arrives, and however its characters are escaped."""

import base64
import json
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sidecar.errors import FieldTooLargeError, InvalidValueError
from sidecar.wire.dialects.data_uri import MAX_SKELETON_BYTES, PLACEHOLDER, BodySplitter

ESCAPES = [{}, {"/": "\\/"}, {"/": "\\/", "+": "\\u002B", "=": "\\u003d"}, {"A": "\\u0041", "B": "B\\n "}]
"""As Python, PHP, .NET and nobody writes them; the last has white space in it."""


def split(*pieces: bytes) -> tuple[bytes, BodySplitter]:
    splitter = BodySplitter()
    return b"".join(map(splitter.feed, pieces)), splitter


def body_of(uri: str) -> bytes:
    return f'{{"a \\" b": ["x\\\\", "dat"], "u" : "{uri}", "z": "d\\\\\\"ata:"}}'.encode()


@given(st.binary(max_size=60), st.sampled_from(ESCAPES), st.lists(st.integers(0, 400), max_size=8))
def test_a_document_comes_out_whole_however_its_body_is_cut(document, escapes, cuts):
    encoded = base64.b64encode(document).decode().translate(str.maketrans(escapes))
    body = body_of(f"DATA:application\\/pdf;base64,{encoded}")
    ends = sorted({0, len(body), *(cut for cut in cuts if cut < len(body))})

    found, splitter = split(*(body[first:last] for first, last in pairwise(ends)))

    assert found == document
    assert splitter.has_document
    assert json.loads(splitter.skeleton) == {'a " b': ["x\\", "dat"], "u": PLACEHOLDER, "z": 'd\\"ata:'}


def test_one_byte_at_a_time_is_the_same():
    body = body_of(f"data:;base64,{base64.b64encode(bytes(range(200))).decode()}".replace("/", "\\u002f"))
    found, splitter = split(*(body[at : at + 1] for at in range(len(body))))
    assert (found, splitter.has_document) == (bytes(range(200)), True)


def test_a_body_without_a_document_is_its_own_skeleton():
    body = b'{"u": "https://a/data:application/pdf;base64,AAAA", "v": "", "w": "dat"}'
    found, splitter = split(body)
    assert (found, splitter.has_document, bytes(splitter.skeleton)) == (b"", False, body)


@pytest.mark.parametrize(
    "encoded",
    [
        "AAA",
        "A",
        "AA=A",
        "AAAA=",
        "AA==AAAA",
        "AAAA====",
        "AA-_",
        "AAA*",
        "AAA\\u00e9",
        "AAA\\q",
        "AAAA\\",
        "\\u12",
        "=AAA",
        "AA== AAAA",
    ],
)
@pytest.mark.parametrize("step", [1, 4, 1000])
def test_what_is_no_base64_is_refused(encoded, step):
    body = f'{{"u": "data:;base64,{encoded}"}}'.encode()
    with pytest.raises(InvalidValueError, match="is not base64: it is incomplete, or has characters"):
        split(*(body[at : at + step] for at in range(0, len(body), step)), b'"')


@pytest.mark.parametrize("uri", ["data:text/plain,words", "data:,x", "data:;base64x,AAAA"])
def test_a_data_uri_that_is_not_in_base64_is_refused(uri):
    with pytest.raises(InvalidValueError, match="not in base64: data:application/pdf;base64,… is accepted"):
        split(f'{{"u": "{uri}"}}'.encode())


@pytest.mark.parametrize("uri", ["data:", "data:application/pdf", f"data:{'x' * 600};base64,AAAA"])
def test_a_data_uri_without_a_comma_or_with_it_far_off_is_refused(uri):
    with pytest.raises(InvalidValueError, match="is not base64"):
        split(f'{{"u": "{uri}"}}'.encode())


NAMED = (
    b'{"options": {"a": "base64_string", "b": ["base64_string"]}, "base64_string" : "JVBERi0=", "c": "data:;base64,"}'
)


@pytest.mark.parametrize("step", [1, 7, 1000])
def test_a_document_may_be_the_value_of_a_key(step):
    splitter = BodySplitter("base64_string")
    assert b"".join(splitter.feed(NAMED[at : at + step]) for at in range(0, len(NAMED), step)) == b"%PDF-"
    assert splitter.has_document
    assert bytes(splitter.skeleton) == NAMED.replace(b"JVBERi0=", PLACEHOLDER.encode())


@pytest.mark.parametrize(
    "body", [b'{"base64_string": null, "a": "AAAA"}', b'["base64_string", "AAAA"]', b'{"base64_strin\\u0067": "AAAA"}']
)
def test_what_only_looks_like_that_value_stays_in_the_body(body):
    splitter = BodySplitter("base64_string")
    assert (splitter.feed(body), splitter.has_document, bytes(splitter.skeleton)) == (b"", False, body)


def test_a_keys_second_value_is_a_second_document():
    splitter = BodySplitter("base64_string")
    with pytest.raises(InvalidValueError, match="two documents"):
        splitter.feed(b'[{"base64_string": "AAAA"}, {"base64_string": "AAAA"}]')


def test_a_second_document_is_refused():
    with pytest.raises(InvalidValueError, match="two documents, one a request"):
        split(b'{"u": "data:;base64,AAAA", "v": "data:;base64,AAAA"}')


@pytest.mark.parametrize("rest", [b" ", b"x", b'"",', b'"\\"",', b"\\"])
@pytest.mark.parametrize("step", [1000, 10_000_000])
def test_the_rest_of_a_body_is_bounded_whatever_it_is_made_of(rest, step):
    body = b'{"u": "data:;base64,AAAA", "v": "' + rest * MAX_SKELETON_BYTES
    splitter = BodySplitter()
    pieces = (body[at : at + step] for at in range(0, len(body), step))
    with pytest.raises(FieldTooLargeError, match="65536 bytes beside its document"):
        b"".join(map(splitter.feed, pieces))
    assert len(splitter.skeleton) <= 2 * MAX_SKELETON_BYTES + 100
