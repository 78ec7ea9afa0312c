"""Whom the sidecars reach because of jobs, and who reaches the servers of NATS, by real packets."""

import asyncio
from typing import Any

import pytest
import yaml

from tests.integration.network.cluster import SIDECARS, Cluster
from tests.integration.network.release import render
from tests.integration.network.test_network_isolation import BY_URL, DNS, OLLAMA_PEER, whom_it_reaches
from tools.charts.rendering import ROOT, merge, values_file
from tools.fakes.policy_rules import parse_policies
from tools.fakes.probes import TCP, V4, Door, answer, answering

pytestmark = pytest.mark.asyncio(loop_scope="module")

JOBS = values_file("jobs")
NATS = ("nats", 4222, TCP)
BACKEND = {"podSelector": {"matchLabels": {"ocr.np-dms.work/client": "true"}}}
EXAMPLE: dict[str, Any] = yaml.safe_load((ROOT / "examples" / "nats" / "values.yaml").read_text(encoding="utf-8"))


def called(*hosts: str) -> dict[str, Any]:
    return {"jobs": {"callbacks": {"hosts": list(hosts), "existingSecret": "callbacks"}}}


async def test_with_jobs_the_sidecars_reach_names_and_the_door_of_nats_and_nothing_else(cluster):
    cluster.apply(render(JOBS))

    assert await whom_it_reaches(cluster, "sidecar") == {*DNS, NATS}
    assert NATS not in await whom_it_reaches(cluster, "controller")


async def test_with_jobs_in_the_pod_they_reach_nothing(cluster):
    cluster.apply(render({"jobs": {"url": "embedded"}}))

    assert await whom_it_reaches(cluster, "sidecar") == set()


async def test_a_model_elsewhere_is_reached_beside_nats(cluster):
    cluster.apply(render(merge(JOBS, BY_URL | {"networkPolicy": {"ollama": {"to": [OLLAMA_PEER]}}})))

    assert await whom_it_reaches(cluster, "sidecar") == {*DNS, NATS, ("ollama", 11434, TCP)}


async def test_callbacks_reach_who_is_named_at_the_port_of_the_host_alone(cluster):
    policy = {"networkPolicy": {"callbacks": {"to": [BACKEND]}}}
    cluster.apply(render(merge(merge(JOBS, called("http://backend.example.org:8080")), policy)))
    assert await whom_it_reaches(cluster, "sidecar") == {*DNS, NATS, ("backend", 8080, TCP)}

    cluster.apply(render(merge(merge(JOBS, called("backend.example.org")), policy)))
    assert await whom_it_reaches(cluster, "sidecar") == {*DNS, NATS}


async def test_a_callback_to_an_address_reaches_that_one(cluster):
    internet = cluster["internet"]
    cluster.apply(render(merge(JOBS, called(str(internet.v4), f"[{internet.v6}]"))))

    assert await whom_it_reaches(cluster, "sidecar") == {*DNS, NATS, ("internet", 443, TCP)}


async def who_reaches(cluster: Cluster, port: int) -> set[str]:
    """Who gets an answer of NATS at a port; the node does, so that no silence comes from a server that is away."""
    door = Door(cluster["nats"], port, TCP, V4)
    others = cluster.callers("nats")
    async with answering(door):
        answers = await asyncio.gather(*(answer(cluster[name], door, cluster.patience_s) for name in others))
        assert await answer(cluster.node, door, cluster.patience_s) == "nats"
    return {name for name, said in zip(others, answers, strict=True) if said is not None}


async def test_by_the_example_s_policy_sidecars_alone_reach_the_jobs_and_keda_their_number(cluster):
    release = render(JOBS)
    theirs = [merge(one, {"metadata": {"namespace": "nats"}}) for one in EXAMPLE["extraResources"]]
    cluster.apply(release, policies=[*release.policies, *parse_policies(theirs)])

    assert await who_reaches(cluster, 4222) == set(SIDECARS)
    assert await who_reaches(cluster, 8222) == {"keda"}
    assert await who_reaches(cluster, 6222) == set()
