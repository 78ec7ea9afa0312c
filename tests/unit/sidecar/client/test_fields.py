"""How a document is to be read, as a form has it."""

import pytest

from sidecar.client.fields import ReadFields, render_fields
from sidecar.wire.ocr import Accepted, ReadRequest, parse_form

ACCEPTED = Accepted(10_000, ("tesseract",))


def test_every_field_of_a_request_can_be_given():
    assert set(ReadFields.__annotations__) == set(ReadRequest.model_fields)


def test_the_service_understands_what_was_given():
    given = ReadFields(
        engine="tesseract",
        pages=[1, 3],
        max_pages=0,
        languages=("tha", "eng"),
        profile="p",
        active_profile="a",
        deadline_seconds=1.5,
        system_prompt="หน้า",
        user_prompt="u",
        dms_tags=["one", "two"],
        runtime_params={"temperature": 0, "numCtx": 1024},
        temperature=0.0,
        top_p=1,
        repeat_penalty=1.1,
        max_tokens=5,
        include=("words", "image"),
        output="json",
        keep_signature=True,
    )
    asked, unknown = parse_form(render_fields(given), ACCEPTED)
    assert unknown == []
    assert asked.model_fields_set == set(given)
    assert (asked.pages, asked.languages, asked.tags) == ("1,3", "tha+eng", ("one", "two"))
    assert (asked.max_pages, asked.temperature, asked.deadline_seconds) == (0, 0, 1.5)
    assert asked.system_prompt == "หน้า"
    assert asked.runtime_params.num_ctx == 1024
    assert asked.include == ["words", "image"]
    assert (asked.output, asked.keep_signature) == ("json", True)


def test_text_is_sent_as_it_is_and_nothing_for_none():
    assert render_fields({"pages": "1-3,7", "languages": "tha+eng", "profile": None}) == {
        "pages": "1-3,7",
        "languages": "tha+eng",
    }


def test_tags_may_be_an_object():
    assert render_fields({"dms_tags": {"number": None}}) == {"dmsTags": '{"number": null}'}


def test_a_field_that_does_not_exist_is_told():
    with pytest.raises(TypeError, match="there is no field 'page'; there are engine, pages, "):
        render_fields({"page": 1})
