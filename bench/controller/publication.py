"""The controller with a fake API server: how soon an edit is published, and what running the controller costs.

The server runs in this process, so that its content is visible at once; the controller is a process of its own, started
as in production. There are no sidecars; ``model_pages`` measures their time to load a file. Linux only: /proc shows
what a process uses.
"""

import asyncio
import contextlib
import importlib
import itertools
import json
import os
import random
import signal
import sqlite3
import statistics
import sys
import tempfile
import time
from asyncio.subprocess import Process
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from functools import partial
from io import BufferedWriter
from pathlib import Path
from typing import Any, NamedTuple, Protocol

import aiohttp
import yaml

from bench.harness.figure import Figure, below
from bench.harness.service import HOST, LOG_TAIL_BYTES, POLL_S, ROOT, ServiceError, base_environment, free_ports
from controller import names
from controller.settings import environment_names

kube: Any = importlib.import_module("tools.fakes.kube")  # by its name: it is typed like the tests

PROC = Path("/proc")
TICKS_A_SECOND = os.sysconf("SC_CLK_TCK")
MIB = 1024 * 1024
PATIENCE_S = 60.0
STOP_S = 30.0
CONNECTIONS = 50
LOOK_S = 0.05
"""How often all profiles are checked, which costs the server a millisecond."""
QUIET_S = 2.0
"""If nothing is written for this long after all statuses are told, no work is left."""
LONGEST_PAUSE_S = 0.25
"""Edits meet a controller at rest as well as one that still reports the previous edit."""
MIRROR_INTERVAL_S = 2.0
BOOKMARK_S = 60.0
"""As a real API server; for tests the fake one sends its version every second."""
WRITES = frozenset({"create", "patch", "update", "delete"})

TARGET_EDIT_MEDIAN_S = 1.0
TARGET_EDIT_P99_S = 3.0
TARGET_ROW_S = MIRROR_INTERVAL_S + 1
TARGET_BURST_S = 30.0
TARGET_BURST_WRITES = 50
TARGET_SHARE_PERCENT = 1.0
TARGET_REPAIR_S = 5.0
TARGET_RESTART_S = 10.0
TARGET_MEMORY_MIB = 150.0


class Plan(NamedTuple):
    """How often, and among how many profiles, each thing is measured."""

    profiles: int
    edits: int
    burst: int
    repairs: int
    restarts: int
    row_edits: int
    rest_s: float
    """A little longer than a resync and its pass, so that one is always included."""


FULL = Plan(profiles=100, edits=120, burst=1000, repairs=5, restarts=3, row_edits=12, rest_s=31.0)
QUICK = Plan(profiles=10, edits=5, burst=50, repairs=1, restarts=1, row_edits=2, rest_s=3.0)


def run(*, quick: bool) -> list[Figure]:
    return asyncio.run(_run(QUICK if quick else FULL))


async def _run(plan: Plan) -> list[Figure]:
    with tempfile.TemporaryDirectory(prefix="ocr-controller-bench-") as folder:
        async with _api_server() as (server, admin):
            few, many, rows = (
                Namespace(server, admin, name, Path(folder) / name) for name in ("ocr-few", "ocr-many", "ocr-rows")
            )
            figures = [*await _edits(few, plan), *await _burst(many, rows, plan)]
            return [*figures, *await _restarts(many, plan), *await _mirror(many, plan)]


# ── the API server ────────────────────────────────────────────────────────────────────────────────────────────────


class Call(Protocol):
    """What the server records of a call of the controller."""

    verb: str
    resource: str
    namespace: str


class ApiServer(Protocol):
    """The used part of ``tools.fakes.kube.FakeKube``."""

    objects: Mapping[tuple[str, str, str], Any]
    calls: Sequence[Call]
    bookmark_s: float
    url: str

    async def start(self) -> None:
        """Listen."""

    async def stop(self) -> None:
        """Go away."""


