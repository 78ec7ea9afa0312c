"""The scripts that the chart and the Makefile run: what they do, and what they say when they cannot."""

import contextlib
import os
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from sidecar import __version__ as VERSION  # noqa: N812 - as the script calls it
from tools.charts.cases import CASES
from tools.charts.rendering import CHART, ROOT, find, objects

KNOCK = CHART / "files" / "knock.py"
LOAD = CHART / "files" / "load-ollama.sh"
CLUSTER = ROOT / "scripts" / "cluster.sh"
DEADLINE_S = 60


class Proxy(BaseHTTPRequestHandler):
    """What a mesh puts in front of a pod: it accepts every connection, and answers in its place."""

    status = 403
    body = b"RBAC: access denied"

    def do_GET(self) -> None:
        self.send_response(self.status if self.path == "/health" else 404)
        self.end_headers()
        self.wfile.write(self.body)

    def log_message(self, *_: object) -> None:
        pass


class Healthy(Proxy):
    """The service, behind such a proxy: the answer is ours, the name in the header is not."""

    status = 200
    body = b'{"status": "ok", "ocrEngine": "tesseract"}'


class Ailing(Healthy):
    status = 503


class HangsUp(Proxy):
    def do_GET(self) -> None:
        self.close_connection = True


def serve(handler: type[BaseHTTPRequestHandler]) -> Iterator[int]:
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield server.server_port
        server.shutdown()
        thread.join()


@pytest.fixture
def healthy() -> Iterator[int]:
    yield from serve(Healthy)


@pytest.fixture
def ailing() -> Iterator[int]:
    yield from serve(Ailing)


@pytest.fixture
def shut() -> Iterator[int]:
    """A port that nobody listens at, and that nobody else gets meanwhile."""
    with socket.socket() as held:
        held.bind(("127.0.0.1", 0))
        yield held.getsockname()[1]


# ── helm test ─────────────────────────────────────────────────────────────────────────────────────────────────────


def knock(expected: str, port: int, control: int, host: str = "127.0.0.1", patience_s: float = 0) -> tuple[int, str]:
    """Run the script as the test's pod does: with what the chart puts into its command."""
    pod = find(objects(), "Pod", "ocr-sidecar-test-caller")
    python, *options = pod["spec"]["containers"][0]["command"]
    assert python == "python"
    given = [expected, host, str(port), "127.0.0.1", str(control), str(patience_s)]
    done = subprocess.run(
        [sys.executable, *options, *given], capture_output=True, text=True, timeout=DEADLINE_S, check=False
    )
    return done.returncode, done.stdout + done.stderr


def test_a_caller_that_gets_through_is_well(healthy, shut):
    assert knock("open", healthy, shut)[0] == 0


def test_a_caller_that_does_not_is_told_where_to_look(shut, healthy):
    status, said = knock("open", shut, healthy)
    assert status == 1
    assert "networkPolicy.callers" in said


def test_a_new_pod_is_given_time_until_the_network_knows_it():
    """The service begins to answer while the caller knocks: to it that is the same as a door that is opened."""
    with socket.socket() as held:
        held.bind(("127.0.0.1", 0))
        port = held.getsockname()[1]
        done: list[tuple[int, str]] = []
        caller = threading.Thread(target=lambda: done.append(knock("open", port, port, patience_s=20)))
        caller.start()
        caller.join(2)
        assert caller.is_alive(), "it gave up at once"
    with ThreadingHTTPServer(("127.0.0.1", port), Healthy) as server:
        serving = threading.Thread(target=server.serve_forever)
        serving.start()
        caller.join(DEADLINE_S)
        server.shutdown()
        serving.join()
    assert done[0][0] == 0, done


def test_a_caller_of_a_service_that_is_not_well_fails(ailing, healthy):
    status, said = knock("open", ailing, healthy)
    assert status == 1
    assert "503" in said


def test_a_caller_whom_something_else_answers_fails():
    with contextlib.contextmanager(serve)(Proxy) as proxy, contextlib.contextmanager(serve)(Healthy) as healthy:
        status, said = knock("open", proxy, healthy)
    assert status == 1
    assert "not ours" in said


