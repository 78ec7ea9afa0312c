"""An API server, fake or real, false sidecars, and controllers that run as they do in production."""

import asyncio
import json
import threading
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import aiohttp
import pytest
import yaml
from aiohttp import web

from bench.harness.service import free_ports
from controller import names
from controller.app import open_controller
from controller.settings import parse_settings
from tests.integration.controller import envtest
from tests.integration.controller.cluster_under_test import (
    CRD,
    ROLE,
    Admin,
    ApiRefusalError,
    Object,
    role_rules,
    until,
    write_kubeconfig,
)
from tests.integration.controller.doors import API_ANSWER
from tools.fakes.kube import ADMIN, CONTROLLER, FakeKube


@dataclass
class Kube:
    """An API server under test."""

    admin: Admin
    url: str
    token: str
    folder: Path
    fake: FakeKube | None = None

    def kubeconfig(self) -> Path:
        return write_kubeconfig(self.folder / "kubeconfig", self.url, self.token, self.admin.namespace)


# ── the fake one ──────────────────────────────────────────────────────────────────────────────────────────────────


@pytest.fixture
async def fake(tmp_path: Path) -> AsyncIterator[Kube]:
    """The fake API server, for what no test can make a real one do."""
    server = FakeKube(yaml.safe_load(CRD.read_text(encoding="utf-8")), role_rules())
    await server.start()
    admin = Admin(server.url, ADMIN, "admin")
    await admin.use_new_namespace()
    yield Kube(admin, server.url, CONTROLLER, tmp_path, server)
    await admin.close()
    await server.stop()


# ── the real one ──────────────────────────────────────────────────────────────────────────────────────────────────


@pytest.fixture(scope="session")
def api_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[envtest.ApiServer]:
    if (reason := envtest.why_not()) is not None:
        pytest.skip(reason)
    with envtest.api_server(tmp_path_factory.mktemp("envtest")) as server:
        yield server


def load(path: Path) -> Object:
    """Read a manifest of one object."""
    return yaml.safe_load(path.read_text(encoding="utf-8"))


async def put_crd(admin: Admin, crd: Object) -> None:
    """Apply a CRD and wait until its versions, and no others, are served, as ``kubectl apply`` and ``wait`` do."""
    crds = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions"
    query = {"fieldManager": "test", "force": "true"}
    await admin.ask("PATCH", f"{crds}/{crd['metadata']['name']}", crd, "application/apply-patch+yaml", **query)
    wanted = {one["name"] for one in crd["spec"]["versions"] if one["served"]}

    async def served() -> set[str]:
        return {version for version in names.VERSIONS if await _serves(admin, version)}

    await until(served, lambda seen: seen == wanted, seconds=30)


async def _serves(admin: Admin, version: str) -> bool:
    try:
        await admin.ask("GET", f"/apis/ocr.np-dms.work/{version}/ocrprofiles", limit="1")
    except ApiRefusalError:
        return False
    return True


async def install_role(admin: Admin) -> str:
    """Apply the controller's ServiceAccount, Role and RoleBinding as they are; give a token of that account."""
    for document in yaml.safe_load_all(ROLE.read_text(encoding="utf-8")):
        plural = document["kind"].lower() + "s"
        for subject in document.get("subjects", ()):
            subject["namespace"] = admin.namespace
        await admin.ask("POST", admin.path(plural), document)
    body = {"apiVersion": "authentication.k8s.io/v1", "kind": "TokenRequest", "spec": {"expirationSeconds": 3600}}
    answer = await admin.ask("POST", admin.path("serviceaccounts", "ocr-controller") + "/token", body)
    return answer["status"]["token"]


@pytest.fixture
async def real(api_server: envtest.ApiServer, tmp_path: Path) -> AsyncIterator[Kube]:
    """A real API server, where the controller is its own ServiceAccount, with its Role."""
    admin = Admin(api_server.url, api_server.admin_token, "admin")
    await put_crd(admin, load(CRD))
    await admin.use_new_namespace()
    yield Kube(admin, api_server.url, await install_role(admin), tmp_path)
    await admin.close()


@pytest.fixture(params=["fake", pytest.param("real", marks=pytest.mark.envtest)])
def kube(request: pytest.FixtureRequest) -> Kube:
    """The fake API server, then the real one."""
    return request.getfixturevalue(request.param)


# ── false sidecars ────────────────────────────────────────────────────────────────────────────────────────────────


@dataclass
class FalseSidecar:
    """Answers ``/profiles`` at an address of its own."""

    address: str
    runner: web.AppRunner
    answer: dict = field(default_factory=lambda: {"profiles": [], "refused": []})

    def load(self, *payloads: dict) -> None:
        """Say that these profiles are loaded, and no others."""
        self.answer["profiles"] = [{"name": one["name"], "revision": one["revision"]} for one in payloads]