@asynccontextmanager
async def _api_server() -> AsyncIterator[tuple[ApiServer, aiohttp.ClientSession]]:
    """Serve the CRD, with the rights of the controller's Role; yields the server and an administrator's client."""
    (crd,) = _manifests("crd.yaml")
    rules = next(one["rules"] for one in _manifests("rbac/controller.yaml") if one["kind"] == "Role")
    server: ApiServer = kube.FakeKube(crd, rules)
    server.bookmark_s = BOOKMARK_S
    await server.start()
    headers = {"Authorization": f"Bearer {kube.ADMIN}"}
    connector = aiohttp.TCPConnector(limit=CONNECTIONS)
    try:
        async with aiohttp.ClientSession(server.url, headers=headers, connector=connector) as admin:
            yield server, admin
    finally:
        await server.stop()


def _manifests(name: str) -> list[Any]:
    return list(yaml.safe_load_all((ROOT / "manifests" / name).read_text(encoding="utf-8")))


@dataclass(frozen=True, slots=True)
class Namespace:
    """One namespace: an administrator's actions in it, and the server's content of it."""

    server: ApiServer
    admin: aiohttp.ClientSession
    name: str
    folder: Path

    async def create(self, profiles: Iterable[str]) -> None:
        """Create profiles, all at once."""
        async with asyncio.TaskGroup() as group:
            for profile in profiles:
                group.create_task(self._ask("POST", names.PLURAL, "", _profile(profile)))

    async def edit(self, profile: str, max_tokens: int) -> None:
        """Edit one field of a profile."""
        await self._ask("PATCH", names.PLURAL, profile, {"spec": {"maxTokens": max_tokens}})

    async def spoil_config_map(self, data: Mapping[str, str]) -> None:
        """Write into the ConfigMap."""
        await self._ask("PATCH", "configmaps", names.CONFIG_MAP, {"data": dict(data)})

    async def delete_config_map(self) -> None:
        """Delete the ConfigMap."""
        await self._ask("DELETE", "configmaps", names.CONFIG_MAP)

    async def _ask(self, method: str, resource: str, name: str, body: object = None) -> None:
        group = f"/apis/{names.API_VERSION}" if resource == names.PLURAL else "/api/v1"
        path = f"{group}/namespaces/{self.name}/{resource}" + (f"/{name}" if name else "")
        headers = {"Content-Type": "application/merge-patch+json" if method == "PATCH" else "application/json"}
        async with self.admin.request(method, path, data=json.dumps(body or {}), headers=headers) as response:
            if response.status >= 300:
                raise RuntimeError(f"{method} {path} was answered {response.status}: {await response.text()}")

    def published(self) -> dict[str, str]:
        """Return the ConfigMap's data."""
        stored = self.server.objects.get(("configmaps", self.name, names.CONFIG_MAP))
        return dict(stored.body.get("data") or {}) if stored else {}

    def serves(self, profile: str, max_tokens: int) -> bool:
        """Return whether the ConfigMap has this edit."""
        payload = self.published().get(names.key_of(profile))
        return payload is not None and json.loads(payload)["runtimeParams"]["max_tokens"] == max_tokens

    def is_told(self, count: int) -> bool:
        """Return whether this many profiles exist, all published in their current form, and their statuses say so."""
        bodies = [
            stored.body
            for (resource, namespace, _), stored in self.server.objects.items()
            if (resource, namespace) == (names.PLURAL, self.name)
        ]
        return len(bodies) == len(self.published()) == count and all(
            (body.get("status") or {}).get("observedGeneration") == body["metadata"]["generation"] for body in bodies
        )

    def calls(self, first: int, verbs: Iterable[str], resource: str = "") -> int:
        """Count the controller's calls since one, of these verbs; of one resource, or of all."""
        wanted = frozenset(verbs)
        return sum(
            call.verb in wanted and call.namespace == self.name and resource in ("", call.resource)
            for call in self.server.calls[first:]
        )


