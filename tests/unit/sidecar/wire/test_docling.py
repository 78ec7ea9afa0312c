"""docling-serve's form, and the formats in which a document is answered."""

import json

import pytest

from sidecar.errors import InvalidValueError, MalformedBodyError
from sidecar.wire.dialects.data_uri import PLACEHOLDER
from sidecar.wire.dialects.docling import parse_form, parse_source
from sidecar.wire.dialects.docling_formats import as_docling_document, as_doctags, as_markdown, paragraphs

PAGES = [(2, "One <line>\nand another\n\n \nNext & last"), (3, ""), (5, "Alone")]


def test_what_is_not_said_is_docling_serves_default():
    asked = parse_form({})
    assert (asked.form.to_formats, asked.form.target_type, asked.ignored) == (["md"], "inbody", ())
    assert asked.fields("tesseract") == {}


@pytest.mark.parametrize(
    ("fields", "ours"),
    [
        ({"page_range": ["1", "9223372036854775807"]}, {}),
        ({"page_range": ["2", "9223372036854775807"]}, {"pages": "2-999999"}),
        ({"page_range": ["1", "4"]}, {"pages": "1-4"}),
        ({"page_range": ["[2, 4]"]}, {"pages": "2-4"}),
        ({"page_range": ["2,4"]}, {"pages": "2-4"}),
        ({"force_ocr": ["true"]}, {"engine": "tesseract"}),
        ({"force_ocr": ["False"], "do_ocr": ["1"]}, {}),
        ({"ocr_lang": ["tha", "eng"]}, {"languages": "tha+eng"}),
        ({"ocr_lang": ['["tha","eng"]']}, {"languages": "tha+eng"}),
        ({"document_timeout": ["604800.0"]}, {}),
        ({"document_timeout": ["30"]}, {"deadline_seconds": "30.0"}),
        ({"page_range": [""], "ocr_lang": [], "document_timeout": [""]}, {}),
    ],
)
def test_options_become_ours(fields, ours):
    assert parse_form(fields).fields("tesseract") == ours


@pytest.mark.parametrize(
    ("fields", "said"),
    [
        ({"to_formats": ["md", "yaml"]}, "to_formats.1 is 'yaml', accepted: 'md', 'json'"),
        ({"page_range": ["1"]}, "page_range"),
        ({"page_range": ["0", "3"]}, "page_range.0 is '0', accepted: greater than or equal to 1"),
        ({"page_range": ["3", "1"]}, "page_range .*must ascend"),
        ({"page_range": ["a", "3"]}, "page_range.0 is 'a'"),
        ({"target_type": ["zip"]}, "target_type is 'zip', accepted: 'inbody'"),
        ({"force_ocr": ["perhaps"]}, "force_ocr is 'perhaps'"),
        ({"document_timeout": ["0"]}, "document_timeout is '0'"),
        ({"document_timeout": ["nan"]}, "document_timeout is 'nan'"),
        ({"force_ocr": ["true", "false"]}, "force_ocr is given twice"),
    ],
)
def test_what_is_not_accepted_is_named(fields, said):
    with pytest.raises(InvalidValueError, match=said):
        parse_form(fields)


def test_options_that_mean_nothing_are_named():
    fields = {"table_mode": ["fast"], "image_export_mode": ["placeholder"], "do_ocr": ["false"], "to_formats": ["md"]}
    assert parse_form(fields).ignored == ("table_mode", "image_export_mode", "do_ocr")


def source(*sources: object, **more: object) -> bytes:
    held = sources or ({"kind": "file", "filename": "a.pdf", "base64_string": PLACEHOLDER},)
    return json.dumps({"sources": held} | more).encode()


def test_a_body_of_json_has_the_same_options():
    options = {
        "to_formats": ["json", "md"],
        "page_range": [2, 4],
        "ocr_lang": None,
        "do_chunking": True,
        "force_ocr": True,
    }
    asked, filename = parse_source(source(options=options, callbacks=[]), has_document=True)
    assert (asked.form.to_formats, asked.fields("e"), filename) == (
        ["json", "md"],
        {"engine": "e", "pages": "2-4"},
        "a.pdf",
    )
    assert asked.ignored == ("do_chunking", "callbacks")


@pytest.mark.parametrize(
    "body",
    [
        source({"kind": "http", "url": "https://example.com/a.pdf"}),
        source({"kind": "s3", "endpoint": "a"}),
        source({"kind": "file", "base64_string": "AAAA"}),
        source({"base64_string": PLACEHOLDER}, {"kind": "http", "url": "a"}),
        b'{"sources": []}',
        b'{"http_sources": [{"url": "a"}]}',
        b"{}",
    ],
)
def test_nothing_is_fetched_from_a_source(body):
    with pytest.raises(InvalidValueError, match="nothing is fetched here: sources must hold one file"):
        parse_source(body, has_document=True)
    with pytest.raises(InvalidValueError, match="nothing is fetched here"):
        parse_source(source(), has_document=False)


@pytest.mark.parametrize(
    ("more", "said"),
    [
        ({"target": {"kind": "put", "url": "http://a"}}, "target_type is 'put', accepted: 'inbody'"),
        ({"options": {"to_formats": ["yaml"]}}, "to_formats.0 is 'yaml'"),
        ({"options": {"page_range": [1]}}, "page_range"),
        ({"options": []}, "options is"),
        ({"target": "a"}, "target is 'a'"),
    ],
)
def test_what_a_body_of_json_may_not_ask_is_named(more, said):
    with pytest.raises(InvalidValueError, match=said):
        parse_source(source(**more), has_document=True)


def test_a_body_that_is_no_object_is_refused():
    with pytest.raises(MalformedBodyError, match="JSON"):
        parse_source(b"[1", has_document=False)


def test_between_pages_of_markdown_stands_what_shall_stand_there():
    assert as_markdown(["One", "", "Alone"], "") == "One\n\n\n\nAlone"
    assert as_markdown(["", "Alone"], "<!-- break -->") == "\n\n<!-- break -->\n\nAlone"


def test_paragraphs_are_divided_by_blank_lines():
    assert paragraphs(PAGES[0][1]) == ["One <line>\nand another", "Next & last"]
    assert paragraphs(" \n\n ") == []


def test_doctags_break_between_pages():
    assert as_doctags(PAGES[1:]) == "<doctag><page_break>\n<text>Alone</text>\n</doctag>"


def test_a_docling_document_has_a_group_for_each_page_and_all_references_lead_somewhere():
    document = as_docling_document(PAGES, "a.pdf")
    nodes = {one["self_ref"]: one for one in (document["body"], *document["groups"], *document["texts"])}
    assert [nodes[child["$ref"]]["name"] for child in document["body"]["children"]] == ["page 2", "page 3", "page 5"]
    for ref, node in nodes.items():
        assert all(nodes[child["$ref"]]["parent"] == {"$ref": ref} for child in node["children"])
    assert [text["text"] for text in document["texts"]] == ["One <line>\nand another", "Next & last", "Alone"]
