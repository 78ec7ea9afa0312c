"""``python -m tools.soak --minutes 20``: everything at once, then the figures; exit status 1 if one is not held.

The service is ended and restarted during the first quarter; its memory counts over the last two thirds, in which it
runs on, with all other misfortunes. The load is bounded, so that two cores suffice, others beside it. ``--only KIND``
sends one kind and does no harm. With ``--backend`` the models are larger, of half precision, and computed by it:
``--only lengths`` then shows what many shapes of batches cost in memory.
"""

import argparse
import asyncio
import os
import resource
import sys
import tempfile
from collections.abc import Coroutine
from pathlib import Path
from typing import Any

from bench.harness import machine
from tools.fakes.model_texts import Shape
from tools.soak import requests
from tools.soak.callers import Crowd, Make
from tools.soak.ledger import Ledger, figures
from tools.soak.misfortunes import Misfortunes
from tools.soak.stage import Stage, disk
from tools.soak.watch import Watch

SETTLE_S = 5.0
"""After the last caller, before the spool is looked at."""
BACKENDS = ("torch", "openvino")
LARGER = Shape(hidden=384, layers=6, heads=12, vocabulary=3000)
KINDS: dict[str, tuple[Make, float, int]] = {
    "documents": (requests.document, 0.3, 6),
    "texts": (requests.text, 0.2, 4),
}
"""What honest callers send, how many seconds they pause, and how many there are."""
ALONE = KINDS | {"lengths": (requests.text_of_any_length, 4.0, 2)}
"""What may be sent alone."""


def work(
    crowd: Crowd, misfortunes: Misfortunes, watch: Watch, seconds: float, only: str | None
) -> list[Coroutine[Any, Any, None]]:
    """List what happens at once: everything, or honest callers of one kind alone, so that its memory can be told."""
    kinds = KINDS.values() if only is None else [ALONE[only]]
    honest = [crowd.honest(make, pause_s, seed) for make, pause_s, count in kinds for seed in range(count)]
    looking = [watch.ask_livez(), watch.weigh()]
    return [*honest, *looking, *([] if only else _harm(crowd, misfortunes, seconds))]


def _harm(crowd: Crowd, misfortunes: Misfortunes, seconds: float) -> list[Coroutine[Any, Any, None]]:
    leaving = [crowd.leaving(requests.document, 1, seed) for seed in range(2)]
    leaving += [crowd.leaving(requests.text, 1, seed) for seed in range(2)]
    hostile = [crowd.honest(make, 2, 0) for make in (requests.packed, requests.preamble, requests.crumbs)]
    hostile += [crowd.slow_body(seed) for seed in range(20)]
    hostile += [crowd.slow_head() for _ in range(30)] + [crowd.idle(1000)]
    minute = min(60.0, seconds / 4)
    fate = [
        misfortunes.kill_workers(minute / 6),
        misfortunes.kill_model(minute / 2),
        misfortunes.rotate_keys(minute / 4),
        misfortunes.fill_disk(minute / 2),
        misfortunes.restart(seconds / 4, minute / 3),
    ]
    return [*leaving, *hostile, *fate]


async def _soak(stage: Stage, minutes: float, only: str | None) -> bool:
    seconds = 60 * minutes
    ledger = Ledger()
    crowd = Crowd(stage, ledger)
    misfortunes, watch = Misfortunes(stage, crowd), Watch(stage, crowd)
    stage.start_model()
    await stage.start()
    async with asyncio.TaskGroup() as tasks:
        for one in work(crowd, misfortunes, watch, seconds, only):
            tasks.create_task(one)
        await asyncio.sleep(seconds / 3)
        watch.forget_memory()
        await asyncio.sleep(seconds * 2 / 3)
        crowd.stopping.set()
    await asyncio.sleep(SETTLE_S)
    left = stage.left_in_spool()
    exit_status = await stage.terminate()
    left += stage.left_in_spool()
    found = figures(ledger, watch.memory, watch.livez_s, watch.livez_failed, left, exit_status)
    befell = ", ".join(f"{count} x {what}" for what, count in sorted(misfortunes.count.items()))
    print("befell:", befell or "nothing")
    for (what, status), count in sorted(ledger.statuses.items()):
        print(f"  {what:12} {status}: {count}")
    for figure in found:
        print(f"{'held' if figure.held else 'NOT HELD':9} {figure.name:82} {figure.value}")
    return all(figure.held for figure in found)


def _stage(folder: Path, backend: str | None) -> Stage:
    if backend is None:
        return Stage(folder, {"RETRIEVAL_DTYPE": "float32"}, Shape())
    settings = {"RETRIEVAL_BACKEND": backend, "RETRIEVAL_CACHE_DIR": str(folder / "exports")}
    return Stage(folder, settings, LARGER)


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tools.soak", description="Soak the service.")
    parser.add_argument("--minutes", type=float, default=20)
    parser.add_argument("--only", choices=ALONE, help="callers of this kind alone, nothing that does harm")
    parser.add_argument("--backend", choices=BACKENDS, help="what computes larger models of texts")
    parser.add_argument("--folder", type=Path, help="where its files lie and stay, the service's log among them")
    options = parser.parse_args()
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
    with tempfile.TemporaryDirectory(prefix="ocr-sidecar-soak-") as temporary:
        folder = options.folder or Path(temporary)
        folder.mkdir(parents=True, exist_ok=True)
        stage = _stage(folder, options.backend)
        try:
            stage.prepare()
            with disk(stage.spool) as spool:
                before = os.getloadavg()
                what = f"{options.minutes:g} minutes of {options.only or 'everything'}"
                print(f"{machine.describe()}; {what}; {spool}; load before: {before[0]:.1f}", flush=True)
                held = asyncio.run(_soak(stage, options.minutes, options.only))
                print(f"load at the end: {os.getloadavg()[1]:.1f} (mean of 5 minutes)")
                return 0 if held else 1
        finally:
            stage.close()


if __name__ == "__main__":
    sys.exit(main())
