"""Translates NetworkPolicies of `networking.k8s.io/v1` into nftables rules. Pure; only tests use it.

It replaces a cluster's network plugin. It is as strict as an API server: an unknown field, a peer that selects nobody,
or a label that is not text is an error, never silently another rule.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network
from typing import Annotated, Any, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, StringConstraints, model_validator

TABLE = "policies"
NAMESPACE_NAME = "kubernetes.io/metadata.name"
"""The label that the API server gives every namespace."""
REFUSALS = {
    "drop": ["drop"],
    "reject": ["meta l4proto tcp reject with tcp reset", "reject"],
}
"""Plugins differ: most drop forbidden packets, some reject them at once. Both count as closed."""

Direction = Literal["Ingress", "Egress"]
Refusal = Literal["drop", "reject"]
Address = IPv4Address | IPv6Address
PortNumber = Annotated[int, Field(ge=1, le=65535, strict=True)]
PortName = Annotated[str, StringConstraints(pattern=r"^[a-z0-9-]*[a-z][a-z0-9-]*$", max_length=15)]


# ── who is there ──────────────────────────────────────────────────────────────────────────────────────────────
@dataclass(frozen=True, slots=True)
class Endpoint:
    """Something with addresses: a pod, or without a namespace a machine outside the cluster."""

    name: str
    addresses: tuple[Address, ...]
    namespace: str = ""
    labels: Mapping[str, str] = field(default_factory=dict)
    ports: Mapping[str, tuple[str, int]] = field(default_factory=dict)
    """Protocol and number of the named container ports."""


@dataclass(frozen=True, slots=True)
class World:
    """All that selectors choose from."""

    endpoints: Sequence[Endpoint]
    namespaces: Mapping[str, Mapping[str, str]] = field(default_factory=dict)
    """Labels of namespaces, beside the one with their name that each has."""

    def labels_of(self, namespace: str) -> Mapping[str, str]:
        return {NAMESPACE_NAME: namespace} | dict(self.namespaces.get(namespace, {}))


# ── a policy, as the API server reads it: null means absent ───────────────────────────────────────────────────
class _Part(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class Requirement(_Part):
    key: str
    operator: Literal["In", "NotIn", "Exists", "DoesNotExist"]
    values: list[str] | None = None

    @model_validator(mode="after")
    def _has_values_where_they_mean_something(self) -> Self:
        if bool(self.values) != (self.operator in ("In", "NotIn")):
            raise ValueError(f"{self.operator} with values {self.values}")
        return self

    def chooses(self, labels: Mapping[str, str]) -> bool:
        match self.operator:
            case "In":
                return labels.get(self.key) in (self.values or ())
            case "NotIn":
                return labels.get(self.key) not in (self.values or ())
            case "Exists":
                return self.key in labels
            case "DoesNotExist":
                return self.key not in labels


class Selector(_Part):
    """All terms must match; an empty one selects everything."""

    matchLabels: dict[str, str] | None = None  # noqa: N815 - the wire's name
    matchExpressions: list[Requirement] | None = None  # noqa: N815

    def chooses(self, labels: Mapping[str, str]) -> bool:
        return all(labels.get(key) == value for key, value in (self.matchLabels or {}).items()) and all(
            one.chooses(labels) for one in self.matchExpressions or ()
        )


class IpBlock(_Part):
    cidr: IPv4Network | IPv6Network
    except_: list[IPv4Network | IPv6Network] | None = Field(None, alias="except")

    def chooses(self, address: Address) -> bool:
        return address in self.cidr and not any(address in part for part in self.except_ or ())


class Peer(_Part):
    podSelector: Selector | None = None  # noqa: N815
    namespaceSelector: Selector | None = None  # noqa: N815
    ipBlock: IpBlock | None = None  # noqa: N815

    @model_validator(mode="after")
    def _names_somebody_in_one_way(self) -> Self:
        if (self.ipBlock is None) == (self.podSelector is None and self.namespaceSelector is None):
            raise ValueError("a peer is an ipBlock, or a podSelector and/or a namespaceSelector")
        return self

    def chooses(self, one: Endpoint, own_namespace: str, world: World) -> bool:
        """Return whether it selects this pod; for IP blocks, whether the pod's address is inside."""
        if self.ipBlock is not None:
            return any(self.ipBlock.chooses(address) for address in one.addresses)
        if not one.namespace:
            return False
        if self.namespaceSelector is None:
            in_namespace = one.namespace == own_namespace
        else:
            in_namespace = self.namespaceSelector.chooses(world.labels_of(one.namespace))
        return in_namespace and (self.podSelector or Selector()).chooses(one.labels)


class Port(_Part):
    protocol: Literal["TCP", "UDP", "SCTP"] | None = None
    port: PortNumber | PortName | None = None
    endPort: PortNumber | None = None  # noqa: N815

    @model_validator(mode="after")
    def _ends_after_it_begins(self) -> Self:
        if self.endPort is not None and (not isinstance(self.port, int) or self.endPort < self.port):
            raise ValueError(f"endPort {self.endPort} with port {self.port}")
        return self

    @property
    def transport(self) -> str:
        return (self.protocol or "TCP").lower()


class Rule(_Part):
    """One rule of either direction, under either's name for the others."""

    from_: list[Peer] | None = Field(None, alias="from")
    to: list[Peer] | None = None
    ports: list[Port] | None = None

    @property
    def peers(self) -> Sequence[Peer]:
        return self.from_ or self.to or ()


