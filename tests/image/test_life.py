"""The images at work: as their numeric user, without a capability, on a read-only root."""

import asyncio
import time
from pathlib import Path

import aiohttp
import pytest

from bench.harness.service import free_ports
from tools.image.container import START_S, Container, health_command, script

ORPHAN = """
import os, sys, time
reading, writing = os.pipe()
if not os.fork():
    if not (orphan := os.fork()):
        os.close(writing)
        time.sleep(0.2)
        os._exit(0)
    os.write(writing, str(orphan).encode())
    os._exit(0)
os.wait()
orphan = os.read(reading, 20).decode()
deadline = time.monotonic() + 5
while os.path.exists(f"/proc/{orphan}"):
    if time.monotonic() > deadline:
        sys.exit(open(f"/proc/{orphan}/stat").read())
    time.sleep(0.05)
"""
"""Leaves a process to process 1, and says whether it is still there, a zombie, after 5 s."""

WRITE = """
import os, sys
made = []
for folder in "/ /app /app/sidecar /opt/venv /etc /usr /var /var/tmp /root /models /home".split():
    try:
        open(folder + "/probe", "w").close()
        made.append(folder)
    except OSError:
        pass
open("/tmp/probe", "w").close()
print(*made)
"""


async def answer(client: aiohttp.ClientSession, container: Container, url: str) -> tuple[int, dict]:
    """What a URL answers once it does; the log where it never does."""
    deadline = time.monotonic() + START_S
    while True:
        try:
            async with client.get(url) as response:
                return response.status, await response.json()
        except aiohttp.ClientError:
            assert container.process.poll() is None, container.said()
            assert time.monotonic() < deadline, container.said()
            await asyncio.sleep(0.05)


async def ready(client: aiohttp.ClientSession, container: Container, url: str, **capabilities: str) -> dict:
    """What `/readyz` answers once it says what is wanted of some capabilities."""
    deadline = time.monotonic() + START_S
    while True:
        _, body = await answer(client, container, url)
        if all(body[name]["state"] == state for name, state in capabilities.items()):
            return body
        assert time.monotonic() < deadline, body
        await asyncio.sleep(0.05)


class Ports:
    def __init__(self) -> None:
        self.api, self.ops = free_ports(2)

    @property
    def environ(self) -> dict[str, str]:
        return {"OCR_PORT": str(self.api), "OCR_OPS_PORT": str(self.ops), "OCR_AUTH_MODE": "network"}

    def url(self, path: str) -> str:
        return f"http://127.0.0.1:{self.api}{path}"

    def ops_url(self, path: str) -> str:
        return f"http://127.0.0.1:{self.ops}{path}"


@pytest.fixture
def ports() -> Ports:
    return Ports()


NO_MODELS = {"BGE_M3_MODEL": "", "RERANKER_MODEL": ""}


async def test_the_sidecar_reads_a_document(sidecar, run, client, ports, data, truth):
    container = await run(sidecar, **ports.environ, **NO_MODELS)
    assert (await answer(client, container, ports.ops_url("/livez")))[0] == 200
    await ready(client, container, ports.ops_url("/readyz"), ocr="ready")
    document = (data / "scan-thai-english.pdf").read_bytes()
    form = aiohttp.FormData()
    form.add_field("file", document, filename="upload.pdf", content_type="application/pdf")
    async with client.post(ports.url("/ocr-upload"), data=form) as response:
        body = await response.json()
    assert response.status == 200, body
    assert body["engineUsed"] == "tesseract"
    lines = set(truth["scan-thai-english.pdf"][0].splitlines())
    assert len(lines & set(body["pages"][0]["text"].splitlines())) >= len(lines) * 0.8


async def test_the_sidecar_embeds_and_reranks_with_models_from_a_volume(sidecar, run, client, ports, models):
    folder = models.embedder.parent
    for path in (folder.parent, folder, *folder.rglob("*")):
        path.chmod(path.stat().st_mode | (0o055 if path.is_dir() else 0o044))
    names = {"BGE_M3_MODEL": "/models/embedder", "RERANKER_MODEL": "/models/reranker"}
    container = await run(sidecar, {"/models": folder}, **ports.environ, **names)
    await ready(client, container, ports.ops_url("/readyz"), embed="ready", rerank="ready")
    async with client.post(ports.url("/embed"), json={"text": "แบบแปลนชั้นหนึ่ง"}) as response:
        body = await response.json()
    assert (response.status, body["device"], len(body["dense"])) == (200, "cpu", 32), body
    async with client.post(ports.url("/rerank"), json={"query": "a", "chunks": ["a", "b"]}) as response:
        assert (response.status, len((await response.json())["scores"])) == (200, 2)


