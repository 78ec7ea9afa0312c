"""When a namespace is reconciled again: bursts become one pass, failures back off, unsettled changes are checked.

Pure: durations in, durations out.
"""

from dataclasses import dataclass, replace

CALM_WINDOW_S = 0.1
"""How long news are collected before a pass. An edit is published within a second; two edits at once are one pass."""
BUSY_WINDOW_S = 1.5
"""The most that they are collected in a storm: 30 s of storm are about 20 passes."""
FIRST_PAUSE_S = 0.1
LONGEST_PAUSE_S = 2.0
"""Between failed passes, at most: an API server that is back is noticed within this."""
LONGEST_BUSY_S = 20.0
"""The most that a busy API server's ``Retry-After`` is obeyed: its own is a second, a proxy's may be hours. ``/livez``
takes a loop for stuck that is still for longer than a pass, a resync and 30 s."""
FIRST_LOOK_S = 0.5
"""First interval of checking whether the sidecars have loaded what was published; it grows."""


@dataclass(frozen=True, slots=True)
class Pace:
    """The rhythm of one namespace. All durations are in seconds."""

    resync_s: float
    window_s: float = CALM_WINDOW_S
    """How long to collect news before the next pass."""
    look_s: float = 0
    """How long to wait for news before looking without any."""
    pause_s: float = 0
    """How long to wait whatever happens."""
    is_waiting: bool = False
    """Whether something was still to happen after the latest pass."""

    def after_pass(self, *, is_settled: bool, has_news: bool) -> "Pace":
        """Go on after a pass: news came while it ran, or something is still to happen, or all is at rest."""
        window_s = min(self.window_s * 2, BUSY_WINDOW_S) if has_news else CALM_WINDOW_S
        look_s = self.resync_s
        if not is_settled:
            look_s = min(self.look_s * 2 if self.is_waiting else FIRST_LOOK_S, self.resync_s)
        return replace(self, window_s=window_s, look_s=look_s, pause_s=0, is_waiting=not is_settled)

    def after_news(self) -> "Pace":
        """Continue after a change: the interval of checks starts anew."""
        return replace(self, is_waiting=False)

    def after_failure(self, retry_after_s: float = 0) -> "Pace":
        """Go on after a pass that failed: at once, then ever later, or as late as the API server says, to a limit."""
        pause_s = min(max(self.pause_s * 2, FIRST_PAUSE_S), LONGEST_PAUSE_S)
        return replace(self, pause_s=max(pause_s, min(retry_after_s, LONGEST_BUSY_S)), is_waiting=False)
