"""The registry of engines: how each is made from the settings, and its long-lived objects.

All other code knows an engine only by its traits. To add one, write a class in `sidecar.engines`, and here a function
that makes it and its line in `ENGINES`.
"""

from collections.abc import AsyncIterator, Callable, Container, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass

from aiohttp import web

from sidecar.api.app_keys import CALL_GATE, METRICS, PLACEMENT, POOLS, PROFILE_STORE, SETTINGS, STATE_FOLDER, WORKERS
from sidecar.documents.document import DocumentLimits
from sidecar.engines.model_servers import ModelServers
from sidecar.engines.model_watch import ModelWatch
from sidecar.engines.page_drawer import PageDrawer
from sidecar.engines.rapidocr.engine import RapidEngine
from sidecar.engines.rapidocr.installation import find_models
from sidecar.engines.servers.ollama import Ollama
from sidecar.engines.tesseract.engine import TesseractEngine
from sidecar.engines.vision import VisionEngine
from sidecar.gpu.call_gate import CallGate, GatePolicy
from sidecar.gpu.lease.debts import Debts
from sidecar.gpu.lease.lease import GpuLease
from sidecar.gpu.lease.state import LeaseTerms
from sidecar.gpu.need_book import NeedBook
from sidecar.gpu.residency_policy import ResidencyLimits
from sidecar.gpu.state_folder import StateFolder
from sidecar.gpu.vram_monitor import DeviceMemory, Nvml, ReadDevice, VramMonitor
from sidecar.ocr.engine import EngineTraits, OcrEngine
from sidecar.runtime.background import beside
from sidecar.service.gauges import watch_model
from sidecar.service.model_clients import model_clients
from sidecar.settings import NO_FALLBACK, Settings, SettingsError

Build = Callable[[web.Application, DocumentLimits], OcrEngine | None]
"""Makes an engine from the settings, or None if they configure none; it adds its start and end to ``cleanup_ctx``."""


@dataclass(frozen=True, slots=True)
class EngineFactory:
    """One engine for the service: its traits, known even if it is not configured, and how it is made."""

    traits: EngineTraits
    build: Build


def build_vision(
    app: web.Application, limits: DocumentLimits, read_device: ReadDevice | None = None
) -> OcrEngine | None:
    """Make the engine of the vision model, if a model server is configured; ``read_device``: None means NVML."""
    settings = app[SETTINGS]
    clients = model_clients(settings, app[POOLS]["names"])
    if not clients:
        return None
    ollama = next((one for one in clients.values() if isinstance(one, Ollama)), None)
    read_device = read_device or (Nvml(settings.gpu_index).read if settings.vram_source == "auto" else _no_device)
    monitor = VramMonitor(read_device, ollama.resident if ollama else _no_models, settings.gpu_total_mb)
    servers = ModelServers(
        clients,
        settings.connect_s,
        settings.first_token_s,
        settings.parallel_pages,
        wants_certainty=settings.model_logprobs == "on",
    )
    for one in servers.all:
        one.watch = ModelWatch(one.client, lambda: _default_model(app), monitor.read, one.name)
    drawer = PageDrawer(app[WORKERS], limits, settings.image_longest_side)
    state = app.get(STATE_FOLDER)
    book = NeedBook(state)
    gate = app[CALL_GATE] = CallGate(monitor, gate_policy(settings), book)
    lease = make_lease(settings, ollama, monitor, state) if ollama and settings.on_pressure == "lease" else None
    vision = VisionEngine(drawer, servers, gate)
    if settings.vram_source == "auto":  # else Ollama's GPU is on another machine, without copies of our models
        gate.make_room = app[PLACEMENT].make_room
    if lease:
        join_lease(lease, vision)
    watch_model(app[METRICS], vision, monitor)

    async def life(_: web.Application) -> AsyncIterator[None]:
        """Hold the sessions to the model servers, and watch them."""
        await book.open()
        async with AsyncExitStack() as sessions:
            for client in clients.values():
                await sessions.enter_async_context(client.open())
            async with beside(servers.poll()), leasing(lease):
                yield
            await gate.calls.close()
            await monitor.close()
        await book.close()

    app.cleanup_ctx.append(life)
    return vision


async def _no_models() -> None:
    """Tell nothing: only Ollama says which models lie in memory, so the device is read alone."""


async def _no_device() -> DeviceMemory | None:
    return None


def _default_model(app: web.Application) -> str:
    """Return the model for requests that name none."""
    profile = app[PROFILE_STORE].current.get(app[SETTINGS].default_profile)
    return (profile and profile.model) or app[SETTINGS].ocr_model


