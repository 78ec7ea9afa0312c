"""A job as its owner sees it: the record with what its slices tell. Pure."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from sidecar.jobs.record import Record, SliceRecord


@dataclass(frozen=True, slots=True)
class JobView:
    """A job, and its slices that are done, in their order.

    ``ahead``: turns of other jobs before its own first one; None once it has begun, or where it is not known.
    """

    record: Record
    slices: Sequence[SliceRecord] = ()
    ahead: int | None = None

    @property
    def pages_done(self) -> int:
        """Pages that are behind it, read or not."""
        return self.record.pages_done or sum(len(one.pages) for one in self.slices)

    @property
    def pages_failed(self) -> int:
        """Pages that nobody could read."""
        return self.record.pages_failed or sum(len(one.failed) for one in self.slices)

    @property
    def quarantined(self) -> tuple[int, ...]:
        """Pages that are not tried again, since they ended two who read them."""
        return self.record.quarantined or tuple(page for one in self.slices for page in one.quarantined)

    @property
    def redeliveries(self) -> int:
        """How often slices were handed out once more, since who had them did not come back or could not read them."""
        return self.record.redeliveries or sum(one.deliveries - 1 for one in self.slices)

    def seconds_left(self, now: datetime) -> float | None:
        """Estimate from the pace so far; None before the first slice is done, and once the job has ended."""
        record = self.record
        if record.state.is_end or not record.started_at or not record.pages or not self.pages_done:
            return None
        took_s = max(0.0, (now - record.started_at).total_seconds())
        return took_s / self.pages_done * (len(record.pages) - self.pages_done)
