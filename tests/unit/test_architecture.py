"""docs/architecture.md shows the rooms, flows and contracts that the code has, and no others."""

import ast
import re
import tomllib
from functools import cache
from itertools import chain
from pathlib import Path

import pytest

from tests.unit.test_docs import ARCHITECTURE, ROOT, rows

PACKAGES = ("sidecar", "controller")
TEXT = ARCHITECTURE.read_text(encoding="utf-8")
STEP = re.compile(r"^\d+\. `([\w.]+)` ([→⇢]) `([\w.]+)`: ", re.MULTILINE)
WIRING = ("sidecar.service", "controller.app", "controller.__main__")
"""Where the parts are put together: only here both ends of a protocol are known."""


def contracts() -> list[dict]:
    pyproject = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    return pyproject["tool"]["importlinter"]["contracts"]


def modules() -> dict[str, Path]:
    """Every module of the product by its dotted name."""
    paths = [path for package in PACKAGES for path in (ROOT / package).rglob("*.py") if path.stem != "__init__"]
    return {".".join(path.relative_to(ROOT).with_suffix("").parts): path for path in paths}


@cache
def imports(module: str) -> frozenset[str]:
    """The modules of the product that a module imports, inside functions, too."""
    found = set()
    for node in ast.walk(ast.parse(modules()[module].read_text(encoding="utf-8"))):
        match node:
            case ast.ImportFrom(module=str(source), names=names):
                found |= {source} | {f"{source}.{one.name}" for one in names}
            case ast.Import(names=names):
                found |= {one.name for one in names}
    return frozenset(found & modules().keys())


# ── the rooms ─────────────────────────────────────────────────────────────────────────────────────────────────────


def picture(package: str) -> list[dict[str, list[str]]]:
    """The floors as they are drawn, the highest first: each room with its modules."""
    drawing = re.search(rf"^```\n{package}/\n─+\n(.*?)^```", TEXT, re.DOTALL | re.MULTILINE)[1]
    floors = []
    for floor in re.split(r"^─+\n", drawing, flags=re.MULTILINE):
        rooms: dict[str, list[str]] = {}
        for line in floor.splitlines():
            words = line.split()
            if re.match(r"  \S", line):
                name, *words = words
                rooms[name] = []
            rooms[name] += words
        floors.append(rooms)
    return floors


def tree(package: str) -> list[dict[str, list[str]]]:
    """The floors as the contract orders them, with the modules that the folders hold."""
    (contract,) = [one for one in contracts() if one.get("containers") == [package]]
    return [
        {room: modules_of(ROOT / package / room) for room in floor.replace(":", "|").replace(" ", "").split("|")}
        for floor in contract["layers"]
    ]


def modules_of(room: Path) -> list[str]:
    inside = [path.relative_to(room).with_suffix("") for path in room.rglob("*.py") if path.stem != "__init__"]
    return sorted(("/".join(path.parts) for path in inside), key=lambda name: ("/" in name, name))


@pytest.mark.parametrize("package", PACKAGES)
def test_every_room_and_module_is_drawn_where_it_lives(package):
    assert picture(package) == tree(package)


@pytest.mark.parametrize("package", PACKAGES)
def test_every_room_is_explained_from_top_to_bottom(package):
    explained = [name for name, _ in rows(ARCHITECTURE, f"## The rooms of the {package}")]
    assert explained == list(chain.from_iterable(tree(package)))


# ── the flows ─────────────────────────────────────────────────────────────────────────────────────────────────────


def steps() -> list[tuple[str, str, str]]:
    return STEP.findall(TEXT)


@cache
def reached(module: str) -> frozenset[str]:
    """What a module of the wiring imports, itself and through others of the wiring."""
    wired = [name for name in imports(module) if name.startswith(WIRING)]
    return imports(module).union(*(reached(name) for name in wired))


def join(one: str, other: str) -> list[str]:
    """The modules of the wiring that bring both together."""
    return [name for name in modules() if name.startswith(WIRING) and {one, other} <= reached(name)]


@pytest.mark.parametrize(("caller", "arrow", "called"), steps())
def test_each_step_of_a_flow_is_an_import_or_a_protocol_whose_ends_the_wiring_joins(caller, arrow, called):
    if arrow == "→":
        assert called in imports(caller)
    else:
        assert called not in imports(caller)
        assert join(caller, called)


@pytest.mark.parametrize(
    ("flow", "first", "last"),
    [
        ("A document", "sidecar.service.app", "sidecar.api.deliver"),
        ("A text", "sidecar.service.app", "sidecar.api.deliver"),
        ("A parameter", "controller.app", "sidecar.profiles.precedence"),
    ],
)
def test_a_flow_leads_from_end_to_end_without_a_gap(flow, first, last):
    told = re.search(rf"^### {flow}\n(.*?)^##", TEXT, re.DOTALL | re.MULTILINE)[1]
    found = STEP.findall(told)
    assert len(found) == len(re.findall(r"^\d+\. ", told, re.MULTILINE)), "a step is not written as one"
    assert (found[0][0], found[-1][2]) == (first, last)
    reached = {"sidecar.service.app", "sidecar.service.retrieval_wiring", "controller.app"}
    for caller, _, called in found:
        assert caller in reached | {"sidecar.api.reading"}, "nobody has called it yet"
        reached.add(called)


def test_every_module_named_is_there():
    named = set(re.findall(r"`((?:sidecar|controller)\.[\w.]+)`", TEXT))
    assert len(named) > 40
    assert named - modules().keys() == set()


# ── the contracts ─────────────────────────────────────────────────────────────────────────────────────────────────


def test_every_contract_is_told_in_the_order_in_which_it_is_checked():
    told = re.search(r"^## The contracts\n(.*?)^## ", TEXT, re.DOTALL | re.MULTILINE)[1]
    sentences = [" ".join(one.split()) for one in re.findall(r"^\d+\. \*\*(.*?)\.\*\*", told, re.DOTALL | re.MULTILINE)]
    assert sentences == [contract["name"] for contract in contracts()]
