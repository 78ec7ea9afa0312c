"""Reads CHANGELOG.md: which releases there are, when they were, and what changed. Pure."""

import re
from dataclasses import dataclass

HEAD = re.compile(r"^## \[(?P<version>[^\]]+)\](?: - (?P<date>\S+))?$", re.MULTILINE)
UNRELEASED = "Unreleased"


@dataclass(frozen=True, slots=True)
class Section:
    """What the changelog says of one version."""

    version: str
    date: str | None
    text: str


def parse(text: str) -> list[Section]:
    """Return the sections, the newest first."""
    heads = list(HEAD.finditer(text))
    ends = [head.start() for head in heads[1:]] + [len(text)]
    return [
        Section(head["version"], head["date"], text[head.end() : end].strip())
        for head, end in zip(heads, ends, strict=True)
    ]


def released(sections: list[Section]) -> list[str]:
    """Return the versions that are released, the newest first."""
    return [one.version for one in sections if one.date and one.version != UNRELEASED]
