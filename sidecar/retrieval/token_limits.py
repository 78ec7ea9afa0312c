"""What is refused once the tokens of a request, or its results, are known. Pure."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from sidecar.errors import InvalidValueError
from sidecar.retrieval.model import RetrievalModel, Tokens

SHOWN_PLACES = 10
"""Most texts that one error names."""


def refuse_truncated(tokens: Sequence[Tokens], model: RetrievalModel[Any, Any]) -> None:
    """Refuse texts that were cut, where they may not be.

    Raises:
        InvalidValueError: one was, or the query.
    """
    if tokens[0].query_truncated:
        raise InvalidValueError(
            f"the query has more than {model.max_query_tokens} tokens, which is the limit, and truncate is false"
        )
    for place, one in enumerate(tokens):
        if one.truncated:
            raise InvalidValueError(
                f"text {place} of the request, from 0, has more than {model.max_tokens} tokens, which is the limit, "
                "and truncate is false"
            )


def with_each(tokens: Sequence[Tokens], most: int) -> list[Tokens]:
    """Ask for a vector of each token: as many as an array has texts at most, since all are in one answer.

    Raises:
        InvalidValueError: they are more.
    """
    count = sum(len(one.ids) for one in tokens)
    if count > most:
        raise InvalidValueError(f"the texts have {count} tokens, the limit for a vector of each is {most}")
    return [replace(one, each=True) for one in tokens]


def without_numbers(what: str, places: Sequence[int]) -> str:
    """Name the texts that a model gave no finite numbers for; the first of them, if there are many."""
    shown = ", ".join(map(str, places[:SHOWN_PLACES])) + (" and others" if len(places) > SHOWN_PLACES else "")
    return f"the model gave no numbers for {what} {shown} of the request, from 0"
