"""Who reaches the sidecar and whom it reaches, under the policies that the chart renders, by real packets.

Kernel namespaces are the pods, `tools/fakes/policy_rules.py` is the network plugin, the sidecar is the real one.
"""

import asyncio
import io
import subprocess
import sys
from collections.abc import AsyncIterator, Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import aiohttp
import pytest
import pytest_asyncio

from controller.isolation.probe import prove
from controller.resource.condition import Condition
from controller.resource.sidecar_pod import Sidecar
from tests.conftest import DATA, until
from tests.integration.network.cluster import (
    API,
    OPS,
    SIDECARS,
    SLOW_S,
    Cluster,
    Running,
    session,
    start,
    who_gets_in,
)
from tests.integration.network.release import API_KEY, NETWORK, Release, render, with_policy
from tests.integration.sidecar.documents import as_tiff, picture_of_text
from tests.integration.sidecar.model import PAGE
from tools.charts.rendering import NAMESPACE
from tools.fakes.network import Namespace, Pod
from tools.fakes.probes import TCP, UDP, V4, V6, Door, answer, answering

pytestmark = pytest.mark.asyncio(loop_scope="module")

KEY = "a-key-of-these-tests"
PROMETHEUS = {
    "namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": "monitoring"}},
    "podSelector": {"matchLabels": {"app.kubernetes.io/name": "prometheus"}},
}
MODES = {"api-key": API_KEY, "network": NETWORK}
LONG = as_tiff([picture_of_text(30)])
"""A document that takes about a second."""
DIGITAL = (DATA / "digital.pdf").read_bytes()
CALLERS = {"backend", "test-caller"}
"""Who has the label that the default asks for."""
NOBODY: set[str] = set()


@pytest.fixture(scope="module")
def key_file(tmp_path_factory) -> Path:
    path = tmp_path_factory.mktemp("keys") / "keys"
    path.write_text(KEY)
    return path


Launch = Callable[..., Running]


@contextmanager
def launching(cluster: Cluster, key_file: Path, folder: Path) -> Iterator[Launch]:
    """Start sidecars; those that still run at the end of the block are ended."""
    running: list[Running] = []

    def _launch(name: str, release: Release) -> Running:
        keys = {"OCR_SIDECAR_API_KEY_FILE": str(key_file)} if "OCR_SIDECAR_API_KEY_FILE" in release.environment else {}
        running.append(start(cluster, name, release, folder / name, **keys))
        return running[-1]

    try:
        yield _launch
    finally:
        for one in running:
            one.stop()


@pytest.fixture
def launch(cluster, key_file, tmp_path) -> Iterator[Launch]:
    with launching(cluster, key_file, tmp_path) as one:
        yield one


@pytest_asyncio.fixture(scope="module", loop_scope="module", params=MODES)
async def service(request, cluster, key_file, tmp_path_factory) -> AsyncIterator[Running]:
    """The sidecar in one mode; as the chart's defaults have it, but for the mode."""
    with launching(cluster, key_file, tmp_path_factory.mktemp(request.param)) as launch:
        one = launch("sidecar", render(MODES[request.param]))
        await one.become_ready()
        yield one


@pytest.fixture
def values(service, request) -> Mapping[str, Any]:
    """The values of the service's mode."""
    return MODES[request.node.callspec.params["service"]]


def addresses(pod: Pod) -> list[dict[str, Any]]:
    """A pod as peers, by its addresses."""
    return [{"ipBlock": {"cidr": f"{pod.v4}/32"}}, {"ipBlock": {"cidr": f"{pod.v6}/128"}}]


# ── who gets in ───────────────────────────────────────────────────────────────────────────────────────────────
async def test_by_default_callers_get_in_at_the_api_and_the_controller_at_the_ops_port(cluster, service, values):
    cluster.apply(render(values))

    assert await who_gets_in(service) == {API: CALLERS, OPS: {"controller"}}


async def test_a_plugin_that_drops_packets_keeps_the_same_people_out(cluster, service, values):
    cluster.apply(render(values), refusal="drop")

    assert await who_gets_in(service) == {API: CALLERS, OPS: {"controller"}}


async def test_prometheus_gets_in_at_the_ops_port_once_it_is_named(cluster, service, values):
    cluster.apply(render(with_policy(values, prometheus=[PROMETHEUS])))

    assert await who_gets_in(service) == {API: CALLERS, OPS: {"controller", "prometheus"}}