def make_lease(settings: Settings, ollama: Ollama, monitor: VramMonitor, state: StateFolder | None) -> GpuLease:
    """Make the lease of the GPU, which the settings allow only with a state folder."""
    if state is None:
        raise SettingsError("OCR_ON_PRESSURE is lease: OCR_STATE_DIR must be set")
    terms = LeaseTerms(settings.lease_wait_s, settings.lease_s, settings.lease_min_pages)
    return GpuLease(ollama, monitor, Debts(state, settings.gpu_index), terms)


def join_lease(lease: GpuLease, vision: VisionEngine) -> None:
    """Let the gate ask for the lease, and the lease know what pages and calls there are."""
    gate = vision.gate
    gate.lease, lease.make_room = lease, gate.make_room
    lease.pages = lambda: vision.prepare_slots.waiting + vision.prepare_slots.busy
    lease.calls = lambda: gate.calls.total
    lease.models = lambda: gate.calls.loaded
    lease.cut_calls = gate.calls.cut


@asynccontextmanager
async def leasing(lease: GpuLease | None) -> AsyncIterator[None]:
    """Keep the lease, if there is one; at the end what is owed is given back."""
    if lease is None:
        yield
        return
    await lease.open()
    async with beside(lease.keep()):
        yield
        await lease.close()


def gate_policy(settings: Settings) -> GatePolicy:
    """Select the settings of the GPU's guard."""
    return GatePolicy(
        residency=ResidencyLimits(
            settings.residency_window_s, settings.main_model_pressure_mb, settings.headroom_threshold_mb
        ),
        required_mb=settings.required_vram_mb,
        may_evict=settings.on_pressure == "evict",
        pressure_wait_s=settings.pressure_wait_s,
        active_profile=settings.active_profile,
        longest_side=settings.image_longest_side,
        parallel=settings.parallel_pages,
        governs=settings.model_api == "ollama",
    )


def build_tesseract(app: web.Application, limits: DocumentLimits) -> OcrEngine:
    """Make the embedded engine, which loads in the background, so that the ports open at once."""
    settings = app[SETTINGS]
    tesseract = TesseractEngine(app[WORKERS], limits, settings.tessdata_dir, settings.languages)

    async def life(_: web.Application) -> AsyncIterator[None]:
        async with beside(tesseract.keep_loading()):
            yield

    app.cleanup_ctx.append(life)
    return tesseract


def build_rapidocr(app: web.Application, limits: DocumentLimits) -> OcrEngine:
    """Make the second embedded engine, which says so itself where it is not installed."""
    return RapidEngine(app[WORKERS], limits, find_models(app[SETTINGS].thai_model_dir))


ENGINES = (
    EngineFactory(VisionEngine.traits, build_vision),
    EngineFactory(TesseractEngine.traits, build_tesseract),
    EngineFactory(RapidEngine.traits, build_rapidocr),
)
"""All engines. ``auto`` means the first that the settings configure, unless they name one."""


# ── which engine reads, and which is the fallback ─────────────────────────────────────────────────────────────────


def accepted_engines(engines: Sequence[EngineTraits]) -> list[str]:
    """Return the accepted values of OCR_ENGINE."""
    return [one.name for one in engines]


def accepted_fallbacks(engines: Sequence[EngineTraits]) -> list[str]:
    """Return the accepted values of OCR_FALLBACK_ENGINE: an engine on the GPU cannot help when that is full."""
    return [*(one.name for one in engines if not one.on_gpu), NO_FALLBACK]


def accepted_seconds(engines: Sequence[EngineTraits]) -> list[str]:
    """Return the accepted values of OCR_SECOND_ENGINE."""
    return [*(one.name for one in engines if one.gives_opinions), NO_FALLBACK]


def check_engines(settings: Settings, engines: Sequence[EngineTraits]) -> None:
    """Refuse settings that name an unknown engine, or one that cannot have that role.

    Raises:
        SettingsError: a name is not accepted; the text lists the accepted ones.
    """
    for name, value, accepted in (
        ("OCR_ENGINE", settings.engine, accepted_engines(engines)),
        ("OCR_FALLBACK_ENGINE", settings.fallback_engine, accepted_fallbacks(engines)),
        ("OCR_SECOND_ENGINE", settings.second_engine, accepted_seconds(engines)),
    ):
        if value is not None and value not in accepted:
            raise SettingsError(f"{name} is {value}: accepted are {', '.join(accepted)}")


def default_engine(settings: Settings, engines: Sequence[EngineTraits], configured: Container[str]) -> str:
    """Return the engine that ``auto`` means: the one that is set, else the first configured one."""
    return settings.engine or next((one.name for one in engines if one.name in configured), engines[0].name)
