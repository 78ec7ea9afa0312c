"""A message of the queue: one job's next step. Pure.

A job has one turn in its queue at a time, so that all jobs of a queue go round: whoever takes the turn of a slice puts
the next slice's turn at the end, before it reads. A turn that is handed out twice does no harm.
"""

from enum import StrEnum

from sidecar.jobs.record import SCHEMA, Order, Ref, Stored


class Step(StrEnum):
    """What is to be done."""

    OPEN = "open"
    """Open the document, and cut it into slices."""
    READ = "read"
    END = "end"
    """Every slice is done: put the results together."""


class Turn(Stored):
    """One step of one job. ``order`` comes with the first, so that nothing is lost if its record was not made yet."""

    schema_version: int = SCHEMA
    step: Step
    ref: Ref
    slice: int = 0
    order: Order | None = None

    @property
    def name(self) -> str:
        """The same for the same step: the queue refuses a second one within two minutes."""
        return f"{self.ref.id}.{self.step}.{self.slice}"
