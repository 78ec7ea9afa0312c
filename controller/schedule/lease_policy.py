"""Which of several controllers works: the one that a Lease names. The others wait until it falls silent. Pure.

Two that work at a time do no harm, they write the same; so nobody has to be sure that the other has stopped.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from controller import names


@dataclass(frozen=True, slots=True)
class Held:
    """A Lease as it is stored."""

    holder: str
    """Empty: it was given back."""
    renewed: str
    transitions: int
    version: str


def parse_lease(body: Mapping[str, Any]) -> Held:
    """Read what matters of a Lease; whatever is missing counts as given back."""
    spec = body.get("spec") or {}
    return Held(
        holder=spec.get("holderIdentity") or "",
        renewed=spec.get("renewTime") or "",
        transitions=spec.get("leaseTransitions") or 0,
        version=body["metadata"].get("resourceVersion") or "",
    )


def may_take(held: Held | None, me: str, unchanged_s: float, term_s: float) -> bool:
    """Return whether to write one's name into it.

    Args:
        held: the Lease; None: there is none.
        me: one's own name.
        unchanged_s: how long it has been seen as it is, by one's own clock: clocks of nodes differ.
        term_s: how long it may stay unrenewed.
    """
    return held is None or held.holder in ("", me) or unchanged_s > term_s


def render_lease(namespace: str, holder: str, term_s: int, now: datetime, held: Held | None) -> dict[str, Any]:
    """Render the Lease with a holder; with the version that was seen, so that of two only one succeeds."""
    metadata = {"name": names.LEASE, "namespace": namespace}
    changes_hands = held is not None and held.holder != holder
    spec = {
        "holderIdentity": holder,
        "leaseDurationSeconds": term_s,
        "renewTime": now.strftime("%Y-%m-%dT%H:%M:%S.%fZ"),
        "leaseTransitions": (held.transitions if held else 0) + changes_hands,
    }
    version = {"resourceVersion": held.version} if held else {}
    return {"apiVersion": "coordination.k8s.io/v1", "kind": "Lease", "metadata": metadata | version, "spec": spec}
