"""A real etcd and a real API server, as the Go operators' envtest starts them. No kubelet, no other controller."""

import contextlib
import os
import secrets
import shutil
import subprocess
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from bench.harness.service import free_ports

READY_S = 40.0
EXIT_S = 10.0


def why_not() -> str | None:
    """Say why no API server can be started here; None: it can."""
    assets = os.environ.get("KUBEBUILDER_ASSETS")
    if not assets:
        return "KUBEBUILDER_ASSETS is not set to a folder with etcd and kube-apiserver"
    missing = [name for name in ("etcd", "kube-apiserver") if not (Path(assets) / name).is_file()]
    if missing:
        return f"KUBEBUILDER_ASSETS is {assets}, where {' and '.join(missing)} are not"
    return None if shutil.which("openssl") else "openssl, which makes the key of the service accounts, is missing"


@dataclass
class ApiServer:
    """A running API server."""

    url: str
    admin_token: str


@contextlib.contextmanager
def running(folder: Path, *command: str | Path) -> Iterator[None]:
    """Run a program; its output is kept beside it."""
    name = Path(command[0]).name
    with (folder / f"{name}.log").open("wb") as log:
        process = subprocess.Popen([str(part) for part in command], stdout=log, stderr=log, cwd=folder)
        try:
            yield
        finally:
            process.terminate()
            try:
                process.wait(EXIT_S)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()


@contextlib.contextmanager
def api_server(folder: Path) -> Iterator[ApiServer]:
    """Start both, wait until it is ready, stop both."""
    assets = Path(os.environ["KUBEBUILDER_ASSETS"])
    key, tokens, admin = folder / "sa.key", folder / "tokens.csv", secrets.token_urlsafe(16)
    subprocess.run(["openssl", "genrsa", "-out", str(key), "2048"], check=True, capture_output=True)
    tokens.write_text(f'{admin},admin,admin,"system:masters"\n', encoding="utf-8")
    etcd, peer, port = free_ports(3)
    etcd_url, peer_url = f"http://127.0.0.1:{etcd}", f"http://127.0.0.1:{peer}"
    with (
        running(
            folder,
            assets / "etcd",
            f"--data-dir={folder / 'etcd'}",
            f"--listen-client-urls={etcd_url}",
            f"--advertise-client-urls={etcd_url}",
            f"--listen-peer-urls={peer_url}",
            "--unsafe-no-fsync",
        ),
        running(
            folder,
            assets / "kube-apiserver",
            f"--etcd-servers={etcd_url}",
            f"--cert-dir={folder / 'certificates'}",
            "--bind-address=127.0.0.1",
            f"--secure-port={port}",
            "--service-cluster-ip-range=10.0.0.0/24,fd00:10::/112",  # both families, for the cases that want one
            "--service-account-issuer=https://kubernetes.default.svc",
            f"--service-account-key-file={key}",
            f"--service-account-signing-key-file={key}",
            f"--token-auth-file={tokens}",
            "--authorization-mode=RBAC",
            # Without controllers no namespace gets its default service account, which this would ask of every pod.
            "--disable-admission-plugins=ServiceAccount",
        ),
    ):
        server = ApiServer(f"https://127.0.0.1:{port}", admin)
        wait_until_ready(server)
        yield server


def wait_until_ready(server: ApiServer) -> None:
    """Wait for ``/readyz``."""
    import ssl  # noqa: PLC0415 - for this alone

    context = ssl.create_default_context()
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    request = urllib.request.Request(f"{server.url}/readyz", headers={"Authorization": f"Bearer {server.admin_token}"})
    deadline = time.monotonic() + READY_S
    while True:
        with (
            contextlib.suppress(urllib.error.URLError, OSError),
            urllib.request.urlopen(request, context=context) as ok,
        ):
            if ok.status == 200:
                return
        assert time.monotonic() < deadline, "the API server did not become ready"
        time.sleep(0.1)
