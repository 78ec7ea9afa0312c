"""`python -m tools.release.previous` prints the newest release that is not this code's version, if any."""

import sidecar
from tools.charts.rendering import ROOT
from tools.release.changelog import parse, released


def previous(versions: list[str], current: str) -> str:
    """Return the newest release other than the current version; empty: there is none."""
    return next((one for one in versions if one != current), "")


if __name__ == "__main__":
    print(previous(released(parse((ROOT / "CHANGELOG.md").read_text(encoding="utf-8"))), sidecar.__version__))
