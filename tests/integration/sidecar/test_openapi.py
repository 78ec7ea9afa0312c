"""Every real answer is one that /openapi.json describes, in all its fields and no further one."""

import io
import json
from copy import deepcopy
from typing import Any

import aiohttp
import pytest
import pytest_asyncio
from jsonschema import Draft202012Validator, ValidationError

from sidecar.wire.common import NDJSON
from tests.conftest import Running

pytestmark = pytest.mark.asyncio(loop_scope="module")

TEXTS = ["the first text", "a second one"]
QUESTION = {"query": "what", "documents": [*TEXTS, "third"], "top_n": 2, "return_documents": True}
EMBED = [
    {"text": TEXTS[0]},
    {"texts": TEXTS},
    {"inputs": TEXTS},
]


class Described:
    """The description of a service, and what is asked of it."""

    def __init__(self, running: Running, document: dict[str, Any]) -> None:
        self._running = running
        self.uploads = running.folder / "uploads"
        self.document = document

    async def ask(self, method: str, path: str, data: Any = None, **headers: str) -> tuple[int, str, bytes]:
        """Send a request; hold its answer against the description; give it."""
        url = f"{self._running.url}{path}"
        async with self._running.client.request(method, url, data=data, headers=headers) as response:
            answer = response.status, response.content_type, await response.read()
        check(self.document, method, path, answer)
        return answer

    async def post(self, path: str, body: Any) -> int:
        """Send JSON; give the status."""
        return (await self.ask("post", path, io.BytesIO(json.dumps(body).encode())))[0]

    async def upload(self, content: bytes, **headers: str) -> tuple[int, str, bytes]:
        form = aiohttp.FormData()
        form.add_field("file", io.BytesIO(content), filename="a")
        return await self.ask("post", "/ocr-upload", form, **headers)


def check(document: dict[str, Any], method: str, path: str, answer: tuple[int, str, bytes]) -> None:
    """Refuse an answer that the description does not describe.

    Raises:
        KeyError: nothing is said of its status, or of its content type.
        ValidationError: it is described otherwise.
    """
    status, content_type, body = answer
    described = document["paths"][path][method]["responses"][str(status)]["content"][content_type]
    schema = {**described.get("schema", {}), "components": closed(document["components"])}
    validator = Draft202012Validator(schema)
    for line in body.splitlines() if content_type == NDJSON else [body]:
        validator.validate(json.loads(line))


def closed(node: Any) -> Any:
    """Allow no field that a schema does not name: an answer with one more is described wrongly."""
    if isinstance(node, list):
        return [closed(one) for one in node]
    if not isinstance(node, dict):
        return node
    found = {key: closed(value) for key, value in node.items()}
    if isinstance(found.get("properties"), dict) and found.get("type") == "object":
        found.setdefault("additionalProperties", False)
    return found


@pytest_asyncio.fixture(loop_scope="module")
async def described(shared_retrieving, data) -> Described:
    running = shared_retrieving
    uploads = running.folder / "uploads"
    uploads.mkdir(exist_ok=True)
    (uploads / "a.pdf").write_bytes((data / "digital.pdf").read_bytes())
    async with running.client.get(f"{running.url}/openapi.json") as response:
        return Described(running, await response.json())


async def test_documents_are_answered_as_described(described, data):
    uploads = described.uploads
    for name in ("digital.pdf", "blank-pages.pdf", "photo.png"):
        assert (await described.upload((data / name).read_bytes()))[0] == 200
    assert await described.post("/ocr", {"pdfPath": str(uploads / "a.pdf"), "pages": "1"}) == 200
    streamed = await described.upload((data / "blank-pages.pdf").read_bytes(), Accept=NDJSON)
    assert [json.loads(line)["event"] for line in streamed[2].splitlines()] == ["document", *["page"] * 3, "done"]


