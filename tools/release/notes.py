"""`python -m tools.release.notes v0.1.0` prints what the changelog says of that version."""

import sys

from tools.charts.rendering import ROOT
from tools.release.changelog import parse

if __name__ == "__main__":
    sections = {one.version: one.text for one in parse((ROOT / "CHANGELOG.md").read_text(encoding="utf-8"))}
    print(sections[sys.argv[1].removeprefix("v")])
