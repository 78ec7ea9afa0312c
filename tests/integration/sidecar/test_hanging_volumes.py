"""A shared volume, a folder of profiles, a file of keys that hang: what has nothing to do with them goes on."""

import asyncio
import threading
import time
from pathlib import Path

import aiohttp
import pytest

from sidecar.api.app_keys import POOLS
from sidecar.api.key_file import KeyFile
from sidecar.documents.upload_paths import open_upload
from sidecar.profiles.store import ProfileStore
from sidecar.runtime.blocking_pool import BlockingPool
from sidecar.service.app import POOL_SIZES
from sidecar.service.server import Service
from sidecar.settings import Settings, parse_settings
from tests.conftest import Running, until


class Volume:
    """A shared volume that may hang: whoever opens a file waits until it is let go."""

    def __init__(self) -> None:
        self.answers = threading.Event()

    def open_file(self, requested: str, base: Path) -> int:
        self.answers.wait()
        return open_upload(requested, base)


@pytest.fixture
async def volume():
    one = Volume()
    yield one
    one.answers.set()


@pytest.fixture
async def running(volume, tmp_path, data):
    uploads = tmp_path / "uploads"
    uploads.mkdir()
    (uploads / "a.pdf").write_bytes((data / "digital.pdf").read_bytes())
    environ = {"OCR_AUTH_MODE": "network", "OCR_PORT": "0", "OCR_OPS_PORT": "0", "OCR_RECEIVE_SECONDS": "0.5"}
    environ |= {"OCR_WORKERS": "1", "BGE_M3_MODEL": "", "RERANKER_MODEL": "", "OCR_SPOOL_DIR": str(tmp_path / "spool")}
    settings = parse_settings(environ | {"OCR_SIDECAR_UPLOAD_BASE": str(uploads)})
    service = Service(settings, open_file=volume.open_file)
    await service.start()
    async with aiohttp.ClientSession() as client:
        yield Running(service, settings, client)
    await service.stop(0)


async def read_path(running: Running) -> tuple[int, str | None, str | None]:
    body = {"pdfPath": str(running.settings.upload_base / "a.pdf")}
    async with running.client.post(f"{running.url}/ocr", json=body) as answer:
        return answer.status, (await answer.json()).get("code"), answer.headers.get("Retry-After")


@pytest.mark.alone
async def test_copies_that_hang_leave_uploads_alone_and_are_refused_once_they_are_many(running, volume, data):
    size = POOL_SIZES["uploads"]
    copies = await asyncio.gather(*(read_path(running) for _ in range(size)))
    assert copies == [(504, "deadline_exceeded", None)] * size

    started_s = time.monotonic()
    assert await read_path(running) == (503, "storage_unavailable", "30")
    assert time.monotonic() - started_s < 0.4, "it waited for what hangs"
    assert (await running.upload(data / "digital.pdf"))[0] == 200
    async with running.client.get(f"{running.ops}/metrics") as metrics:
        assert f'ocr_stuck_calls{{place="uploads"}} {size}.0' in await metrics.text()

    volume.answers.set()
    await until(lambda: running.service.api[POOLS]["uploads"].stuck == 0)
    assert (await read_path(running))[0] == 200
    assert running.spooled == []


@pytest.mark.alone
async def test_copies_that_hang_do_not_hold_up_the_end(running):
    await asyncio.gather(*(read_path(running) for _ in range(6)))
    started_s = time.monotonic()
    await running.service.stop(0)
    assert time.monotonic() - started_s < 3
    ends = asyncio.get_running_loop().shutdown_default_executor()
    await asyncio.wait_for(ends, 2)


# ── profiles ──────────────────────────────────────────────────────────────────────────────────────────────────────


class HangingFolder(ProfileStore):
    """A folder of profiles that may hang."""

    def __init__(self, *arguments, **options) -> None:
        super().__init__(*arguments, **options)
        self.answers = threading.Event()
        self.answers.set()

    def look(self) -> None:
        self.answers.wait()
        super().look()


async def test_a_folder_of_profiles_that_hangs_is_told_and_leaves_them_in_force(tmp_path):
    pool = BlockingPool("profiles", 1)
    store = HangingFolder(tmp_path, pool=pool, look_s=0.1)
    (tmp_path / "bad.json").write_text("no profile")
    await store.look_in_time()
    before = store.current
    assert list(before.refused) == ["bad.json"]

    store.answers.clear()
    for _ in range(3):
        await store.look_in_time()
    assert (store.current.loaded, store.current.refused) == (before.loaded, {".": "the folder does not answer"})
    assert pool.stuck == 1

    store.answers.set()
    await until(lambda: pool.stuck == 0)
    await store.look_in_time()
    assert store.current == before


# ── keys ──────────────────────────────────────────────────────────────────────────────────────────────────────────


class HangingPath(type(Path())):
    """A file of keys that may hang."""

    answers, hangs = threading.Event(), threading.Event()

    def stat(self, **options):
        if not self.answers.is_set():
            self.hangs.set()
        self.answers.wait()
        return super().stat(**options)


async def test_a_file_of_keys_that_hangs_holds_up_nobody(tmp_path):
    path = HangingPath(tmp_path / "keys")
    path.write_text("the first one")
    HangingPath.answers.set()
    keys, pool = KeyFile.from_settings(Settings().model_copy(update={"api_key_file": path})), BlockingPool("keys", 1)
    HangingPath.answers.clear()
    looking = asyncio.create_task(keys.poll(pool))
    await until(HangingPath.hangs.is_set)
    path.write_text("another one")
    assert keys.ring.caller_of("the first one")

    HangingPath.answers.set()
    await until(lambda: keys.ring.caller_of("another one"))
    looking.cancel()
    await asyncio.gather(looking, return_exceptions=True)
