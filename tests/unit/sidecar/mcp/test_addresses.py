"""Where to listen, and whose key a request has."""

import pytest

from sidecar.mcp.doorkeeper import key_of
from sidecar.mcp.transports import WrongUsageError, parse_address


@pytest.mark.parametrize(
    ("text", "address"),
    [
        ("127.0.0.1:8766", ("127.0.0.1", 8766)),
        ("[::1]:0", ("::1", 0)),
        ("a.example:65535", ("a.example", 65535)),
    ],
)
def test_an_address_is_host_and_port(text, address):
    assert parse_address(text) == address


@pytest.mark.parametrize("text", ["", "8766", ":8766", "host:", "host:-1", "host:65536", "host:٣", "host:http"])
def test_anything_else_is_told(text):
    with pytest.raises(WrongUsageError, match="accepted is HOST:PORT"):
        parse_address(text)


@pytest.mark.parametrize(
    ("headers", "key"),
    [
        ({"x-api-key": "k"}, "k"),
        ({"authorization": "Bearer k"}, "k"),
        ({"authorization": "bearer  k "}, "k"),
        ({"x-api-key": "k", "authorization": "Bearer other"}, "k"),
        ({"authorization": "Basic k"}, None),
        ({"authorization": "Bearer "}, None),
        ({}, None),
    ],
)
def test_a_key_is_in_either_header(headers, key):
    assert key_of(headers) == key
