"""Lets in over HTTP whoever has a key of the service: the service itself is asked, so that both keep the same keys."""

from collections.abc import Mapping

from starlette.datastructures import Headers
from starlette.responses import JSONResponse
from starlette.types import ASGIApp, Receive, Scope, Send

from sidecar.client import AsyncClient, ClientError, UnauthorizedError

ASKING_S = 10.0
"""How long the service may take to say whether a key is one."""
BEARER = "bearer "


def key_of(headers: Mapping[str, str]) -> str | None:
    """Return the key of a request, in either form that the service takes."""
    if key := headers.get("x-api-key"):
        return key
    said = headers.get("authorization", "")
    return said[len(BEARER) :].strip() or None if said.lower().startswith(BEARER) else None


class Doorkeeper:
    """Stands before an application."""

    def __init__(self, app: ASGIApp, url: str) -> None:
        self._app = app
        self._url = url

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer 401 to who has no key of the service, 503 while the service cannot tell; let all others in."""
        refusal = await self._refusal(Headers(scope=scope)) if scope["type"] == "http" else None
        await (refusal or self._app)(scope, receive, send)

    async def _refusal(self, headers: Mapping[str, str]) -> JSONResponse | None:
        try:
            async with AsyncClient(self._url, key_of(headers), timeout_s=ASKING_S, patience_s=0) as client:
                await client.models()
        except (UnauthorizedError, ValueError):  # what no header can hold is no key
            challenge = {"WWW-Authenticate": "Bearer"}
            return JSONResponse({"error": "a key of the service is needed"}, 401, challenge)
        except ClientError as exc:
            return JSONResponse({"error": f"the service cannot be asked: {exc}"}, 503)
        return None
