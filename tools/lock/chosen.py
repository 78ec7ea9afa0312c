"""Picks from hashes.lock what pip chose for one image: prints the requirements, with hashes, of a report of pip's.

    pip install --dry-run --report report.json …
    python -m tools.lock.chosen report.json > chosen.txt

What a build of torch for a GPU brings, in versions that torch itself pins, is in no lock: it gets the sum that the
index tells.
"""

import json
import re
import sys
from pathlib import Path

from tools.lock.lock_file import HASHES, block, canonical, hashed

TORCHS_OWN = re.compile(r"(nvidia|cuda)-.+|triton")

Sums = dict[tuple[str, str], list[str]]


def chosen(report: str) -> Sums:
    """Return what pip would install, each with the sum of its file as the index tells it."""
    return {
        (canonical(one["metadata"]["name"]), one["metadata"]["version"]): [
            one["download_info"]["archive_info"]["hashes"]["sha256"]
        ]
        for one in json.loads(report)["install"]
    }


def requirements(found: Sums, locked: Sums) -> str:
    """Render what is to be installed.

    Raises:
        SystemExit: a package is not locked.
    """
    missing = [name for name, version in found if (name, version) not in locked and not TORCHS_OWN.fullmatch(name)]
    if missing:
        raise SystemExit(f"not in hashes.lock: {', '.join(missing)}; make hashes, or make lock, writes it")
    return "".join(block(*which, locked.get(which, told)) for which, told in sorted(found.items()))


if __name__ == "__main__":
    in_lock = hashed(HASHES.read_text(encoding="utf-8"))
    sys.stdout.write(requirements(chosen(Path(sys.argv[1]).read_text(encoding="utf-8")), in_lock))
