"""Services that share one queue, as if they were one: what one cannot answer now is asked of the next."""

import asyncio
import random
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from typing import TypeVar

import aiohttp

from sidecar.client import (
    AsyncClient,
    BusyError,
    ClientError,
    NotConfiguredError,
    ServiceError,
    TimedOutError,
    UnauthorizedError,
)
from sidecar.client.retries import is_lost, lost_pause_s
from sidecar.settings import SettingsError

REST_S = 5.0
"""How long a service that could not be reached is asked after all others: a dead machine costs its callers seconds."""
PROBE_S = 30.0
LONGEST_PAUSE_S = 60.0
"""Nobody obeys a stranger's hour."""
MAX_STUCK = 5
"""How often a call may be lost on every service while they answer others: it may be what ends them."""
TOO_MANY = 429
NOBODYS = "0" * 44
"""No job has this id: a service that has jobs says so."""

T = TypeVar("T")


class LostError(Exception):
    """Nobody answered for as long as was waited."""


@dataclass(slots=True)
class Place:
    """A service; until ``rests_until_s`` of the loop's time it is the last to be asked."""

    client: AsyncClient
    rests_until_s: float = 0.0


class Fleet:
    """Asks services in turn, so that all get their share.

    Args:
        clients: one of each service; they wait for nobody themselves.
        patience_s: how long nobody may answer.
        tell: gets what people should know while nobody answers.
    """

    def __init__(self, clients: Sequence[AsyncClient], patience_s: float, tell: Callable[[str], None]) -> None:
        self._places = [Place(client) for client in clients]
        self._patience_s = patience_s
        self._tell = tell
        self._turn = 0
        self._heard_s = _now_s()
        self._is_told = False

    async def ask(self, call: Callable[[AsyncClient], Awaitable[T]]) -> T:
        """Have a call answered by any of them; it may be sent more than once.

        Raises:
            ClientError: the call's own failure: another service, or waiting, would not help.
            SettingsError: no call of this run can succeed.
            LostError: nobody answered for too long.
        """
        rounds = stuck = 0
        while True:
            began_s = _now_s()
            for place in self._in_turn():
                try:
                    answer = await call(place.client)
                except ClientError as exc:
                    error = self._passing(place, exc)
                else:
                    self._heard()
                    return answer
            stuck += is_gone(error) and self._heard_s > began_s
            if stuck > MAX_STUCK:
                raise error
            await self._pause(error, rounds)
            rounds += 1

    async def check(self) -> None:
        """Make sure that one of them has jobs for this caller.

        Raises:
            SettingsError: none has.
            LostError: none answers.
        """
        errors = [await _refusal(place.client) for place in self._places]
        found = [error for error in errors if error]
        if len(found) < len(errors):
            return
        for error in found:
            if not is_passing(error):
                raise SettingsError(f"no jobs are taken: {error}; OCR_JOBS lets a service take them") from error
        raise LostError(str(found[-1]))

    def _in_turn(self) -> Sequence[Place]:
        """Begin with another one each time; those that rest come last."""
        self._turn = (self._turn + 1) % len(self._places)
        turned = self._places[self._turn :] + self._places[: self._turn]
        return sorted(turned, key=lambda place: place.rests_until_s > _now_s())

    def _passing(self, place: Place, error: ClientError) -> ClientError:
        """Return a failure that another service, or time, may mend; raise any other."""
        if isinstance(error, UnauthorizedError | NotConfiguredError):
            raise SettingsError(str(error)) from error
        if is_gone(error):
            place.rests_until_s = _now_s() + REST_S
        elif not isinstance(error, BusyError) or error.status == TOO_MANY:
            self._heard()
        if not is_passing(error):
            raise error
        return error

    def _heard(self) -> None:
        self._heard_s = _now_s()
        self._is_told = False

    async def _pause(self, error: ClientError, rounds: int) -> None:
        silent_s = _now_s() - self._heard_s
        if silent_s > self._patience_s:
            raise LostError(f"no service has answered for {silent_s:.0f} s: {error}") from error
        if not self._is_told:
            self._is_told = True
            self._tell(f"{error}; it is tried again")
        await asyncio.sleep(next_pause_s(error, rounds, random.random()))  # noqa: S311 - it spreads callers


async def _refusal(client: AsyncClient) -> ClientError | None:
    """Return why a service would not take jobs; None: it would."""
    try:
        await client.job(NOBODYS, timeout_s=PROBE_S)
    except ClientError as exc:
        return None if isinstance(exc, ServiceError) and exc.code == "job_not_found" else exc
    return None


def is_gone(error: ClientError) -> bool:
    """Tell whether a service was not there, or does not answer."""
    return is_lost(error) or isinstance(error, TimedOutError)


def is_passing(error: ClientError) -> bool:
    """Tell whether another service, or the same one later, may answer the same call."""
    return is_gone(error) or (isinstance(error, BusyError) and not isinstance(error, NotConfiguredError))


def next_pause_s(error: ClientError, rounds: int, chance: float) -> float:
    """Return how long to wait after every service was asked: longer each time, and as long as was told.

    Args:
        error: what the last one answered.
        rounds: how often all of them were asked before.
        chance: 0 to 1.
    """
    told_s = (isinstance(error, ServiceError) and error.retry_after_s) or 0.0
    return max(lost_pause_s(rounds, chance), min(told_s, LONGEST_PAUSE_S) * (1 + chance / 4))


@asynccontextmanager
async def open_fleet(
    urls: Sequence[str], api_key: str, patience_s: float, tell: Callable[[str], None]
) -> AsyncIterator[Fleet]:
    """Open connections to services during the block, once one of them takes jobs.

    Raises:
        SettingsError: a URL or the key is none, or no service takes jobs.
        LostError: none answers.
    """
    async with AsyncExitStack() as held:
        try:
            clients = [
                # As many connections as there are calls: whoever calls limits them.
                AsyncClient(url, api_key, timeout_s=None, patience_s=0, connector=aiohttp.TCPConnector(limit=0))
                for url in dict.fromkeys(urls)
            ]
        except ValueError as exc:
            raise SettingsError(str(exc)) from exc
        for client in clients:
            await held.enter_async_context(client)
        fleet = Fleet(clients, patience_s, tell)
        await fleet.check()
        yield fleet


def _now_s() -> float:
    return asyncio.get_running_loop().time()
