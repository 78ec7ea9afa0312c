"""What the chart says of NATS holds on a real server, and the example's values on the official chart of NATS.

That chart is not here: NATS_CHART names a folder with it (nats-io/k8s, helm/charts/nats), else those tests are skipped.
"""

import asyncio
import json
import os
import shutil
import subprocess
import sys
from collections.abc import AsyncIterator, Mapping
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any, Self

import aiohttp
import kubernetes_validate
import nats
import pytest
import yaml
from kubernetes_validate.utils import all_versions

from bench.harness.service import free_ports
from sidecar.jobs.jetstream import streams
from tests.conftest import PATIENCE_S, until
from tools.charts import pod_security
from tools.charts.cases import CASES
from tools.charts.helm import Chart
from tools.charts.rendering import ROOT, Object, find, objects, parse, values_file

EXAMPLE: dict[str, Any] = yaml.safe_load((ROOT / "examples" / "nats" / "values.yaml").read_text(encoding="utf-8"))
OFFICIAL = os.environ.get("NATS_CHART", "")
SERVER = shutil.which("nats-server", path=f"{Path(sys.executable).parent}:{os.environ['PATH']}")
with_server = pytest.mark.skipif(SERVER is None, reason="there is no nats-server")
with_chart = pytest.mark.skipif(not OFFICIAL, reason="NATS_CHART names no folder with the official chart")


# ── a server ──────────────────────────────────────────────────────────────────────────────────────────────────────


class Server:
    """A nats-server with JetStream on free ports of loopback; ends with its context."""

    def __init__(self, folder: Path, *words: str) -> None:
        self.folder = folder
        self.words = ["-a", "127.0.0.1", "-p", "-1", "-m", "-1", "--ports_file_dir", str(folder), *words]

    async def __aenter__(self) -> Self:
        assert SERVER is not None
        self.process = await asyncio.create_subprocess_exec(SERVER, *self.words, stderr=subprocess.DEVNULL)
        await until(lambda: any(path.read_text() for path in self.folder.glob("*.ports")))
        (file,) = self.folder.glob("*.ports")
        ports = json.loads(file.read_text(encoding="utf-8"))
        (self.nats,), (self.monitoring,) = ports["nats"], ports["monitoring"]
        return self

    async def __aexit__(self, *_: object) -> None:
        self.process.terminate()
        await self.process.wait()

    async def is_in_a_cluster(self, servers: int) -> bool:
        """Whether so many have chosen who leads them."""
        meta = (await self.ask("/jsz")).get("meta_cluster", {})
        return bool(meta.get("leader")) and meta.get("cluster_size") == servers

    async def ask(self, path: str, **query: str) -> dict[str, Any]:
        async with (
            aiohttp.ClientSession() as session,
            session.get(f"{self.monitoring}{path}", params=query) as response,
        ):
            return await response.json(content_type=None)


@pytest.fixture
async def server(tmp_path: Path) -> AsyncIterator[Server]:
    async with Server(tmp_path, "-js", "-sd", str(tmp_path / "store")) as one:
        yield one


async def lag(server: Server, said: dict[str, str]) -> int:
    """What KEDA's nats-jetstream scaler makes of a server's answer, from what a trigger says."""
    answer = await server.ask("/jsz", acc=said["account"], consumers="true", config="true")
    (account,) = [one for one in answer["account_details"] if said["account"] in (one["id"], one["name"])]
    (stream,) = [one for one in account["stream_detail"] if one["name"] == said["stream"]]
    (consumer,) = [one for one in stream["consumer_detail"] if one["name"] == said["consumer"]]
    return consumer["num_pending"] + consumer["num_ack_pending"]


async def leader(servers: Mapping[str, Server], said: dict[str, str]) -> Server:
    """The server that leads the consumer, which KEDA looks for: the others' numbers lag behind, or never fall."""
    client = await nats.connect([one.nats for one in servers.values()])
    about = await client.jetstream().consumer_info(said["stream"], said["consumer"])
    await client.close()
    return servers[about.cluster.leader] if about.cluster and about.cluster.leader else next(iter(servers.values()))


async def becomes(number: int, server: Server, said: dict[str, str]) -> None:
    """The consumer's leader may be another than the stream's, and hears a moment later."""
    async with asyncio.timeout(PATIENCE_S):
        while await lag(server, said) != number:
            await asyncio.sleep(0.05)


async def counts(servers: Mapping[str, Server]) -> None:
    """Slices become due and are done; what KEDA is told follows."""
    (trigger,) = find(objects(CASES["jobs scaled by KEDA"]), "ScaledObject", "ocr-sidecar")["spec"]["triggers"]
    said = trigger["metadata"]
    client = await nats.connect([one.nats for one in servers.values()])
    js = client.jetstream(timeout=PATIENCE_S)
    await streams.ensure(js, len(servers))
    leading = await leader(servers, said)
    await becomes(0, leading, said)
    for lane in ("batch", "realtime"):
        for number in range(2):
            await js.publish(f"ocr.due.{lane}.job.{number}", b"8")
    await becomes(4, leading, said)
    await js.purge_stream(said["stream"], subject="ocr.due.*.job.1")
    await becomes(2, leading, said)
    await js.purge_stream(said["stream"], subject="ocr.due.*.job.>")
    await becomes(0, leading, said)
    await client.close()


@with_server
async def test_keda_counts_the_slices_that_are_due(server):
    """Those that are being read count, too: their messages go when they are done."""
    await counts({"alone": server})


