"""The translator of NetworkPolicies, held against Kubernetes' own end-to-end cases by real packets.

The titles and tables are those of `test/e2e/network/netpol` in kubernetes/kubernetes: three namespaces with three
pods each, all of which reach all, but for what a case says. Where it says nothing, the API's documentation does.
"""

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from fnmatch import fnmatch
from typing import Any

import pytest
import pytest_asyncio
from pydantic import ValidationError

from tools.fakes.network import Network, why_not
from tools.fakes.policy_rules import Endpoint, World, parse_policies, render_rules
from tools.fakes.probes import TCP, UDP, V4, V6, Door, answer, answering

REASON = why_not()
needs_packets = pytest.mark.skipif(REASON is not None, reason=str(REASON))
NAMES = [f"{namespace}/{pod}" for namespace in "xyz" for pod in "abc"]
SLOW_S = 5
NUMBERS = {name: 1 + number for number, name in enumerate(NAMES)}
"""The last part of each pod's address: x/a has 10.77.0.1 and fd77::1."""

Expected = Sequence[tuple[str, str, bool]]
"""From whom, to whom, whether it gets through; the last that fits counts, and what none fits gets through."""
ALL_ALLOWED: Expected = ()


def policy(namespace: str = "x", **spec: Any) -> dict[str, Any]:
    metadata = {"name": "case", "namespace": namespace}
    return {"apiVersion": "networking.k8s.io/v1", "kind": "NetworkPolicy", "metadata": metadata, "spec": spec}


def pod(name: str) -> dict[str, Any]:
    return {"matchLabels": {"pod": name}}


def inside(name: str) -> dict[str, Any]:
    return {"matchLabels": {"kubernetes.io/metadata.name": name}}


def block(name: str, *names: str, size: int = 32) -> dict[str, Any]:
    """The addresses around a pod's, without those of others."""
    network = f"10.77.0.{NUMBERS[name] if size == 32 else 0}/{size}"
    return {"ipBlock": {"cidr": network, "except": [f"10.77.0.{NUMBERS[one]}/32" for one in names]}}


def only(*peers: dict[str, Any], **more: Any) -> dict[str, Any]:
    return {"podSelector": pod("a"), "ingress": [{"from": list(peers)} | more]}


NOT_X = {"matchExpressions": [{"key": "kubernetes.io/metadata.name", "operator": "NotIn", "values": ["x"]}]}
B_OR_C = {"matchExpressions": [{"key": "pod", "operator": "In", "values": ["b", "c"]}]}
DENY_ALL = policy(podSelector={}, policyTypes=["Ingress", "Egress"])
DENY_INGRESS = policy(podSelector={}, policyTypes=["Ingress"])
ISOLATED: Expected = [("*", "x/*", False), ("x/*", "*", False)]
NOBODY_TO_A: Expected = [("*", "x/a", False)]
NOBODY_FROM_A: Expected = [("x/a", "*", False)]


@dataclass(frozen=True)
class Case:
    policies: Sequence[Mapping[str, Any]]
    on_80: Expected
    on_81: Expected | None = None
    udp_80: Expected | None = None
    labels: Mapping[str, Mapping[str, str]] = field(default_factory=dict)
    namespaces: Mapping[str, Mapping[str, str]] = field(default_factory=dict)
    families: Sequence[int] = (V4, V6)


def one(on_80: Expected, on_81: Expected | None = None, udp_80: Expected | None = None, **spec: Any) -> Case:
    return Case([policy(**spec)], on_80, on_81, udp_80)