@pytest.mark.parametrize("handler", [Proxy, HangsUp])
def test_an_outsider_whom_a_mesh_accepts_and_keeps_out_is_well(handler, healthy):
    with contextlib.contextmanager(serve)(handler) as proxy:
        status, said = knock("shut", proxy, healthy)
    assert (status, "something else" in said) == (0, True)


def test_an_outsider_that_is_accepted_in_silence_proves_nothing(healthy):
    with socket.create_server(("127.0.0.1", 0)) as silent:
        status, said = knock("shut", silent.getsockname()[1], healthy)
    assert status == 1
    assert "proves nothing" in said


def test_an_outsider_that_gets_nowhere_but_to_the_control_is_well(shut, healthy):
    assert knock("shut", shut, healthy)[0] == 0


def test_an_outsider_that_gets_through_fails(healthy):
    status, said = knock("shut", healthy, healthy)
    assert status == 1
    assert "not enforced" in said


def test_an_outsider_that_reaches_nothing_at_all_proves_nothing(shut):
    status, said = knock("shut", shut, shut)
    assert status == 1
    assert "proves nothing" in said


@pytest.mark.parametrize("expected", ["open", "shut"])
def test_a_name_that_is_none_proves_nothing(expected, healthy):
    status, said = knock(expected, healthy, healthy, host="ocr-sidecar.invalid")
    assert status == 1
    assert "nothing is proved" in said


# ── the loader ────────────────────────────────────────────────────────────────────────────────────────────────────

OLLAMA = """#!/bin/sh
echo "$*" >> "$CALLS"
case $1 in
  serve) [ -z "${SERVE_FAILS:-}" ] || exit 3; touch "$CALLS.up"; exec sleep 60 ;;
  ps) [ -e "$CALLS.up" ] ;;
  pull) [ "$2" != missing ] ;;
esac
"""


def load(folder: Path, *models: str, **environ: str) -> tuple[int, list[str]]:
    """Run the loader's script with a stand-in for ollama; give its status and what it asked for."""
    tool = folder / "ollama"
    tool.write_text(OLLAMA, encoding="utf-8")
    tool.chmod(0o755)
    calls = folder / "calls"
    environ |= {"PATH": f"{folder}:/usr/bin:/bin", "CALLS": str(calls)}
    command = ["/bin/sh", "-c", LOAD.read_text(encoding="utf-8"), "load-ollama", *models]
    # The server that it started is its child: it goes with the process group.
    process = subprocess.Popen(command, env=environ, start_new_session=True, stderr=subprocess.DEVNULL)
    try:
        status = process.wait(DEADLINE_S)
    finally:
        subprocess.run(["kill", "-KILL", "--", f"-{process.pid}"], check=False, stderr=subprocess.DEVNULL)
    asked = calls.read_text(encoding="utf-8").splitlines()
    return status, [one for one in asked if one not in ("serve", "ps")]


def test_the_loader_pulls_each_model(tmp_path):
    assert load(tmp_path, "one", "two:8b") == (0, ["pull one", "pull two:8b"])


def test_the_loader_makes_the_model_from_the_modelfile(tmp_path):
    asked = load(tmp_path, "one", MODEL="np-dms-ocr:latest")
    assert asked == (0, ["pull one", "create np-dms-ocr:latest -f /modelfile/Modelfile"])


def test_the_loader_fails_when_a_model_is_missing(tmp_path):
    status, asked = load(tmp_path, "missing", "two")
    assert status != 0
    assert asked == ["pull missing"]


def test_the_loader_fails_when_the_server_does(tmp_path):
    status, asked = load(tmp_path, "one", SERVE_FAILS="1")
    assert status != 0
    assert asked == []


def test_the_job_runs_this_script_with_the_models():
    (job,) = [one for one in objects(CASES["ollama fills itself"]) if one["kind"] == "Job"]
    (container,) = [one for one in job["spec"]["template"]["spec"]["containers"] if one["name"] == "ollama"]
    assert container["command"] == ["/bin/sh", "-c", LOAD.read_text(encoding="utf-8"), "load-ollama"]
    assert container["args"] == ["qwen3-vl:8b"]


# ── k3d ───────────────────────────────────────────────────────────────────────────────────────────────────────────

