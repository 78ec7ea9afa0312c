"""Runs a built tree like a strict container engine.

Its own mounts and processes, a read-only root with /tmp and named volumes beside it, the image's numeric user without
a single capability. The network is the host's, so ports are given by the caller.
"""

import asyncio
import contextlib
import os
import shlex
import signal
import subprocess
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

START_S = 30.0
STOP_S = 30.0

_ENTER = """
root=$1; shift
mount --bind "$root" "$root"
mount -t proc proc "$root/proc"
mount --rbind /dev "$root/dev"
mount -t tmpfs -o mode=1777 tmpfs "$root/tmp"
while [ "$1" != -- ]; do mount --bind "$1" "$root$2"; shift 2; done; shift
mount -o remount,bind,ro "$root"
exec chroot "$root" "$@"
"""


@dataclass(frozen=True)
class Image:
    """A built image: its tree, its configuration, its sizes in MB."""

    target: str
    tree: Path
    config: Mapping[str, Any]
    sizes: Mapping[str, float]

    @classmethod
    def read(cls, target: str, known: Mapping[str, Any]) -> Self:
        return cls(target, Path(known["tree"]), known["config"], known["sizes"])

    @property
    def environment(self) -> dict[str, str]:
        return dict(one.split("=", 1) for one in self.config["Env"])

    @property
    def entry(self) -> list[str]:
        return list(self.config["Entrypoint"])

    def files(self, folder: str) -> list[Path]:
        """Files below a folder of the tree, as the image names them; links too, folders not."""
        found = (self.tree / folder).rglob("*")
        return [Path("/") / path.relative_to(self.tree) for path in found if path.is_symlink() or path.is_file()]

    def there(self, path: Path) -> Path:
        """The path on this machine of a path in the image."""
        return self.tree / path.relative_to("/")


class Container:
    """A container that was started."""

    def __init__(self, image: Image, environ: Mapping[str, str], process: subprocess.Popen[bytes], log: Path) -> None:
        self.image, self.environ, self.process, self.log = image, environ, process, log

    @property
    def first(self) -> int:
        """The process that is number 1 inside."""
        children = Path(f"/proc/{self.process.pid}/task/{self.process.pid}/children").read_text()
        return int(children.split()[0])

    def execute(self, *command: str) -> subprocess.CompletedProcess[str]:
        """Run a command inside, as the image's user, to its end."""
        enter = ("nsenter", "--target", str(self.first), "--mount", "--pid", "--root")
        inside = demoted(self.image, self.environ, command)
        return subprocess.run([*enter, "--", *inside], capture_output=True, text=True, timeout=60, check=False)

    async def terminate(self) -> int:
        """Ask it to end, as an engine does; return its exit status."""
        os.kill(self.first, 15)
        return await self.ended()

    async def ended(self) -> int:
        return await asyncio.to_thread(self.process.wait, STOP_S)

    def said(self) -> str:
        return self.log.read_text(encoding="utf-8")


def demoted(image: Image, environ: Mapping[str, str], command: Sequence[str]) -> list[str]:
    """A command as the image's user, who cannot gain privileges."""
    user, group = image.config["User"].split(":")
    rights = ("--clear-groups", "--no-new-privs", "--bounding-set=-all", "--inh-caps=-all")
    variables = [f"{name}={value}" for name, value in (image.environment | dict(environ)).items()]
    clean = ("env", "-i", f"--chdir={image.config['WorkingDir']}", *variables)
    return ["setpriv", f"--reuid={user}", f"--regid={group}", *rights, *clean, *command]


@asynccontextmanager
async def started(
    image: Image,
    log: Path,
    *,
    entry: Sequence[str] | None = None,
    command: Sequence[str] | None = None,
    environ: Mapping[str, str],
    volumes: Mapping[str, Path],
) -> AsyncIterator[Container]:
    """Run an image with its own entry point and command, or with others. Killed at the end of the block."""
    mounts = [word for inside, outside in volumes.items() for word in (str(outside), inside)]
    what = [*(image.entry if entry is None else entry), *(image.config["Cmd"] if command is None else command)]
    apart = ("unshare", "--mount", "--pid", "--ipc", "--uts", "--fork", "--kill-child", "--propagation", "private")
    inside = demoted(image, environ, what)
    with log.open("wb") as output:
        process = subprocess.Popen(
            [*apart, "--", "sh", "-ec", _ENTER, "sh", str(image.tree), *mounts, "--", *inside],
            stdout=output,
            stderr=output,
            stdin=subprocess.DEVNULL,
        )
    try:
        yield Container(image, environ, process, log)
    finally:
        _kill(process)


def _kill(process: subprocess.Popen[bytes]) -> None:
    """Kill the first process inside, and with it all others: the kernel drops --kill-child when the user changes."""
    with contextlib.suppress(OSError):
        for child in Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text().split():
            os.kill(int(child), signal.SIGKILL)
    process.kill()
    process.wait()


def script(text: str) -> tuple[str, str, str]:
    """A Python program as a command of the image."""
    return ("python", "-c", text)


def health_command(image: Image) -> list[str]:
    """The command by which an engine checks a container's health."""
    kind, *command = image.config["Healthcheck"]["Test"]
    return list(command) if kind == "CMD" else ["sh", "-c", shlex.join(command)]
