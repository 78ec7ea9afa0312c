"""The description of the API is whole: generators of clients follow every reference in it."""

from collections.abc import Iterator

import pytest

from sidecar.api.dialects.dialect import Dialect
from sidecar.api.dialects.registry import DIALECTS
from sidecar.wire.openapi import openapi_document


def references(node: object) -> Iterator[str]:
    if isinstance(node, dict):
        if isinstance(node.get("$ref"), str):
            yield node["$ref"]
        for one in node.values():
            yield from references(one)
    if isinstance(node, list):
        for one in node:
            yield from references(one)


def described(dialects: tuple[Dialect, ...]) -> dict:
    return openapi_document([route.described for one in dialects for route in one.routes], asks_for_keys=True)


@pytest.mark.parametrize("dialects", [(), tuple(DIALECTS)], ids=["own", "all"])
def test_every_reference_leads_to_what_the_document_holds(dialects):
    document = described(dialects)
    wanted = set(references(document))
    there = {f"#/components/schemas/{name}" for name in document["components"]["schemas"]}
    assert wanted
    assert wanted <= there
