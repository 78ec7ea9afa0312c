"""Calls those who want to be told that a job has ended: allowed hosts alone, signed, and again until they answer."""

import asyncio
import ipaddress
import logging
import socket
import time
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path
from urllib.parse import urlsplit

import aiohttp
from aiohttp.abc import AbstractResolver, ResolveResult
from aiohttp.resolver import DefaultResolver

from sidecar.errors import JobExpiredError, JobNotFoundError, JobsUnavailableError
from sidecar.jobs.calling.calls_log import Attempt, CallsLog, CallState, failed
from sidecar.jobs.calling.signing import HEADER, signature
from sidecar.jobs.jetstream.calls import DueCall
from sidecar.jobs.queue import Queue
from sidecar.jobs.record import Ref
from sidecar.webhook_hosts import AllowedHost, check_callback_url

log = logging.getLogger(__name__)

IDLE_S = 1.0
CALL_S = 15.0
"""Deadline of one call, in seconds; shorter than the time after which its turn is handed to somebody else."""
METADATA = frozenset(map(ipaddress.ip_address, ("100.100.100.200", "fd00:ec2::254", "fd20:ce::254")))
"""Addresses at which clouds tell a machine's secrets, besides the link-local ones."""

Render = Callable[[Ref], Awaitable[tuple[str, bytes]]]
"""Gives of a job the URL and the body; raises JobNotFoundError or JobExpiredError where it is no more."""


class RefusedAddressError(OSError):
    """An address that nobody may have this service call."""


def check_address(address: str) -> None:
    """Refuse addresses of the machine's own surroundings.

    Raises:
        RefusedAddressError: it is link-local, an address of metadata, or none of a single machine.
    """
    ip = ipaddress.ip_address(address.partition("%")[0])
    ip = getattr(ip, "ipv4_mapped", None) or ip
    if ip.is_link_local or ip.is_multicast or ip.is_unspecified or ip in METADATA:
        raise RefusedAddressError("its address must not be called")


class _CheckedResolver(AbstractResolver):
    """Resolves names; what is checked is what is connected to."""

    def __init__(self) -> None:
        self._resolver = DefaultResolver()

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_INET
    ) -> list[ResolveResult]:
        found = await self._resolver.resolve(host, port, family)
        for one in found:
            check_address(one["host"])
        return found

    async def close(self) -> None:
        await self._resolver.close()


class Callbacks:
    """Makes the calls that are due, one after the other; each pod makes some."""

    def __init__(
        self,
        queue: Queue,
        render: Render,
        allowed: Sequence[AllowedHost],
        secret_file: Path,
        counted: Callable[[str], None],
    ) -> None:
        self._queue = queue
        self._render = render
        self._allowed = allowed
        self._secret_file = secret_file
        self._counted = counted

    async def run(self) -> None:
        """Call until cancelled."""
        connector = aiohttp.TCPConnector(resolver=_CheckedResolver(), force_close=True)
        timeout = aiohttp.ClientTimeout(total=CALL_S)
        async with aiohttp.ClientSession(connector=connector, timeout=timeout) as session:
            while True:
                await self._queue.connection.ready.wait()
                called = False
                with suppress(JobsUnavailableError):  # a call that was made may be made once more
                    if due := await self._queue.calls.take():
                        called = True
                        await self._make(session, due)
                if not called:
                    await asyncio.sleep(IDLE_S)

    async def _make(self, session: aiohttp.ClientSession, due: DueCall) -> None:
        try:
            url, body = await self._render(due.ref)
            told = await self._queue.records.calls_log(due.ref) or CallsLog()
        except (JobNotFoundError, JobExpiredError):
            await due.done()
            return
        if told.state is CallState.PENDING:
            told = told.with_attempt(await self._call(session, url, body))
            await self._queue.records.put_calls_log(due.ref, told)
            self._counted("retried" if told.state is CallState.PENDING else told.state.value)
        after_s = told.retry_after_s
        await (due.done() if after_s is None else due.later(after_s))

    async def _call(self, session: aiohttp.ClientSession, url: str, body: bytes) -> Attempt:
        """Call once; nothing of the answer is kept but its status."""
        now = datetime.now(UTC)
        try:
            check_callback_url(url, self._allowed)  # the list may be another one by now
            with suppress(ValueError):  # a name, which the resolver checks
                check_address(urlsplit(url).hostname or "")
            secret = (await asyncio.to_thread(self._secret_file.read_bytes)).strip()
            signed = signature(secret, int(time.time()), body)
            headers = {"Content-Type": "application/json", HEADER: signed, "User-Agent": "ocr-sidecar"}
            async with session.post(url, data=body, headers=headers, allow_redirects=False) as answer:
                return Attempt(at=now, status=answer.status)
        except TimeoutError:
            return failed(now, f"no answer within {CALL_S:g} s")
        except ValueError:
            return failed(now, "its host is no longer among those that may be called")
        except (aiohttp.ClientError, OSError) as exc:
            return failed(now, _reason(exc))


def _reason(exc: BaseException) -> str:
    """Say why there is no answer, without addresses."""
    causes: list[BaseException] = [exc]
    while cause := causes[-1].__cause__ or getattr(causes[-1], "os_error", None):
        if cause in causes:
            break
        causes.append(cause)
    refused = next((one for one in causes if isinstance(one, RefusedAddressError)), None)
    return str(refused) if refused else f"not reached: {type(exc).__name__}"
