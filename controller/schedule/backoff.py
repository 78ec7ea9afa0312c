"""When a namespace is reconciled again: bursts become one pass, failures back off, unsettled changes are checked.

Pure: durations in, durations out.
"""

from dataclasses import dataclass, replace

CALM_WINDOW_S = 0.1
"""How long changes are collected before a pass. An edit is published within a second; two edits at once are one
pass."""
BUSY_WINDOW_S = 1.5
"""The longest time of collection in a storm: 30 s of storm are about 20 passes."""
FIRST_PAUSE_S = 0.1
LONGEST_PAUSE_S = 2.0
"""Longest wait between failed passes: an API server's return is noticed within it."""
LONGEST_BUSY_S = 20.0
"""Longest ``Retry-After`` of a busy API server that is obeyed: its own is a second, a proxy's may be hours. ``/livez``
considers a loop stuck that is silent for longer than a pass, a resync and 30 s."""
FIRST_LOOK_S = 0.5
"""First interval of checking whether the sidecars have loaded what was published; it grows."""


@dataclass(frozen=True, slots=True)
class Backoff:
    """The rhythm of one namespace. All durations are in seconds."""

    resync_s: float
    window_s: float = CALM_WINDOW_S
    """How long to collect news before the next pass."""
    look_s: float = 0
    """How long to wait for news before checking without any."""
    pause_s: float = 0
    """How long to wait whatever happens."""
    is_waiting: bool = False
    """Whether something was still to happen after the latest pass."""

    def after_pass(self, *, is_settled: bool, has_news: bool) -> "Backoff":
        """Continue after a pass: changes came while it ran, or something is still expected, or all is at rest."""
        window_s = min(self.window_s * 2, BUSY_WINDOW_S) if has_news else CALM_WINDOW_S
        look_s = self.resync_s
        if not is_settled:
            look_s = min(self.look_s * 2 if self.is_waiting else FIRST_LOOK_S, self.resync_s)
        return replace(self, window_s=window_s, look_s=look_s, pause_s=0, is_waiting=not is_settled)

    def after_news(self) -> "Backoff":
        """Continue after a change: the interval of checks starts anew."""
        return replace(self, is_waiting=False)

    def after_failure(self, retry_after_s: float = 0) -> "Backoff":
        """Continue after a failed pass: at once, then later and later, or when the API server says, up to a limit."""
        pause_s = min(max(self.pause_s * 2, FIRST_PAUSE_S), LONGEST_PAUSE_S)
        return replace(self, pause_s=max(pause_s, min(retry_after_s, LONGEST_BUSY_S)), is_waiting=False)
