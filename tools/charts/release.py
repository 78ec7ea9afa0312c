"""What a release of the chart rendered to, kept to try upgrades from it: tests/data/chart/VERSION.json.gz.

`python -m tools.charts.release VERSION` writes it (`make keep-rendering`); docs/release.md says when.
"""

import gzip
import json
import sys
from pathlib import Path
from typing import Any

import yaml
from packaging.version import Version

from tools.charts.cases import CASES
from tools.charts.rendering import CHART, NAMESPACE, ROOT, Object, is_test, objects

KEPT = ROOT / "tests" / "data" / "chart"
SUFFIX = ".json.gz"
PLACE = "namespace-of-the-release"
"""Stands for the namespace in what is kept."""


def versions() -> list[str]:
    """Return the releases that are kept, the oldest first."""
    return sorted((path.name.removesuffix(SUFFIX) for path in KEPT.glob(f"*{SUFFIX}")), key=Version)


def last_without(version: str) -> str:
    """Return the newest kept release whose CRD does not have this version of the OcrProfile."""
    return [one for one in versions() if version not in [its["name"] for its in read(one)[0]["spec"]["versions"]]][-1]


def read(version: str, namespace: str = NAMESPACE) -> tuple[Object, dict[str, list[Object]]]:
    """Return the CRD of a release, and the objects of each case as if installed in this namespace."""
    text = gzip.decompress(_path(version).read_bytes()).decode()
    kept: dict[str, Any] = json.loads(text.replace(PLACE, namespace))
    return kept["crd"], {case: [kept["objects"][at] for at in places] for case, places in kept["cases"].items()}


def keep(version: str) -> Path:
    """Write what the chart renders to now. Cases share most of their objects, so each is written once."""
    unique: list[Object] = []
    cases: dict[str, list[int]] = {}
    for case, values in CASES.items():
        wanted = [one for one in objects(values, namespace=PLACE) if not is_test(one)]
        unique += [one for at, one in enumerate(wanted) if one not in unique and one not in wanted[:at]]
        cases[case] = [unique.index(one) for one in wanted]
    crd = yaml.safe_load((CHART / "crds" / "ocrprofiles.yaml").read_text(encoding="utf-8"))
    text = json.dumps({"crd": crd, "objects": unique, "cases": cases}, ensure_ascii=False, sort_keys=True)
    path = _path(version)
    path.write_bytes(gzip.compress(text.encode(), mtime=0))
    return path


def _path(version: str) -> Path:
    return KEPT / f"{version}{SUFFIX}"


if __name__ == "__main__":
    keep(*sys.argv[1:])