CASES = {
    "without policies everybody reaches everybody": Case([], ALL_ALLOWED, ALL_ALLOWED, ALL_ALLOWED),
    # ── upstream, in its order ────────────────────────────────────────────────────────────────────────────────
    "should support a 'default-deny-ingress' policy": Case([DENY_INGRESS], [("*", "x/*", False)]),
    "should support a 'default-deny-all' policy": Case([DENY_ALL], ISOLATED, ISOLATED, ISOLATED),
    "should enforce policy to allow traffic from pods within server namespace based on PodSelector": one(
        [*NOBODY_TO_A, ("x/b", "x/a", True)], **only({"podSelector": pod("b")})
    ),
    "should enforce policy to allow ingress traffic for a target": Case(
        [DENY_INGRESS, policy(**only({"podSelector": {}, "namespaceSelector": {}}))],
        [("*", "x/*", False), ("*", "x/a", True)],
    ),
    "should enforce policy to allow ingress traffic from pods in all namespaces": one(
        ALL_ALLOWED, **only({"namespaceSelector": {}})
    ),
    "should enforce policy to allow traffic only from a different namespace, based on NamespaceSelector": one(
        [*NOBODY_TO_A, ("y/*", "x/a", True)], **only({"namespaceSelector": inside("y")})
    ),
    "should enforce policy based on PodSelector with MatchExpressions": one(
        [*NOBODY_TO_A, ("x/b", "x/a", True)],
        **only({"podSelector": {"matchExpressions": [{"key": "pod", "operator": "In", "values": ["b"]}]}}),
    ),
    "should enforce policy based on NamespaceSelector with MatchExpressions": one(
        [*NOBODY_TO_A, ("[yz]/*", "x/a", True)], **only({"namespaceSelector": NOT_X})
    ),
    "should enforce policy based on PodSelector or NamespaceSelector": one(
        [("x/c", "x/a", False)], **only({"namespaceSelector": NOT_X}, {"podSelector": pod("b")})
    ),
    "should enforce policy based on PodSelector and NamespaceSelector": one(
        [*NOBODY_TO_A, ("[yz]/b", "x/a", True)], **only({"namespaceSelector": NOT_X, "podSelector": pod("b")})
    ),
    "should enforce policy based on Multiple PodSelectors and NamespaceSelectors": one(
        [*NOBODY_TO_A, ("[yz]/[bc]", "x/a", True)], **only({"namespaceSelector": NOT_X, "podSelector": B_OR_C})
    ),
    "should enforce policy based on any PodSelectors": one(
        [*NOBODY_TO_A, ("x/[bc]", "x/a", True)], **only({"podSelector": pod("b")}, {"podSelector": pod("c")})
    ),
    "should enforce policy to allow traffic only from a pod in a different namespace based on both Selectors": one(
        [*NOBODY_TO_A, ("y/a", "x/a", True)], **only({"namespaceSelector": inside("y"), "podSelector": pod("a")})
    ),
    "should enforce policy based on Ports": one(
        on_80=NOBODY_TO_A,
        on_81=[*NOBODY_TO_A, ("y/*", "x/a", True)],
        **only({"namespaceSelector": inside("y")}, ports=[{"port": 81, "protocol": "TCP"}]),
    ),
    "should enforce multiple, stacked policies with overlapping podSelectors": Case(
        [policy(**only({"namespaceSelector": inside("y")}, ports=[{"port": port}])) for port in (80, 81)],
        on_80=[*NOBODY_TO_A, ("y/*", "x/a", True)],
        on_81=[*NOBODY_TO_A, ("y/*", "x/a", True)],
    ),
    "should support allow-all policy": one(ALL_ALLOWED, ALL_ALLOWED, ALL_ALLOWED, podSelector={}, ingress=[{}]),
    "should allow ingress access on one named port": one(
        [("*", "x/*", False)], ALL_ALLOWED, podSelector={}, ingress=[{"ports": [{"port": "serve-81-tcp"}]}]
    ),
    "should allow ingress access from namespace on one named port": one(
        [*NOBODY_TO_A, ("y/*", "x/a", True)],
        NOBODY_TO_A,
        **only({"namespaceSelector": inside("y")}, ports=[{"port": "serve-80-tcp", "protocol": "TCP"}]),
    ),
    "should allow egress access on one named port": one(
        ALL_ALLOWED,
        [("x/*", "*", False)],
        podSelector={},
        policyTypes=["Egress"],
        egress=[{"ports": [{"port": "serve-80-tcp"}]}],
    ),
    "should allow ingress access from updated namespace": Case(
        [policy(**only({"namespaceSelector": {"matchLabels": {"ns2": "updated"}}}))],
        [*NOBODY_TO_A, ("y/*", "x/a", True)],
        namespaces={"y": {"ns2": "updated"}},
    ),
    "should allow ingress access from updated pod": Case(
        [policy(**only({"podSelector": {"matchLabels": {"pod": "b", "pod2": "updated"}}}))],
        [*NOBODY_TO_A, ("x/b", "x/a", True)],
        labels={"x/b": {"pod2": "updated"}},
    ),
    "…and not before its label is updated": one(
        NOBODY_TO_A, **only({"podSelector": {"matchLabels": {"pod": "b", "pod2": "updated"}}})
    ),
    "should deny ingress from pods on other namespaces": one(
        [("[yz]/*", "x/*", False)], podSelector={}, ingress=[{"from": [{"podSelector": {}}]}]
    ),
    "should deny ingress access to updated pod": Case(
        [policy(podSelector={"matchLabels": {"target": "isolated"}}, policyTypes=["Ingress"])],
        NOBODY_TO_A,
        labels={"x/a": {"target": "isolated"}},
    ),
    "should deny egress from pods based on PodSelector": one(
        NOBODY_FROM_A, podSelector=pod("a"), policyTypes=["Egress"], egress=[]
    ),
    "should deny egress from all pods in a namespace": one(
        [("x/*", "*", False)], podSelector={}, policyTypes=["Egress"]
    ),
    "should work with Ingress, Egress specified together": one(
        [*NOBODY_TO_A, ("x/b", "x/a", True)],
        [*NOBODY_FROM_A, *NOBODY_TO_A, ("x/b", "x/a", True)],
        policyTypes=["Egress", "Ingress"],
        egress=[{"ports": [{"port": 80}]}],
        **only({"podSelector": pod("b")}),
    ),
    "should support denying of egress traffic on the client side (even if the server explicitly allows this)": Case(
        [
            policy(
                podSelector=pod("a"),
                policyTypes=["Egress"],
                egress=[{"to": [{"namespaceSelector": inside("y"), "podSelector": pod("a")}]}],
            ),
            *(
                policy(
                    "y",
                    podSelector=pod(name),
                    ingress=[{"from": [{"namespaceSelector": inside("x"), "podSelector": pod("a")}]}],
                )
                for name in "ab"
            ),
        ],
        [*NOBODY_FROM_A, ("*", "y/[ab]", False), ("x/a", "y/a", True)],
    ),
    "should enforce egress policy allowing traffic to a server in a different namespace based on both Selectors": one(
        [*NOBODY_FROM_A, ("x/a", "y/a", True)],
        podSelector=pod("a"),
        policyTypes=["Egress"],
        egress=[{"to": [{"namespaceSelector": inside("y"), "podSelector": pod("a")}]}],
    ),
    "should enforce ingress policy allowing any port traffic to a server on a specific protocol": one(
        ALL_ALLOWED, ALL_ALLOWED, NOBODY_TO_A, podSelector=pod("a"), ingress=[{"ports": [{"protocol": "TCP"}]}]
    ),
    "should enforce multiple ingress policies with ingress allow-all policy taking precedence": Case(
        [policy(podSelector={}, ingress=[{"ports": [{"port": 80}]}]), policy(podSelector={}, ingress=[{}])],
        ALL_ALLOWED,
        ALL_ALLOWED,
    ),
    "should enforce multiple egress policies with egress allow-all policy taking precedence": Case(
        [
            policy(podSelector={}, policyTypes=["Egress"], egress=[{"ports": [{"port": 80}]}]),
            policy(podSelector={}, policyTypes=["Egress"], egress=[{}]),
        ],
        ALL_ALLOWED,
        ALL_ALLOWED,
    ),
    "should allow egress access to server in CIDR block": one(
        [*NOBODY_FROM_A, ("x/a", "y/b", True)],
        podSelector=pod("a"),
        policyTypes=["Egress"],
        egress=[{"to": [block("y/b"), {"ipBlock": {"cidr": f"fd77::{NUMBERS['y/b']}/128"}}]}],
    ),
    "should enforce except clause while egress access to server in CIDR block": Case(
        [policy(podSelector=pod("a"), policyTypes=["Egress"], egress=[{"to": [block("x/b", "x/b", size=24)]}])],
        [("x/a", "x/b", False)],
        families=[V4],
    ),
    "should ensure an IP overlapping both IPBlock.CIDR and IPBlock.Except is allowed": Case(
        [
            policy(podSelector=pod("a"), policyTypes=["Egress"], egress=[{"to": [block("x/b", "x/b", size=24)]}]),
            policy(podSelector=pod("a"), policyTypes=["Egress"], egress=[{"to": [block("x/b")]}]),
        ],
        ALL_ALLOWED,
        families=[V4],
    ),
    "should enforce policies to check ingress and egress policies can be controlled independently": Case(
        [
            policy(podSelector=pod("a"), policyTypes=["Egress"], egress=[{}]),
            policy(podSelector=pod("a"), policyTypes=["Ingress"]),
        ],
        NOBODY_TO_A,
    ),
    "should not mistakenly treat 'protocol: SCTP' as 'protocol: TCP'": Case(
        [DENY_INGRESS, policy(podSelector=pod("a"), ingress=[{"ports": [{"port": 80, "protocol": "SCTP"}]}])],
        [("*", "x/*", False)],
        [("*", "x/*", False)],
    ),
    "should enforce policy to allow traffic based on NamespaceSelector with MatchLabels using default ns label": one(
        [*NOBODY_TO_A, ("y/*", "x/a", True)], **only({"namespaceSelector": inside("y")})
    ),
    "should enforce ingress policy allowing any port traffic to a server with endPort": one(
        NOBODY_TO_A, ALL_ALLOWED, podSelector=pod("a"), ingress=[{"ports": [{"port": 81, "endPort": 90}]}]
    ),
    "…of which both ends count": one(
        ALL_ALLOWED, ALL_ALLOWED, podSelector=pod("a"), ingress=[{"ports": [{"port": 80, "endPort": 81}]}]
    ),
    # ── what the API's documentation says of rules and peers ──────────────────────────────────────────────────
    "an empty `from` matches all sources": one(ALL_ALLOWED, podSelector=pod("a"), ingress=[{"from": [], "ports": []}]),
    "a missing `from` does, too, and so does null": one(
        ALL_ALLOWED, NOBODY_TO_A, podSelector=pod("a"), ingress=[{"from": None, "ports": [{"port": 80}]}]
    ),
    "an empty `to` matches all destinations": one(
        ALL_ALLOWED,
        NOBODY_FROM_A,
        podSelector=pod("a"),
        policyTypes=["Egress"],
        egress=[{"to": [], "ports": [{"port": 80}]}],
    ),
    "an empty list of rules allows nothing": one(NOBODY_TO_A, podSelector=pod("a"), ingress=[]),
    "without policyTypes ingress is isolated even if only egress has rules": one(
        [*NOBODY_TO_A], [*NOBODY_FROM_A, *NOBODY_TO_A], podSelector=pod("a"), egress=[{"ports": [{"port": 80}]}]
    ),
    "without policyTypes an empty list of egress rules isolates ingress alone": one(
        NOBODY_TO_A, podSelector=pod("a"), egress=[]
    ),
    "policyTypes Ingress leaves egress alone, whatever rules there are": one(
        ALL_ALLOWED, podSelector=pod("a"), policyTypes=["Ingress"], ingress=[{}], egress=[]
    ),
    "policyTypes Egress leaves ingress alone": one(
        NOBODY_FROM_A, podSelector=pod("a"), policyTypes=["Egress"], ingress=[]
    ),
    "a policy selects pods of its own namespace alone": Case(
        [policy("y", podSelector=pod("a"), policyTypes=["Ingress"])], [("*", "y/a", False)]
    ),
    "a podSelector alone means pods of the policy's namespace": one(
        [("*", "x/*", False), ("x/b", "x/*", True)], podSelector={}, ingress=[{"from": [{"podSelector": pod("b")}]}]
    ),
    "a selector's labels must all hold": Case(
        [policy(**only({"podSelector": {"matchLabels": {"pod": "b", "tier": "web"}}}))],
        NOBODY_TO_A,
        labels={"x/c": {"tier": "web"}},
    ),
    "a selector's labels and expressions must all hold": one(
        [*NOBODY_TO_A, ("x/c", "x/a", True)],
        **only({"podSelector": B_OR_C | {"matchLabels": {"pod": "c"}}}),
    ),
    "Exists": Case(
        [policy(**only({"podSelector": {"matchExpressions": [{"key": "tier", "operator": "Exists"}]}}))],
        [*NOBODY_TO_A, ("x/c", "x/a", True)],
        labels={"x/c": {"tier": ""}},
    ),
    "DoesNotExist": Case(
        [policy(**only({"podSelector": {"matchExpressions": [{"key": "tier", "operator": "DoesNotExist"}]}}))],
        [*NOBODY_TO_A, ("x/b", "x/a", True)],
        labels={"x/c": {"tier": ""}},
    ),
    "NotIn holds for what has no such label": Case(
        [policy(**only({"podSelector": {"matchExpressions": [{"key": "t", "operator": "NotIn", "values": ["web"]}]}}))],
        [*NOBODY_TO_A, ("x/b", "x/a", True)],
        labels={"x/c": {"t": "web"}},
    ),
    "each rule is a way in of its own: from one the peers, from another the ports do not mix": one(
        [*NOBODY_TO_A, ("x/b", "x/a", True)],
        [*NOBODY_TO_A, ("x/c", "x/a", True)],
        podSelector=pod("a"),
        ingress=[
            {"from": [{"podSelector": pod("b")}], "ports": [{"port": 80}]},
            {"from": [{"podSelector": pod("c")}], "ports": [{"port": 81}]},
        ],
    ),
    "peers that choose nobody let nobody in": one(NOBODY_TO_A, **only({"podSelector": pod("nobody")})),
    "a named port that the pod has not lets nobody in": one(
        NOBODY_TO_A, podSelector=pod("a"), ingress=[{"ports": [{"port": "metrics"}]}]
    ),
    "a named port is one of its protocol": one(
        NOBODY_TO_A, podSelector=pod("a"), ingress=[{"ports": [{"port": "serve-80-tcp", "protocol": "UDP"}]}]
    ),
}


