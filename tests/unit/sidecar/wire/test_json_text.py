"""A caller's JSON wherever it stands in a request."""

import gc

import pytest

from sidecar.errors import MalformedBodyError
from sidecar.wire.json_text import parse_json, parse_object

DEEP = b"[" * 100_000


@pytest.fixture
def eager_collector():
    """Collect at nearly every allocation, and have Python called each time."""
    threshold, called = gc.get_threshold(), []

    def call(phase, _, frames=20):
        called.append(phase) if not frames else call(phase, _, frames - 1)

    gc.callbacks.append(call)
    gc.set_threshold(1)
    yield called
    gc.set_threshold(*threshold)
    gc.callbacks.pop()


@pytest.mark.parametrize("text", [DEEP, b'["\\ud800",' + DEEP, DEEP.decode().encode("utf-16")])
def test_nothing_is_collected_in_the_depth_of_a_text(text, eager_collector):
    """What the collector calls there fails, and pytest makes that a failure of the test."""
    with pytest.raises(ValueError, match=r"nested too deeply"):
        parse_json(text)
    assert eager_collector, "it does collect elsewhere"


@pytest.mark.parametrize("body", [b"", b"{", b'{"a":1}x', b"[1]", b"7", b"\xff", DEEP, bytearray(b"[]")])
def test_what_is_no_object_is_refused(body):
    with pytest.raises(MalformedBodyError, match=r"the body (is not JSON|must be a JSON object)"):
        parse_object(body)


def test_half_a_pair_and_other_encodings_are_read():
    assert parse_object(rb'{"a":"\ud800"}') == {"a": "\ud800"}
    assert parse_object('{"a":"ก"}'.encode("utf-16")) == {"a": "ก"}
