"""requirements.lock holds all that is installed: `make setup` installs it without a look at what depends on what."""

import re
import tomllib
from collections.abc import Iterator
from importlib.metadata import requires, version

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from tests.unit.test_docs import ROOT

PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
LINES = (ROOT / "requirements.lock").read_text(encoding="utf-8").splitlines()[1:]
"""The first says what it is."""
LOCK = {canonicalize_name(line.partition("==")[0]) for line in LINES}


def asked_by(name: str, extras: frozenset[str]) -> Iterator[Requirement]:
    """What an installed package with these extras needs here; another build of torch needs other things besides."""
    if name == "torch" and not version(name).endswith("+cpu"):
        return
    for one in map(Requirement, requires(name) or ()):
        if one.marker is None or any(one.marker.evaluate({"extra": extra}) for extra in ("", *extras)):
            yield one


def needed() -> set[str]:
    """The names of all packages that the project and its extras need, directly or not."""
    lists = [PROJECT["dependencies"], *PROJECT["optional-dependencies"].values()]
    ahead = [Requirement(line) for one in lists for line in one]
    seen: set[tuple[str, frozenset[str]]] = set()
    while ahead:
        one = ahead.pop()
        key = canonicalize_name(one.name), frozenset(one.extras)
        if key not in seen and key[0] != PROJECT["name"]:
            seen.add(key)
            ahead += asked_by(*key)
    return {name for name, _ in seen}


def test_what_the_project_needs_is_in_the_lock_and_nothing_that_it_does_not():
    assert needed() - LOCK == set()
    assert LOCK - needed() <= {"setuptools"}  # builds the project


def test_every_line_is_one_exact_version():
    assert [line for line in LINES if not re.fullmatch(r"[A-Za-z0-9._-]+==[0-9][\w.]*", line)] == []
    assert len(LOCK) == len(LINES)