@pytest.fixture(scope="module")
def network():
    with Network() as network:
        for name in NAMES:
            network.add(name)
        yield network


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def nine(network):
    doors = [
        Door(one, port, kind, family)
        for one in network.pods.values()
        for family in (V4, V6)
        for port, kind in ((80, TCP), (81, TCP), (80, UDP))
    ]
    async with answering(*doors):
        yield network


def world(network: Network, case: Case) -> World:
    endpoints = [
        Endpoint(
            name,
            one.addresses,
            namespace=name[0],
            labels={"pod": name[2]} | dict(case.labels.get(name, {})),
            ports={"serve-80-tcp": ("TCP", 80), "serve-81-tcp": ("TCP", 81)},
        )
        for name, one in network.pods.items()
    ]
    return World(endpoints, case.namespaces)


async def table(network: Network, port: int, kind: int, family: int) -> dict[tuple[str, str], str | None]:
    """Who answers whom; nobody calls himself, which upstream leaves out as well."""
    pairs = [(source, target) for source in NAMES for target in NAMES if source != target]
    pods = network.pods
    calls = (answer(pods[source], Door(pods[target], port, kind, family), SLOW_S) for source, target in pairs)
    return dict(zip(pairs, await asyncio.gather(*calls), strict=True))


def expected(rules: Expected) -> dict[tuple[str, str], str | None]:
    found: dict[tuple[str, str], str | None] = {}
    for source in NAMES:
        for target in NAMES:
            fitting = [through for by, to, through in rules if fnmatch(source, by) and fnmatch(target, to)]
            found[source, target] = target if not fitting or fitting[-1] else None
    return {pair: one for pair, one in found.items() if pair[0] != pair[1]}