MANAGED = {
    "kubectl-client-side-apply": ("f:spec", ["f:canonicalModel", "f:isActive", "f:numCtx", "f:prompt", "f:topP"]),
    "ocr-controller": ("f:status", [f"f:conditions/k:{{type={number}}}/f:lastTransitionTime" for number in range(28)]),
}
MANAGED_FIELDS = [
    {
        "manager": manager,
        "operation": "Apply",
        "apiVersion": names.API_VERSION,
        "time": "2026-01-01T00:00:00Z",
        "fieldsType": "FieldsV1",
        "fieldsV1": {part: {field: {} for field in fields}},
    }
    for manager, (part, fields) in MANAGED.items()
]
"""About what a real API server adds to every object and the controller must read; the fake adds nothing."""


def _profile(name: str) -> dict[str, Any]:
    return {
        "apiVersion": names.API_VERSION,
        "kind": names.KIND,
        "metadata": {"name": name, "managedFields": MANAGED_FIELDS},
        "spec": {
            "canonicalModel": names.OCR_MODEL,
            "temperature": 0.1,
            "topP": 0.5,
            "repeatPenalty": 1.0,
            "numCtx": 8192,
            "prompt": {"systemPrompt": "Read every line of the page as it stands, tables as Markdown."},
        },
    }


def _profile_names(count: int) -> list[str]:
    return [f"profile-{number:04}" for number in range(count)]


# ── the controller ────────────────────────────────────────────────────────────────────────────────────────────────


@dataclass(frozen=True, slots=True)
class Controller:
    """A running controller."""

    pid: int
    port: int
    started: float
    """When its process was started, by the monotonic clock."""

    def cpu_s(self) -> float:
        """Return the processor time that it has taken so far."""
        after_name = (PROC / str(self.pid) / "stat").read_text().rpartition(")")[2].split()
        return (int(after_name[11]) + int(after_name[12])) / TICKS_A_SECOND

    def peak_mib(self) -> float:
        """Return its peak resident memory."""
        lines = (PROC / str(self.pid) / "status").read_text().splitlines()
        peak_kib = next(int(line.split()[1]) for line in lines if line.startswith("VmHWM:"))
        return peak_kib * 1024 / MIB


@asynccontextmanager
async def _running_controller(namespace: Namespace, **settings: str) -> AsyncIterator[Controller]:
    """Run the controller during the block; settings are given by their names in the environment."""
    (port,) = free_ports(1)
    kubeconfig, log = _prepare(namespace)
    inherited = {name: value for name, value in base_environment().items() if name not in environment_names()}
    environment = inherited | {"KUBECONFIG": str(kubeconfig), "CONTROLLER_OPS_PORT": str(port)} | settings
    command = [sys.executable, "-m", "controller", "run"]
    with _appended(log) as output:
        started = time.monotonic()
        process = await asyncio.create_subprocess_exec(
            *command, cwd=ROOT, env=environment, stdout=output, stderr=output
        )
    try:
        yield Controller(process.pid, port, started)
    except BaseException as exc:
        exc.add_note(f"the end of the controller's log:\n{_tail(log)}")
        raise
    finally:
        await _stop(process, log)


def _prepare(namespace: Namespace) -> tuple[Path, Path]:
    """Write the controller's kubeconfig; return its path and that of the log."""
    namespace.folder.mkdir(exist_ok=True)
    context = {"cluster": "bench", "user": "controller", "namespace": namespace.name}
    config = {
        "apiVersion": "v1",
        "kind": "Config",
        "clusters": [{"name": "bench", "cluster": {"server": namespace.server.url}}],
        "users": [{"name": "controller", "user": {"token": kube.CONTROLLER}}],
        "contexts": [{"name": "bench", "context": context}],
        "current-context": "bench",
    }
    kubeconfig = namespace.folder / "kubeconfig"
    kubeconfig.write_text(yaml.safe_dump(config), encoding="utf-8")
    return kubeconfig, namespace.folder / "log"


