"""The service as a process: start, stop, kill, and what it leaves behind."""

import asyncio
import contextlib
import io
import json
import os
import signal
import socket
import sys
import time
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path

import aiohttp
import pytest

from bench.harness.service import free_ports
from tests.conftest import DATA, until
from tests.integration.sidecar.documents import as_tiff, picture_of_text


@dataclass
class Process:
    process: asyncio.subprocess.Process
    client: aiohttp.ClientSession
    url: str
    ops: str
    spool: Path

    async def status(self, url: str) -> int | None:
        with contextlib.suppress(aiohttp.ClientError):
            async with self.client.get(url) as response:
                return response.status
        return None

    async def upload(self, content: bytes, **headers: str) -> tuple[int, dict]:
        form = aiohttp.FormData()
        form.add_field("file", io.BytesIO(content), filename="upload.pdf")
        async with self.client.post(f"{self.url}/ocr-upload", data=form, headers=headers) as response:
            return response.status, await response.json()

    def tree(self) -> set[int]:
        """The process and all that descend from it."""
        found = {self.process.pid}
        for _ in range(5):
            for stat in Path("/proc").glob("[0-9]*/stat"):
                with contextlib.suppress(OSError):
                    fields = stat.read_text().rsplit(")", 1)[1].split()
                    if int(fields[1]) in found and fields[0] != "Z":
                        found.add(int(stat.parent.name))
        return found


@pytest.fixture
async def launch(tmp_path) -> AsyncIterator:
    launched: list[Process] = []

    async def _launch(**environ: str) -> Process:
        port, ops = free_ports(2)
        spool = tmp_path / "spool"
        settings = {"OCR_PORT": port, "OCR_OPS_PORT": ops, "OCR_SPOOL_DIR": spool, "OCR_AUTH_MODE": "network"}
        settings |= {"BGE_M3_MODEL": "", "RERANKER_MODEL": ""}
        own = {name: value for name, value in os.environ.items() if not name.startswith("OCR_")}
        log = (tmp_path / f"log-{port}").open("wb")
        process = await asyncio.create_subprocess_exec(
            sys.executable,
            "-m",
            "sidecar",
            "serve",
            env=own | {k: str(v) for k, v in settings.items()} | environ,
            stderr=log,
        )
        log.close()
        one = Process(process, aiohttp.ClientSession(), f"http://127.0.0.1:{port}", f"http://127.0.0.1:{ops}", spool)
        launched.append(one)
        async with asyncio.timeout(20):
            while await one.status(f"{one.url}/health") != 200:
                await asyncio.sleep(0.01)
        return one

    yield _launch
    for one in launched:
        await one.client.close()
        with contextlib.suppress(ProcessLookupError):
            one.process.kill()
        await one.process.wait()


@pytest.fixture(scope="module")
def some_pages() -> bytes:
    return as_tiff([picture_of_text(30)] * 6)


def documents(spool: Path) -> list[Path]:
    return list(spool.rglob("document-*"))


@pytest.mark.alone
async def test_sigterm_lets_running_documents_finish(launch, some_pages):
    one = await launch(OCR_SHUTDOWN_SECONDS="100")
    reading = asyncio.create_task(one.upload(some_pages))
    await until(lambda: documents(one.spool))

    one.process.send_signal(signal.SIGTERM)
    async with asyncio.timeout(2):
        while await one.status(f"{one.ops}/readyz") != 503:
            await asyncio.sleep(0.01)
    new = await one.upload(b"%PDF-1.7")

    assert await one.status(f"{one.ops}/livez") == 200
    assert (new[0], new[1]["code"]) == (503, "shutting_down")
    status, body = await reading
    assert (status, body["pageCount"]) == (200, 6)
    async with asyncio.timeout(5):
        assert await one.process.wait() == 0
    assert not one.spool.exists()


@pytest.mark.alone
async def test_a_connection_that_is_open_has_one_more_answer_and_no_other_is_taken(launch):
    """A caller that keeps its connection must not find it closed under its next document: it goes elsewhere after."""
    one = await launch()
    host, port = one.url.removeprefix("http://").split(":")
    reader, writer = await asyncio.open_connection(host, int(port))

    async def ask(path):
        writer.write(f"GET {path} HTTP/1.1\r\nHost: a\r\n\r\n".encode())
        head = await reader.readuntil(b"\r\n\r\n")
        await reader.readexactly(int(head.partition(b"Content-Length: ")[2].split(b"\r\n")[0]))
        return head

    assert b"Connection: close" not in await ask("/health")
    one.process.send_signal(signal.SIGTERM)
    async with asyncio.timeout(2):
        while await one.status(f"{one.ops}/readyz") != 503:
            await asyncio.sleep(0.01)
    async with aiohttp.ClientSession() as newcomer, newcomer.post(f"{one.url}/ocr-upload", data=b"") as refused:
        assert (refused.status, refused.headers["Connection"]) == (503, "close")
    document = (DATA / "digital.pdf").read_bytes()
    part = b'--b\r\nContent-Disposition: form-data; name="file"; filename="a"\r\n\r\n' + document + b"\r\n--b--\r\n"
    head = b"POST /ocr-upload HTTP/1.1\r\nHost: a\r\nContent-Type: multipart/form-data; boundary=b\r\n"
    writer.write(head + b"Content-Length: %d\r\n\r\n" % len(part) + part)
    answer = await reader.readuntil(b"\r\n\r\n")
    assert answer.startswith(b"HTTP/1.1 200 ")
    assert b"Connection: close" in answer
    assert b'"pageCount":4' in await reader.read()
    writer.close()
    await writer.wait_closed()
    async with asyncio.timeout(5):
        assert await one.process.wait() == 0


