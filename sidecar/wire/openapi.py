"""The description of the API port, generated from the models that parse and render."""

import re
from collections.abc import Sequence
from typing import Any

from pydantic import BaseModel
from pydantic.json_schema import models_json_schema

from sidecar import __version__
from sidecar.wire import cohere, common, ocr, openai, retrieval, status, tei, vllm
from sidecar.wire.dialects.described import BINARY, Described
from sidecar.wire.receipts import provenance

REF = "#/components/schemas/{model}"
ERROR_STATUSES = {
    "400": "The request contradicts the contract.",
    "401": "No valid API key.",
    "403": "A path outside the upload folder.",
    "404": "No such file.",
    "408": "The body did not arrive in time.",
    "409": "It does not go with the job's state, or with an earlier request of the same key.",
    "410": "The result is no longer kept.",
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
Models = tuple[type[BaseModel], ...]
OPENAI = (openai.EmbeddingsRequest,), (openai.EmbeddingsBody,)
COHERE = (cohere.RerankV1Request,), (cohere.RerankV1Body,)
SCORE = (vllm.ScoreRequest,), (vllm.ScoreBody,)
RETRIEVAL: dict[str, tuple[str, Models, Models]] = {
    "/embed": (
        "Embed one text or several; with `inputs` as text-embeddings-inference does",
        (retrieval.EmbedRequest, tei.InputsRequest),
        (retrieval.EmbedBody, retrieval.EmbedManyBody, tei.VectorsBody),
    ),
    "/embed_sparse": ("Sparse vectors, as TEI gives them", (tei.InputsRequest,), (tei.SparseVectorsBody,)),
    "/embed_all": ("A vector for each token, ColBERT's", (tei.InputsRequest,), (tei.TokenVectorsBody,)),
    "/embeddings": ("The same as /v1/embeddings", *OPENAI),
    "/v1/embeddings": ("Embed, as OpenAI does", *OPENAI),
    "/rerank": (
        "Rank texts by a query; with `documents` as Cohere does, with `texts` as TEI does",
        (retrieval.RerankRequest, cohere.RerankV1Request, tei.TextsRerankRequest),
        (retrieval.RerankBody, cohere.RerankV1Body, tei.RanksBody),
    ),
    "/v1/rerank": ("Rank, as Cohere and Jina do", *COHERE),
    "/v2/rerank": ("Rank, as Cohere does", *COHERE),
    "/score": ("Score pairs, as vLLM does", *SCORE),
    "/v1/score": ("The same as /score", *SCORE),
    "/tokenize": (
        "Divide texts into the embedder's tokens, as TEI or vLLM do",
        (tei.TokenizeRequest, vllm.PromptRequest),
        (tei.PiecesBody, vllm.TokensBody),
    ),
}
PROFILE_NAME = {"name": "profile", "in": "query", "required": False, "schema": {"type": "string"}}
LISTS: dict[str, tuple[str, type[BaseModel]]] = {
    "/info": ("Describe the embedder, as TEI does", tei.InfoBody),
    "/models": ("The same as /v1/models", openai.ModelsBody),
    "/v1/models": ("List the models, as OpenAI does", openai.ModelsBody),
}
PRESENCE: dict[str, dict[str, tuple[str, type[BaseModel], tuple[str, ...]]]] = {
    "/bge/load": {"post": ("Load the models now", status.BgeStateBody, ("401", "503"))},
    "/bge/unload": {"post": ("Release the models; the next call loads them", status.BgeStateBody, ("401",))},
    "/bge/status": {"get": ("Tell which models are in memory", status.BgeStatusBody, ("401",))},
}
UPLOAD_ERRORS = tuple(status for status in ERROR_STATUSES if status not in ("403", "404", "409", "410"))


def openapi_document(dialects: Sequence[Described] = (), *, asks_for_keys: bool) -> dict[str, Any]:
    """Describe every route of the API port as OpenAPI 3.1, with those of the dialects that are on."""
    document: dict[str, Any] = {
        "openapi": "3.1.0",
        "info": {"title": "ocr-sidecar", "version": __version__, "license": {"name": "Apache-2.0"}},
        "paths": {
            "/ocr-upload": {"post": _reading("Read an uploaded document", _upload_body(), UPLOAD_ERRORS)},
            "/ocr": {
                "post": _reading(
                    "Read a document of the shared volume",
                    {"application/json": {"schema": _ref(ocr.OcrPathRequest)}},
                    tuple(status for status in ERROR_STATUSES if status not in ("409", "410")),
                )
            },
            **{path: {"post": _retrieving(path, *parts)} for path, parts in RETRIEVAL.items()},
            **{path: {"get": _listing(*parts)} for path, parts in LISTS.items()},
            **{path: {verb: _present(*of)} for path, verbs in PRESENCE.items() for verb, of in verbs.items()},
            "/provenance": {"get": _provenance()},
            **_spoken(dialects),
            "/health": {"get": _plain("Tell whether documents can be read", status.HealthBody)},
            "/openapi.json": {
                "get": {
                    "summary": "This description",
                    "security": [],
                    "responses": {"200": {"description": "OpenAPI 3.1", "content": {"application/json": {}}}},
                }
            },
        },
        "components": {"schemas": _schemas(dialects)},
    }
    if asks_for_keys:
        document["components"]["securitySchemes"] = {
            "key": {"type": "apiKey", "in": "header", "name": "X-API-Key"},
            "bearer": {"type": "http", "scheme": "bearer"},
        }
        document["security"] = [{"key": []}, {"bearer": []}]
    return document


def _schemas(dialects: Sequence[Described]) -> dict[str, Any]:
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
            common.ConventionErrorBody,
            common.ListedErrorBody,
            provenance.ProvenanceBody,
            status.HealthBody,
            status.BgeStateBody,
            status.BgeStatusBody,
        )
    ]
    requests += [(one, "validation") for _, asked, _ in RETRIEVAL.values() for one in asked]
    responses += [(answer, "serialization") for _, _, answers in RETRIEVAL.values() for answer in answers]
    responses += [(answer, "serialization") for _, answer in LISTS.values()]
    requests += [(one.asked, "validation") for one in dialects if one.asked]
    responses += [(one.answer, "serialization") for one in dialects]
    every = dict.fromkeys([*requests, *responses])
    _, definitions = models_json_schema(list(every), ref_template=REF)  # type: ignore[arg-type]
    found: dict[str, Any] = definitions["$defs"]
    return found


