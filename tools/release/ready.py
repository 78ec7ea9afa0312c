"""`python -m tools.release.ready v0.1.0` says what that tag still lacks, and exits with 1 if it lacks anything."""

import re
import sys
from collections.abc import Iterator
from pathlib import Path

import yaml

from tools.charts.rendering import CHART, ROOT
from tools.release.changelog import UNRELEASED, Section, parse

DATE = re.compile(r"\d{4}-\d{2}-\d{2}")


def missing(tag: str, code: str, chart: dict[str, str], sections: list[Section], kept: list[str]) -> Iterator[str]:
    """Say what does not fit the tag.

    Args:
        tag: such as ``v0.1.0``.
        code: the version in ``sidecar/__init__.py``.
        chart: ``Chart.yaml``.
        sections: of the changelog.
        kept: the renderings that are kept.
    """
    version = tag.removeprefix("v")
    if not re.fullmatch(r"v\d+\.\d+\.\d+(-[a-z0-9.]+)?", tag):
        yield f"the tag is {tag!r}; v and a semantic version is accepted, such as v0.1.0"
    if code != version:
        yield f"sidecar/__init__.py says {code}, the tag {version}"
    for key in ("version", "appVersion"):
        if chart[key] != version:
            yield f"helm/Chart.yaml says {key} {chart[key]}, the tag {version}"
    found = [one for one in sections if one.version == version]
    if not found:
        yield f"CHANGELOG.md has no section [{version}]"
    elif not DATE.fullmatch(found[0].date or ""):
        yield f"CHANGELOG.md dates [{version}] {found[0].date or 'not at all'}; YYYY-MM-DD is accepted"
    elif not found[0].text:
        yield f"CHANGELOG.md says nothing of [{version}]"
    if sections and sections[0].version == UNRELEASED and sections[0].text:
        yield f"CHANGELOG.md still has something under [{UNRELEASED}]"
    if version not in kept:
        yield f"tests/data/chart has no rendering of {version}: make keep-rendering"


def main(tag: str) -> int:
    """Print what is missing; return the exit status."""
    from tools.charts.release import versions  # noqa: PLC0415 - loads Helm's library

    version = re.search(r'__version__ = "(.+)"', (ROOT / "sidecar" / "__init__.py").read_text(encoding="utf-8"))
    problems = list(
        missing(
            tag,
            version[1] if version else "nothing",
            yaml.safe_load((CHART / "Chart.yaml").read_text(encoding="utf-8")),
            parse(Path(ROOT / "CHANGELOG.md").read_text(encoding="utf-8")),
            versions(),
        )
    )
    print("\n".join(problems) or f"{tag} can be released")
    return 1 if problems else 0


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
