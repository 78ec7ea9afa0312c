"""What the rendered NetworkPolicies say. That packets keep to them is tested in tests/integration/network."""

import ipaddress
from typing import Any

import pytest

from sidecar.settings import parse_settings
from tools.charts.cases import CASES, ELSEWHERE, PEER
from tools.charts.rendering import find, objects, pods

CLIENT = {"podSelector": {"matchLabels": {"ocr.np-dms.work/client": "true"}}}


def policies(values: Any) -> list[dict[str, Any]]:
    return [one for one in objects(values) if one["kind"] == "NetworkPolicy"]


def policy(values: Any, name: str = "ocr-sidecar") -> dict[str, Any]:
    return find(objects(values), "NetworkPolicy", name)["spec"]


def peers_of(rules: list[dict[str, Any]], port: int) -> list[dict[str, Any]]:
    """Who is let through at a port."""
    rules = [rule for rule in rules if port in [one["port"] for one in rule["ports"]]]
    return [peer for rule in rules for peer in rule.get("from", rule.get("to"))]


def controllers(instance: str = "ocr-sidecar") -> dict[str, Any]:
    labels = {"app.kubernetes.io/name": "ocr-controller", "app.kubernetes.io/instance": instance}
    return {"podSelector": {"matchLabels": labels}}


@pytest.mark.parametrize("case", CASES)
def test_no_rule_is_one_for_everybody_by_mistake(case):
    for one in policies(CASES[case]):
        spec = one["spec"]
        assert spec["policyTypes"] == ["Ingress", "Egress"]
        assert spec["podSelector"]["matchLabels"]
        for direction, key in (("ingress", "from"), ("egress", "to")):
            assert spec.get(direction) != [], "the API server drops an empty list: each apply would write it anew"
            for rule in spec.get(direction, ()):
                assert set(rule) == {key, "ports"}
                assert rule[key], "an empty list of peers means everybody"
                assert rule["ports"], "an empty list of ports means all ports"
                assert all(peer for peer in rule[key])


@pytest.mark.parametrize("case", sorted(set(CASES) - {"no policy of ours"}))
def test_every_pod_but_the_tests_own_has_its_policy(case):
    rendered = objects(CASES[case])
    covered = [one["spec"]["podSelector"]["matchLabels"] for one in policies(CASES[case])]
    for title, pod in pods(rendered):
        labels = pod["metadata"]["labels"].items()
        matching = [one for one in covered if one.items() <= labels]
        assert len(matching) == (0 if title.startswith("Pod/") else 1), title


@pytest.mark.parametrize("case", ["default", "api-key"])
def test_the_api_is_open_to_labelled_pods_of_the_namespace_alone(case):
    spec = policy(CASES[case])
    assert peers_of(spec["ingress"], 8765) == [CLIENT]
    assert peers_of(spec["ingress"], 9090) == [controllers()]
    assert len(spec["ingress"]) == 2


def test_nobody_may_is_nobody():
    spec = policy(CASES["nobody may"])
    assert peers_of(spec["ingress"], 8765) == []
    assert "egress" not in policy(CASES["nobody may"], "ocr-sidecar-models")
    assert [rule["ports"] for rule in policy(CASES["nobody may"], "ocr-controller")["egress"]] == [
        [{"protocol": "TCP", "port": 9090}, {"protocol": "TCP", "port": 8765}]
    ]
    assert "ingress" not in policy({"controller": {"enabled": False}, "networkPolicy": {"callers": []}})


@pytest.mark.parametrize("case", ["default", "k3d", "api-key", "gpu", "everything said"])
def test_the_sidecar_reaches_nothing_unless_ollama_is_elsewhere(case):
    spec = find(objects(CASES[case]), "NetworkPolicy", "reader" if case == "everything said" else "ocr-sidecar")["spec"]
    assert ("egress" in spec, spec["policyTypes"]) == (False, ["Ingress", "Egress"])


def test_ollama_elsewhere_opens_dns_and_ollama():
    spec = policy(CASES["ollama elsewhere"])
    assert [one["port"] for rule in spec["egress"] for one in rule["ports"]] == [53, 53, 1234]
    assert peers_of(spec["egress"], 1234) == [PEER]
    assert peers_of(spec["egress"], 53)[0]["podSelector"]["matchLabels"] == {"k8s-app": "kube-dns"}


def test_model_servers_elsewhere_open_dns_and_exactly_their_ports():
    spec = policy(CASES["model servers elsewhere"])
    assert [one["port"] for rule in spec["egress"] for one in rule["ports"]] == [53, 53, 8000]
    assert peers_of(spec["egress"], 8000) == [PEER]
    moved = CASES["model servers elsewhere"] | {"networkPolicy": {"modelServer": {"to": [PEER], "port": 9000}}}
    assert peers_of(policy(moved)["egress"], 9000) == [PEER]
    assert peers_of(policy(moved)["egress"], 8000) == []


