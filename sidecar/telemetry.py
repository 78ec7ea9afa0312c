"""What operators see: JSON log lines and Prometheus metrics. Decides nothing."""

import logging
import sys
from collections.abc import Callable, Mapping

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest
from pythonjsonlogger.json import JsonFormatter

LOG_FIELDS = "%(asctime)s %(levelname)s %(name)s %(message)s"
REQUEST_BUCKETS_S = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 120, 300, 600)
BATCH_BUCKETS_S = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2, 4, 8, 15, 30)
BATCH_BUCKETS_TEXTS = (1, 2, 4, 8, 16, 32, 64, 128, 256)
KEY_LABELS = 64
"""Most names of keys that get a label of their own, in the life of a process; each makes about twenty time series."""
OTHERS = "other"
PAGE_BUCKETS_S = (0.01, 0.05, 0.1, 0.25, 0.5, 1, 2, 4, 8, 15, 30, 60, 120, 240, 360)


def configure_logging(level: str) -> None:
    """Write every log line of this process as one JSON object on standard error."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(
        JsonFormatter(LOG_FIELDS, rename_fields={"asctime": "time", "levelname": "level", "name": "logger"})
    )
    logging.basicConfig(level=level.upper(), handlers=[handler], force=True)


class Metrics:
    """The metrics of one application, in a registry of its own."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        self.requests = Counter(
            "ocr_http_requests", "HTTP requests.", ["route", "method", "status"], registry=self.registry
        )
        self.request_seconds = Histogram(
            "ocr_http_request_seconds",
            "Time from a request's head to the end of its answer.",
            ["route"],
            buckets=REQUEST_BUCKETS_S,
            registry=self.registry,
        )
        self.key_requests = Counter(
            "ocr_key_requests", "Requests with an accepted API key.", ["key", "status"], registry=self.registry
        )
        self._key_labels: set[str] = set()
        self.errors = Counter("ocr_errors", "Answers with an error, by its code.", ["code"], registry=self.registry)
        self.documents = Counter("ocr_documents", "Documents read, by engine.", ["engine"], registry=self.registry)
        self.pages = Counter(
            "ocr_pages", "Pages, by engine and outcome.", ["engine", "verdict"], registry=self.registry
        )
        self.page_seconds = Histogram(
            "ocr_page_seconds",
            "Time an engine took for a page, the wait for a slot not counted.",
            ["engine"],
            buckets=PAGE_BUCKETS_S,
            registry=self.registry,
        )
        self.attempts = Counter(
            "ocr_attempts",
            "Tries of an engine at a page, by outcome.",
            ["engine", "verdict", "error"],
            registry=self.registry,
        )
        self.residency = Counter(
            "ocr_residency_decisions",
            "Model calls, by the reason for their keep_alive.",
            ["reason"],
            registry=self.registry,
        )
        self.first_token_seconds = Histogram(
            "ocr_model_first_token_seconds",
            "Time from a model call to its first token: loading the model, and looking at the page.",
            buckets=PAGE_BUCKETS_S,
            registry=self.registry,
        )
        self.warnings = Counter(
            "ocr_warnings", "Answers with a warning, by its code.", ["code"], registry=self.registry
        )
        self.fallbacks = Counter(
            "ocr_fallbacks",
            "Pages read by another engine than the requested one.",
            ["wanted", "used"],
            registry=self.registry,
        )
        self.jobs_slices = Counter(
            "ocr_jobs_slices", "Slices of jobs read here, by outcome.", ["outcome"], registry=self.registry
        )
        self.jobs_ended = Counter("ocr_jobs_ended", "Jobs ended here, by state.", ["state"], registry=self.registry)
        self.jobs_callbacks = Counter(
            "ocr_jobs_callbacks", "Calls to jobs' owners, by outcome.", ["outcome"], registry=self.registry
        )
        self.retrieval_texts = Counter(
            "retrieval_texts",
            "Texts embedded and pairs reranked, by device and the reason for it.",
            ["model", "device", "reason"],
            registry=self.registry,
        )
        self.retrieval_loads = Counter(
            "retrieval_loads",
            "Loads of a model, by why it was loaded and what came of it.",
            ["model", "cause", "outcome"],
            registry=self.registry,
        )
        self.retrieval_load_seconds = Histogram(
            "retrieval_load_seconds",
            "Time that a load took.",
            ["model"],
            buckets=PAGE_BUCKETS_S,
            registry=self.registry,
        )
        self.retrieval_releases = Counter(
            "retrieval_releases", "Times a model was released, by why.", ["model", "cause"], registry=self.registry
        )
        self.retrieval_calls_delayed = Counter(
            "retrieval_calls_delayed",
            "Calls that waited for a released model to come back.",
            ["model"],
            registry=self.registry,
        )
        self.retrieval_batch_seconds = Histogram(
            "retrieval_batch_seconds",
            "Time from handing a batch to its device to its results.",
            ["model", "device"],
            buckets=BATCH_BUCKETS_S,
            registry=self.registry,
        )
        self.retrieval_batch_texts = Histogram(
            "retrieval_batch_texts",
            "Texts in a batch.",
            ["model", "device"],
            buckets=BATCH_BUCKETS_TEXTS,
            registry=self.registry,
        )

    def key_label(self, name: str) -> str:
        """Return the label of a key's name: itself, or ``other`` once there are as many labels as may be."""
        if len(self._key_labels) < KEY_LABELS:
            self._key_labels.add(name)
        return name if name in self._key_labels else OTHERS

    def watch(self, name: str, documentation: str, read: Callable[[], float]) -> None:
        """Show a value that is read when the metrics are."""
        Gauge(name, documentation, registry=self.registry).set_function(read)

    def watch_each(self, name: str, documentation: str, label: str, reads: Mapping[str, Callable[[], float]]) -> None:
        """Show values that are read when the metrics are, one for each value of a label."""
        gauge = Gauge(name, documentation, [label], registry=self.registry)
        for value, read in reads.items():
            gauge.labels(value).set_function(read)

    def render(self) -> bytes:
        """Render all in Prometheus' text format."""
        return generate_latest(self.registry)