async def test_without_callers_the_api_is_closed_to_all(cluster, service, values):
    cluster.apply(render(with_policy(values, callers=[], prometheus=[PROMETHEUS])))

    assert await who_gets_in(service) == {API: NOBODY, OPS: {"controller", "prometheus"}}


async def test_several_callers_get_in_each_by_its_own_entry(cluster, service, values):
    shop = {"matchLabels": {"kubernetes.io/metadata.name": "shop"}}
    office = f"{cluster['office'].v4}/32"
    callers = [
        {"podSelector": {"matchLabels": {"app": "web"}}},
        {"namespaceSelector": shop, "podSelector": {"matchLabels": {"app": "backend"}}},
        {"ipBlock": {"cidr": office}},
    ]
    cluster.apply(render(with_policy(values, callers=callers)))

    assert await who_gets_in(service) == {API: {"outsider", "shop-backend", "office"}, OPS: {"controller"}}


async def test_a_block_of_addresses_gets_in_less_its_exceptions(cluster, service, values):
    but = sorted({"internet", "outsider", "controller"})
    block = {"cidr": "10.77.0.0/24", "except": [f"{cluster[name].v4}/32" for name in but]}
    cluster.apply(render(with_policy(values, callers=[{"ipBlock": block}])))

    assert (await who_gets_in(service))[API] == set(cluster.callers(*SIDECARS, *but))


async def test_without_a_controller_nobody_gets_in_at_the_ops_port(cluster, service, values):
    cluster.apply(render({**values, "controller": {"enabled": False}}))

    assert await who_gets_in(service) == {API: CALLERS, OPS: NOBODY}


async def test_without_any_policy_everybody_gets_in(cluster, service, values):
    """What the other tests find shut is shut by the policies, and by nothing else."""
    cluster.apply(render(values), policies=[])

    everybody = set(cluster.callers(service.pod.name))
    assert await who_gets_in(service) == {API: everybody, OPS: everybody}


async def test_ipv6_is_shut_alike(cluster, service, values):
    doors = [Door(service.pod, port, family=V6) for port in (API, OPS)]
    cluster.apply(render(values))

    async with answering(*doors):
        asked = [(name, door) for name in cluster.callers(service.pod.name) for door in doors]
        answers = await asyncio.gather(*(answer(cluster[name], door, cluster.patience_s) for name, door in asked))

    let_in = {(name, door.port) for (name, door), said in zip(asked, answers, strict=True) if said is not None}
    assert let_in == {("backend", API), ("test-caller", API), ("controller", OPS)}


# ── a document ────────────────────────────────────────────────────────────────────────────────────────────────
async def upload(
    client: aiohttp.ClientSession, host: str, content: bytes, **headers: str
) -> tuple[int, dict[str, Any]] | None:
    """Have a document read; None if no connection comes about."""
    form = aiohttp.FormData()
    form.add_field("file", io.BytesIO(content), filename="upload.pdf")
    timeout = aiohttp.ClientTimeout(total=30, sock_connect=1)
    try:
        async with client.post(f"http://{host}:{API}/ocr-upload", data=form, headers=headers, timeout=timeout) as said:
            return said.status, await said.json()
    except (aiohttp.ClientConnectorError, aiohttp.ConnectionTimeoutError):
        return None


async def test_a_document_is_read_for_the_backend_and_for_no_key_in_the_world_for_an_outsider(cluster, service, values):
    cluster.apply(render(values))
    host = str(service.pod.v4)
    headers = {"X-API-Key": KEY}

    async with session(cluster["backend"]) as backend, session(cluster["outsider"]) as outsider:
        refused, read = await asyncio.gather(
            upload(outsider, host, PAGE, **headers), upload(backend, host, PAGE, **headers)
        )
        without_key = await upload(backend, host, DIGITAL)

    assert refused is None
    assert read is not None
    assert (read[0], read[1]["engineUsed"], read[1]["pageCount"] > 0) == (200, "tesseract", True)
    assert without_key is not None
    assert without_key[0] == (401 if values is API_KEY else 200)


