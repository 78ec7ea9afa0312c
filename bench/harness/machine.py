"""The measured machine, in one line."""

import platform
from pathlib import Path

from sidecar.runtime.cores import usable_cores


def describe() -> str:
    import tesserocr  # noqa: PLC0415 - not in the reference's processes, where it must wait for OMP_THREAD_LIMIT

    tesseract = tesserocr.tesseract_version().split()[1]
    return f"{usable_cores()} cores ({_cpu_model()}), Python {platform.python_version()}, Tesseract {tesseract}"


def _cpu_model() -> str:
    cpu_info = Path("/proc/cpuinfo")
    if cpu_info.exists():
        for line in cpu_info.read_text().splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor() or platform.machine()
