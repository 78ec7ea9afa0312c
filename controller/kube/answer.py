"""Validates the API server's answers before they are used: a proxy may have answered in its place. Pure.

Only what the controller reads is checked; an object may contain anything else.
"""

import gc
import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from pydantic import BaseModel, ConfigDict, ValidationError

from sidecar.validation import explain, explain_all

Manifest = dict[str, Any]
JSON = "application/json"


class AnswerError(ValueError):
    """Not an answer of an API server; the text says what is wrong, and quotes nothing."""


class _Judged(BaseModel):
    model_config = ConfigDict(extra="ignore", frozen=True, strict=True, hide_input_in_errors=True)


class _Metadata(_Judged):
    name: str
    namespace: str
    uid: str
    resourceVersion: str | None = None  # noqa: N815 - the API's names, here and below
    generation: int | None = None
    creationTimestamp: str | None = None  # noqa: N815
    deletionTimestamp: str | None = None  # noqa: N815
    labels: dict[str, str] | None = None
    annotations: dict[str, str] | None = None


class _Condition(_Judged):
    type: str
    status: str
    reason: str | None = None
    message: str | None = None
    lastTransitionTime: str | None = None  # noqa: N815


class _Status(_Judged):
    conditions: list[_Condition] | None = None
    podIP: str | None = None  # noqa: N815
    phase: str | None = None


class _Object(_Judged):
    metadata: _Metadata
    status: _Status | None = None
    data: dict[str, str] | None = None


class _List(_Judged):
    items: list[_Object]
    """Never null: a list wrongly taken as empty would withdraw every profile."""


class _Outcome(_Judged):
    kind: str
    """``Status``, or the kind of the deleted object."""


def parse_object(content_type: str, content: bytes) -> Manifest:
    """Parse one object.

    Raises:
        AnswerError: it is no object of an API server.
    """
    return _parse(_Object, content_type, content)


def parse_list(content_type: str, content: bytes) -> list[Manifest]:
    """Parse a list; return its items.

    Raises:
        AnswerError: it is not a list of an API server, or one of its items is not an object of one.
    """
    items: list[Manifest] = _parse(_List, content_type, content)["items"]
    return items


def parse_outcome(content_type: str, content: bytes) -> Manifest:
    """Parse the answer to a deletion.

    Raises:
        AnswerError: it is no answer of an API server.
    """
    return _parse(_Outcome, content_type, content)


def _parse(judge: type[_Judged], content_type: str, content: bytes) -> Manifest:
    if content_type.partition(";")[0].strip().lower() != JSON:
        raise AnswerError(f"the answer is {content_type[:80] or 'of no content type'}, not JSON")
    try:
        with _without_collector():
            answer: Manifest = json.loads(content)
            judge.model_validate(answer)
    except RecursionError:
        raise AnswerError(f"the answer's {len(content)} bytes are not JSON") from None
    except ValidationError as exc:
        problem = explain_all(exc, lambda one: explain(one, ".".join(map(str, one["loc"]))), most=1)
        raise AnswerError(f"the answer is not what was asked for: {problem}") from None
    except ValueError:
        raise AnswerError(f"the answer's {len(content)} bytes are not JSON") from None
    return answer


@contextmanager
def _without_collector() -> Iterator[None]:
    """Spare the garbage collector: a thousand profiles have no cycles, and traversing them repeatedly takes longer."""
    gc.disable()
    try:
        yield
    finally:
        gc.enable()


def is_terminating(content: bytes) -> bool:
    """Return whether a refusal says that the namespace is being deleted."""
    try:
        answer = json.loads(content)
        causes = answer["details"]["causes"]
        return any(cause["reason"] == "NamespaceTerminating" for cause in causes)
    except (ValueError, TypeError, KeyError, RecursionError):
        return False


def message_of(content: bytes) -> str:
    """Return a refusal's message: that of a ``Status``, or else its text."""
    try:
        answer = json.loads(content)
    except (ValueError, RecursionError):
        answer = None
    said = answer.get("message") if isinstance(answer, Mapping) else None
    return said if isinstance(said, str) else content.decode(errors="replace")
