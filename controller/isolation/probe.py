"""Probes whether the NetworkPolicy is enforced: it must keep the controller, which knocks at the API port, out.

A network plugin that does not enforce policies lets it in all the same. Only an answer of the service itself says so:
in a mesh, and behind some load balancers, every connection is accepted by something else. A door without an answer
proves something only if the sidecar can be reached at all, so the ops port, open to the controller, is knocked at, too.
"""

import asyncio
from collections.abc import Awaitable, Callable, Iterable, Sequence

from controller.kube.knocker import knock_at_api, knock_at_ops
from controller.resource.condition import Condition
from controller.resource.door import Door
from controller.resource.sidecar_pod import Sidecar

CONDITION = "IsolationEnforced"
SHOWN_PODS = 5
KNOCKS = 3
"""How often it is knocked at a door before it counts as open. Some network plugins, those of k3s and kube-router among
them, know a new pod only seconds after it has begun to serve."""
PAUSE_S = 2.0
"""Between two knocks at an open door, in seconds."""
API_KEY_MODE = Condition(
    CONDITION, "Unknown", "ApiKeyMode", "callers are identified by their key; the network need not keep others out"
)
NO_SIDECARS = Condition(CONDITION, "Unknown", "NoSidecars", "no sidecar is ready, so there is nothing to probe")
UNREACHABLE = Condition(
    CONDITION,
    "Unknown",
    "SidecarsUnreachable",
    "no ready sidecar answers at any port, so a closed one proves nothing",
)

Doors = Sequence[tuple[Sidecar, Door]]
Knock = Callable[[Sidecar, int, float], Awaitable[Door]]


async def prove(
    sidecars: Sequence[Sidecar], api_port: int, ops_port: int, timeout_s: float, pause_s: float = PAUSE_S
) -> tuple[Condition, Sequence[Sidecar]]:
    """Knock at both ports of every ready sidecar. Returns the condition, and the sidecars whose API answers us.

    Args:
        sidecars: of one namespace.
        api_port: must be shut.
        ops_port: is open.
        timeout_s: for a connection, and once more for an answer.
        pause_s: before it is knocked again at an API port that answered.
    """
    ready = [sidecar for sidecar in sidecars if sidecar.is_ready]
    if not ready:
        return NO_SIDECARS, ()
    doors = await _knock_at_apis(ready, api_port, timeout_s, pause_s)
    if exposed := _those(doors, Door.OURS):
        message = f"port {api_port} answers the controller, and so anybody, on {_count(exposed, ready)}"
        return Condition(CONDITION, "False", "ConnectionAccepted", message), exposed
    reached = _those(await _knock_at_all(ready, knock_at_ops, ops_port, timeout_s), Door.OURS)
    return _not_exposed(doors, reached, api_port, ops_port), ()


def _not_exposed(doors: Doors, reached: Sequence[Sidecar], api_port: int, ops_port: int) -> Condition:
    """Judge API ports of which none answered as the service does, and which sidecars can be reached at all."""
    ready = [sidecar for sidecar, _ in doors]
    if silent := _those(doors, Door.SILENT):
        message = f"port {api_port} accepts connections and says nothing, on {_count(silent, ready)}"
        return Condition(CONDITION, "Unknown", "NoAnswer", message)
    if not reached:
        return UNREACHABLE
    where = f", which reaches port {ops_port} on {_count(reached, ready)}" if len(reached) < len(ready) else ""
    if other := _those(doors, Door.OTHER):
        message = f"port {api_port} is answered by something that is not the service, such as a mesh's proxy, on "
        return Condition(CONDITION, "True", "AcceptedByOther", message + _count(other, ready) + where)
    message = f"port {api_port} of all ready sidecars is closed to the controller{where}"
    return Condition(CONDITION, "True", "ConnectionRefused", message)


async def _knock_at_apis(ready: Sequence[Sidecar], port: int, timeout_s: float, pause_s: float) -> Doors:
    """Knock at every API port, and again at those that answered."""
    doors = await _knock_at_all(ready, knock_at_api, port, timeout_s)
    for _ in range(KNOCKS - 1):
        if answered := _those(doors, Door.OURS):
            await asyncio.sleep(pause_s)
            again = await _knock_at_all(answered, knock_at_api, port, timeout_s)
            doors = [one for one in doors if one[1] is not Door.OURS] + list(again)
    return doors


async def _knock_at_all(sidecars: Iterable[Sidecar], knock: Knock, port: int, timeout_s: float) -> Doors:
    asked = list(sidecars)
    return list(zip(asked, await asyncio.gather(*(knock(one, port, timeout_s) for one in asked)), strict=True))


def _those(doors: Doors, wanted: Door) -> list[Sidecar]:
    return [sidecar for sidecar, door in doors if door is wanted]


def _count(some: Sequence[Sidecar], ready: Sequence[Sidecar]) -> str:
    return f"{len(some)} of {len(ready)}: " + ", ".join(sidecar.name for sidecar in some[:SHOWN_PODS])
