"""One event about a resource, and its name. Pure."""

import hashlib
from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True, slots=True)
class Event:
    """What ``kubectl describe`` shows. The name is the same however often the same change is told."""

    name: str
    type: Literal["Normal", "Warning"]
    reason: str
    message: str


def event_name(subject: str, *told: str) -> str:
    """Name an event after its content: repeated after a crash or by a second replica, it is the same event."""
    digest = hashlib.sha256("\0".join(told).encode()).hexdigest()[:16]
    return f"{subject[:200].rstrip('-.')}.{digest}"
