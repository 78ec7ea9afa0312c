"""Which of several models a request means."""

from collections.abc import Mapping
from typing import Any, TypeVar

from aiohttp import web

from sidecar.api.app_keys import EMBEDDERS, RERANKERS
from sidecar.errors import InvalidValueError
from sidecar.retrieval.retriever import Retriever
from sidecar.wire.common import SHOWN_VALUE_CHARS

R = TypeVar("R", bound=Retriever[Any, Any])


def choose(retrievers: Mapping[str, R], wanted: str | None, *, named: bool) -> R:
    """Return the model of that name, or the first; where models are not ``named``, what is wanted is ignored.

    Raises:
        InvalidValueError: there is none of that name.
    """
    if not named or wanted is None:
        return next(iter(retrievers.values()))
    if wanted not in retrievers:
        raise InvalidValueError(f"model is {wanted[:SHOWN_VALUE_CHARS]}, accepted here: {', '.join(retrievers)}")
    return retrievers[wanted]


def every_retriever(app: web.Application) -> list[Retriever[Any, Any]]:
    """Return all models, embedders first."""
    return [*app[EMBEDDERS].values(), *app[RERANKERS].values()]