TOOLS = ("docker", "k3d", "kubectl", "helm")
TOOL = """#!/bin/sh
[ "$1" = exec ] || cat > /dev/null < /dev/null
echo "${0##*/} $*" >> "$CALLS"
case "${0##*/} $*" in
  "k3d cluster list"* | *"get deployment ocr-sidecar") [ -n "${CLUSTER_IS_THERE:-}" ] ;;
  "kind get nodes"*) [ -z "${CLUSTER_IS_THERE:-}" ] || echo a-node ;;
  *"$FAILS"*) exit 1 ;;
  *"sidecar ocr --url"*) echo "$TEXT" ;;
esac
"""


def k3d(folder: Path, *words: str, tools: tuple[str, ...] = TOOLS, **environ: str) -> tuple[int, str, list[str]]:
    """Run scripts/cluster.sh with stand-ins for its tools; give its status, what it said last, and what it ran."""
    folder.mkdir(exist_ok=True)
    for name in tools:
        (folder / name).write_text(TOOL, encoding="utf-8")
        (folder / name).chmod(0o755)
    for name in ("bash", "sed", "dirname", "sh", "cat", "grep", "mv"):
        (folder / name).symlink_to(f"/bin/{name}" if Path(f"/bin/{name}").exists() else f"/usr/bin/{name}")
    calls = folder / "calls"
    calls.touch()
    environ = {"FAILS": "nothing fails", "TEXT": "Some text"} | environ | {"PATH": str(folder), "CALLS": str(calls)}
    done = subprocess.run(
        [str(folder / "bash"), str(CLUSTER), *words],
        env=environ,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    return done.returncode, done.stderr.strip(), calls.read_text(encoding="utf-8").splitlines()


@pytest.mark.parametrize("missing", TOOLS)
@pytest.mark.parametrize("word", ["up", "test"])
def test_a_missing_tool_is_told_before_anything_is_done(tmp_path, word, missing):
    status, said, ran = k3d(tmp_path / "bin", word, tools=tuple(one for one in TOOLS if one != missing))
    assert (status, ran) == (1, [])
    assert said.startswith(f"cluster.sh: {missing} is missing: install ")


def test_a_missing_image_is_told_before_a_cluster_is_made(tmp_path):
    status, said, ran = k3d(tmp_path / "bin", "up", FAILS="docker image inspect ocr-controller")
    assert status == 1
    assert said.endswith("is missing: make image")
    assert not any(one.startswith("k3d") for one in ran)


def test_a_daemon_that_does_not_answer_is_told(tmp_path):
    status, said, _ = k3d(tmp_path / "bin", "up", FAILS="docker info")
    assert (status, "daemon does not answer" in said) == (1, True)


def test_up_makes_the_cluster_once_and_installs(tmp_path):
    _, _, first = k3d(tmp_path / "one", "up")
    _, _, again = k3d(tmp_path / "two", "up", CLUSTER_IS_THERE="1")
    steps = [" ".join(one.split()[:3]) for one in first if not one.startswith("docker")]
    assert steps[:3] == ["k3d cluster list", "k3d cluster create", "k3d image import"]
    assert any(one.startswith("helm") and "upgrade --install ocr-sidecar helm" in one for one in first)
    assert not any("cluster create" in one for one in again)
    assert not any("cluster start" in one or "rollout restart" in one for one in first)
    assert any(one.startswith("k3d cluster start ocr") for one in again), "it may have been stopped"
    assert any("rollout restart" in one for one in again), "the image may be another one under the same tag"


def test_a_release_that_does_not_get_ready_shows_its_pods(tmp_path):
    status, said, ran = k3d(tmp_path / "bin", "up", FAILS="upgrade --install")
    assert status == 1
    assert "not ready" in said
    assert "get pods,events" in ran[-1]


def test_the_test_reads_a_document_and_has_an_outsider_refused(tmp_path):
    status, _, ran = k3d(tmp_path / "bin", "test", CLUSTER_IS_THERE="1")
    assert status == 0
    assert any("helm" in one and " test ocr-sidecar" in one for one in ran)
    assert any("sidecar ocr --url http://ocr-sidecar.ocr.svc:8765" in one for one in ran)
    assert any("condition=IsolationEnforced" in one for one in ran)


@pytest.mark.parametrize(
    "amiss", [{"FAILS": "test ocr-sidecar"}, {"FAILS": "condition=IsolationEnforced"}, {"TEXT": ""}], ids=str
)
def test_the_test_fails_when_something_is_amiss(tmp_path, amiss):
    assert k3d(tmp_path / "bin", "test", CLUSTER_IS_THERE="1", **amiss)[0] != 0


def test_the_test_without_a_cluster_says_how_to_get_one(tmp_path):
    status, said, _ = k3d(tmp_path / "bin", "test")
    assert (status, said) == (1, "cluster.sh: there is no cluster ocr: make k3d-up")


def test_the_scripts_can_be_run():
    assert os.access(CLUSTER, os.X_OK)


# ── kind ──────────────────────────────────────────────────────────────────────────────────────────────────────────

KIND = ("docker", "kind", "kubectl", "helm")


def kind(folder: Path, *words: str, **environ: str) -> tuple[int, str, list[str]]:
    return k3d(folder, *words, tools=KIND, TOOL="kind", **environ)


def test_kind_makes_the_cluster_once_and_installs(tmp_path):
    _, _, first = kind(tmp_path / "one", "up")
    _, _, again = kind(tmp_path / "two", "up", CLUSTER_IS_THERE="1")
    assert [one for one in first if one.startswith("kind")] == [
        "kind get nodes --name ocr",
        "kind create cluster --name ocr --wait 5m",
        f"kind load docker-image --name ocr ocr-sidecar:{VERSION} ocr-controller:{VERSION}",
    ]
    assert any(one.startswith("helm --kube-context kind-ocr") and "upgrade --install" in one for one in first)
    assert not any("create cluster" in one for one in again)


def test_an_upgrade_goes_from_the_last_release_to_this_and_back(tmp_path):
    previous = tmp_path / "previous"
    (previous / "templates").mkdir(parents=True)
    environ = {"CLUSTER_IS_THERE": "1", "FROM": "0.0.9", "PREVIOUS": str(previous)}
    status, said, ran = kind(tmp_path / "bin", "upgrade", **environ)
    assert status == 0, said
    steps = [
        ("crd of the last", f"apply --server-side --force-conflicts -f {previous}/crds"),
        ("the last", f"upgrade --install ocr-sidecar {previous}"),
        ("reads", "sidecar ocr --url http://ocr-sidecar.ocr-upgrade.svc:8765"),
        ("crd", "apply --server-side --force-conflicts -f helm/crds"),
        ("this", "upgrade --install ocr-sidecar helm"),
        ("helm test", " test ocr-sidecar"),
        ("reads", "sidecar ocr --url http://ocr-sidecar.ocr-upgrade.svc:8765"),
        ("back", "rollback ocr-sidecar"),
        ("crd of the last", f"apply --server-side --force-conflicts -f {previous}/crds"),
        ("reads", "sidecar ocr --url http://ocr-sidecar.ocr-upgrade.svc:8765"),
        ("gone", "delete namespace ocr-upgrade"),
    ]
    at = 0
    for name, words in steps:
        found = [number for number, one in enumerate(ran[at:], at) if words in one]
        assert found, (name, ran[at:])
        at = found[0] + 1


def test_the_chart_of_the_last_release_comes_from_the_registry(tmp_path):
    environ = {"CLUSTER_IS_THERE": "1", "FROM": "0.0.9", "PREVIOUS": str(tmp_path / "none")}
    status, said, _ = kind(tmp_path / "one", "upgrade", **environ)
    assert (status, "REGISTRY says where" in said) == (1, True)
    _, _, ran = kind(tmp_path / "two", "upgrade", REGISTRY="registry.example/ocr/", **environ)
    assert any("helm pull oci://registry.example/ocr/charts/ocr-sidecar --version 0.0.9" in one for one in ran)


@pytest.mark.parametrize(
    ("environ", "word"),
    [
        ({}, "FROM says from which version"),
        ({"FROM": "0.0.9", "FAILS": "docker image inspect"}, "docker pull it"),
        ({"FROM": "0.0.9", "PREVIOUS": "helm", "TEXT": ""}, "no text came back"),
        ({"TOOL": "minikube"}, "TOOL is minikube; k3d or kind is accepted"),
    ],
    ids=str,
)
def test_an_upgrade_that_cannot_be_tried_says_why(tmp_path, environ, word):
    status, said, _ = k3d(
        tmp_path / "bin", "upgrade", tools=KIND, **{"TOOL": "kind", "CLUSTER_IS_THERE": "1"} | environ
    )
    assert (status, word in said) == (1, True), said
