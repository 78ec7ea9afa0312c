"""Looks on: how long /livez takes, and how much memory the service and its workers have."""

import asyncio
import sys
import time
from pathlib import Path

from bench.harness.service import ROOT
from tools.soak.callers import Crowd
from tools.soak.stage import Stage

MEMORY_EVERY_S = 1.0
KIB_A_MB = 1024


class Watch:
    """Collects samples: the time in seconds, and what was seen."""

    def __init__(self, stage: Stage, crowd: Crowd) -> None:
        self.stage = stage
        self.crowd = crowd
        self.livez_s: list[float] = []
        self.livez_failed = 0
        self.memory: dict[str, list[tuple[float, float]]] = {"the service": [], "its workers": []}

    async def ask_livez(self) -> None:
        """Have it asked by a process of its own; what was asked while the service was away, or went, does not count."""
        command = [sys.executable, "-m", "tools.soak.livez", str(self.stage.ops_port)]
        asking = await asyncio.create_subprocess_exec(*command, cwd=ROOT, stdout=asyncio.subprocess.PIPE)
        assert asking.stdout
        while not self.crowd.stopping.is_set():
            asked_s, took_s, is_well = map(float, (await asking.stdout.readline()).split())
            if self.stage.was_up(asked_s, asked_s + took_s):
                self.livez_s.append(took_s)
                self.livez_failed += not is_well
        asking.kill()
        await asking.wait()

    async def weigh(self) -> None:
        """Sample the anonymous memory of the service and of its workers."""
        while not self.crowd.stopping.is_set():
            if self.stage.is_up and self.stage.service:
                now_s = time.monotonic()
                self.memory["the service"].append((now_s, anonymous_mb(self.stage.service.pid)))
                self.memory["its workers"].append((now_s, sum(anonymous_mb(one.pid) for one in self.stage.workers())))
            await asyncio.sleep(MEMORY_EVERY_S)

    def forget_memory(self) -> None:
        """Begin anew: what comes now counts."""
        for samples in self.memory.values():
            samples.clear()


def anonymous_mb(pid: int) -> float:
    """Weigh what a process wrote to memory, in MiB, with its share of what others have in common with it.

    Pages of files do not count: a process's share of a library rises when another process ends.
    """
    kept = _rollup(pid)
    return (kept["Pss_Anon:"] + kept["Pss_Shmem:"]) / KIB_A_MB if kept else 0.0


def resident_mb(pid: int) -> float:
    """Weigh a process with all files that it has mapped: what is called RSS."""
    return _rollup(pid).get("Rss:", 0) / KIB_A_MB


def _rollup(pid: int) -> dict[str, int]:
    try:
        text = Path(f"/proc/{pid}/smaps_rollup").read_text()
    except OSError:
        return {}
    return {line.split()[0]: int(line.split()[1]) for line in text.splitlines()[1:]}