def _appended(path: Path) -> BufferedWriter:
    return path.open("ab")


def _tail(log: Path) -> str:
    return log.read_bytes()[-LOG_TAIL_BYTES:].decode(errors="replace")


async def _stop(process: Process, log: Path) -> None:
    with contextlib.suppress(ProcessLookupError):
        process.send_signal(signal.SIGTERM)
    try:
        async with asyncio.timeout(STOP_S):
            await process.wait()
    except TimeoutError:
        process.kill()
        await process.wait()
        raise ServiceError(f"the controller does not stop:\n{_tail(log)}") from None


async def _until(condition: Callable[[], bool], poll_s: float = POLL_S) -> float:
    """Wait until a condition holds; return the time."""
    deadline = time.monotonic() + PATIENCE_S
    while not condition():
        if time.monotonic() > deadline:
            raise RuntimeError("it did not happen in time")
        await asyncio.sleep(poll_s)
    return time.monotonic()


async def _settle(namespace: Namespace, count: int) -> float:
    """Wait until this many profiles are told, then until nothing more is written; return the time of the former."""
    told = await _until(lambda: namespace.is_told(count), LOOK_S)
    first = -1
    while first < 0 or namespace.calls(first, WRITES):
        first = len(namespace.server.calls)
        await asyncio.sleep(QUIET_S)
    return told


# ── what is measured ──────────────────────────────────────────────────────────────────────────────────────────────


async def _edits(namespace: Namespace, plan: Plan) -> list[Figure]:
    """Edit one profile after the other; each counts from before its request."""
    profiles = _profile_names(plan.profiles)
    took_s = []
    chance = random.Random(1)
    async with _running_controller(namespace) as controller:
        await namespace.create(profiles)
        await _settle(namespace, plan.profiles)
        for number in range(plan.edits):
            profile, max_tokens = profiles[number % plan.profiles], 1000 + number
            await asyncio.sleep(chance.uniform(0, LONGEST_PAUSE_S))
            began = time.monotonic()
            await namespace.edit(profile, max_tokens)
            took_s.append(await _until(partial(namespace.serves, profile, max_tokens)) - began)
        memory = _memory(f"resident memory, peak, {plan.profiles} profiles", controller)
    took_s.sort()
    median_s, p99_s = statistics.median(took_s), took_s[int(len(took_s) * 0.99)]
    name, shown = f"edit to ConfigMap among {plan.profiles} profiles, median", f"{median_s:.3f} s of {plan.edits}"
    return [
        below(name, shown, median_s, TARGET_EDIT_MEDIAN_S, " s"),
        below("the same, p99", f"{p99_s:.3f} s (maximum {took_s[-1]:.3f} s)", p99_s, TARGET_EDIT_P99_S, " s"),
        memory,
    ]


async def _burst(many: Namespace, rows: Namespace, plan: Plan) -> list[Figure]:
    """Create all profiles at once, and wait for rest, beside a second controller with rows only; then do damage."""
    async with _running_controller(many) as controller:
        await _until(lambda: many.calls(0, ["watch"]) >= 3)
        began, first = time.monotonic(), len(many.server.calls)
        creating = asyncio.create_task(many.create(_profile_names(plan.burst)))
        published_s = await _until(lambda: len(many.published()) == plan.burst) - began
        await creating
        told_s = await _settle(many, plan.burst) - began
        writes = many.calls(first, WRITES, "configmaps")
        async with _running_controller(rows, DATABASE_URL=_database(rows)) as mirroring:
            await _settle(rows, len(ROWS))
            at_rest = await asyncio.gather(_rest(many, controller, plan), _rest(rows, mirroring, plan))
        deleted_s, spoilt_s = await _repairs(many, plan)
        memory = _memory(f"resident memory, peak, {plan.burst} profiles", controller)
    count = f"{plan.burst} profiles"
    return [
        below(f"{count} at once, all published", f"{published_s:.2f} s", published_s, TARGET_BURST_S, " s"),
        Figure("the same, ConfigMap writes", f"{writes}", f"<= {TARGET_BURST_WRITES}", writes <= TARGET_BURST_WRITES),
        Figure("the same, all statuses told", f"{told_s:.2f} s"),
        *_rest_figures(f"at rest, {count}", at_rest[0]),
        *_rest_figures(f"at rest, mirror of {len(ROWS)} rows alone", at_rest[1]),
        below("a deleted ConfigMap is back, worst", f"{deleted_s:.3f} s", deleted_s, TARGET_REPAIR_S, " s"),
        below("a hand-edited ConfigMap is put back, worst", f"{spoilt_s:.3f} s", spoilt_s, TARGET_REPAIR_S, " s"),
        memory,
    ]


