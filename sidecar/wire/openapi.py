"""The description of the API port, generated from the models that parse and render."""

from typing import Any

from pydantic import BaseModel
from pydantic.json_schema import models_json_schema

from sidecar import __version__
from sidecar.wire import common, ocr, retrieval, status

REF = "#/components/schemas/{model}"
ERROR_STATUSES = {
    "400": "The request contradicts the contract.",
    "401": "No valid API key.",
    "403": "A path outside the upload folder.",
    "404": "No such file.",
    "408": "The body did not arrive in time.",
    "413": "The document, a page or the number of pages is over its limit.",
    "415": "Not a document that is read here.",
    "422": "The document cannot be opened, or a value is outside its range.",
    "429": "Too much is waiting; see Retry-After.",
    "500": "A bug.",
    "502": "The engine failed, or gave no whole page.",
    "503": "The engine or its model is not there, the GPU is full, or the service is shutting down; see Retry-After.",
    "504": "It took longer than its deadline.",
}
RETRIEVAL_ERRORS = ("400", "401", "408", "413", "415", "422", "429", "500", "502", "503", "504")
RETRIEVAL: dict[str, tuple[str, type[BaseModel], tuple[type[BaseModel], ...]]] = {
    "/embed": (
        "Embed one text or several",
        retrieval.EmbedRequest,
        (retrieval.EmbedBody, retrieval.EmbedManyBody),
    ),
    "/rerank": ("Rank texts by a query", retrieval.RerankRequest, (retrieval.RerankBody,)),
    "/v1/embeddings": (
        "Embed, as OpenAI does",
        retrieval.EmbeddingsRequest,
        (retrieval.EmbeddingsBody,),
    ),
    "/v1/rerank": ("Rank, as Cohere and Jina do", retrieval.RerankV1Request, (retrieval.RerankV1Body,)),
    "/v2/rerank": ("Rank, as Cohere does", retrieval.RerankV1Request, (retrieval.RerankV1Body,)),
}
UPLOAD_ERRORS = tuple(status for status in ERROR_STATUSES if status not in ("403", "404"))


def openapi_document(*, asks_for_keys: bool) -> dict[str, Any]:
    """Describe every route of the API port as OpenAPI 3.1."""
    document: dict[str, Any] = {
        "openapi": "3.1.0",
        "info": {"title": "ocr-sidecar", "version": __version__, "license": {"name": "Apache-2.0"}},
        "paths": {
            "/ocr-upload": {"post": _reading("Read an uploaded document", _upload_body(), UPLOAD_ERRORS)},
            "/ocr": {
                "post": _reading(
                    "Read a document of the shared volume",
                    {"application/json": {"schema": _ref(ocr.OcrPathRequest)}},
                    tuple(ERROR_STATUSES),
                )
            },
            **{path: {"post": _retrieving(*parts)} for path, parts in RETRIEVAL.items()},
            "/health": {"get": _plain("Tell whether documents can be read", status.HealthBody)},
            "/openapi.json": {
                "get": {
                    "summary": "This description",
                    "security": [],
                    "responses": {"200": {"description": "OpenAPI 3.1", "content": {"application/json": {}}}},
                }
            },
        },
        "components": {"schemas": _schemas()},
    }
    if asks_for_keys:
        document["components"]["securitySchemes"] = {
            "key": {"type": "apiKey", "in": "header", "name": "X-API-Key"},
            "bearer": {"type": "http", "scheme": "bearer"},
        }
        document["security"] = [{"key": []}, {"bearer": []}]
    return document


def _schemas() -> dict[str, Any]:
    requests: list[tuple[type[BaseModel], str]] = [
        (model, "validation") for model in (ocr.ReadRequest, ocr.OcrPathRequest)
    ]
    responses: list[tuple[type[BaseModel], str]] = [
        (model, "serialization")
        for model in (
            ocr.DocumentBody,
            ocr.DocumentEvent,
            ocr.PageEvent,
            ocr.DoneEvent,
            ocr.ErrorEvent,
            common.ErrorBody,
            status.HealthBody,
        )
    ]
    requests += [(asked, "validation") for _, asked, _ in RETRIEVAL.values()]
    responses += [(answer, "serialization") for _, _, answers in RETRIEVAL.values() for answer in answers]
    _, definitions = models_json_schema([*requests, *responses], ref_template=REF)  # type: ignore[list-item]
    found: dict[str, Any] = definitions["$defs"]
    return found


def _ref(model: type[BaseModel]) -> dict[str, str]:
    return {"$ref": REF.format(model=model.__name__)}


def _upload_body() -> dict[str, Any]:
    """A form: the fields of the JSON body, objects as JSON text, and the file."""
    fields: dict[str, Any] = {"type": "object", "required": ["file"], "properties": {}}
    for name, field in ocr.ReadRequest.model_json_schema(by_alias=True)["properties"].items():
        is_json = name in ("dmsTags", "runtimeParams")
        fields["properties"][name] = (
            {"type": "string", "contentMediaType": "application/json", "description": field.get("description", "")}
            if is_json
            else {key: value for key, value in field.items() if key != "$ref"}
        )
    fields["properties"]["file"] = {"type": "string", "contentMediaType": "application/octet-stream"}
    return {"multipart/form-data": {"schema": fields}}


def _reading(summary: str, body: dict[str, Any], errors: tuple[str, ...]) -> dict[str, Any]:
    events = (ocr.DocumentEvent, ocr.PageEvent, ocr.DoneEvent, ocr.ErrorEvent)
    content = {
        "application/json": {"schema": _ref(ocr.DocumentBody)},
        common.NDJSON: {"schema": {"oneOf": [_ref(event) for event in events]}},
    }
    responses: dict[str, Any] = {"200": {"description": "What was read", "content": content}}
    for code in errors:
        responses[code] = _error(code)
    return {"summary": summary, "requestBody": {"required": True, "content": body}, "responses": responses}


def _retrieving(summary: str, asked: type[BaseModel], answers: tuple[type[BaseModel], ...]) -> dict[str, Any]:
    answer = _ref(answers[0]) if len(answers) == 1 else {"oneOf": [_ref(one) for one in answers]}
    responses: dict[str, Any] = {
        "200": {"description": "What was computed", "content": {"application/json": {"schema": answer}}}
    }
    for code in RETRIEVAL_ERRORS:
        responses[code] = _error(code)
    body = {"required": True, "content": {"application/json": {"schema": _ref(asked)}}}
    return {"summary": summary, "requestBody": body, "responses": responses}


def _error(code: str) -> dict[str, Any]:
    return {
        "description": ERROR_STATUSES[code],
        "content": {"application/json": {"schema": _ref(common.ErrorBody)}},
    }


def _plain(summary: str, model: type[BaseModel]) -> dict[str, Any]:
    content = {"application/json": {"schema": _ref(model)}}
    return {
        "summary": summary,
        "security": [],
        "responses": {
            "200": {"description": "ok", "content": content},
            "503": {"description": "not ready, with reasons", "content": content},
        },
    }
