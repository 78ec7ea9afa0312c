"""What the application carries, typed: each thing that lives has one key here, and no other name."""

from aiohttp import web

from sidecar.drain import Drain
from sidecar.key_file import KeyFile
from sidecar.ocr import DocumentReader
from sidecar.settings import Settings
from sidecar.spool import Spool
from sidecar.telemetry import Metrics
from sidecar.tesseract import TesseractEngine
from sidecar.workers import WorkerPool

SETTINGS = web.AppKey("SETTINGS", Settings)
METRICS = web.AppKey("METRICS", Metrics)
KEY_FILE = web.AppKey("KEY_FILE", KeyFile)
DRAIN = web.AppKey("DRAIN", Drain)
SPOOL = web.AppKey("SPOOL", Spool)
WORKERS = web.AppKey("WORKERS", WorkerPool)
TESSERACT_ENGINE = web.AppKey("TESSERACT_ENGINE", TesseractEngine)
READER = web.AppKey("READER", DocumentReader)

REQUEST_ID = web.RequestKey("REQUEST_ID", str)
