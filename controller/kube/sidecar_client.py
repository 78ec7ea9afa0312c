"""Asks the sidecar pods what they have loaded. Their answers are validated, never trusted."""

import asyncio
from collections.abc import Iterable, Sequence
from dataclasses import replace

import aiohttp

from controller.kube.answer import JSON
from controller.kube.knocker import url_of
from controller.resource.sidecar_pod import Sidecar, parse_loaded

MAX_ANSWER_BYTES = 8 * 1024 * 1024
"""1,000 profiles are about 200 KiB."""
PARALLEL = 16


class SidecarClient:
    """Reads ``/profiles`` of sidecars, each within a deadline."""

    def __init__(self, ops_port: int, timeout_s: float) -> None:
        self._ops_port = ops_port
        self._session = aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=timeout_s))
        self._free = asyncio.Semaphore(PARALLEL)

    async def close(self) -> None:
        """Close the connections."""
        await self._session.close()

    async def ask_all(self, sidecars: Iterable[Sidecar]) -> Sequence[Sidecar]:
        """Return the sidecars; the ready ones with what they have loaded."""
        return await asyncio.gather(*(self._ask(sidecar) for sidecar in sidecars))

    async def _ask(self, sidecar: Sidecar) -> Sidecar:
        if not sidecar.is_ready:
            return sidecar
        try:
            async with self._free, self._session.get(self._url(sidecar), allow_redirects=False) as response:
                if response.status != 200 or response.content_type != JSON:
                    return sidecar
                content = await _read(response)
        except (aiohttp.ClientError, TimeoutError, OSError):
            return sidecar
        answer = parse_loaded(content)
        return replace(sidecar, loaded=answer[0], refused=answer[1]) if answer else sidecar

    def _url(self, sidecar: Sidecar) -> str:
        return url_of(sidecar, self._ops_port, "/profiles")


async def _read(response: aiohttp.ClientResponse) -> bytes:
    """Read the body; none of one that is too long, so that its beginning is not mistaken for the whole."""
    content = bytearray()
    async for chunk in response.content.iter_any():
        content += chunk
        if len(content) > MAX_ANSWER_BYTES:
            response.close()
            return b""
    return bytes(content)
