"""Which format is wanted: the field decides, without it the header."""

import pytest

from sidecar.errors import InvalidValueError
from sidecar.outputs.formats import MEDIA_TYPES, Output
from sidecar.wire.answers.outputs import preferred, with_output
from sidecar.wire.ocr import ReadRequest

NDJSON = "application/x-ndjson"


@pytest.mark.parametrize(
    ("accept", "wanted"),
    [
        ("application/json, text/plain, */*", None),
        ("text/html, image/gif, image/jpeg, *; q=.2, */*; q=.2", None),
        ("text/html;q=0.1, */*;q=1", None),
        ("application/x-ndjson, */*", NDJSON),
        ("text/plain, application/json", "application/json"),
        ("text/html, application/pdf;q=0.9", "text/html"),
        ("text/html;q=0.5, application/pdf;q=0.9", "application/pdf"),
        ("TEXT/HTML; charset=utf-8", "text/html"),
        ("application/x-ndjson, application/json", NDJSON),
        ("application/x-ndjson;q=0, text/markdown", "text/markdown"),
        ("text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8", None),
        ("application/*", None),
        ("text/*", None),
        ("text/*, text/plain;q=0", None),
        ("*/*;q=0", None),
        ("image/png", None),
        ("text/html;q=much, text/plain;q=2", None),
        ("", None),
    ],
)
def test_the_header_is_weighed_as_its_standard_says(accept, wanted):
    assert preferred(accept) == wanted


@pytest.mark.parametrize("output", Output)
def test_each_format_has_a_media_type_by_which_it_is_asked_for(output):
    assert with_output(ReadRequest(), MEDIA_TYPES[output]).output is output


def test_the_field_decides():
    assert with_output(ReadRequest(output="pdf"), "text/html").output is Output.PDF
    assert with_output(ReadRequest(output="json"), NDJSON).output is Output.JSON


def test_what_does_not_go_together_is_refused():
    with pytest.raises(InvalidValueError, match="output is alto, which is not streamed"):
        with_output(ReadRequest(output="alto"), NDJSON)
    with pytest.raises(InvalidValueError, match="output is text, include is accepted with json alone"):
        with_output(ReadRequest(include=["words"]), "text/plain")


def test_formats_are_written_from_blocks_and_those_with_places_from_words():
    wanted = {output: ReadRequest(output=output).wanted for output in Output}
    assert {output for output, one in wanted.items() if one.blocks} == set(Output) - {Output.JSON}
    assert {output for output, one in wanted.items() if one.words} == {Output.HOCR, Output.ALTO, Output.PDF}