@needs_packets
@pytest.mark.asyncio(loop_scope="module")
@pytest.mark.parametrize("case", CASES.values(), ids=CASES.keys())
async def test_who_reaches_whom(nine, case):
    nine.load(render_rules(world(nine, case), parse_policies(case.policies), "reject"))

    for family in case.families:
        assert await table(nine, 80, TCP, family) == expected(case.on_80)
        if case.on_81 is not None:
            assert await table(nine, 81, TCP, family) == expected(case.on_81)
        if case.udp_80 is not None:
            assert await table(nine, 80, UDP, family) == expected(case.udp_80)


# ── what an API server would refuse, or would be misread ──────────────────────────────────────────────────────
REFUSED = {
    "a typo": {"podSelector": {}, "ingres": []},
    "a typo in a rule": {"podSelector": {}, "ingress": [{"form": []}]},
    "the other direction's peers": {"podSelector": {}, "ingress": [{"to": []}]},
    "an empty peer": {"podSelector": {}, "ingress": [{"from": [{}]}]},
    "a peer with null in it": {"podSelector": {}, "ingress": [{"from": [{"podSelector": None}]}]},
    "a block that is a pod, too": {"ingress": [{"from": [{"podSelector": {}, "ipBlock": {"cidr": "10.0.0.0/8"}}]}]},
    "a block that is none": {"ingress": [{"from": [{"ipBlock": {"cidr": "10.0.0.300/8"}}]}]},
    "a label that is no text": {"podSelector": {"matchLabels": {"client": True}}},
    "an unknown operator": {"podSelector": {"matchExpressions": [{"key": "pod", "operator": "Is", "values": ["a"]}]}},
    "In nothing": {"podSelector": {"matchExpressions": [{"key": "pod", "operator": "In", "values": []}]}},
    "Exists with values": {
        "podSelector": {"matchExpressions": [{"key": "pod", "operator": "Exists", "values": ["a"]}]}
    },
    "a port as text": {"ingress": [{"ports": [{"port": "8765"}]}]},
    "a port too high": {"ingress": [{"ports": [{"port": 65536}]}]},
    "an end before its beginning": {"ingress": [{"ports": [{"port": 81, "endPort": 80}]}]},
    "an end of a name": {"ingress": [{"ports": [{"port": "http", "endPort": 80}]}]},
    "an unknown direction": {"policyTypes": ["ingress"]},
    "an unknown protocol": {"ingress": [{"ports": [{"protocol": "tcp"}]}]},
}


@pytest.mark.parametrize("spec", REFUSED.values(), ids=REFUSED.keys())
def test_what_an_api_server_refuses_is_refused(spec):
    with pytest.raises(ValidationError):
        parse_policies([policy(**spec)])


def test_the_same_without_the_mistake_is_taken():
    rule = {"from": [{"podSelector": {"matchExpressions": [{"key": "pod", "operator": "Exists"}]}}]}
    parse_policies([policy(podSelector={}, policyTypes=["Ingress"], ingress=[rule | {"ports": [{"port": "http"}]}])])