async def test_an_idle_connection_does_not_hold_up_the_end_for_long(launch):
    one = await launch()
    host, port = one.url.removeprefix("http://").split(":")
    _, idle = await asyncio.open_connection(host, int(port))
    one.process.send_signal(signal.SIGTERM)
    async with asyncio.timeout(10):
        assert await one.process.wait() == 0
    idle.close()
    await idle.wait_closed()


@pytest.mark.alone
async def test_once_it_stops_an_answer_is_the_last_of_its_connection(launch, some_pages):
    """So a caller that keeps its connections is refused once, not until the last document is read."""
    one = await launch(OCR_SHUTDOWN_SECONDS="100")
    async with one.client.get(f"{one.url}/health") as usual:
        assert "Connection" not in usual.headers
    reading = asyncio.create_task(one.upload(some_pages))
    await until(lambda: documents(one.spool))

    one.process.send_signal(signal.SIGTERM)
    async with asyncio.timeout(2):
        while await one.status(f"{one.ops}/readyz") != 503:
            await asyncio.sleep(0.01)

    async with one.client.post(f"{one.url}/ocr-upload", data=b"") as refused:
        assert (refused.status, refused.headers["Connection"]) == (503, "close")
    assert (await reading)[0] == 200


@pytest.mark.alone
async def test_documents_that_take_too_long_to_finish_are_told_so(launch, some_pages):
    one = await launch(OCR_SHUTDOWN_SECONDS="0.3")
    reading = asyncio.create_task(one.upload(some_pages))
    await until(lambda: documents(one.spool))

    one.process.send_signal(signal.SIGTERM)

    status, body = await reading
    assert (status, body["code"]) == (503, "shutting_down")
    async with asyncio.timeout(5):
        assert await one.process.wait() == 0
    assert not one.spool.exists()


async def test_a_streamed_document_that_is_cut_off_says_so_in_its_last_line(launch, some_pages):
    one = await launch(OCR_SHUTDOWN_SECONDS="0.1")
    form = aiohttp.FormData()
    form.add_field("file", io.BytesIO(some_pages), filename="upload.tiff")
    headers = {"Accept": "application/x-ndjson"}
    async with one.client.post(f"{one.url}/ocr-upload", data=form, headers=headers) as response:
        first = json.loads(await response.content.readline())
        one.process.send_signal(signal.SIGTERM)
        lines = [json.loads(line) async for line in response.content]

    assert first["event"] == "document"
    assert (lines[-1]["event"], lines[-1]["code"]) == ("error", "shutting_down")


async def test_after_a_kill_and_a_restart_nothing_is_left(launch, some_pages):
    one = await launch()
    reading = asyncio.create_task(one.upload(some_pages))
    await until(lambda: documents(one.spool))
    await until(lambda: len(one.tree()) >= 4)  # the service, the fork server, two workers at least
    tree = one.tree()

    one.process.kill()
    await asyncio.gather(reading, return_exceptions=True)

    await until(lambda: not any(Path(f"/proc/{pid}/cmdline").exists() for pid in tree - {one.process.pid}), 5)
    assert documents(one.spool)
    two = await launch()
    assert documents(two.spool) == []
    assert len(list(two.spool.iterdir())) == 1


async def test_two_services_share_a_spool_folder_without_touching_each_other(launch, some_pages):
    one = await launch()
    reading = asyncio.create_task(one.upload(some_pages))
    await until(lambda: documents(one.spool))

    two = await launch()

    assert documents(two.spool)
    assert (await reading)[0] == 200