class Rest(NamedTuple):
    """What a controller did while there was nothing to do."""

    writes_a_minute: float
    share_percent: float
    """Of one core."""
    passes: int


async def _rest(namespace: Namespace, controller: Controller, plan: Plan) -> Rest:
    began, first, cpu_s = time.monotonic(), len(namespace.server.calls), controller.cpu_s()
    await asyncio.sleep(plan.rest_s)
    lasted_s = time.monotonic() - began
    return Rest(
        namespace.calls(first, WRITES) * 60 / lasted_s,
        (controller.cpu_s() - cpu_s) / lasted_s * 100,
        namespace.calls(first, ["get"], "configmaps"),
    )


def _rest_figures(name: str, rest: Rest) -> list[Figure]:
    share = f"{rest.share_percent:.2f} % (passes: {rest.passes})"
    return [
        Figure(f"{name}, writes a minute", f"{rest.writes_a_minute:g}", "0", rest.writes_a_minute == 0),
        below("the same, of one core", share, rest.share_percent, TARGET_SHARE_PERCENT, " %"),
    ]


async def _repairs(namespace: Namespace, plan: Plan) -> tuple[float, float]:
    """Delete the ConfigMap, and write into it, alternately; return the longest repair of each."""
    wanted = namespace.published()
    junk = {min(wanted): "{}", "somebody-else.json": "{}"}
    deleted_s, spoilt_s = [], []
    for _ in range(plan.repairs):
        deleted_s.append(await _repair_s(namespace, wanted, namespace.delete_config_map()))
        spoilt_s.append(await _repair_s(namespace, wanted, namespace.spoil_config_map(junk)))
    return max(deleted_s), max(spoilt_s)


async def _repair_s(namespace: Namespace, wanted: Mapping[str, str], harm: Awaitable[None]) -> float:
    began = time.monotonic()
    await harm
    took_s = await _until(lambda: namespace.published() == wanted) - began
    await asyncio.sleep(QUIET_S / 4)
    return took_s


