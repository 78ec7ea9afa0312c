"""infinity, another embedding server, with the same weights and texts, if ``make bench-peers`` installed it.

It runs with its torch engine in its own process. It returns dense vectors only.
"""

import json
import os
import shutil
import subprocess
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from bench.harness.service import HOST, ROOT, free_ports

PROGRAM = ROOT / ".venv-peers" / "bin" / "infinity_emb"
STARTED_S = 120.0


def is_installed() -> bool:
    """Return whether it is installed."""
    return PROGRAM.exists()


@contextmanager
def running_infinity(model: Path, dtype: str) -> Iterator[int]:
    """Run it during the block, and yield its port. ``auto`` is its own choice, float32 on a CPU."""
    with tempfile.TemporaryDirectory() as folder:
        copy = _readable_by_older_libraries(model, Path(folder) / "model")
        (port,) = free_ports(1)
        arguments = f"v2 --model-id {copy} --served-model-name m --engine torch --device cpu --dtype {dtype}".split()
        arguments += f"--port {port} --host {HOST} --no-model-warmup --no-bettertransformer".split()
        process = subprocess.Popen(
            [str(PROGRAM), *arguments],
            env=os.environ | {"HF_HUB_OFFLINE": "1", "DO_NOT_TRACK": "1"},
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        try:
            _wait_until_ready(process, port)
            yield port
        finally:
            process.terminate()
            process.wait()


def _readable_by_older_libraries(model: Path, copy: Path) -> Path:
    """Copy a model, with the tokenizer's class named as in transformers 4, which infinity requires."""
    shutil.copytree(model, copy)
    config = copy / "tokenizer_config.json"
    config.write_text(json.dumps(json.loads(config.read_text()) | {"tokenizer_class": "PreTrainedTokenizerFast"}))
    return copy


def _wait_until_ready(process: "subprocess.Popen[bytes]", port: int) -> None:
    deadline = time.monotonic() + STARTED_S
    while True:
        try:
            urllib.request.urlopen(f"http://{HOST}:{port}/health", timeout=1).close()
        except (urllib.error.URLError, OSError) as exc:
            if process.poll() is not None or time.monotonic() > deadline:
                raise RuntimeError("infinity does not start") from exc
            time.sleep(0.25)
        else:
            return


def request(texts: Sequence[str]) -> bytes:
    """Return a whole request, as OpenAI's clients send it."""
    data = json.dumps({"model": "m", "input": list(texts)}).encode()
    head = f"POST /embeddings HTTP/1.1\r\nHost: {HOST}\r\nContent-Type: application/json\r\n"
    return f"{head}Content-Length: {len(data)}\r\n\r\n".encode() + data