async def test_errors_are_answered_as_described(described, data):
    uploads = described.uploads
    for name, status in (("encrypted.pdf", 422), ("three-thousand-pages.pdf", 413), ("not-a-pdf.pdf", 415)):
        for headers in ({}, {"Accept": NDJSON}):
            assert (await described.upload((data / name).read_bytes(), **headers))[0] == status
    assert await described.post("/ocr", {"pdfPath": "/etc/passwd"}) == 403
    assert await described.post("/ocr", {"pdfPath": str(uploads / "absent.pdf")}) == 404
    assert await described.post("/ocr", {"pdfPath": str(uploads / "a.pdf"), "engine": "none"}) == 400
    assert await described.post("/embed", {}) in {400, 422}
    assert await described.post("/rerank", {"query": "what"}) in {400, 422}


@pytest.mark.parametrize("asked", EMBED, ids=str)
async def test_embeddings_are_answered_as_described(described, asked):
    assert await described.post("/embed", asked) == 200


@pytest.mark.parametrize("encoding", ["float", "base64"])
async def test_the_routes_of_others_are_answered_as_described(described, encoding):
    asked = {"model": "any", "input": TEXTS, "encoding_format": encoding}
    assert await described.post("/v1/embeddings", asked) == 200
    assert await described.post("/rerank", {"query": "what", "chunks": TEXTS}) == 200
    for path in ("/v1/rerank", "/v2/rerank"):
        assert await described.post(path, {"model": "any", **QUESTION}) == 200
        assert await described.post(path, {"model": "any", **QUESTION, "return_documents": False}) == 200


@pytest.mark.parametrize(
    ("path", "body"),
    [
        ("/embed_sparse", {"inputs": TEXTS}),
        ("/embed_all", {"inputs": TEXTS[0]}),
        ("/embeddings", {"input": TEXTS}),
        ("/rerank", QUESTION),
        ("/rerank", {"query": "what", "texts": TEXTS, "return_text": True}),
        ("/rerank", {"query": "what", "texts": TEXTS}),
        ("/score", {"text_1": "what", "text_2": TEXTS}),
        ("/v1/score", {"text_1": "what", "text_2": "that"}),
        ("/tokenize", {"inputs": TEXTS}),
        ("/tokenize", {"prompt": "what"}),
    ],
)
async def test_the_routes_of_further_clients_are_answered_as_described(described, path, body):
    assert await described.post(path, body) == 200


async def test_lists_and_errors_of_the_conventions_are_answered_as_described(described):
    for path in ("/v1/models", "/models", "/info"):
        assert (await described.ask("get", path))[0] == 200
    for path in ("/v1/embeddings", "/embeddings", "/v2/rerank", "/score"):
        assert await described.post(path, {}) == 422


async def test_health_and_the_description_are_answered_as_described(described):
    assert (await described.ask("get", "/health"))[0] == 200
    assert (await described.ask("get", "/openapi.json"))[0] == 200


async def test_every_route_of_the_api_is_described(described):
    served = {(r.method.lower(), r.resource.canonical) for r in described._running.service.api.router.routes()}
    told = {(method, path) for path, item in described.document["paths"].items() for method in item}
    assert {one for one in served if one[0] != "head"} == told


# ── the check itself ──────────────────────────────────────────────────────────────────────────────────────────────


async def test_a_description_or_an_answer_that_deviates_is_seen(described):
    answer = await described.ask("post", "/embed", io.BytesIO(json.dumps({"text": TEXTS[0]}).encode()))
    body = json.loads(answer[2])

    def seen(document: dict[str, Any], answered: dict[str, Any]) -> bool:
        try:
            check(document, "post", "/embed", (200, answer[1], json.dumps(answered).encode()))
        except ValidationError:
            return True
        return False

    assert not seen(described.document, body)
    for name in body:
        assert seen(described.document, {key: value for key, value in body.items() if key != name}), f"{name} missing"
    assert seen(described.document, body | {"furtherOne": 1})
    assert seen(described.document, body | {"dense": {"0": 1.0}})
    wrong = deepcopy(described.document)
    wrong["components"]["schemas"]["EmbedBody"]["properties"]["dense"] = {"type": "object"}
    assert seen(wrong, body)
    for schema in described.document["components"]["schemas"].values():
        Draft202012Validator.check_schema(schema)
