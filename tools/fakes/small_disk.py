"""A disk that is as full as a test wants: a tmpfs of few bytes, or of few files (inodes). Needs root."""

import os
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

COMMAND_S = 20


def why_not() -> str | None:
    """Return why there can be none here; None if there can."""
    if os.geteuid() != 0:
        return "mounting a tmpfs needs root"
    try:
        with tempfile.TemporaryDirectory() as folder, small_disk(Path(folder), "size=64k"):
            return None
    except (OSError, subprocess.SubprocessError) as exc:
        return f"this kernel or container mounts no tmpfs: {(getattr(exc, 'stderr', None) or str(exc)).strip()}"


@contextmanager
def small_disk(folder: Path, options: str) -> Iterator[Path]:
    """Mount one over an existing folder; ``options`` are tmpfs's own, such as ``size=1m`` or ``nr_inodes=2``."""
    _run("mount", "-t", "tmpfs", "-o", f"mode=700,{options}", "tmpfs", str(folder))
    try:
        yield folder
    finally:
        _run("umount", "--lazy", str(folder))


def resize(folder: Path, options: str) -> None:
    """Make it larger, or smaller."""
    _run("mount", "-o", f"remount,{options}", str(folder))


def _run(*command: str) -> None:
    subprocess.run(command, check=True, capture_output=True, text=True, timeout=COMMAND_S)
