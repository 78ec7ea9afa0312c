"""What tests of the lease share: the real engine, gate, lease and client, beside a fake Ollama whose card they fill."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path

from sidecar.documents.pages import PagePicture
from sidecar.engines.model_servers import ModelServers
from sidecar.engines.servers.ollama import Ollama
from sidecar.engines.vision import VisionEngine
from sidecar.errors import SidecarError
from sidecar.gpu.call_gate import CallGate
from sidecar.gpu.lease.debts import Debts
from sidecar.gpu.lease.lease import GpuLease
from sidecar.gpu.lease.state import LeaseTerms
from sidecar.gpu.need_book import NeedBook
from sidecar.gpu.state_folder import StateFolder
from sidecar.gpu.vram_monitor import DeviceMemory, VramMonitor
from sidecar.ocr.engine import PageText, PreparedPage, ReadOrder, TryFailedError
from sidecar.profiles.precedence import instruct
from sidecar.runtime.blocking_pool import BlockingPool
from sidecar.service.engines import gate_policy, join_lease, leasing
from sidecar.settings import parse_settings
from tools.fakes.ollama import OCR_MODEL, FakeOllama, Model

LLM = "np-dms-ai:latest"
LLM_MB = 13_000
QUICK = LeaseTerms(wait_s=5, hold_s=60, quiet_s=0.3, linger_s=0.5, grace_s=0.5, settle_s=2, bar_s=1, claim_s=0.3)
PNG = "iVBORw0KGgo="
DEADLINE_S = 60.0


def card(load_s: float = 0.5, latency_s: float = 0.1, **ocr: int) -> FakeOllama:
    """A card of 16 GiB, on which LLM and OCR do not fit together, with the LLM loaded and idle."""
    size = {"size_mb": 5000, "image_mb": 500, "parallel": 4} | ocr
    fake = FakeOllama([Model(OCR_MODEL, **size)], vram_mb=16_384, latency_s=latency_s, load_s=load_s)
    fake.occupy(LLM, LLM_MB, 8192, keep_alive_s=600)
    return fake


class Rig:
    """One sidecar's engine, as the service wires it."""

    def __init__(
        self,
        fake: FakeOllama,
        folder: Path,
        terms: LeaseTerms = QUICK,
        make_debts: Callable[[StateFolder], Debts] = Debts,
        **environ: str,
    ) -> None:
        settings = parse_settings(
            {"OLLAMA_API_URL": fake.url, "OCR_ON_PRESSURE": "lease", "OCR_STATE_DIR": str(folder)} | environ
        )
        self.fake = fake
        self.ollama = Ollama(fake.url, settings.connect_s)
        self.monitor = VramMonitor(self.read_device, self.ollama.resident, settings.gpu_total_mb)
        self.folder = StateFolder(folder, BlockingPool("state", 2))
        self.gate = CallGate(self.monitor, gate_policy(settings), NeedBook())
        servers = ModelServers(
            {fake.url: self.ollama}, settings.connect_s, settings.first_token_s, settings.parallel_pages
        )
        self.engine = VisionEngine(None, servers, self.gate)
        self.lease = GpuLease(self.ollama, self.monitor, make_debts(self.folder), terms)
        join_lease(self.lease, self.engine)

    @asynccontextmanager
    async def open(self) -> AsyncIterator["Rig"]:
        await self.folder.open()
        async with self.ollama.open():
            async with leasing(self.lease):
                yield self
            await self.gate.calls.close()
            await self.monitor.close()
        self.folder.close()

    async def read_device(self) -> DeviceMemory:
        memory = self.fake.memory
        return DeviceMemory(memory.vram_mb, memory.used_mb, memory.vram_mb - memory.used_mb, "GPU-1")

    async def page(self, document: object, model: str = OCR_MODEL) -> PageText | SidecarError:
        """Read a page in its turn, as the reader does."""
        order = ReadOrder(Path(str(document)), DEADLINE_S, "eng", instruct(None, model))
        async with self.engine.prepare_slots.take(document), self.engine.read_slots.take(document):
            try:
                return await self.engine.read(order, PreparedPage(0, PagePicture(PNG)), 1, DEADLINE_S)
            except TryFailedError as failed:
                return failed.error
            except SidecarError as error:
                return error

    async def document(self, pages: int, model: str = OCR_MODEL) -> list[PageText | SidecarError]:
        document = object()
        return list(await asyncio.gather(*(self.page(document, model) for _ in range(pages))))


def texts(results: list[PageText | SidecarError]) -> list[str]:
    """The texts of pages that were read, and the codes of the others."""
    return [one.text if isinstance(one, PageText) else one.code for one in results]


def unloads_of_llm(fake: FakeOllama) -> int:
    return fake.unloads.count(LLM)
