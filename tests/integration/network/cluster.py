"""The pods of these tests, who they are for a policy, and the real sidecar in one of them."""

import asyncio
import os
import signal
import subprocess
import sys
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path

import aiohttp

from tests.integration.network.release import (
    CONTROLLER,
    LOADER,
    SIDECAR,
    TEST_CALLER,
    TEST_OUTSIDER,
    Release,
)
from tools.charts.rendering import NAMESPACE
from tools.fakes.network import Namespace, Network, Pod
from tools.fakes.policy_rules import Endpoint, Policy, Refusal, World, render_rules
from tools.fakes.probes import REFUSED_S

API, OPS = 8765, 9090
PROBES = {API: "/health", OPS: "/readyz"}
"""What is asked at a port: answered without a key, in either mode."""
START_S, END_S, SLOW_S = 30, 10, 5
CLIENT = {"ocr.np-dms.work/client": "true"}
SIDECARS = ("sidecar", "first", "second")
"""Three pods of the sidecar, of which tests use one or two."""
CHARTS_OWN = {
    **dict.fromkeys(SIDECARS, SIDECAR),
    "controller": CONTROLLER,
    "loader": LOADER,
    "test-caller": TEST_CALLER,
    "test-outsider": TEST_OUTSIDER,
}
"""Name of the pods that the chart makes; their labels are in the rendering."""
STRANGERS = {
    "backend": (NAMESPACE, CLIENT),
    "outsider": (NAMESPACE, {"app": "web"}),
    "neighbour": ("shop", CLIENT),
    "shop-backend": ("shop", {"app": "backend"}),
    "shop-batch": ("shop", {"app": "batch"}),
    "prometheus": ("monitoring", {"app.kubernetes.io/name": "prometheus"}),
    "dns": ("kube-system", {"k8s-app": "kube-dns"}),
    "false-dns": ("shop", {"k8s-app": "kube-dns"}),
    "ollama": ("llm", {"app": "ollama"}),
    "nats": ("nats", {"app.kubernetes.io/name": "nats", "app.kubernetes.io/component": "nats"}),
    "keda": ("keda", {"app": "keda-operator"}),
}
"""Namespace and labels of the pods that are not the chart's."""
OUTSIDE = ("internet", "apiserver", "database", "office")
"""Machines outside the cluster."""


class Cluster:
    """A network with all of them in it."""

    def __init__(self, network: Network) -> None:
        self.network = network
        self.patience_s = REFUSED_S
        """How long a caller waits: where refusals are said, silence only means that this machine is slow."""
        for name in (*CHARTS_OWN, *STRANGERS, *OUTSIDE):
            network.add(name)

    def __getitem__(self, name: str) -> Pod:
        return self.network.pods[name]

    @property
    def node(self) -> Namespace:
        """The node, where the kubelet is: policies do not hold it up."""
        return self.network.router

    def apply(self, release: Release, policies: Sequence[Policy] | None = None, refusal: Refusal = "reject") -> None:
        """Bring a release's policies into force, or these in their place, for its own pods and all others."""
        endpoints = [
            Endpoint(pod.name, pod.addresses, *self._identity(pod.name, release)) for pod in self.network.pods.values()
        ]
        in_force = release.policies if policies is None else policies
        self.patience_s = REFUSED_S if refusal == "drop" else SLOW_S
        self.network.load(render_rules(World(endpoints), in_force, refusal))

    @staticmethod
    def _identity(name: str, release: Release) -> tuple[str, Mapping[str, str]]:
        if name in CHARTS_OWN:
            return NAMESPACE, release.labels(CHARTS_OWN[name])
        return STRANGERS.get(name, ("", {}))

    def callers(self, *but: str) -> list[str]:
        return [name for name in self.network.pods if name not in but]


class Running:
    """A sidecar that runs in a pod, as a release says."""

    def __init__(self, cluster: Cluster, pod: Pod, process: subprocess.Popen[bytes], folder: Path) -> None:
        self.folder = folder
        """Where its spool and its log are."""
        self.cluster = cluster
        self.pod = pod
        self._process = process

    async def is_ready(self) -> bool:
        """Tell what the kubelet would find."""
        host = str(self.pod.v4)
        with suppress(aiohttp.ClientError, TimeoutError):
            return [await ask(self.cluster.node, host, port, path) for port, path in PROBES.items()] == [200, 200]
        return False

    async def become_ready(self) -> None:
        async with asyncio.timeout(START_S):
            while not await self.is_ready():
                assert self._process.poll() is None, "the sidecar has ended"
                await asyncio.sleep(0.02)
        assert self._process.poll() is None, "somebody else answers in the sidecar's place"

    def terminate(self) -> None:
        self._process.send_signal(signal.SIGTERM)

    async def end(self) -> int:
        """Wait for its end; give its exit status."""
        return await asyncio.to_thread(self._process.wait, END_S)

    def stop(self) -> None:
        """End it, with its workers, which hold its ports as long as they live."""
        self.terminate()
        try:
            self._process.wait(END_S)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait(END_S)


def start(cluster: Cluster, name: str, release: Release, folder: Path, **environ: str) -> Running:
    """Start the sidecar in a pod with the chart's environment, less the container's paths and sizes."""
    own = {key: value for key, value in os.environ.items() if not key.startswith(("OCR_", "OLLAMA_"))}
    folder.mkdir(parents=True, exist_ok=True)
    ours = {"OCR_SPOOL_DIR": str(folder / "spool"), "OCR_PROFILE_DIR": str(folder), "OCR_WORKERS": "1"}
    with (folder / "log").open("ab") as log:
        process = cluster[name].spawn(
            [sys.executable, "-m", "sidecar", "serve"],
            env=own | release.environment | ours | environ,
            stdout=log,
            stderr=log,
        )
    return Running(cluster, cluster[name], process, folder)


def session(caller: Namespace, *, keeps_connections: bool = False) -> aiohttp.ClientSession:
    """A client that lives in a pod."""
    connector = aiohttp.TCPConnector(
        socket_factory=lambda info: caller.open_socket(info[0], info[1]), force_close=not keeps_connections
    )
    return aiohttp.ClientSession(connector=connector)


async def ask(caller: Namespace, host: str, port: int, path: str, deadline_s: float = SLOW_S) -> int | None:
    """GET; give the status, None if no connection comes about in time."""
    timeout = aiohttp.ClientTimeout(total=deadline_s + SLOW_S, sock_connect=deadline_s)
    async with session(caller) as client:
        with suppress(aiohttp.ClientConnectorError, aiohttp.ConnectionTimeoutError):
            async with client.get(f"http://{host}:{port}{path}", timeout=timeout) as response:
                await response.read()
                return response.status
    return None


async def who_gets_in(service: Running) -> dict[int, set[str]]:
    """Let everybody ask at both ports at once; give by port who is answered.

    The node asks before and after, so that nobody's silence comes from a service that is down.
    """
    callers = service.cluster.callers(service.pod.name)
    assert await service.is_ready()
    pairs = [(name, port) for name in callers for port in PROBES]
    cluster, host = service.cluster, str(service.pod.v4)
    asked = (ask(cluster[name], host, port, PROBES[port], cluster.patience_s) for name, port in pairs)
    answers = dict(zip(pairs, await asyncio.gather(*asked), strict=True))
    assert await service.is_ready()
    assert set(answers.values()) <= {200, None}
    return {port: {name for name in callers if answers[name, port] == 200} for port in PROBES}