# ── whom it reaches ───────────────────────────────────────────────────────────────────────────────────────────
DOORS = {
    "dns": [(53, UDP), (53, TCP), (9153, TCP)],
    "false-dns": [(53, UDP), (53, TCP)],
    "ollama": [(11434, TCP), (22, TCP)],
    "nats": [(4222, TCP), (6222, TCP), (8222, TCP)],
    "backend": [(8080, TCP)],
    "outsider": [(8080, TCP)],
    "internet": [(443, TCP), (80, TCP), (53, UDP)],
    "apiserver": [(6443, TCP), (443, TCP)],
    "database": [(3306, TCP), (22, TCP)],
    "controller": [(8080, TCP)],
    "second": [(API, TCP), (OPS, TCP)],
}
"""What listens where while it is looked at who goes out: of another sidecar, too."""
DNS = {("dns", 53, UDP), ("dns", 53, TCP)}
OLLAMA_PEER = {
    "namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": "llm"}},
    "podSelector": {"matchLabels": {"app": "ollama"}},
}
BY_URL = {"ollama": {"url": "http://ollama.llm.svc:11434"}}
IN_THE_POD = {"ollama": {"inPod": {"enabled": True}}}
DATABASE = {"controller": {"database": {"existingSecret": "database"}}}

RETRIEVAL = {"retrieval": {"enabled": True}}

Reached = set[tuple[str, int, int]]


async def all_answer(caller: Namespace, doors: Sequence[Door]) -> bool:
    answers = await asyncio.gather(*(answer(caller, door, SLOW_S) for door in doors))
    return answers == [door.pod.name for door in doors]


async def whom_it_reaches(cluster: Cluster, name: str) -> Reached:
    """Knock from a pod at every door but its own, over both families, which must agree.

    The node knocks before and after, so that no silence comes from a door where nobody is.
    """
    ways = [(other, *one) for other, ports in DOORS.items() if other != name for one in ports]
    doors = {family: [Door(cluster[other], port, kind, family) for other, port, kind in ways] for family in (V4, V6)}
    async with answering(*doors[V4], *doors[V6]):
        assert await all_answer(cluster.node, doors[V4])
        reached = [await _reached(cluster, name, one) for one in doors.values()]
        assert await all_answer(cluster.node, doors[V4])
    assert reached[0] == reached[1]
    return reached[0]


async def _reached(cluster: Cluster, name: str, doors: Sequence[Door]) -> Reached:
    answers = await asyncio.gather(*(answer(cluster[name], door, cluster.patience_s) for door in doors))
    through = [(door, said) for door, said in zip(doors, answers, strict=True) if said is not None]
    assert all(said == door.pod.name for door, said in through)
    return {(door.pod.name, door.port, door.kind) for door, _ in through}


@pytest.mark.parametrize("mode", MODES.values(), ids=MODES)
@pytest.mark.parametrize("ollama", [{}, IN_THE_POD], ids=["no Ollama", "Ollama in the pod"])
async def test_the_sidecar_reaches_nothing(cluster, mode, ollama):
    cluster.apply(render({**mode, **ollama}))

    assert await whom_it_reaches(cluster, "sidecar") == set()


@pytest.mark.parametrize("mode", MODES.values(), ids=MODES)
async def test_the_sidecar_reaches_names_and_an_ollama_elsewhere_and_nothing_else(cluster, mode):
    cluster.apply(render(with_policy({**mode, **BY_URL}, ollama={"to": [OLLAMA_PEER]})))

    assert await whom_it_reaches(cluster, "sidecar") == {*DNS, ("ollama", 11434, TCP)}


async def test_without_any_policy_the_sidecar_reaches_everything(cluster):
    cluster.apply(render(), policies=[])

    everything = {(name, port, kind) for name, ports in DOORS.items() for port, kind in ports}
    assert await whom_it_reaches(cluster, "sidecar") == everything


async def test_the_controller_reaches_names_the_api_server_and_the_sidecars_ops_port(cluster):
    """Not their API port, though its own policy lets it knock there: that one is shut by theirs."""
    cluster.apply(render(with_policy({}, apiServer={"to": addresses(cluster["apiserver"]), "ports": [6443]})))

    assert await whom_it_reaches(cluster, "controller") == {*DNS, ("apiserver", 6443, TCP), ("second", OPS, TCP)}


