"""Prints a software bill of materials, CycloneDX 1.6 in JSON: of all that is locked, or of what one folder holds.

    python -m tools.lock.sbom ocr-sidecar 0.1.0 [/opt/venv/lib/python3.11/site-packages]

Each package has its version, its purl, and the SHA-256 of the files that it may have been installed from. Without times
and random numbers: the same packages give the same bytes.
"""

import json
import sys
from importlib.metadata import distributions
from typing import Any
from urllib.parse import quote

from tools.lock.lock_file import HASHES, canonical, hashed, pinned


def installed(folder: str) -> dict[str, str]:
    """Return the versions of the packages in a folder, by name."""
    return {one.name: one.version for one in distributions(path=[folder])}


def component(name: str, version: str, sums: list[str]) -> dict[str, Any]:
    """Render one package."""
    purl = f"pkg:pypi/{canonical(name)}@{quote(version)}"
    source = {"type": "distribution", "url": f"https://pypi.org/project/{canonical(name)}/{quote(version)}/"}
    source |= {"hashes": [{"alg": "SHA-256", "content": one} for one in sums]} if sums else {}
    return {
        "type": "library",
        "bom-ref": purl,
        "name": name,
        "version": version,
        "purl": purl,
        "externalReferences": [source],
    }


def bill(name: str, version: str, versions: dict[str, str]) -> dict[str, Any]:
    """Render the whole bill of an application with these packages."""
    sums = hashed(HASHES.read_text(encoding="utf-8"))
    of_all = sorted(versions.items(), key=lambda one: canonical(one[0]))
    return {
        "$schema": "http://cyclonedx.org/schema/bom-1.6.schema.json",
        "bomFormat": "CycloneDX",
        "specVersion": "1.6",
        "version": 1,
        "metadata": {"component": {"type": "application", "bom-ref": name, "name": name, "version": version}},
        "components": [component(one, which, sums.get((canonical(one), which), [])) for one, which in of_all],
    }


if __name__ == "__main__":
    application, release, *folders = sys.argv[1:]
    packages = installed(folders[0]) if folders else pinned()
    json.dump(bill(application, release, packages), sys.stdout, indent=1)
    sys.stdout.write("\n")
