"""Mistral's request, of which the data URI was taken out."""

import json

import pytest

from sidecar.errors import InvalidValueError, KeepAliveRefusedError, MalformedBodyError
from sidecar.wire.dialects.data_uri import PLACEHOLDER
from sidecar.wire.dialects.mistral import FILE_URL, check_purpose, parse_ocr, ranges

DOCUMENT = {"type": "document_url", "document_url": PLACEHOLDER}


def parse(document: object = DOCUMENT, *, has_document: bool = True, **more: object):
    return parse_ocr(json.dumps({"model": "m", "document": document} | more).encode(), has_document=has_document)


@pytest.mark.parametrize(
    ("document", "file_id"),
    [
        (DOCUMENT, None),
        ({"document_url": PLACEHOLDER, "document_name": "a"}, None),
        ({"type": "image_url", "image_url": PLACEHOLDER}, None),
        ({"type": "image_url", "image_url": {"url": PLACEHOLDER, "detail": "high"}}, None),
        ({"type": "document_url", "document_url": f"{FILE_URL}abc"}, "abc"),
        ({"type": "image_url", "image_url": f"{FILE_URL}abc"}, "abc"),
        ({"type": "file", "file_id": "abc"}, "abc"),
    ],
)
def test_a_document_is_in_the_body_or_on_the_shelf(document, file_id):
    assert parse(document).file_id == file_id


@pytest.mark.parametrize(
    "url", ["http://169.254.169.254/", "https://a/b.pdf", "file:///etc/passwd", "", " data:x", "a.pdf"]
)
@pytest.mark.parametrize("name", ["document_url", "image_url"])
def test_no_url_is_ever_fetched(url, name):
    with pytest.raises(InvalidValueError, match=rf"document\.{name} is a URL, and nothing is fetched here"):
        parse({name: url}, has_document=False)


def test_a_data_uri_that_was_hidden_by_escapes_is_not_taken_for_the_one_that_was_found():
    for has_document in (True, False):
        with pytest.raises(InvalidValueError, match="first letters are escaped"):
            parse({"document_url": "data:;base64,AAAA"}, has_document=has_document)
    with pytest.raises(InvalidValueError, match="first letters are escaped"):
        parse({"document_url": PLACEHOLDER}, has_document=False)


@pytest.mark.parametrize("document", [{}, {"type": "file"}, {"file_id": "a", "document_url": PLACEHOLDER}])
def test_one_document_is_needed(document):
    with pytest.raises(InvalidValueError, match="document needs one of document_url, image_url and file_id"):
        parse(document)


@pytest.mark.parametrize(
    ("pages", "ours"),
    [
        (None, None),
        ([], None),
        ([0], "1"),
        ([2, 0, 1, 1, 7], "1-3,8"),
        ("0", "1"),
        ("0-5", "1-6"),
        ("0, 2-4", "1,3-5"),
    ],
)
def test_pages_count_from_0(pages, ours):
    assert parse(pages=pages).pages == ours


@pytest.mark.parametrize(
    "pages", ["", "a", "-1", "1-2-", "1-", "1;2", "1234567", "999999", "5-2", "\N{ARABIC-INDIC DIGIT ONE}"]
)
def test_what_is_no_list_of_pages_is_refused(pages):
    with pytest.raises(InvalidValueError, match=r"pages holds .*accepted are numbers from 0"):
        parse(pages=pages)


@pytest.mark.parametrize("pages", [[-1], [True], [1.5], ["a"], [999_999], {"a": 1}, 5])
def test_pages_that_are_no_numbers_are_named(pages):
    accepted = "accepted: a list of numbers from 0, or text such as 0,2-4"
    with pytest.raises(InvalidValueError) as refused:
        parse(pages=pages)
    assert refused.value.detail == f"pages is {json.dumps(pages)}, {accepted}"


def test_options_that_are_set_and_mean_nothing_are_named():
    options = {
        "include_image_base64": True,
        "table_format": "html",
        "image_limit": 0,
        "extract_header": False,
        "x": None,
    }
    assert parse(id="a", **options).ignored == ("include_image_base64", "table_format")


@pytest.mark.parametrize("body", [b"", b"[]", b'"a"', b"{", b'{"document": ', b"\xff", b"[" * 50_000])
def test_what_is_no_json_object_is_refused(body):
    with pytest.raises(MalformedBodyError, match="JSON"):
        parse_ocr(body, has_document=False)


@pytest.mark.parametrize("document", [None, "a", [], {"document_url": 5}, {"image_url": {"detail": "a"}}])
def test_what_is_no_document_is_named(document):
    with pytest.raises(InvalidValueError, match="document"):
        parse(document)


def test_keep_alive_is_refused_at_any_depth():
    with pytest.raises(KeepAliveRefusedError):
        parse(bbox_annotation_format={"a": [{"keep_alive": 5}]})


def test_files_are_for_ocr_alone():
    check_purpose(["ocr"])
    check_purpose([])
    with pytest.raises(InvalidValueError, match="purpose is 'fine-tune', accepted is ocr"):
        check_purpose(["fine-tune"])


def test_ranges_join_what_follows_one_another():
    assert ranges([5, 1, 2, 3, 9, 8]) == "1-3,5,8-9"
