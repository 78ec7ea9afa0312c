"""A dialect's route as /openapi.json describes it. Pure."""

from dataclasses import dataclass

from pydantic import BaseModel

BINARY = "application/octet-stream"
FORM = "multipart/form-data"
READING_ERRORS = ("400", "401", "408", "413", "415", "422", "429", "500", "502", "503", "504")
"""Statuses that any route may answer with which reads a document from its request's body."""
UPLOADING_ERRORS = ("400", "401", "408", "413", "415", "422", "429", "500", "503")
"""The same of a route that keeps a document without reading it."""


@dataclass(frozen=True, slots=True)
class Described:
    """A route: ``takes`` is the media type of its body, ``asked`` the body's model where it is JSON or a form."""

    method: str
    path: str
    summary: str
    answer: type[BaseModel]
    takes: str | None = None
    asked: type[BaseModel] | None = None
    errors: tuple[str, ...] = READING_ERRORS
    lists_problems: bool = False
    """Whether the dialect's clients read ``detail`` of 422 as a list, as FastAPI's services write it."""
    status: str = "200"
    """Of what succeeds."""
    query: tuple[str, ...] = ()
    """Names of what the query may hold."""