def _ref(model: type[BaseModel]) -> dict[str, str]:
    return {"$ref": REF.format(model=model.__name__)}


def _upload_body() -> dict[str, Any]:
    """A form: the fields of the JSON body, objects as JSON text, and the file."""
    fields: dict[str, Any] = {"type": "object", "required": ["file"], "properties": {}}
    for name, field in ocr.ReadRequest.model_json_schema(by_alias=True, ref_template=REF)["properties"].items():
        is_json = name in ("dmsTags", "runtimeParams")
        fields["properties"][name] = (
            {"type": "string", "contentMediaType": "application/json", "description": field.get("description", "")}
            if is_json
            else field
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


def _retrieving(path: str, summary: str, asked: Models, answers: Models) -> dict[str, Any]:
    responses: dict[str, Any] = {"200": {"description": "What was computed", "content": _json(_one_of(answers))}}
    for code in RETRIEVAL_ERRORS:
        responses[code] = _error(code, path)
    body = {"required": True, "content": _json(_one_of(asked))}
    return {"summary": summary, "requestBody": body, "responses": responses}


def _listing(summary: str, answer: type[BaseModel]) -> dict[str, Any]:
    responses = {"200": {"description": "ok", "content": _json(_ref(answer))}, "401": _error("401", "/v1/")}
    return {"summary": summary, "responses": responses}


def _provenance() -> dict[str, Any]:
    told = _listing("Tell how a page would be read now", provenance.ProvenanceBody)
    told["responses"] = {**told["responses"], "401": _error("401"), "422": _error("422")}
    return told | {"parameters": [PROFILE_NAME]}


def _present(summary: str, answer: type[BaseModel], errors: tuple[str, ...]) -> dict[str, Any]:
    responses = {"200": {"description": "What is in memory now", "content": _json(_ref(answer))}}
    return {"summary": summary, "responses": responses | {code: _error(code) for code in errors}}


def _spoken(dialects: Sequence[Described]) -> dict[str, Any]:
    """Describe the routes of dialects; one path may have several methods."""
    paths: dict[str, Any] = {}
    for one in dialects:
        responses = {one.status: {"description": "What was asked for", "content": _json(_ref(one.answer))}}
        responses |= {code: _error(code, one.path, lists=one.lists_problems) for code in one.errors}
        told: dict[str, Any] = {"summary": one.summary, "responses": responses}
        if one.takes:
            schema = _ref(one.asked) if one.asked else {"type": "string", "contentMediaType": BINARY}
            told["requestBody"] = {"required": True, "content": {one.takes: {"schema": schema}}}
        places = [("path", name) for name in re.findall(r"{(\w+)}", one.path)] + [("query", name) for name in one.query]
        if places:
            told["parameters"] = [
                {"name": name, "in": place, "required": place == "path", "schema": {"type": "string"}}
                for place, name in places
            ]
        paths.setdefault(one.path, {})[one.method.lower()] = told
    return paths


def _one_of(models: Models) -> dict[str, Any]:
    """Refer to one of several; a body may fit more than one, since others' fields are ignored."""
    return _ref(models[0]) if len(models) == 1 else {"anyOf": [_ref(one) for one in models]}


def _json(schema: dict[str, Any]) -> dict[str, Any]:
    return {"application/json": {"schema": schema}}


def _error(code: str, path: str = "", *, lists: bool = False) -> dict[str, Any]:
    body: type[BaseModel] = common.ErrorBody
    if path.startswith(common.CONVENTION_PATHS):
        body = common.ListedErrorBody if lists and code == "422" else common.ConventionErrorBody
    return {"description": ERROR_STATUSES[code], "content": _json(_ref(body))}


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
