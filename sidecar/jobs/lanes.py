"""Which queue is asked first for the next turn. Pure."""

from sidecar.jobs.record import Lane

BATCH_SHARE = 4
"""Every so many turns batch goes first, so that it never starves."""


class LaneOrder:
    """Says in which order the queues are asked, turn after turn: realtime first, with a floor for batch."""

    def __init__(self) -> None:
        self._realtime_in_a_row = 0

    def next(self) -> tuple[Lane, Lane]:
        """Return the queues in the order in which they are asked now."""
        if self._realtime_in_a_row >= BATCH_SHARE - 1:
            return Lane.BATCH, Lane.REALTIME
        return Lane.REALTIME, Lane.BATCH

    def took(self, lane: Lane) -> None:
        """Note whose turn was taken."""
        self._realtime_in_a_row = self._realtime_in_a_row + 1 if lane is Lane.REALTIME else 0
