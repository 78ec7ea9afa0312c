"""Knocks at the ports of sidecars: asks for what any caller may have, and says who answered. Decides nothing."""

import uuid
from collections.abc import Callable, Mapping

import aiohttp

from controller.resource.door import Door, is_api_answer, is_ops_answer
from controller.resource.sidecar_pod import Sidecar

REQUEST_ID = "X-Request-Id"
MAX_ANSWER_BYTES = 8 * 1024 * 1024
"""As much as the answer about 1,000 profiles may have; what is longer is cut, and then not understood."""

IsOurs = Callable[[Mapping[str, str], bytes], bool]


async def knock_at_api(sidecar: Sidecar, port: int, timeout_s: float) -> Door:
    """Ask the API port for ``/health``, which needs no key."""
    request_id = uuid.uuid4().hex
    headers = {REQUEST_ID: request_id}
    url = url_of(sidecar, port, "/health")
    return await _knock(url, headers, timeout_s, lambda said, content: is_api_answer(said, content, request_id))


async def knock_at_ops(sidecar: Sidecar, port: int, timeout_s: float) -> Door:
    """Ask the ops port for ``/profiles``, which is open to the controller."""
    return await _knock(url_of(sidecar, port, "/profiles"), {}, timeout_s, lambda _, content: is_ops_answer(content))


def url_of(sidecar: Sidecar, port: int, path: str) -> str:
    """Return a sidecar's URL; an IPv6 address stands in brackets."""
    host = f"[{sidecar.address}]" if ":" in sidecar.address else sidecar.address
    return f"http://{host}:{port}{path}"


async def _knock(url: str, headers: Mapping[str, str], timeout_s: float, is_ours: IsOurs) -> Door:
    """Ask once, over a connection of its own, within twice the timeout: to connect, and to be answered."""
    timeout = aiohttp.ClientTimeout(total=2 * timeout_s, sock_connect=timeout_s)
    try:
        async with (
            aiohttp.ClientSession(timeout=timeout) as session,
            session.get(url, headers=headers, allow_redirects=False) as response,
        ):
            content = await _read(response.content)
    except (aiohttp.ClientConnectorError, aiohttp.ConnectionTimeoutError, aiohttp.InvalidURL, UnicodeError):
        return Door.SHUT
    except TimeoutError:
        return Door.SILENT
    except (aiohttp.ClientError, OSError):  # it hung up, or speaks no HTTP
        return Door.OTHER
    return Door.OURS if is_ours(response.headers, content) else Door.OTHER


async def _read(stream: aiohttp.StreamReader) -> bytes:
    content = bytearray()
    while len(content) < MAX_ANSWER_BYTES and (chunk := await stream.read(MAX_ANSWER_BYTES - len(content))):
        content += chunk
    return bytes(content)
