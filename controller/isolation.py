"""Proves that the NetworkPolicy is enforced: the controller, whom it does not let in, knocks at the sidecars' API port.

A CNI that does not enforce policies takes them all the same: the door looks shut and is open. No request is ever sent.
"""

import asyncio
from collections.abc import Sequence

from controller.pods import Sidecar
from controller.status import Condition

CONDITION = "IsolationEnforced"
SHOWN_PODS = 5
API_KEY_MODE = Condition(
    CONDITION, "Unknown", "ApiKeyMode", "callers are known by their key; the network is not what keeps others out"
)
NO_SIDECARS = Condition(CONDITION, "Unknown", "NoSidecars", "no sidecar is ready, so there was no door to knock at")


async def is_open(address: str, port: int, timeout_s: float) -> bool:
    """Tell whether somebody at this address takes a connection. Refused, unreachable and no answer all mean no."""
    try:
        async with asyncio.timeout(timeout_s):
            _, writer = await asyncio.open_connection(address, port)
    except (OSError, TimeoutError):
        return False
    writer.transport.abort()  # nothing was said, so there is nothing to wait for
    return True


async def prove(sidecars: Sequence[Sidecar], port: int, timeout_s: float) -> tuple[Condition, Sequence[Sidecar]]:
    """Knock at the API port of every ready sidecar. With the condition, gives those that let us in."""
    ready = [sidecar for sidecar in sidecars if sidecar.is_ready]
    if not ready:
        return NO_SIDECARS, ()
    answers = await asyncio.gather(*(is_open(sidecar.address, port, timeout_s) for sidecar in ready))
    doors = [sidecar for sidecar, answered in zip(ready, answers, strict=True) if answered]
    if not doors:
        message = f"port {port} of all ready sidecars is shut to the controller"
        return Condition(CONDITION, "True", "ConnectionRefused", message), ()
    shown = ", ".join(sidecar.name for sidecar in doors[:SHOWN_PODS])
    message = f"port {port} is open to the controller, and so to anybody, on {len(doors)} of {len(ready)}: {shown}"
    return Condition(CONDITION, "False", "ConnectionAccepted", message), doors
