"""Decides whether to ask a busy service again, and when. Pure: clocks and chance are arguments."""

import math
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime

from sidecar.client.failures import BrokenAnswerError, BusyError, ClientError, ServiceError, UnreachableError

SHORTEST_S = 0.2
"""``Retry-After: 0`` asked in a tight loop would be an attack."""
SPREAD = 0.25
"""How much later than told, at most, as a share: callers who were refused together do not come back together."""
GATEWAY = frozenset({502, 504})
"""What proxies answer for a service that is not there."""
LONGEST_LOST_S = 10.0
"""Between two tries to reach a service that is not there: a restart is seen soon after it."""


def parse_retry_after(header: str | None, now: datetime) -> float | None:
    """Return the seconds that ``Retry-After`` (RFC 9110, 10.2.3) tells, as a number or a date; None: it tells none."""
    text = (header or "").strip()
    if text.isascii() and text.isdigit():
        return float(text[:9])  # more than thirty years is as good as never
    try:
        moment = parsedate_to_datetime(text)
    except (ValueError, IndexError, OverflowError):
        return None
    moment = moment if moment.tzinfo else moment.replace(tzinfo=UTC)
    return max(0.0, (moment - now).total_seconds())


def next_pause_s(error: ServiceError, patience_s: float, chance: float) -> float | None:
    """Return how long to wait before the request is sent again; None: give the error to the caller now.

    Only 429 and 503 that say when are tried again. A pause beyond the caller's patience is not begun: nobody obeys
    a stranger's hour.

    Args:
        error: how the request failed.
        patience_s: what is left of the time that the caller lets the client wait.
        chance: 0 to 1.
    """
    if not isinstance(error, BusyError) or error.retry_after_s is None:
        return None
    pause_s = max(SHORTEST_S, error.retry_after_s)
    if math.isnan(pause_s) or pause_s >= patience_s:
        return None
    return min(pause_s * (1 + SPREAD * chance), patience_s)


def is_lost(error: ClientError) -> bool:
    """Tell whether the service, or what leads to it, was not there: another one, or the same one later, may be."""
    gone = isinstance(error, UnreachableError | BrokenAnswerError)
    return gone or (isinstance(error, ServiceError) and error.status in GATEWAY)


def lost_pause_s(tries: int, chance: float) -> float:
    """Return how long to wait before a service that was not there is tried again: longer each time.

    Args:
        tries: how often it was tried since it last answered, less the first time.
        chance: 0 to 1.
    """
    pause_s = min(SHORTEST_S * 2.0 ** min(tries, 30), LONGEST_LOST_S)
    return pause_s * (1 + SPREAD * chance)


class Patience:
    """How long somebody still waits for a service that is lost; each time it answers, the waiting begins anew."""

    def __init__(self, patience_s: float) -> None:
        self._patience_s = patience_s
        self.answered()

    def answered(self) -> None:
        """Begin anew."""
        self._left_s = self._patience_s
        self._tries = 0

    def next_pause_s(self, chance: float) -> float | None:
        """Return how long to wait before the next try; None: no longer."""
        pause_s = lost_pause_s(self._tries, chance)
        if pause_s > self._left_s:
            return None
        self._tries += 1
        self._left_s -= pause_s
        return pause_s
