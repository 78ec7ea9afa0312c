"""The models that embed and rerank, and how a text is divided into tokens."""

from typing import Any

from aiohttp import web

from sidecar import __version__
from sidecar.api.app_keys import EMBEDDER, EMBEDDERS, LOAD_SECONDS, SETTINGS, caller_of
from sidecar.api.texts import exchange
from sidecar.api.texts.choice import choose
from sidecar.api.texts.exchange import Body
from sidecar.retrieval.retriever import Divided
from sidecar.wire import openai, tei, vllm


async def tokenize(request: web.Request) -> web.StreamResponse:
    """Return the embedder's tokens, as TEI does for `inputs` and as vLLM does for `prompt`."""
    return await exchange.answer(request, {tei.TokenizeRequest: _pieces, vllm.PromptRequest: _tokens})


async def _pieces(request: web.Request, asked: tei.TokenizeRequest) -> list[Any]:
    found = await _divided(request, asked.model, asked.texts, special=asked.add_special_tokens)
    return [[tei.piece_body(piece) for piece in pieces] for pieces in found.texts]


async def _tokens(request: web.Request, asked: vllm.PromptRequest) -> Body:
    found = await _divided(request, asked.model, [asked.prompt], special=asked.add_special_tokens)
    (pieces,) = found.texts
    return {"count": len(pieces), "max_model_len": found.max_tokens, "tokens": [piece.id for piece in pieces]}


async def _divided(request: web.Request, model: str | None, texts: list[str], *, special: bool) -> Divided:
    embedders = request.app[EMBEDDERS]
    embedder = choose(embedders, model, named=bool(request.app[SETTINGS].retrieval_models))
    found = await embedder.pieces(texts, special=special, caller=caller_of(request))
    request[LOAD_SECONDS] = found.load_s
    return found


async def get_models(request: web.Request) -> web.Response:
    """List the models that are configured, as OpenAI does."""
    settings = request.app[SETTINGS]
    configured = (*settings.embedders, *settings.rerankers)
    return web.json_response(openai.models_body([one.name for one in configured if one.source]))


async def get_info(request: web.Request) -> web.Response:
    """Describe the embedder, as TEI does."""
    settings, limits = request.app[SETTINGS], request.app[EMBEDDER].keeper.limits
    body = tei.InfoBody(
        model_id=settings.embedders[0].name,
        model_type={"embedding": {"pooling": "cls"}},
        max_input_length=limits.max_tokens if limits else None,
        max_client_batch_size=settings.retrieval_max_items,
        max_concurrent_requests=settings.retrieval_max_queued_items,
        auto_truncate=True,
        reranker_id=settings.rerankers[0].name,
        backend=limits.backend if limits else None,
        version=__version__,
    )
    return web.json_response(body.model_dump())
