"""What operators see of the controller: JSON log lines and Prometheus metrics. Decides nothing."""

import logging
import sys
from collections.abc import Callable, Mapping
from datetime import datetime

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from pythonjsonlogger.json import JsonFormatter

from controller.mirror.facts import MirrorFacts

LOG_FIELDS = "%(asctime)s %(levelname)s %(name)s %(message)s"
PASS_BUCKETS_S = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30)


def configure_logging(level: str) -> None:
    """Write every log line of this process as one JSON object on standard error."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(
        JsonFormatter(LOG_FIELDS, rename_fields={"asctime": "time", "levelname": "level", "name": "logger"})
    )
    logging.basicConfig(level=level.upper(), handlers=[handler], force=True)
    # kopf tells at info level of every handler that ran well: two lines an event, a thousand times in a burst.
    logging.getLogger("kopf").setLevel(logging.WARNING if level == "info" else level.upper())


class Metrics:
    """The metrics of one controller, in a registry of its own."""

    def __init__(self) -> None:
        self.registry = registry = CollectorRegistry()
        self.passes = Counter(
            "ocr_controller_passes", "Passes over a namespace.", ["namespace", "result"], registry=registry
        )
        self.pass_seconds = Histogram(
            "ocr_controller_pass_seconds", "Duration of a pass.", buckets=PASS_BUCKETS_S, registry=registry
        )
        self.last_success = Gauge(
            "ocr_controller_last_success_timestamp_seconds",
            "When the last pass over a namespace succeeded.",
            ["namespace"],
            registry=registry,
        )
        self.calls = Counter(
            "ocr_controller_api_calls",
            "Calls to the API server. patch, create and delete are writes.",
            ["verb", "kind", "status"],
            registry=registry,
        )
        self.profiles = Gauge(
            "ocr_controller_profiles",
            "Profiles by their outcome in the ConfigMap.",
            ["namespace", "publication"],
            registry=registry,
        )
        self.sidecars = Gauge(
            "ocr_controller_sidecars",
            "Sidecars: ready, and those that answer.",
            ["namespace", "state"],
            registry=registry,
        )
        self.isolation = Gauge(
            "ocr_controller_isolation_enforced",
            "1: no sidecar's API answers the controller; 0: one does; -1: not known.",
            ["namespace"],
            registry=registry,
        )

    def watch_mirror(self, read: Callable[[], MirrorFacts | None]) -> None:
        """Show the mirror's state at the time the metrics are read."""

        def watch(name: str, documentation: str, value_of: Callable[[MirrorFacts], float]) -> None:
            gauge = Gauge(f"ocr_controller_mirror_{name}", documentation, registry=self.registry)
            gauge.set_function(lambda: value_of(read() or MirrorFacts()))

        watch("rows", "Rows at the last read.", lambda facts: facts.rows)
        watch(
            "down_since_timestamp_seconds",
            "When the database began to fail; 0: it answers.",
            lambda facts: _timestamp(facts.down_since),
        )
        watch(
            "last_read_timestamp_seconds",
            "When the rows were last read; 0: never.",
            lambda facts: _timestamp(facts.last_read),
        )
        self.registry.register(_MirrorCounts(read))

    def watch_lead(self, leads: Callable[[], bool]) -> None:
        """Show whether this controller works, at the time the metrics are read."""
        Gauge(
            "ocr_controller_leading", "1: this controller works; 0: it stands by.", registry=self.registry
        ).set_function(lambda: float(leads()))

    def watch_ages(self, read: Callable[[], Mapping[str, float]]) -> None:
        """Show the age of each watch at the time the metrics are read."""
        self.registry.register(_WatchAges(read))

    def count_call(self, verb: str, kind: str, status: str) -> None:
        """Count one call to the API server."""
        self.calls.labels(verb, kind, status).inc()

    def forget(self, namespace: str) -> None:
        """Remove the metrics of a namespace where nothing of ours is left."""
        for metric in (self.passes, self.last_success, self.profiles, self.sidecars, self.isolation):
            metric.remove_by_labels({"namespace": namespace})

    def render(self) -> bytes:
        """Render all in Prometheus' text format."""
        return generate_latest(self.registry)


def _timestamp(moment: datetime | None) -> float:
    return moment.timestamp() if moment else 0


class _WatchAges:
    """Ages by kind. The kinds are known only once the watches begin."""

    def __init__(self, read: Callable[[], Mapping[str, float]]) -> None:
        self._read = read

    def collect(self) -> list[Metric]:
        gauge = GaugeMetricFamily(
            "ocr_controller_watch_age_seconds",
            "Seconds since the API server sent an event of this kind or renewed its watch.",
            labels=["kind"],
        )
        for kind, age_s in self._read().items():
            gauge.add_metric([kind], age_s)
        return [gauge]


class _MirrorCounts:
    """Counts by reason and by verb. ``set_function`` cannot give them: reasons come and go, and counters lack it."""

    def __init__(self, read: Callable[[], MirrorFacts | None]) -> None:
        self._read = read

    def collect(self) -> list[Metric]:
        facts = self._read() or MirrorFacts()
        notices = GaugeMetricFamily("ocr_controller_mirror_notices", "Current problems, by reason.", labels=["reason"])
        for reason, count in facts.notices.items():
            notices.add_metric([reason], count)
        writes = CounterMetricFamily("ocr_controller_mirror_writes", "Writes, by verb.", labels=["verb"])
        for verb, count in facts.writes.items():
            writes.add_metric([verb], count)
        return [notices, writes]
