"""Time from the process's start to the first 200 of ``/health``, and what the start must not load."""

import statistics
import subprocess
import sys

from bench.harness.figure import Figure, below
from bench.harness.service import ROOT, running_service

STARTS = 7
QUICK_STARTS = 2
TARGET_S = 1.0
HEAVY = "torch"
IMPORTS = f"import sys, sidecar.service.app; sys.exit({HEAVY!r} in sys.modules)"


def run(*, quick: bool) -> list[Figure]:
    times_s = sorted(_start_s() for _ in range(QUICK_STARTS if quick else STARTS))
    median_s = statistics.median(times_s)
    imported = bool(subprocess.run([sys.executable, "-c", IMPORTS], cwd=ROOT, check=False).returncode)
    return [
        below(f"median of {len(times_s)} starts", f"{median_s:.3f} s", median_s, TARGET_S, " s"),
        Figure("fastest, slowest", f"{times_s[0]:.3f} s, {times_s[-1]:.3f} s"),
        Figure(f"sidecar.service.app imports {HEAVY}", "yes" if imported else "no", "no", not imported),
    ]


def _start_s() -> float:
    with running_service() as service:
        return service.startup_s