class IngressRule(Rule):
    to: None = Field(None, exclude=True)


class EgressRule(Rule):
    from_: None = Field(None, alias="from", exclude=True)


class Spec(_Part):
    podSelector: Selector = Selector()  # noqa: N815
    policyTypes: list[Direction] | None = None  # noqa: N815
    ingress: list[IngressRule] | None = None
    egress: list[EgressRule] | None = None

    @property
    def directions(self) -> Sequence[Direction]:
        """The directions it isolates. By default ingress always, and egress if it has rules for that."""
        return self.policyTypes or (("Ingress", "Egress") if self.egress else ("Ingress",))

    def rules(self, direction: Direction) -> Sequence[Rule]:
        return (self.ingress if direction == "Ingress" else self.egress) or ()


class Metadata(BaseModel):
    name: str
    namespace: str = "default"


class Policy(_Part):
    apiVersion: Literal["networking.k8s.io/v1"]  # noqa: N815
    kind: Literal["NetworkPolicy"]
    metadata: Metadata
    spec: Spec

    def isolates(self, one: Endpoint, direction: Direction) -> bool:
        return (
            direction in self.spec.directions
            and one.namespace == self.metadata.namespace
            and self.spec.podSelector.chooses(one.labels)
        )


def parse_policies(bodies: Iterable[Mapping[str, Any]]) -> list[Policy]:
    """Parse manifests.

    Raises:
        pydantic.ValidationError: an API server would refuse one, or it holds what this module does not know.
    """
    return [Policy.model_validate(body) for body in bodies]


# ── the rules ─────────────────────────────────────────────────────────────────────────────────────────────────
def render_rules(world: World, policies: Sequence[Policy], refusal: Refusal = "drop") -> str:
    """Render the rules for a router between all endpoints; they replace the old ones in one transaction.

    A connection must be allowed by its source's egress and its destination's ingress; its further packets pass.
    """
    out, into, chains = [], [], []
    for index, one in enumerate(world.endpoints):
        for direction, side, jumps in (("Egress", "saddr", out), ("Ingress", "daddr", into)):
            own = [policy for policy in policies if policy.isolates(one, direction)]
            if own:
                chain = f"{direction.lower()}_{index}"
                allowed = [line for policy in own for line in _allowed(one, policy, direction, world)]
                chains.append(_chain(chain, [*allowed, *REFUSALS[refusal]], one.name))
                jumps += [f"{_family(address)} {side} {address} jump {chain}" for address in one.addresses]
    forward = ["type filter hook forward priority filter; policy accept;", "ct state established,related accept"]
    chains += [_chain("out", out), _chain("into", into), _chain("forward", [*forward, "jump out", "jump into"])]
    return f"table inet {TABLE}\ndelete table inet {TABLE}\ntable inet {TABLE} {{\n" + "\n".join(chains) + "\n}\n"


def _chain(name: str, lines: Iterable[str], comment: str = "") -> str:
    return "\n".join([f"chain {name} {{  # {comment}", *lines, "}"])


def _allowed(one: Endpoint, policy: Policy, direction: Direction, world: World) -> Iterator[str]:
    """The rules that return what the policy allows to the chain, where the other side is checked."""
    namespace = policy.metadata.namespace
    side = "saddr" if direction == "Ingress" else "daddr"
    for rule in policy.spec.rules(direction):
        others = list(_others(rule.peers, side, namespace, world))
        for port in rule.ports or (None,):
            if port is None or not isinstance(port.port, str):
                yield from (f"{other} {_numbered(port)} return" for other in others)
            elif direction == "Ingress":
                yield from (f"{other} {number} return" for other in others for number in _named(port, one))
            else:
                yield from _named_elsewhere(port, rule.peers, namespace, world)


def _others(peers: Sequence[Peer], side: str, namespace: str, world: World) -> Iterator[str]:
    """The peers: one match each; one that matches everybody if none is named."""
    if not peers:
        yield ""
    for peer in peers:
        if peer.ipBlock is not None:
            family = "ip" if peer.ipBlock.cidr.version == 4 else "ip6"
            parts = "".join(f" {family} {side} != {part}" for part in peer.ipBlock.except_ or ())
            yield f"{family} {side} {peer.ipBlock.cidr}{parts}"
        else:
            chosen = (one for one in world.endpoints if peer.chooses(one, namespace, world))
            yield from (f"{_family(address)} {side} {address}" for one in chosen for address in one.addresses)


def _numbered(port: Port | None) -> str:
    if port is None:
        return ""
    if port.port is None:
        return f"meta l4proto {port.transport}"
    return f"{port.transport} dport {port.port}" + (f"-{port.endPort}" if port.endPort else "")


def _named(port: Port, owner: Endpoint) -> Iterator[str]:
    """The number that the owner gives to this name; nothing if it has no such port."""
    protocol, number = owner.ports.get(str(port.port), ("", 0))
    if protocol.lower() == port.transport:
        yield f"{port.transport} dport {number}"


def _named_elsewhere(port: Port, peers: Sequence[Peer], namespace: str, world: World) -> Iterator[str]:
    """For egress, a named port is resolved by each destination."""
    for one in world.endpoints:
        if not peers or any(peer.chooses(one, namespace, world) for peer in peers):
            for address in one.addresses:
                yield from (f"{_family(address)} daddr {address} {number} return" for number in _named(port, one))


def _family(address: Address) -> str:
    return "ip" if address.version == 4 else "ip6"
