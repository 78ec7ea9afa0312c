"""``python -m tools.soak --minutes 20``: everything at once, then the figures; exit status 1 if one is not held.

The service is ended and restarted during the first quarter; its memory counts over the last two thirds, in which it
runs on, with all other misfortunes. The load is bounded, so that two cores suffice, others beside it. ``--only KIND``
sends one kind and does no harm.

With ``--texts torch`` or ``--texts openvino`` there are but texts of all lengths, embedded and ranked by that backend
in bfloat16, and nothing befalls the service: what its memory does then is the models' doing. ``--shape m3`` gives both
models BGE-M3's layers, and judges how much more than their weights they take.
"""

import argparse
import asyncio
import os
import resource
import signal
import sys
import tempfile
from collections.abc import Coroutine
from pathlib import Path
from typing import Any

from bench.harness import machine
from tools.fakes.model_texts import Shape
from tools.soak import requests
from tools.soak.callers import Crowd, Make
from tools.soak.ledger import Ledger, ModelMemory, figures
from tools.soak.misfortunes import Misfortunes
from tools.soak.stage import Stage, disk
from tools.soak.watch import Watch, resident_mb

SETTLE_S = 5.0
"""After the last caller, before the spool is looked at."""
BACKENDS = ("torch", "openvino")
SHAPES = {
    "small": Shape(hidden=384, layers=6, heads=12, vocabulary=3000),
    "m3": Shape(hidden=1024, layers=24, heads=16, vocabulary=3000),
}
"""Of the models with ``--texts``. A vocabulary of 250,000 tokens would only weigh: it is not computed with."""
KINDS: dict[str, tuple[Make, float, int]] = {
    "documents": (requests.document, 0.3, 6),
    "texts": (requests.text, 0.2, 4),
}
"""What honest callers send, how many seconds they pause, and how many there are."""
LENGTHS = "lengths"
ALONE = KINDS | {LENGTHS: (requests.text_of_any_length, 4.0, 2)}
"""What may be sent alone: with ``--texts`` texts of all lengths."""


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


async def _soak(stage: Stage, minutes: float, options: argparse.Namespace) -> bool:
    seconds = 60 * minutes
    ledger = Ledger()
    crowd = Crowd(stage, ledger)
    misfortunes, watch = Misfortunes(stage, crowd), Watch(stage, crowd)
    stage.start_model()
    await stage.start()
    empty_mb = await stage.without_models(resident_mb) if options.texts else 0.0
    only = LENGTHS if options.texts else options.only
    async with asyncio.TaskGroup() as tasks:
        for one in work(crowd, misfortunes, watch, seconds, only):
            tasks.create_task(one)
        await asyncio.sleep(seconds / 3)
        watch.forget_memory()
        await asyncio.sleep(seconds * 2 / 3)
        crowd.stopping.set()
    await asyncio.sleep(SETTLE_S)
    left = stage.left_in_spool()
    weighed = ModelMemory(empty_mb, stage.weigh(resident_mb), stage.weights_mb)
    exit_status = await stage.terminate()
    left += stage.left_in_spool()
    found = figures(ledger, watch.memory, watch.livez_s, watch.livez_failed, left, exit_status)
    if options.texts:
        found.append(weighed.figure(is_judged=options.shape == "m3"))
    befell = ", ".join(f"{count} x {what}" for what, count in sorted(misfortunes.count.items()))
    print("befell:", befell or "nothing")
    for (what, status), count in sorted(ledger.statuses.items()):
        print(f"  {what:12} {status}: {count}")
    for figure in found:
        print(f"{'held' if figure.held else 'NOT HELD':9} {figure.name:82} {figure.value}")
    return all(figure.held for figure in found)


def _stage(folder: Path, options: argparse.Namespace) -> Stage:
    if options.texts is None:
        return Stage(folder, {"RETRIEVAL_DTYPE": "float32"}, Shape())
    settings = {
        "RETRIEVAL_BACKEND": options.texts,
        "RETRIEVAL_DTYPE": "bfloat16",
        "RETRIEVAL_CACHE_DIR": str(folder / "exports"),
    }
    return Stage(folder, settings, SHAPES[options.shape])


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tools.soak", description="Soak the service.")
    parser.add_argument("--minutes", type=float, default=20)
    alone = parser.add_mutually_exclusive_group()
    alone.add_argument("--only", choices=KINDS, help="callers of this kind alone, nothing that does harm")
    alone.add_argument("--texts", choices=BACKENDS, help="texts of all lengths alone, computed by this backend")
    parser.add_argument("--shape", choices=SHAPES, default="small", help="of both models, with --texts")
    parser.add_argument("--folder", type=Path, help="where its files lie and stay, the service's log among them")
    options = parser.parse_args()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # as Ctrl-C: nothing that was started stays
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
    with tempfile.TemporaryDirectory(prefix="ocr-sidecar-soak-") as temporary:
        folder = options.folder or Path(temporary)
        folder.mkdir(parents=True, exist_ok=True)
        stage = _stage(folder, options)
        try:
            stage.prepare()
            with disk(stage.spool) as spool:
                before = os.getloadavg()
                what = f"{options.minutes:g} minutes of {options.only or (options.texts and LENGTHS) or 'everything'}"
                print(f"{machine.describe()}; {what}; {spool}; load before: {before[0]:.1f}", flush=True)
                held = asyncio.run(_soak(stage, options.minutes, options))
                print(f"load at the end: {os.getloadavg()[1]:.1f} (mean of 5 minutes)")
                return 0 if held else 1
        finally:
            stage.close()


if __name__ == "__main__":
    sys.exit(main())
