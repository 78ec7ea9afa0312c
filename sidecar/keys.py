"""What the application carries, typed: each thing that lives has one key here, and no other name."""

from aiohttp import web

from sidecar.admission import Admission
from sidecar.device_placement import Placement
from sidecar.drain import Drain
from sidecar.key_file import KeyFile
from sidecar.model_watch import ModelWatch
from sidecar.ocr import DocumentReader
from sidecar.ollama import Ollama
from sidecar.profile_store import ProfileStore
from sidecar.retrieval import Retriever, Threads
from sidecar.retrieval_engine import Embedding
from sidecar.settings import Settings
from sidecar.spool import Spool
from sidecar.telemetry import Metrics
from sidecar.tesseract import TesseractEngine
from sidecar.vision import VisionEngine
from sidecar.vram_monitor import VramMonitor
from sidecar.workers import WorkerPool

SETTINGS = web.AppKey("SETTINGS", Settings)
METRICS = web.AppKey("METRICS", Metrics)
KEY_FILE = web.AppKey("KEY_FILE", KeyFile)
DRAIN = web.AppKey("DRAIN", Drain)
SPOOL = web.AppKey("SPOOL", Spool)
WORKERS = web.AppKey("WORKERS", WorkerPool)
TESSERACT_ENGINE = web.AppKey("TESSERACT_ENGINE", TesseractEngine)
VISION_ENGINE = web.AppKey("VISION_ENGINE", VisionEngine)
OLLAMA = web.AppKey("OLLAMA", Ollama)
VRAM_MONITOR = web.AppKey("VRAM_MONITOR", VramMonitor)
MODEL_WATCH = web.AppKey("MODEL_WATCH", ModelWatch)
PROFILE_STORE = web.AppKey("PROFILE_STORE", ProfileStore)
READER = web.AppKey("READER", DocumentReader)
EMBEDDER = web.AppKey("EMBEDDER", Retriever[str, Embedding])
RERANKER = web.AppKey("RERANKER", Retriever[tuple[str, str], float])
PLACEMENT = web.AppKey("PLACEMENT", Placement)
RETRIEVAL_VRAM = web.AppKey("RETRIEVAL_VRAM", VramMonitor)
RETRIEVAL_BODIES = web.AppKey("RETRIEVAL_BODIES", Admission)
RETRIEVAL_THREADS = web.AppKey("RETRIEVAL_THREADS", Threads)

REQUEST_ID = web.RequestKey("REQUEST_ID", str)
