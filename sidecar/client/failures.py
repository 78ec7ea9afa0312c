"""What can go wrong with a call, as its caller meets it. Pure.

::

    ClientError
    ├── UnreachableError        no connection, or one that broke before the answer
    ├── TimedOutError           the caller's own time was over
    ├── BadAnswerError          what answers is no sidecar, or its answer is none
    │   └── BrokenAnswerError   the answer broke off
    └── ServiceError            the service refused or failed, and said why
        ├── UnauthorizedError   401, 403: the key is missing or wrong, or may not do this
        ├── NotConfiguredError  503: the service was not set up for it; it is no matter of time
        └── BusyError           429, 503: not now; retry_after_s may say when

A file of the caller's that cannot be opened or read is the ``OSError`` that Python makes of it.
"""

import json
import re
from collections.abc import Mapping
from typing import Any, Self

_FIELD = re.compile(r"\w+")
SHOWN_CHARS = 1000
"""Most of a detail that is repeated: whatever answers may write anything."""


class ClientError(Exception):
    """Any failure of a call."""


class UnreachableError(ClientError):
    """The service could not be asked: no connection, or one that broke before the answer."""


class TimedOutError(ClientError):
    """The time that the caller gave was over."""


class BadAnswerError(ClientError):
    """What answers is no sidecar (another service, a proxy, a redirect), or it answers what a sidecar would not."""


class BrokenAnswerError(BadAnswerError):
    """The answer broke off: whoever gave it ended, or the connection did."""


class ServiceError(ClientError):
    """The service refused the request or failed at it.

    ``status``: of HTTP. ``code``: of the list in docs/api.md; empty where whatever answered gave none, as proxies do.
    ``detail``: what was wrong, for people. ``request_id``: finds the request in the service's log.
    ``retry_after_s``: seconds after which to come back, where that was said.
    """

    def __init__(
        self, status: int, code: str, detail: str, *, request_id: str = "", retry_after_s: float | None = None
    ) -> None:
        super().__init__(status, code, detail)
        self.status = status
        self.code = code
        self.detail = detail
        self.request_id = request_id
        self.retry_after_s = retry_after_s

    def named(self, names: Mapping[str, str]) -> Self:
        """Return the error with the field that its detail begins with called as in ``names``, if it is there."""
        field = _FIELD.match(self.detail)
        if field is None or field[0] not in names:
            return self
        detail = names[field[0]] + self.detail[field.end() :]
        return type(self)(self.status, self.code, detail, request_id=self.request_id, retry_after_s=self.retry_after_s)

    def __str__(self) -> str:
        """Return the detail, with status and code."""
        return f"{self.detail} ({self.status} {self.code})" if self.code else self.detail


class UnauthorizedError(ServiceError):
    """The key is missing or wrong, or what was asked for is forbidden."""


class NotConfiguredError(ServiceError):
    """The service was not set up for what was asked of it: it has no such engine, or no such model."""


class BusyError(ServiceError):
    """The service cannot do it now, and would not in the time that the client may wait."""


def parse_error(status: int, body: bytes, retry_after_s: float | None = None) -> ServiceError:
    """Make an exception of an answer that is no success, whoever gave it."""
    said = _parse(body)
    code, detail, request_id = (said.get(name) for name in ("code", "detail", "requestId"))
    if not isinstance(code, str) or not isinstance(detail, str):
        code, detail = "", f"the service answered with status {status}"
    return _kind(status, code)(
        status,
        printable(code),
        printable(detail),
        request_id=printable(request_id) if isinstance(request_id, str) else "",
        retry_after_s=retry_after_s,
    )


def printable(text: str) -> str:
    """Return text that a terminal shows and does not obey, and not too much of it."""
    return "".join(char if char.isprintable() else " " for char in text[:SHOWN_CHARS])


def _parse(body: bytes) -> dict[str, Any]:
    try:
        said = json.loads(body)
    except (ValueError, RecursionError):
        return {}
    return said if isinstance(said, dict) else {}


def _kind(status: int, code: str) -> type[ServiceError]:
    match status, code:
        case 401 | 403, _:
            return UnauthorizedError
        case 503, "not_configured":
            return NotConfiguredError
        case 429 | 503, _:
            return BusyError
    return ServiceError