def test_each_model_server_is_reached_at_its_own_address_and_port():
    (_, *rules) = policy(CASES["model servers at addresses"])["egress"]
    assert rules == [
        {"to": [{"ipBlock": {"cidr": "10.1.2.3/32"}}], "ports": [{"protocol": "TCP", "port": 443}]},
        {"to": [{"ipBlock": {"cidr": "fd00::7/128"}}], "ports": [{"protocol": "TCP", "port": 8080}]},
    ]


@pytest.mark.parametrize(
    ("url", "port"),
    [("http://10.1.2.3:11434", 11434), ("http://10.1.2.3", 80), ("https://10.1.2.3", 443), ("https://10.1.2.3:8/", 8)],
)
def test_an_address_in_the_url_is_the_peer(url, port):
    assert peers_of(policy({"ollama": {"url": url}})["egress"], port) == [{"ipBlock": {"cidr": "10.1.2.3/32"}}]


def test_the_port_of_a_name_is_the_urls_unless_said_otherwise():
    values = {"ollama": ELSEWHERE, "networkPolicy": {"ollama": {"to": [PEER]}}}
    assert peers_of(policy(values)["egress"], 11434) == [PEER]


@pytest.mark.parametrize("case", sorted(set(CASES) - {"no controller", "no policy of ours", "everything said"}))
def test_the_knock_of_the_proof_leaves_and_is_not_let_in(case):
    rendered = objects(CASES[case])
    sidecar = find(rendered, "NetworkPolicy", "ocr-sidecar")["spec"]
    controller = find(rendered, "NetworkPolicy", "ocr-controller")["spec"]
    assert [
        peer["podSelector"]["matchLabels"]["app.kubernetes.io/name"] for peer in peers_of(controller["egress"], 8765)
    ] == ["ocr-sidecar"]
    assert controllers() not in peers_of(sidecar["ingress"], 8765)
    labels = find(rendered, "Deployment", "ocr-controller")["spec"]["template"]["metadata"]["labels"]
    assert "ocr.np-dms.work/client" not in labels


def test_prometheus_gets_to_both_ops_ports_and_to_nothing_else():
    assert PEER in peers_of(policy(CASES["watched"])["ingress"], 9090)
    assert PEER not in peers_of(policy(CASES["watched"])["ingress"], 8765)
    assert peers_of(policy(CASES["watched"], "ocr-controller")["ingress"], 8080) == [PEER]
    assert "ingress" not in policy({}, "ocr-controller")


def test_the_database_is_open_where_there_is_one():
    assert peers_of(policy(CASES["the mirror"], "ocr-controller")["egress"], 3306) == [PEER]
    assert peers_of(policy({"networkPolicy": {"database": {"to": [PEER]}}}, "ocr-controller")["egress"], 3306) == []


def test_only_the_loader_reaches_the_hubs():
    everywhere = [{"ipBlock": {"cidr": "0.0.0.0/0"}}, {"ipBlock": {"cidr": "::/0"}}]
    assert peers_of(policy(CASES["gpu"], "ocr-sidecar-models")["egress"], 443) == everywhere
    assert "ingress" not in policy(CASES["gpu"], "ocr-sidecar-models")


def test_one_controller_for_all_reaches_the_sidecars_of_all():
    (peer,) = peers_of(policy(CASES["the mirror, cluster-wide"], "ocr-controller")["egress"], 8765)
    assert peer == {"namespaceSelector": {}, "podSelector": {"matchLabels": {"app.kubernetes.io/name": "ocr-sidecar"}}}


def test_the_outsider_of_helm_test_is_one_and_the_caller_is_not():
    rendered = objects()
    caller, outsider = (find(rendered, "Pod", f"ocr-sidecar-test-{name}") for name in ("caller", "outsider"))
    assert CLIENT["podSelector"]["matchLabels"].items() <= caller["metadata"]["labels"].items()
    assert "ocr.np-dms.work/client" not in outsider["metadata"]["labels"]
    assert caller["spec"]["containers"][0]["args"][0] == "open"
    assert outsider["spec"]["containers"][0]["args"][0] == "shut"


@pytest.mark.parametrize(
    ("url", "cidr", "port"),
    [
        ("https://10.1.2.3", "10.1.2.3/32", 443),
        ("http://10.1.2.3:11434", "10.1.2.3/32", 11434),
        ("http://[fd00::7]", "fd00::7/128", 80),
        ("http://[2001:DB8::7]:11434/", "2001:DB8::7/128", 11434),
        ("http://[::ffff:10.1.2.3]:11434", "::ffff:10.1.2.3/128", 11434),
    ],
)
def test_an_address_in_the_url_is_who_may_be_reached(url, cidr, port):
    (_, rule) = policy({"ollama": {"url": url}})["egress"]
    assert rule == {"to": [{"ipBlock": {"cidr": cidr}}], "ports": [{"protocol": "TCP", "port": port}]}
    assert str(ipaddress.ip_network(cidr)) == cidr.lower() or "ffff" in cidr
    assert parse_settings({"OCR_AUTH_MODE": "network", "OLLAMA_API_URL": url}).ollama_api_url