async def _restarts(namespace: Namespace, plan: Plan) -> list[Figure]:
    """Start it after edits that it missed; a restart lasts from the process's start until all is told."""
    took_s = []
    profiles = _profile_names(plan.burst)[:: plan.burst // 10]
    for number in range(plan.restarts):
        max_tokens = 5000 + number
        for profile in profiles:
            await namespace.edit(profile, max_tokens)
        async with _running_controller(namespace) as controller:
            for profile in profiles:
                await _until(partial(namespace.serves, profile, max_tokens))
            await _until(lambda: namespace.is_told(plan.burst), LOOK_S)
            await _until_ready(namespace, controller)
            took_s.append(time.monotonic() - controller.started)
    each = ", ".join(f"{one:.2f}" for one in took_s)
    name = f"restart to converged, {plan.burst} profiles, worst"
    return [below(name, f"{max(took_s):.2f} s (each: {each})", max(took_s), TARGET_RESTART_S, " s")]


async def _until_ready(namespace: Namespace, controller: Controller) -> None:
    deadline = time.monotonic() + PATIENCE_S
    while time.monotonic() < deadline:
        async with namespace.admin.get(f"http://{HOST}:{controller.port}/readyz") as response:
            if response.status == 200:
                return
        await asyncio.sleep(POLL_S)
    raise RuntimeError("the controller does not become ready")


def _memory(name: str, controller: Controller) -> Figure:
    peak_mib = controller.peak_mib()
    return below(name, f"{peak_mib:.1f} MiB", peak_mib, TARGET_MEMORY_MIB, " MiB")


# ── the mirror ────────────────────────────────────────────────────────────────────────────────────────────────────

ROWS = ("row-a", "row-b", "row-c")
TABLES = """
CREATE TABLE ai_execution_profiles (
  id INTEGER PRIMARY KEY, profile_name VARCHAR(50) UNIQUE, canonical_model VARCHAR(20), temperature DECIMAL(4,3),
  top_p DECIMAL(4,3), max_tokens INT, num_ctx INT, repeat_penalty DECIMAL(5,3), keep_alive_seconds INT,
  is_active TINYINT(1) DEFAULT 1
);
CREATE TABLE ai_prompts (
  id INTEGER PRIMARY KEY, prompt_type VARCHAR(50), version_number INT, template TEXT, is_active TINYINT(1),
  context_config LONGTEXT
);
INSERT INTO ai_prompts (prompt_type, version_number, template, is_active) VALUES ('ocr_extraction', 1, 'Read it.', 1);
"""
INSERT = """
INSERT INTO ai_execution_profiles
  (profile_name, canonical_model, temperature, top_p, num_ctx, repeat_penalty, keep_alive_seconds)
  VALUES (?, 'np-dms-ocr', 0.1, 0.5, 8192, 1.0, 0)
"""
UPDATE = "UPDATE ai_execution_profiles SET max_tokens = ? WHERE profile_name = ?"


def _database(namespace: Namespace) -> str:
    """Make a database; return its URL."""
    namespace.folder.mkdir(exist_ok=True)
    with contextlib.closing(sqlite3.connect(_database_path(namespace))) as connection, connection:
        connection.executescript(TABLES)
        connection.executemany(INSERT, [(row,) for row in ROWS])
    return f"sqlite+aiosqlite:///{_database_path(namespace)}"


def _database_path(namespace: Namespace) -> Path:
    return namespace.folder / "rows.sqlite"


def _edit_row(namespace: Namespace, row: str, max_tokens: int) -> None:
    with contextlib.closing(sqlite3.connect(_database_path(namespace))) as connection, connection:
        connection.execute(UPDATE, (max_tokens, row))


async def _mirror(namespace: Namespace, plan: Plan) -> list[Figure]:
    """Edit rows at any time of the interval, beside all the other profiles; then wait for rest."""
    count = plan.burst + len(ROWS)
    took_s = []
    chance = random.Random(1)
    url = _database(namespace)
    async with _running_controller(namespace, DATABASE_URL=url, MIRROR_INTERVAL_SECONDS=f"{MIRROR_INTERVAL_S}") as one:
        await _settle(namespace, count)
        for max_tokens, row in zip(range(7000, 7000 + plan.row_edits), itertools.cycle(ROWS), strict=False):
            await asyncio.sleep(chance.uniform(0, MIRROR_INTERVAL_S))
            began = time.monotonic()
            _edit_row(namespace, row, max_tokens)
            took_s.append(await _until(partial(namespace.serves, row, max_tokens)) - began)
        await _settle(namespace, count)
        at_rest = await _rest(namespace, one, plan)
        memory = _memory(f"resident memory, peak, {count} profiles and the mirror", one)
    worst_s, median_s = max(took_s), statistics.median(took_s)
    shown = f"{worst_s:.2f} s of {len(took_s)} (median {median_s:.2f} s)"
    return [
        below(f"row to ConfigMap among {count} profiles, worst", shown, worst_s, TARGET_ROW_S, " s"),
        *_rest_figures(f"at rest, {count} profiles, mirror of {len(ROWS)} rows", at_rest),
        memory,
    ]
