"""Writes hashes.lock: the versions of requirements.lock with the SHA-256 of every file that the index has of them.

    python -m tools.lock.hashes

All files, so that one list holds for every platform and Python. Asks the index that pip asks (PIP_INDEX_URL, or PyPI)
by the Simple API in JSON (PEP 691), and writes down neither its name nor where files lie.
"""

import json
import os
import ssl
import urllib.request
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

from packaging.utils import InvalidSdistFilename, InvalidWheelFilename, parse_sdist_filename, parse_wheel_filename
from packaging.version import Version

from tools.lock.lock_file import HASHES, UNHASHED, block, canonical, pinned

INDEX = os.environ.get("PIP_INDEX_URL", "https://pypi.org/simple").rstrip("/")
ACCEPT = "application/vnd.pypi.simple.v1+json"
DEADLINE_S = 60.0
AT_A_TIME = 8
HEADER = "# The versions of requirements.lock, but torch's, with the hashes of all their files. Made by make hashes.\n"


def version_of(filename: str) -> Version | None:
    """Return the version of a file of the index; None for formats that pip no longer installs."""
    try:
        return (parse_wheel_filename if filename.endswith(".whl") else parse_sdist_filename)(filename)[1]
    except (InvalidWheelFilename, InvalidSdistFilename):
        return None


def ask(name: str, version: str) -> list[str]:
    """Ask the index for the sums of one version's files."""
    request = urllib.request.Request(f"{INDEX}/{canonical(name)}/", headers={"Accept": ACCEPT})
    context = ssl.create_default_context(cafile=os.environ.get("PIP_CERT"))
    with urllib.request.urlopen(request, timeout=DEADLINE_S, context=context) as answer:
        files = json.load(answer)["files"]
    found = {one["hashes"]["sha256"] for one in files if version_of(one["filename"]) == Version(version)}
    if not found:
        raise SystemExit(f"the index has no file of {name}=={version}")
    return sorted(found)


def render(versions: dict[str, str]) -> Iterator[str]:
    """Write the file, block by block."""
    yield HEADER
    names = [name for name in versions if name not in UNHASHED]
    with ThreadPoolExecutor(AT_A_TIME) as pool:
        sums = pool.map(lambda name: ask(name, versions[name]), names)
        yield from (block(name, versions[name], found) for name, found in zip(names, sums, strict=True))


if __name__ == "__main__":
    HASHES.write_text("".join(render(pinned())), encoding="utf-8")