async def test_the_sidecar_runs_without_any_right(sidecar, run, client, ports):
    container = await run(sidecar, **ports.environ, **NO_MODELS)
    await ready(client, container, ports.ops_url("/readyz"), ocr="ready")
    status = container.execute("sh", "-c", "cat /proc/[0-9]*/status").stdout
    facts = [line.split(":\t", 1) for line in status.splitlines() if ":\t" in line]
    assert {value for name, value in facts if name == "Uid"} == {"65532\t65532\t65532\t65532"}
    assert {value for name, value in facts if name in ("CapEff", "CapPrm", "CapBnd")} == {"0" * 16}
    assert {value for name, value in facts if name == "NoNewPrivs"} == {"1"}
    assert {value for name, value in facts if name == "Name"} >= {"tini", "python"}
    wrote = container.execute(*script(WRITE))
    assert (wrote.returncode, wrote.stdout.split()) == (0, []), wrote.stderr


async def test_the_doctor_finds_all_that_is_needed(sidecar, run):
    container = await run(sidecar, command=["doctor"], OCR_AUTH_MODE="network")
    assert await container.ended() == 0, container.said()


async def test_without_a_key_the_sidecar_does_not_start(sidecar, run):
    container = await run(sidecar)
    assert await container.ended() == 2, container.said()


async def test_the_health_check_tells_well_from_ill(sidecar, run, client, ports):
    container = await run(sidecar, **ports.environ, **NO_MODELS)
    await answer(client, container, ports.ops_url("/livez"))
    assert container.execute(*health_command(sidecar)).returncode == 0
    container.environ = container.environ | {"OCR_OPS_PORT": str(free_ports(1)[0])}
    assert container.execute(*health_command(sidecar)).returncode == 1


async def test_the_sidecar_ends_when_told_to(sidecar, run, client, ports):
    container = await run(sidecar, **ports.environ, **NO_MODELS)
    await ready(client, container, ports.ops_url("/readyz"), ocr="ready")
    assert await container.terminate() == 0, container.said()


async def test_orphans_are_reaped(sidecar, run, client, ports):
    container = await run(sidecar, **ports.environ, **NO_MODELS)
    await answer(client, container, ports.ops_url("/livez"))
    assert container.execute(*script(ORPHAN)).stderr == ""


# ── the controller ────────────────────────────────────────────────────────────────────────────────────────────────


async def test_the_controller_says_what_it_can_do(controller, run):
    container = await run(controller, command=["--help"])
    assert await container.ended() == 0
    assert "OcrProfile" in container.said()


async def test_without_a_cluster_the_controller_says_so_and_ends(controller, run):
    container = await run(controller)
    assert await container.ended() != 0
    said = container.said()
    assert "no API server is known" in said
    assert "Traceback" not in said


async def test_the_controller_serves_a_cluster_and_ends_when_told_to(controller, run, client, fake, tmp_path: Path):
    folder = tmp_path / "kubeconfig.d"
    folder.mkdir()
    (folder / "config").write_bytes(fake.kubeconfig().read_bytes())
    (port,) = free_ports(1)
    container = await run(
        *(controller, {"/mnt": folder}),
        KUBECONFIG="/mnt/config",
        CONTROLLER_OPS_PORT=str(port),
        WATCH_NAMESPACE=fake.admin.namespace,
    )
    status, body = await answer(client, container, f"http://127.0.0.1:{port}/livez")
    assert (status, body) == (200, {"status": "alive"})
    await fake.admin.create_profile("ocr-extract")
    deadline = time.monotonic() + START_S
    while "ocr-extract" not in await fake.admin.payloads():
        assert time.monotonic() < deadline, container.said()
        await asyncio.sleep(0.05)
    healthy = await asyncio.to_thread(container.execute, *health_command(controller))
    assert healthy.returncode == 0, healthy.stderr
    assert container.execute("ls", "-A", "/tmp").stdout == "", "it needs no folder to write to"
    assert await container.terminate() == 0, container.said()
