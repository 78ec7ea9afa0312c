"""`python -m tools.release.digest FILE` prints the digest of what buildx or `helm push` says it pushed."""

import json
import re
import sys
from pathlib import Path


def digest_of(said: str) -> str:
    """Return the digest.

    Raises:
        ValueError: there is none, or more than one.
    """
    try:
        found = [json.loads(said)["containerimage.digest"]]
    except (ValueError, KeyError):
        found = re.findall(r"^Digest: (sha256:[0-9a-f]{64})$", said, re.MULTILINE)
    if len(found) != 1:
        raise ValueError(f"{len(found)} digests, one is wanted: {said[:200]!r}")
    return str(found[0])


if __name__ == "__main__":
    print(digest_of(Path(sys.argv[1]).read_text(encoding="utf-8")))
