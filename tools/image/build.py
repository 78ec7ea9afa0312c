"""Builds both images where no container engine runs: Debian's buildah in a chroot, on a base made with debootstrap.

Needs root, debootstrap and buildah. The build uses this machine's pip configuration. Writes what was built to
`images.json`: for each target its tree, its configuration and its sizes.
"""

import argparse
import json
import os
import shlex
import subprocess
import sys
import time
import zlib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[2]
TARGETS = ("controller", "sidecar")
BASE = "localhost/debian-python:12"
DEBIAN = "http://deb.debian.org/debian"
SECURITY = "http://deb.debian.org/debian-security"
SHOWN = "/mnt/pip"
SLIM_LACKS = ("usr/share/doc", "usr/share/man", "usr/share/locale", "var/cache/apt", "var/lib/apt/lists", "var/log")
"""What Debian's slim images leave out, so that sizes are comparable."""
SLIM_HAS = ("bin/pip3", "lib/python3.11/ensurepip/__init__.py", "lib/python3.11/site-packages/pip/__init__.py")
"""What python:slim has in /usr/local and our images must not have: put into the base, to check its removal."""


def main() -> int:
    """Build what the command line names."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path, help="folder to work in; base and storage stay there for the next time")
    parser.add_argument("--file", type=Path, default=ROOT / "Dockerfile", help="Dockerfile (default: ours)")
    parser.add_argument("--version", required=True, help="version of the code, for the label")
    parser.add_argument("--revision", required=True, help="commit of the code, for the label")
    parser.add_argument("targets", nargs="*", default=TARGETS, help="targets (default: both)")
    options = parser.parse_args()
    if os.geteuid() != 0:
        sys.exit("image-check needs root: debootstrap and a chroot do")
    folder = options.folder.resolve()
    folder.mkdir(parents=True, exist_ok=True)
    buildah = Buildah(folder)
    with_base(buildah, folder)
    labels = ["--build-arg", f"VERSION={options.version}", "--build-arg", f"REVISION={options.revision}"]
    arguments = [*labels, *pip_options(folder), *shlex.split(os.environ.get("BUILD_OPTIONS", ""))]
    result = folder / "images.json"
    images = json.loads(result.read_text()) if result.exists() else {}
    for target in options.targets:
        started = time.monotonic()
        buildah.build(target, options.file, arguments)
        seconds = round(time.monotonic() - started)
        images[target] = buildah.describe(target) | {"seconds": seconds}
        print(f"{target}: built in {seconds} s, {images[target]['sizes']}", flush=True)
        result.write_text(json.dumps(images, indent=1))
    return 0


class Buildah:
    """buildah with a storage of its own; vfs, which works everywhere (STORAGE_DRIVER=overlay is faster)."""

    def __init__(self, folder: Path) -> None:
        driver = os.environ.get("STORAGE_DRIVER", "vfs")
        self._folder = folder
        self._command = (
            *("buildah", "--root", str(folder / driver), "--runroot", str(folder / f"{driver}-run")),
            *("--storage-driver", driver),
        )

    def run(self, *arguments: str) -> None:
        """Run one command, its output as it comes."""
        subprocess.run([*self._command, *arguments], check=True, cwd=ROOT)

    def ask(self, *arguments: str) -> str:
        """Run one command; return its output."""
        done = subprocess.run([*self._command, *arguments], check=True, cwd=ROOT, stdout=subprocess.PIPE, text=True)
        return done.stdout.strip()

    def has(self, image: str) -> bool:
        """Return whether the image exists."""
        return image in self.ask("images", "--noheading", "--format", "{{.Name}}:{{.Tag}}").split()

    def add_base(self, tree: Path) -> None:
        """Make an image from a tree."""
        name = self.ask("from", "scratch")
        self.run("add", "--quiet", name, str(tree), "/")
        self.run("commit", "--quiet", name, BASE)
        self.run("rm", name)

    def build(self, target: str, file: Path, options: list[str]) -> None:
        """Build a target."""
        print(f"── {target} ──", flush=True)
        self.run(
            *("bud", "--isolation", "chroot", "--format", "docker", "--pull-never", "--target", target),
            *("--build-arg", f"BASE_IMAGE={BASE}", "--build-arg", "TORCH_INDEX=", *options),
            *("--tag", f"localhost/ocr-{target}", "--file", str(file), "."),
        )

    def describe(self, target: str) -> dict[str, Any]:
        """Return tree, configuration and sizes of a target that was built."""
        image = f"localhost/ocr-{target}"
        known = json.loads(self.ask("inspect", "--type", "image", image))
        name = self.ask("from", "--pull-never", image)
        tree = Path(self.ask("mount", name))
        base = Path(self.ask("mount", self.ask("from", "--pull-never", BASE)))
        return {"tree": str(tree), "config": known["Docker"]["config"], "sizes": sizes(tree, base)}


def with_base(buildah: Buildah, folder: Path) -> None:
    """Make the base, once: Debian 12 and its Python."""
    tree = folder / "base"
    done = folder / "base.done"
    if not done.exists():
        subprocess.run(["rm", "-rf", str(tree)], check=True)
        include = "--include=python3,ca-certificates"
        command = ["debootstrap", "--variant=minbase", include, "bookworm", str(tree), DEBIAN]
        with (folder / "debootstrap.log").open("w") as log:
            subprocess.run(command, check=True, stdout=log, stderr=log)
        finish_base(tree)
        done.touch()
    if not buildah.has(BASE):
        buildah.add_base(tree)


def finish_base(tree: Path) -> None:
    """Make Debian's tree like python:slim: no documentation, no bytecode, security fixes, and unwanted files."""
    for name in SLIM_LACKS:
        subprocess.run(["find", str(tree / name), "-mindepth", "1", "-delete"], check=False)
    for bytecode in list((tree / "usr/lib").rglob("*.pyc")):
        bytecode.unlink()
    for name in SLIM_HAS:
        (tree / "usr/local" / name).parent.mkdir(parents=True, exist_ok=True)
        (tree / "usr/local" / name).touch()
    (tree / "etc/apt/sources.list").write_text(
        f"deb {DEBIAN} bookworm main\ndeb {DEBIAN} bookworm-updates main\ndeb {SECURITY} bookworm-security main\n"
    )


