"""What a pass over a namespace leaves to be done. Pure."""

from enum import Enum, auto


class Outcome(Enum):
    """What is to be done about a namespace after a pass."""

    SETTLED = auto()
    """Nothing until the next event."""
    UNSETTLED = auto()
    """Check again soon: something is still expected."""
    LEAVING = auto()
    """Forget it, as below: it is being deleted, and nothing new can be made there."""
    NOTHING_THERE = auto()
    """Forget it, until something happens: nothing of ours is there, or the namespace itself is gone."""
