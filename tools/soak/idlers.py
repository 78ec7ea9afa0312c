"""Holds connections that say nothing, and opens another for each that is closed; in a process of its own, since so many
at once would hold up the callers whose time counts.

``python -m tools.soak.idlers PORT COUNT``: until its input ends; then it prints how many were opened, and closed by us.
"""

import asyncio
import json
import random
import resource
import sys

from bench.harness.service import HOST

AGAIN_S = (1.0, 5.0)
"""The pause before a connection is tried again, in seconds."""


class Idlers:
    """Counts what becomes of its connections."""

    def __init__(self, port: int) -> None:
        self._port = port
        self.opened = self.closed = self.refused = 0

    async def hold(self) -> None:
        """Hold one connection, for ever."""
        while True:
            await asyncio.sleep(random.uniform(*AGAIN_S))
            try:
                reader, writer = await asyncio.open_connection(HOST, self._port)
            except OSError:
                self.refused += 1
                continue
            self.opened += 1
            try:
                await reader.read()
            except OSError:
                pass
            finally:
                writer.transport.abort()
            self.closed += 1


async def _main(port: int, count: int) -> None:
    idlers = Idlers(port)
    holding = [asyncio.create_task(idlers.hold()) for _ in range(count)]
    await asyncio.to_thread(sys.stdin.read)
    print(json.dumps({"opened": idlers.opened, "closed": idlers.closed, "refused": idlers.refused}), flush=True)
    for one in holding:
        one.cancel()


if __name__ == "__main__":
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
    asyncio.run(_main(*map(int, sys.argv[1:])))
