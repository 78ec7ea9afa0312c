"""Starts the service with small random models and runs the clients, each in its environment; prints their table.

The clients are not installed beside the service: some of them are bound to older libraries.
"""

import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from pathlib import Path

from bench.harness.service import ROOT, running_service
from tools.fakes import tiny_models

CLIENTS = (
    (ROOT / ".venv-clients" / "bin" / "python", "tools.clients.cases"),
    (ROOT / ".venv-clients" / "bin" / "python", "tools.clients.recipes"),
    (ROOT / ".venv-clients-infinity" / "bin" / "python", "tools.clients.infinity_cases"),
    (ROOT / ".venv-clients-documents" / "bin" / "python", "tools.clients.document_cases"),
)
LOADED_S = 120.0


def main() -> int:
    """Run all; return how many environments had a failure."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        models = {
            "BGE_M3_MODEL": str(tiny_models.make_embedder(folder / "bge-m3")),
            "RERANKER_MODEL": str(tiny_models.make_reranker(folder / "bge-reranker")),
            "RETRIEVAL_DEVICE": "cpu",
        }
        with running_service(**models) as service:
            _wait_until_loaded(service.url)
            return sum(
                subprocess.run([str(python), "-m", module, service.url], cwd=ROOT, check=False).returncode != 0
                for python, module in CLIENTS
            )


def _wait_until_loaded(url: str) -> None:
    deadline_s = time.monotonic() + LOADED_S
    for path, body in (("/embed", b'{"text": "a"}'), ("/rerank", b'{"query": "a", "chunks": ["b"]}')):
        while True:
            try:
                urllib.request.urlopen(f"{url}{path}", data=body, timeout=30).close()
            except (urllib.error.URLError, OSError):
                if time.monotonic() > deadline_s:
                    raise
                time.sleep(0.5)
            else:
                break


if __name__ == "__main__":
    sys.exit(main())
