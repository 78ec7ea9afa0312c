"""Probes whether the NetworkPolicy is enforced: it must refuse the controller, which connects to the API port.

A network plugin that does not enforce policies accepts them all the same, and the port stays open. A closed port
proves something only if the sidecar can be reached at all, so its ops port, which is open to the controller, is probed,
too. No request is ever sent.
"""

import asyncio
from collections.abc import Sequence

from controller.resource.condition import Condition
from controller.resource.sidecar_pod import Sidecar

CONDITION = "IsolationEnforced"
SHOWN_PODS = 5
API_KEY_MODE = Condition(
    CONDITION, "Unknown", "ApiKeyMode", "callers are identified by their key; the network need not keep others out"
)
NO_SIDECARS = Condition(CONDITION, "Unknown", "NoSidecars", "no sidecar is ready, so there is nothing to probe")
UNREACHABLE = Condition(
    CONDITION,
    "Unknown",
    "SidecarsUnreachable",
    "no ready sidecar takes a connection on any port, so a closed one proves nothing",
)


async def is_open(address: str, port: int, timeout_s: float) -> bool:
    """Return whether a connection to this address is accepted. Refused, unreachable and no answer all mean no."""
    try:
        async with asyncio.timeout(timeout_s):
            _, writer = await asyncio.open_connection(address, port)
    except (OSError, TimeoutError, UnicodeError):  # UnicodeError: not a valid host name
        return False
    writer.transport.abort()  # nothing was said, so there is nothing to wait for
    return True


async def prove(
    sidecars: Sequence[Sidecar], api_port: int, ops_port: int, timeout_s: float
) -> tuple[Condition, Sequence[Sidecar]]:
    """Probe both ports of every ready sidecar. Returns the condition, and the sidecars whose API port is open to us."""
    ready = [sidecar for sidecar in sidecars if sidecar.is_ready]
    if not ready:
        return NO_SIDECARS, ()
    exposed = await _open_to_us(ready, api_port, timeout_s)
    if exposed:
        message = f"port {api_port} is open to the controller, and so to anybody, on {_count(exposed, ready)}"
        return Condition(CONDITION, "False", "ConnectionAccepted", message), exposed
    reached = await _open_to_us(ready, ops_port, timeout_s)
    if not reached:
        return UNREACHABLE, ()
    message = f"port {api_port} of all ready sidecars is closed to the controller"
    if len(reached) < len(ready):
        message += f", which reaches port {ops_port} on {_count(reached, ready)}"
    return Condition(CONDITION, "True", "ConnectionRefused", message), ()


async def _open_to_us(sidecars: Sequence[Sidecar], port: int, timeout_s: float) -> list[Sidecar]:
    answers = await asyncio.gather(*(is_open(sidecar.address, port, timeout_s) for sidecar in sidecars))
    return [sidecar for sidecar, answered in zip(sidecars, answers, strict=True) if answered]


def _count(some: Sequence[Sidecar], ready: Sequence[Sidecar]) -> str:
    return f"{len(some)} of {len(ready)}: " + ", ".join(sidecar.name for sidecar in some[:SHOWN_PODS])
