"""Takes the Lease, holds it and gives it back. While the API server is away its holder works on: nobody can take it."""

import asyncio
import logging
import time
from collections.abc import Callable, Mapping
from datetime import datetime
from typing import Any, Protocol

from controller.clock import utc_now
from controller.errors import ClusterError, ConflictError
from controller.schedule.lease_policy import Held, may_take, parse_lease, render_lease

log = logging.getLogger(__name__)

TRIES = 5
"""How often it is looked at in one term: several may fail before it counts as abandoned."""
RELEASE_S = 3.0
"""Longest wait, in seconds, for giving it back; if that fails, the others wait for a term."""


class LostLeaseError(Exception):
    """Another controller works."""


class Leases(Protocol):
    """What is needed of the API server; see ``controller.kube.api_client``."""

    async def get_lease(self, namespace: str) -> Mapping[str, Any] | None:
        """Read the Lease; None if there is none."""

    async def put_lease(self, manifest: Mapping[str, Any]) -> Mapping[str, Any]:
        """Create it, or replace the version that it names; ConflictError if it is another one."""


class Leader:
    """One of those who want to work."""

    def __init__(  # noqa: PLR0913, PLR0917 - two of them are clocks
        self,
        leases: Leases,
        namespace: str,
        me: str,
        term_s: int,
        clock: Callable[[], float] = time.monotonic,
        now: Callable[[], datetime] = utc_now,
    ) -> None:
        """Prepare; nothing is asked yet.

        Args:
            leases: the API server.
            namespace: where the Lease is.
            me: a name that nobody else has, not even this pod's next process.
            term_s: after how long without renewal another one takes it, in seconds.
            clock: seconds that only rise.
            now: the time, for those who read the Lease.
        """
        self._leases, self._namespace, self._me, self._term_s = leases, namespace, me, term_s
        self._clock, self._now = clock, now
        self._seen: Held | None = None
        self._seen_at_s = clock()
        self.leads = False
        self.problem = ""
        """Why the Lease could not be looked at, the last time; empty: it could."""

    async def acquire(self) -> None:
        """Wait until the Lease is one's own."""
        log.info("stands by", extra={"lease": self._me})
        while True:
            if await self.look():
                break
            await asyncio.sleep(self._term_s / TRIES)
        self.leads = True
        log.info("leads", extra={"lease": self._me})

    async def hold(self) -> None:
        """Renew it until another one has it.

        Raises:
            LostLeaseError: another one has it: this process was silent for a term.
        """
        while True:
            await asyncio.sleep(self._term_s / TRIES)
            if not await self.look() and self._seen is not None and self._seen.holder not in ("", self._me):
                self.leads = False
                raise LostLeaseError(f"{self._seen.holder} has the lease")

    async def release(self) -> None:
        """Give it back, if it is one's own."""
        if not self.leads or self._seen is None:
            return
        self.leads = False
        try:
            async with asyncio.timeout(RELEASE_S):
                await self._leases.put_lease(render_lease(self._namespace, "", 1, self._now(), self._seen))
        except (ClusterError, TimeoutError) as exc:
            log.warning("the lease could not be given back", extra={"error": str(exc) or type(exc).__name__})

    async def look(self) -> bool:
        """Take or renew it, if it may be; return whether that was done."""
        try:
            body = await self._leases.get_lease(self._namespace)
            self._note(parse_lease(body) if body is not None else None)
            if not may_take(self._seen, self._me, self._clock() - self._seen_at_s, self._term_s):
                self.problem = ""
                return False
            wanted = render_lease(self._namespace, self._me, self._term_s, self._now(), self._seen)
            self._note(parse_lease(await self._leases.put_lease(wanted)))
        except ConflictError:
            return False  # another one was faster; the next look shows who
        except ClusterError as exc:
            self.problem = str(exc)
            return False
        self.problem = ""
        return True

    def _note(self, held: Held | None) -> None:
        if held != self._seen:
            self._seen, self._seen_at_s = held, self._clock()