@with_server
async def test_keda_counts_them_on_three_servers(tmp_path):
    routes = [f"nats://127.0.0.1:{port}" for port in free_ports(3)]
    async with AsyncExitStack() as stack:
        servers = {}
        for number, route in enumerate(routes):
            (folder := tmp_path / str(number)).mkdir()
            words = ["-js", "-sd", str(folder / "store"), "-n", f"nats-{number}", "--cluster_name", "nats"]
            one = Server(folder, *words, "--cluster", route, "--routes", ",".join(routes), "--no_advertise")
            servers[f"nats-{number}"] = await stack.enter_async_context(one)
        async with asyncio.timeout(PATIENCE_S):
            while not await one.is_in_a_cluster(len(servers)):
                await asyncio.sleep(0.05)
        await counts(servers)


# ── the example's values and ours ─────────────────────────────────────────────────────────────────────────────────


def test_the_policies_of_both_charts_open_the_same_door():
    (theirs,) = EXAMPLE["extraResources"]
    rendered = objects(CASES["jobs"])
    pod = find(rendered, "Deployment", "ocr-sidecar")["spec"]["template"]["metadata"]["labels"]
    (client,) = [rule for rule in theirs["spec"]["ingress"] if rule["ports"][0]["port"] == 4222]
    assert client["from"][0]["podSelector"]["matchLabels"].items() <= pod.items()
    (ours,) = [
        rule
        for rule in find(rendered, "NetworkPolicy", "ocr-sidecar")["spec"]["egress"]
        if rule["ports"][0]["port"] == 4222
    ]
    assert ours["to"][0]["podSelector"] == theirs["spec"]["podSelector"]


def test_only_sidecars_servers_and_keda_reach_the_servers():
    (policy,) = EXAMPLE["extraResources"]
    opened = {rule["ports"][0]["port"]: rule["from"] for rule in policy["spec"]["ingress"]}
    assert opened.keys() == {4222, 6222, 8222}
    assert all(len(peers) == 1 and peers[0]["podSelector"]["matchLabels"] for peers in opened.values())
    kubernetes_validate.validate(policy, all_versions()[-1], strict=True)


def test_there_are_as_many_servers_as_copies():
    assert EXAMPLE["config"]["cluster"]["replicas"] == values_file("jobs")["jobs"]["replicas"]


# ── the official chart ────────────────────────────────────────────────────────────────────────────────────────────


@pytest.fixture(scope="module")
def installed() -> list[Object]:
    """What the official chart renders to with the example's values, without its own test."""
    rendered = Chart(Path(OFFICIAL)).render(EXAMPLE, name="nats", namespace="nats")
    every = [one for path, text in rendered.items() if "/tests/" not in path for one in parse(text)]
    return [one for one in every if "kind" in one]


@with_chart
def test_the_official_chart_makes_three_servers_on_three_nodes_with_volumes(installed):
    spec = find(installed, "StatefulSet", "nats")["spec"]
    (spread,) = spec["template"]["spec"]["topologySpreadConstraints"]
    assert (spec["replicas"], spread["topologyKey"], spread["whenUnsatisfiable"]) == (
        3,
        "kubernetes.io/hostname",
        "DoNotSchedule",
    )
    (claim,) = spec["volumeClaimTemplates"]
    assert claim["spec"]["resources"]["requests"]["storage"] == "50Gi"
    assert find(installed, "PodDisruptionBudget", "nats")["spec"]["maxUnavailable"] == 1


@with_chart
def test_what_it_renders_is_valid_and_restricted(installed):
    for one in installed:
        for part in (one, one["metadata"], one.get("spec", {}).get("template", {}).get("metadata", {})):
            part.pop("annotations", None)  # it writes null
        kubernetes_validate.validate(one, all_versions()[-1], strict=True)
    assert pod_security.violations(find(installed, "StatefulSet", "nats")["spec"]["template"]["spec"]) == []


@with_chart
def test_the_servers_are_found_by_the_names_and_labels_that_our_values_say(installed):
    ours = values_file("jobs")
    service = find(installed, "Service", "nats")
    assert ours["jobs"]["url"] == f"nats://{service['metadata']['name']}.nats.svc:{service['spec']['ports'][0]['port']}"
    pod = find(installed, "StatefulSet", "nats")["spec"]["template"]["metadata"]["labels"]
    (peer,) = ours["networkPolicy"]["jobs"]["to"]
    assert peer["podSelector"]["matchLabels"].items() <= pod.items()


@with_chart
@with_server
async def test_keda_asks_each_server_by_its_pod_s_name(installed, tmp_path):
    """It puts the first part of a route's name before the endpoint: that is a pod below the headless Service alone."""
    conf = find(installed, "ConfigMap", "nats-config")["data"]["nats.conf"]
    for there, here in (("/data", "store"), ("/var/run/nats/nats.pid", "pid")):
        conf = conf.replace(json.dumps(there), json.dumps(str(tmp_path / here)))
    (tmp_path / "nats.conf").write_text(conf.replace("$SERVER_NAME", "nats-0"), encoding="utf-8")
    async with Server(tmp_path, "-c", str(tmp_path / "nats.conf"), "--cluster", "nats://127.0.0.1:-1") as one:
        about = await one.ask("/varz")
    assert not about.get("connect_urls"), "else it would ask addresses, and the name would not matter"
    stateful = find(installed, "StatefulSet", "nats")
    service, _, port = "nats-headless.nats.svc:8222".partition(".")
    assert service == stateful["spec"]["serviceName"]
    nodes = [f"{url.split('.')[0]}.{service}" for url in about["cluster"]["urls"]]
    assert sorted(nodes) == [f"nats-{n}.{service}" for n in range(stateful["spec"]["replicas"])]
    headless = find(installed, "Service", service)["spec"]
    assert headless["clusterIP"] == "None"
    assert int(port.rpartition(":")[2]) in [one["port"] for one in headless["ports"]]
