"""How long a model stays loaded is decided by the residency policy: no caller may, however they spell it (T021)."""

import json

import pytest

from sidecar.errors import KeepAliveRefusedError
from sidecar.wire.common import refuse_keep_alive
from sidecar.wire.ocr import Accepted, parse_body, parse_form

HERE = Accepted(100, ("np-dms-ocr", "tesseract"))
SPELLINGS = [
    "keep_alive",
    "keepAlive",
    "KeepAlive",
    "KEEP_ALIVE",
    "keepalive",
    "KEEPALIVE",
    "keep-alive",
    "Keep-Alive",
    "keep alive",
    "keep.alive",
    " keep_alive ",
    "__keep__alive__",
    "keep_alive_seconds",
    "ollama.keepAlive",
    "options[keep_alive]",
]
ELSEWHERE = {"beside the others", "in a field that is not known"}
PLACES = {
    "beside the others": lambda name: {name: 0},
    "in runtimeParams": lambda name: {"runtimeParams": {"temperature": 0, name: "5m"}},
    "in runtime_params": lambda name: {"runtime_params": {name: -1}},
    "deeper in runtimeParams": lambda name: {"runtimeParams": {"options": {name: None}}},
    "in a list": lambda name: {"runtimeParams": {"options": [1, {name: ""}]}},
    "in a field that is not known": lambda name: {"options": {"model": {name: 5}}},
    "in a tag's value": lambda name: {"dmsTags": {"a": {name: 5}}},
}
EVERY_SPELLING = pytest.mark.parametrize("name", SPELLINGS)


@EVERY_SPELLING
@pytest.mark.parametrize("place", PLACES)
def test_keep_alive_is_refused_anywhere_in_json(name, place):
    body = json.dumps({"pdfPath": "/a", **PLACES[place](name)}).encode()
    with pytest.raises(KeepAliveRefusedError, match="residency policy") as caught:
        parse_body(body, HERE)
    assert (caught.value.status, caught.value.code) == (400, "keep_alive_refused")
    assert name in caught.value.detail


@EVERY_SPELLING
@pytest.mark.parametrize("value", ["", "0", "5m", "-1"])
def test_keep_alive_is_refused_as_a_form_field(name, value):
    with pytest.raises(KeepAliveRefusedError):
        parse_form({"engine": "auto", name: value}, HERE)


@EVERY_SPELLING
@pytest.mark.parametrize("place", [place for place in PLACES if place not in ELSEWHERE])
def test_keep_alive_is_refused_in_the_json_of_a_form_field(name, place):
    fields = {field: json.dumps(value) for field, value in PLACES[place](name).items()}
    with pytest.raises(KeepAliveRefusedError):
        parse_form(fields, HERE)


@pytest.mark.parametrize("depth", [1, 7, 8, 9, 100])
def test_keep_alive_is_refused_however_deep_it_lies(depth):
    deep = '{"a": [' * depth + '{"keep_alive": 0}' + "]}" * depth
    with pytest.raises(KeepAliveRefusedError):
        parse_body(f'{{"pdfPath": "/a", "dmsTags": {deep}}}'.encode(), HERE)
    with pytest.raises(KeepAliveRefusedError):
        parse_form({"dmsTags": deep}, HERE)


@EVERY_SPELLING
def test_keep_alive_is_refused_in_a_query(name):
    with pytest.raises(KeepAliveRefusedError):
        refuse_keep_alive({name: "0"})


def test_keep_alive_is_refused_before_any_other_mistake_is_told():
    with pytest.raises(KeepAliveRefusedError):
        parse_body(b'{"engine": "none", "foo": 1, "runtimeParams": {"temperature": 9, "keep_alive": 0}}', HERE)


@pytest.mark.parametrize("name", ["keep", "alive", "alive_keep", "kept_alive"])
def test_other_names_may_be_tags(name):
    assert parse_body(json.dumps({"pdfPath": "/a", "dmsTags": {name: True}}).encode(), HERE).dms_tags == {name: True}


def test_the_error_shows_no_more_than_the_beginning_of_a_long_name():
    with pytest.raises(KeepAliveRefusedError) as caught:
        refuse_keep_alive({"keep_alive" * 1000: 1})
    assert len(caught.value.detail) < 300