@dataclass
class Sidecars:
    """False sidecars, all with the same two ports."""

    ops_port: int
    api_port: int
    running: dict[str, FalseSidecar] = field(default_factory=dict)

    async def start(self, address: str) -> FalseSidecar:
        """Start one. Its API port is shut, as behind a policy that is enforced."""

        async def profiles(_: web.Request) -> web.Response:
            return web.Response(text=json.dumps(sidecar.answer), content_type="application/json")

        app = web.Application()

        async def health(_: web.Request) -> web.Response:
            return web.Response(body=API_ANSWER, content_type="application/json")

        app.router.add_get("/profiles", profiles)
        app.router.add_get("/health", health)  # for a controller that takes this port for the API's
        sidecar = self.running[address] = FalseSidecar(address, web.AppRunner(app, access_log=None))
        await sidecar.runner.setup()
        await web.TCPSite(sidecar.runner, address, self.ops_port).start()
        return sidecar

    async def stop(self) -> None:
        for sidecar in self.running.values():
            await sidecar.runner.cleanup()


@pytest.fixture
async def sidecars() -> AsyncIterator[Sidecars]:
    found = Sidecars(*free_ports(2))
    yield found
    await found.stop()


# ── controllers ───────────────────────────────────────────────────────────────────────────────────────────────────


class Running:
    """A controller in a thread, with an event loop of its own: its kopf ends every task of the loop it ran in."""

    def __init__(self, environ: dict[str, str], kubeconfig: Path) -> None:
        self._settings = parse_settings({"CONTROLLER_OPS_PORT": "0"} | environ)
        self._kubeconfig = kubeconfig
        self._is_up = threading.Event()
        self._error: BaseException | None = None
        self._thread = threading.Thread(target=self._run, daemon=True)
        self.port = 0

    def _run(self) -> None:
        try:
            asyncio.run(self._main())
        except BaseException as exc:  # noqa: BLE001 - whatever it is, stop tells it to the test
            self._error = exc
        finally:
            self._is_up.set()

    async def _main(self) -> None:
        self._loop, self._stop = asyncio.get_running_loop(), asyncio.Event()
        async with open_controller(self._settings, str(self._kubeconfig)) as (controller, self.port):
            self._is_up.set()
            await controller.run(self._stop)

    async def start(self) -> "Running":
        self._thread.start()
        await asyncio.to_thread(self._is_up.wait, 10)
        if self._error is not None:
            raise self._error
        return self

    async def stop(self) -> None:
        """Stop it, and tell what it died of, if it did."""
        if self._thread.is_alive():
            self._loop.call_soon_threadsafe(self._stop.set)
        await asyncio.to_thread(self._thread.join, 15)
        assert not self._thread.is_alive(), "the controller does not stop"
        if self._error is not None:
            raise self._error

    async def get(self, path: str) -> tuple[int, str]:
        """Ask the ops port."""
        async with aiohttp.ClientSession() as client, client.get(f"http://127.0.0.1:{self.port}{path}") as response:
            return response.status, await response.text()

    async def metric(self, name: str, **labels: str) -> float:
        """Give the sum of a metric over all its lines with these labels."""
        wanted = [f'{label}="{value}"' for label, value in labels.items()]
        lines = [line for line in (await self.get("/metrics"))[1].splitlines() if line.startswith(name + "{")]
        return sum(float(line.rpartition(" ")[2]) for line in lines if all(part in line for part in wanted))

    async def metric_of(self, name: str) -> float:
        """Give a metric without labels."""
        lines = [line for line in (await self.get("/metrics"))[1].splitlines() if line.startswith(name + " ")]
        return float(lines[0].rpartition(" ")[2])

    async def writes(self) -> float:
        """Give how many writes it has asked for."""
        verbs = ("create", "patch", "delete")
        return sum([await self.metric("ocr_controller_api_calls_total", verb=verb) for verb in verbs])

    async def readiness(self) -> tuple[int, list[str]]:
        status, text = await self.get("/readyz")
        return status, [one["reason"] for one in json.loads(text)["reasons"]]


Start = Callable[..., Awaitable[Running]]


@pytest.fixture
async def run_controller(sidecars: Sidecars) -> AsyncIterator[Start]:
    """Start controllers; each is stopped at the end of the test."""
    running: list[Running] = []

    async def _start(kube: Kube, **environ: str) -> Running:
        defaults = {"SIDECAR_OPS_PORT": str(sidecars.ops_port), "SIDECAR_API_PORT": str(sidecars.api_port)}
        running.append(Running(defaults | environ, kube.kubeconfig()))
        return await running[-1].start()

    yield _start
    for one in running:
        await one.stop()