# ── this machine's pip configuration ──────────────────────────────────────────────────────────────────────────────


def pip_options(folder: Path) -> list[str]:
    """Pass pip's configuration to the build as a secret, and mount the folders and files that it names.

    They are mounted below `SHOWN`, because the build may have its own files at their paths.
    """
    listed = subprocess.run([sys.executable, "-m", "pip", "config", "list"], check=True, capture_output=True, text=True)
    settings = merged(listed.stdout)
    paths = sorted(set(local_paths(settings)))
    words = {name: [shown(word) for word in value.split()] for name, value in settings.items()}
    secret = folder / "pip.conf"
    secret.touch(mode=0o600)
    secret.write_text("[global]\n" + "".join(f"{name} = {' '.join(value)}\n" for name, value in words.items()))
    volumes = [option for path in paths for option in ("--volume", f"{path}:{SHOWN}{path}:ro")]
    return ["--secret", f"id=pip,src={secret}", *volumes]


def shown(word: str) -> str:
    """The path in the build of a path of this machine; other words are unchanged."""
    path = word.removeprefix("file://")
    return word.replace(path, SHOWN + path) if path.startswith("/") else word


def merged(listed: str) -> dict[str, str]:
    """Merge what `pip config list` prints; the environment wins, as it does for pip."""
    lines = [line.partition("=") for line in listed.splitlines()]
    found = {name: value.strip("'") for name, _, value in lines if name.startswith((":env:.", "global.", "install."))}
    ranked = sorted(found, key=lambda name: (name.startswith(":env:"), name))
    return {name.rpartition(".")[2]: found[name] for name in ranked}


def local_paths(settings: Mapping[str, str]) -> Iterator[str]:
    """List existing local paths in the configuration; for an index, the files beside it, too."""
    for word in " ".join(settings.values()).split():
        path = Path(word.removeprefix("file://"))
        if path.is_absolute() and path.exists():
            yield str(path.parent if path.name == "simple" else path)


# ── sizes ─────────────────────────────────────────────────────────────────────────────────────────────────────────


def sizes(tree: Path, base: Path) -> dict[str, float]:
    """Sizes in MB (millions of bytes): on disk and packed as a registry holds it, whole and of the base alone."""
    whole, under = packed(tree), packed(base)
    return {
        "unpacked_mb": unpacked(tree),
        "unpacked_base_mb": unpacked(base),
        "packed_mb": whole,
        "packed_base_mb": under,
    }


def unpacked(tree: Path) -> float:
    """Sum up all files, hard links once."""
    files = {(s.st_dev, s.st_ino): s.st_size for path in tree.rglob("*") if (s := path.lstat()) and path.is_file()}
    return round(sum(files.values()) / 1e6, 1)


def packed(tree: Path) -> float:
    """Pack a tree like a layer, and count the bytes."""
    command = ["tar", "--create", "--one-file-system", "--directory", str(tree), "."]
    packer, count = zlib.compressobj(6, wbits=31), 0
    with subprocess.Popen(command, stdout=subprocess.PIPE) as tar:
        while tar.stdout and (block := tar.stdout.read(1 << 20)):
            count += len(packer.compress(block))
    return round((count + len(packer.flush())) / 1e6, 1)


if __name__ == "__main__":
    sys.exit(main())