async def test_by_default_the_controller_takes_anybody_at_two_ports_for_the_api_server(cluster):
    cluster.apply(render())

    api_server = {("apiserver", 443, TCP), ("apiserver", 6443, TCP), ("internet", 443, TCP)}
    assert await whom_it_reaches(cluster, "controller") == {*DNS, *api_server, ("second", OPS, TCP)}


async def test_the_controller_reaches_the_database_that_it_mirrors(cluster):
    where = {"database": {"to": addresses(cluster["database"])}, "apiServer": {"to": [], "ports": [6443]}}
    cluster.apply(render(with_policy(DATABASE, **where)))

    assert await whom_it_reaches(cluster, "controller") == {*DNS, ("database", 3306, TCP), ("second", OPS, TCP)}


async def test_only_the_model_loader_reaches_the_hubs(cluster):
    cluster.apply(render(RETRIEVAL))

    hubs = {("internet", 443, TCP), ("apiserver", 443, TCP)}
    assert await whom_it_reaches(cluster, "loader") == {*DNS, *hubs}
    assert await whom_it_reaches(cluster, "sidecar") == set()


@pytest.mark.parametrize("name", ["sidecar", "controller", "loader"])
async def test_an_empty_list_of_destinations_means_none(cluster, name):
    """In Kubernetes it means all."""
    nobody = {"dns": {"to": []}, "apiServer": {"to": []}, "modelLoader": {"to": []}, "ollama": {"to": [OLLAMA_PEER]}}
    cluster.apply(render(with_policy({**RETRIEVAL, **BY_URL}, **nobody)))

    left = {"sidecar": {("ollama", 11434, TCP)}, "controller": {("second", OPS, TCP)}, "loader": set()}
    assert await whom_it_reaches(cluster, name) == left[name]


@pytest.mark.parametrize(("prometheus", "let_in"), [([], NOBODY), ([PROMETHEUS], {"prometheus"})])
async def test_at_the_controllers_port_prometheus_gets_in_if_it_is_named(cluster, prometheus, let_in):
    door = Door(cluster["controller"], 8080)
    cluster.apply(render(with_policy({}, prometheus=prometheus)))

    async with answering(door):
        assert await all_answer(cluster.node, [door])
        callers = cluster.callers("controller")
        answers = await asyncio.gather(*(answer(cluster[name], door, cluster.patience_s) for name in callers))
        assert await all_answer(cluster.node, [door])

    assert {name for name, said in zip(callers, answers, strict=True) if said is not None} == let_in


# ── the proof ─────────────────────────────────────────────────────────────────────────────────────────────────
async def proof(cluster: Cluster, *services: Running) -> tuple[str, str, list[str]]:
    """Let the controller's own code knock from the controller's pod; give what it finds, and whose doors are open."""
    sidecars = [Sidecar(one.pod.name, one.pod.name, str(one.pod.v4), is_ready=True, stamped=None) for one in services]
    assert all([await one.is_ready() for one in services])

    def knock() -> tuple[Condition, Sequence[Sidecar]]:
        return asyncio.run(prove(sidecars, API, OPS, cluster.patience_s))

    condition, doors = await asyncio.to_thread(cluster["controller"].run, knock)
    assert all([await one.is_ready() for one in services])
    return condition.status, condition.reason, [one.name for one in doors]


SHUT = ("True", "ConnectionRefused", [])
OPEN = ("False", "ConnectionAccepted", ["sidecar"])


@pytest.mark.parametrize("refusal", ["drop", "reject"])
async def test_the_controller_finds_out_when_the_policy_goes_and_when_it_is_back(cluster, service, values, refusal):
    """The controller's own policy stays: it must not be what keeps the knock back."""
    release = render(values)
    found = []
    for policies in (release.policies, release.without("ocr-sidecar"), release.policies):
        cluster.apply(release, policies, refusal=refusal)
        found.append(await proof(cluster, service))

    assert found == [SHUT, OPEN, SHUT]


async def test_the_controller_finds_out_when_all_policies_go(cluster, service, values):
    cluster.apply(render(values), policies=[])

    assert await proof(cluster, service) == OPEN


async def test_the_controller_finds_out_when_anybody_may_call(cluster, service, values):
    everybody = [{"namespaceSelector": {}}]
    cluster.apply(render(with_policy(values, callers=everybody)))

    assert await proof(cluster, service) == OPEN


