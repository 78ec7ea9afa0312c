"""``python -m bench.demo FILE``: start the service, send it a document like any caller, show the text."""

import argparse
import secrets
import subprocess
import sys
from pathlib import Path

from bench.harness.service import ROOT, base_environment, running_service


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m bench.demo", description="Read one document over HTTP.")
    parser.add_argument("file", type=Path, metavar="FILE", help="a document")
    path = parser.parse_args().file.resolve()
    key = secrets.token_urlsafe(32)
    with running_service(OCR_AUTH_MODE="api-key", OCR_SIDECAR_API_KEY=key) as service:
        print(f"The service runs at {service.url} for this document, with a key made for it.", file=sys.stderr)
        return _read(service.url, key, path)


def _read(url: str, key: str, path: Path) -> int:
    command = [sys.executable, "-m", "sidecar", "ocr", "--url", url, str(path)]
    environment = base_environment() | {"OCR_SIDECAR_API_KEY": key}
    return subprocess.run(command, cwd=ROOT, env=environment, check=False).returncode


if __name__ == "__main__":
    sys.exit(main())