async def test_the_log_is_json_whatever_libraries_say_about_a_document(launch, tmp_path):
    one = await launch()
    fax = as_tiff([picture_of_text(5)])
    await one.upload(fax[: len(fax) // 2] + b"\0" * 100)
    await one.upload(fax.replace(b"\x01\x03", b"\x99\x03"))

    (log,) = tmp_path.glob("log-*")
    lines = [json.loads(line) for line in log.read_text().splitlines()]
    assert {"time", "level", "logger", "message"} <= set.intersection(*(set(line) for line in lines))


@pytest.mark.alone
async def test_it_serves_soon_after_its_start(launch):
    """The figure is in docs/performance.md; this guards against the mistake of loading something huge."""
    started = time.monotonic()
    await launch()

    assert time.monotonic() - started < 5


async def run(*arguments: str, **environ: str) -> tuple[int, str, str]:
    own = {name: value for name, value in os.environ.items() if not name.startswith("OCR_")}
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        *arguments,
        env=own | environ,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    async with asyncio.timeout(60):
        out, err = await process.communicate()
    return process.returncode, out.decode(), err.decode()


HEAVY = ("torch", "FlagEmbedding", "transformers", "tokenizers", "huggingface_hub", "numpy", "tesserocr")


async def test_the_service_imports_nothing_that_takes_seconds():
    status, out, _ = await run(
        "-c", f"import sys, sidecar.service.server; print([name for name in {HEAVY} if name in sys.modules])"
    )

    assert (status, out.strip()) == (0, "[]")


async def test_without_a_model_torch_is_never_imported(launch, tmp_path):
    """Nothing is in the cache and no hub answers: torch's half a gigabyte of memory is not taken for that."""
    no_hub = {"HF_HUB_OFFLINE": "1", "HF_HOME": str(tmp_path / "hub")}
    process = await launch(BGE_M3_MODEL="BAAI/bge-m3", RERANKER_MODEL="BAAI/bge-reranker-large", **no_hub)

    async def readyz():
        async with process.client.get(f"{process.ops}/readyz") as response:
            return response.status, await response.json()

    async with asyncio.timeout(30):
        while (await readyz())[1]["embed"]["state"] == "loading" or (await readyz())[1]["rerank"]["state"] == "loading":
            await asyncio.sleep(0.05)
    status, body = await readyz()
    assert status == 200
    assert body["embed"]["reason"] == "model-missing: it is not in the cache, and the hub does not give it"
    assert "libtorch" not in Path(f"/proc/{process.process.pid}/maps").read_text()


async def test_a_taken_port_is_one_clear_line():
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        status, _, err = await run(
            "-m", "sidecar", "serve", OCR_AUTH_MODE="network", OCR_PORT=str(taken.getsockname()[1]), OCR_OPS_PORT="0"
        )

    assert status == 2
    assert err.startswith("ocr-sidecar: port ")
    assert "cannot be opened" in err
    assert err.count("\n") == 1


async def test_a_mistake_in_the_environment_is_one_clear_line():
    status, out, err = await run("-m", "sidecar", "serve", OCR_TIMEOOT="5")

    assert (status, out) == (2, "")
    assert err.splitlines() == ["ocr-sidecar: OCR_TIMEOOT is not a setting; the nearest one is OCR_TIMEOUT"]


# ── memory ────────────────────────────────────────────────────────────────────────────────────────────────────────


def resident_mib(pid: int) -> float:
    status = Path(f"/proc/{pid}/status").read_text(encoding="ascii")
    return next(int(line.split()[1]) / 1024 for line in status.splitlines() if line.startswith("VmRSS:"))


@pytest.mark.matrix  # half a minute: a model as large as memory that shows
async def test_the_memory_of_a_released_model_goes_back_to_the_system(launch, tmp_path):
    """76 million weights in half precision: 144 MiB; without malloc_trim a part of them went back, later nothing."""
    from tools.fakes import tiny_models  # noqa: PLC0415
    from tools.fakes.model_texts import Shape  # noqa: PLC0415

    folder = tiny_models.make_embedder(tmp_path / "larger", Shape(hidden=1024, layers=6))
    service = await launch(BGE_M3_MODEL=str(folder), RETRIEVAL_DTYPE="bfloat16", RETRIEVAL_DEVICE="cpu")

    async def post(path: str, body: object) -> int:
        async with service.client.post(service.url + path, json=body) as response:
            return response.status

    assert [await post("/bge/load", {}), await post("/embed", {"text": "a"}), await post("/bge/unload", {})] == [
        200
    ] * 3
    for _ in range(3):
        without = resident_mib(service.process.pid)
        assert await post("/embed", {"text": "a"}) == 200
        used = resident_mib(service.process.pid)
        assert await post("/bge/unload", {}) == 200
        # the thread that computed last may hold the model a moment longer
        await until(lambda: used - resident_mib(service.process.pid) >= 100)  # noqa: B023 - called before it changes
        await until(lambda: resident_mib(service.process.pid) - without <= 30)  # noqa: B023


async def test_sigterm_loses_no_line_of_an_answered_document(launch, tmp_path):
    one = await launch(OCR_AUDIT_FILE=str(tmp_path / "audit"))
    content = (DATA / "digital.pdf").read_bytes()
    answers = await asyncio.gather(*(one.upload(content, **{"X-Request-Id": f"n{n}"}) for n in range(12)))
    one.process.send_signal(signal.SIGTERM)
    async with asyncio.timeout(60):
        await one.process.wait()
    lines = [json.loads(line) for line in (tmp_path / "audit").read_text(encoding="utf-8").splitlines()]
    assert [status for status, _ in answers] == [200] * 12
    assert sorted((line["requestId"], line["page"]) for line in lines) == sorted(
        (f"n{n}", page) for n in range(12) for page in range(1, 5)
    )