# ── helm test ─────────────────────────────────────────────────────────────────────────────────────────────────
async def helm_test(cluster: Cluster, release: Release, name: str, service: Running) -> int:
    """Run what a pod of `helm test` runs, in its place; names become addresses, for nobody resolves them here."""
    addresses = {f"ocr-sidecar.{NAMESPACE}.svc": service.pod.v4, "kubernetes.default.svc": cluster["apiserver"].v4}
    python, *rest = [str(addresses.get(word, word)) for word in release.test_command(name)]
    assert python == "python"
    rest[-1] = "1"  # these pods are known to the network at once, so no patience is needed
    process = cluster[f"test-{name}"].spawn([sys.executable, *rest], stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
    await asyncio.to_thread(process.communicate, timeout=SLOW_S + 15)
    return process.returncode


async def test_helm_test_passes_behind_the_policy_and_fails_in_the_open_and_where_nobody_may(cluster, service, values):
    usual, nobody = render(values), render(with_policy(values, callers=[]))
    found = []
    async with answering(Door(cluster["apiserver"], 443)):
        for release, policies in ((usual, usual.policies), (usual, []), (nobody, nobody.policies)):
            cluster.apply(release, policies)
            assert await service.is_ready()
            found.append([await helm_test(cluster, release, name, service) for name in ("caller", "outsider")])

    assert found == [[0, 0], [0, 1], [1, 0]]


# ── an Ollama elsewhere ───────────────────────────────────────────────────────────────────────────────────────
@pytest_asyncio.fixture(loop_scope="module")
async def ollama(cluster) -> AsyncIterator[str]:
    """A stand-in for Ollama in a pod of its own; gives its address."""
    address = str(cluster["ollama"].v4)
    words = [sys.executable, "-m", "tools.fakes.ollama", "--host", address, "--port", "11434"]
    process = cluster["ollama"].spawn(words, stdout=subprocess.PIPE)
    try:
        assert await asyncio.to_thread(process.stdout.readline) == f"http://{address}:11434\n".encode()
        yield address
    finally:
        process.kill()
        process.communicate()


async def test_a_page_is_read_by_an_ollama_elsewhere_while_the_policy_names_it(cluster, launch, ollama):
    """The sidecar's own calls go out and come back; without the rule for them they do not."""
    release = render({**NETWORK, "ollama": {"url": f"http://{ollama}:11434"}})
    shut = [one for one in render(NETWORK).policies if one.metadata.name == "ocr-sidecar"]
    cluster.apply(release)
    one = launch("first", release)
    await one.become_ready()
    host = str(one.pod.v4)

    async with session(cluster["backend"]) as backend:
        read = await upload(backend, host, PAGE)
        cluster.apply(release, [*release.without("ocr-sidecar"), *shut])
        elsewhere = await upload(backend, host, PAGE)

    assert [(status, body["engineUsed"]) for status, body in (read, elsewhere)] == [
        (200, "np-dms-ocr"),
        (200, "tesseract"),
    ]


# ── from one mode to the other ────────────────────────────────────────────────────────────────────────────────
SERVICE_ADDRESS = "10.96.0.10"
PROPAGATION_S = 0.3
"""How long kube-proxy goes on sending new connections to a pod that is on its way out; in a cluster it may be seconds.
The order counts, and that is Kubernetes': without a hook the pod is told to end before all nodes know of it."""


class Traffic:
    """Requests of one caller, one after the other, until it is told to stop."""

    def __init__(self, cluster: Cluster, name: str, *, keeps_connections: bool = False) -> None:
        self.answers: list[int | str] = []
        """A status, or what went wrong, for each."""
        self.sent_away = 0
        """How often it asked again, over a new connection, because a pod said that it is shutting down."""
        self._client = session(cluster[name], keeps_connections=keeps_connections)
        self._afresh = session(cluster[name])
        self._task = asyncio.create_task(self._call())

    async def _call(self) -> None:
        while True:
            self.answers.append(await self._one())
            await asyncio.sleep(0.03)  # a pace, so that two cores are left for what is called

    async def _one(self) -> int | str:
        try:
            answered = await upload(self._client, SERVICE_ADDRESS, DIGITAL, **{"X-API-Key": KEY})
            if answered is not None and answered[1].get("code") == "shutting_down":
                self.sent_away += 1
                answered = await upload(self._afresh, SERVICE_ADDRESS, DIGITAL, **{"X-API-Key": KEY})
        except aiohttp.ClientError as exc:
            return type(exc).__name__
        return "no connection" if answered is None else answered[0]

    async def more(self, number: int = 3) -> None:
        """Wait for some more answers."""
        enough = len(self.answers) + number
        async with asyncio.timeout(30):
            while len(self.answers) < enough:
                await asyncio.sleep(0.01)

    async def stop(self) -> None:
        self._task.cancel()
        await asyncio.wait([self._task])
        await self._client.close()
        await self._afresh.close()


def pre_stop_s(release: Release) -> float:
    """How long the kubelet waits before it tells the sidecar to end."""
    hook = release.container.get("lifecycle", {}).get("preStop", {})
    return float(hook.get("sleep", {}).get("seconds", 0))


async def replace(cluster: Cluster, old: Running, new: Running, waits_s: float) -> None:
    """What a Deployment does once the new pod is ready: the old one ends while it is taken out of the Service."""
    cluster.network.publish(SERVICE_ADDRESS, API, [str(old.pod.v4), str(new.pod.v4)])

    async def leave_the_service() -> None:
        await asyncio.sleep(PROPAGATION_S)
        cluster.network.publish(SERVICE_ADDRESS, API, [str(new.pod.v4)])

    async def end() -> None:
        await asyncio.sleep(min(waits_s, 2 * PROPAGATION_S))  # no longer than is needed to be the later one
        old.terminate()
        assert await old.end() == 0

    await asyncio.gather(leave_the_service(), end())


async def roll_out(cluster: Cluster, launch: Launch, old: Running, name: str, release: Release) -> tuple[Running, int]:
    """Upgrade to a release, while the old pod reads a document; give the new pod, and the pages that were read."""
    cluster.apply(release)
    new = launch(name, release)
    await new.become_ready()
    async with session(cluster["backend"]) as client:
        reading = asyncio.create_task(upload(client, str(old.pod.v4), LONG, **{"X-API-Key": KEY}))
        await until(lambda: list(old.folder.glob("spool/*/document-*")))
        await replace(cluster, old, new, pre_stop_s(release))
        answered = await reading
    assert answered is not None
    return new, answered[1].get("pageCount", 0)


async def status_without_key(cluster: Cluster) -> int:
    async with session(cluster["backend"]) as client:
        answered = await upload(client, SERVICE_ADDRESS, DIGITAL)
    assert answered is not None
    return answered[0]


@pytest.mark.alone
async def test_the_mode_changes_and_changes_back_while_the_backend_goes_on_calling(cluster, launch):
    """The backend sends its key all the time, as docs/deploy.md has it; an outsider with the key gets no word.

    A caller that keeps connections may be told by the old pod that it is shutting down; it asks again over a new one.
    """
    cluster.apply(render(API_KEY))
    first = launch("first", render(API_KEY))
    await first.become_ready()
    cluster.network.publish(SERVICE_ADDRESS, API, [str(first.pod.v4)])
    backend, outsider = Traffic(cluster, "backend"), Traffic(cluster, "outsider")
    pooled = Traffic(cluster, "backend", keeps_connections=True)
    try:
        without_key = [await status_without_key(cluster)]
        second, pages = await roll_out(cluster, launch, first, "second", render(NETWORK))
        await backend.more()
        without_key.append(await status_without_key(cluster))
        _, pages_back = await roll_out(cluster, launch, second, "first", render(API_KEY))
        await backend.more()
        without_key.append(await status_without_key(cluster))
    finally:
        for one in (backend, pooled, outsider):
            await one.stop()

    assert without_key == [401, 200, 401]
    assert (pages, pages_back) == (1, 1)
    assert (set(backend.answers), backend.sent_away) == ({200}, 0)
    assert set(outsider.answers) == {"no connection"}
    assert set(pooled.answers) == {200}
    assert pooled.sent_away <= 2, "once for each connection that it kept"


async def test_the_policies_are_the_same_in_both_modes():
    """So there is no moment between them, and the key may be taken away as safely as it is put back."""
    assert render(API_KEY).policies == render(NETWORK).policies
