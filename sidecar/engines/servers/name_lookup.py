"""Resolves the model server's name in threads of its own: a name server that hangs must not block anything else."""

import socket

from aiohttp.abc import AbstractResolver, ResolveResult

from sidecar.runtime.blocking_pool import BlockingPool, PoolFullError

NUMERIC = socket.AI_NUMERICHOST | socket.AI_NUMERICSERV


class NameLookup(AbstractResolver):
    """The resolver that aiohttp uses."""

    def __init__(self, pool: BlockingPool) -> None:
        self._pool = pool

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_UNSPEC
    ) -> list[ResolveResult]:
        """List the addresses of a name.

        Raises:
            OSError: it has none, or earlier look-ups still hang.
        """
        try:
            return await self._pool.run(_look_up, host, port, family)
        except PoolFullError as exc:
            raise OSError("the name server does not answer") from exc

    async def close(self) -> None:
        """Nothing is held open."""


def _look_up(host: str, port: int, family: socket.AddressFamily) -> list[ResolveResult]:
    found = socket.getaddrinfo(host, port, family, socket.SOCK_STREAM, flags=socket.AI_ADDRCONFIG)
    return [
        ResolveResult(hostname=host, host=_numeric(address), port=port, family=family, proto=proto, flags=NUMERIC)
        for family, _, proto, _, address in found
    ]


def _numeric(address: tuple[str, int] | tuple[str, int, int, int] | tuple[int, bytes]) -> str:
    """Format an address, with the zone that a link-local IPv6 address needs."""
    return socket.getnameinfo(address, socket.NI_NUMERICHOST | socket.NI_NUMERICSERV)[0]
