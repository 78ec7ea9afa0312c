"""Reads requirements.lock and hashes.lock. Needs nothing but the standard library: images are built with it."""

import re
from pathlib import Path

ROOT = Path(__file__).parents[2]
PINS, HASHES = ROOT / "requirements.lock", ROOT / "hashes.lock"
UNHASHED = frozenset({"torch"})
"""Its builds come from PyTorch's own index and differ by platform; its version and that index are what pins it."""
_SUM = r" \\\n    --hash=sha256:"


def canonical(name: str) -> str:
    """Write a package's name as indexes do (PEP 503)."""
    return re.sub(r"[-_.]+", "-", name).lower()


def pinned() -> dict[str, str]:
    """Return the versions of requirements.lock, by name as it is written there."""
    lines = (line for line in PINS.read_text(encoding="utf-8").splitlines() if not line.startswith("#"))
    return dict(line.split("==") for line in lines)


def hashed(text: str) -> dict[tuple[str, str], list[str]]:
    """Parse a file of hashes: SHA-256 sums by canonical name and version."""
    blocks = re.findall(rf"^(\S+)==(\S+)((?:{_SUM}[0-9a-f]{{64}})+)$", text, re.MULTILINE)
    return {(canonical(name), version): re.findall(r"sha256:(\w+)", sums) for name, version, sums in blocks}


def block(name: str, version: str, sums: list[str]) -> str:
    """Render one package as pip reads it."""
    return " \\\n".join([f"{name}=={version}", *(f"    --hash=sha256:{one}" for one in sums)]) + "\n"
