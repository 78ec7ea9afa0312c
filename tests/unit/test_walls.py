"""The import contracts of pyproject.toml refuse what they should: absurd imports, tried on a copy of the tree."""

import ast
import itertools
import re
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

from tests.unit.test_docs import ROOT

LINT_IMPORTS = Path(sys.executable).with_name("lint-imports")


def config() -> dict:
    return tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["tool"]["importlinter"]


def layers_of(package: str) -> list[list[str]]:
    """The floors of a package, the highest first, each with its rooms."""
    (contract,) = (one for one in config()["contracts"] if one.get("containers") == [package])
    return [floor.replace(":", "|").replace(" ", "").split("|") for floor in contract["layers"]]


def module_in(package: str, room: str) -> str:
    """Any module of a room; the room itself where it is one."""
    folder = ROOT / package / room
    inside = sorted(path.stem for path in folder.glob("*.py") if path.stem != "__init__")
    return f"{package}.{room}.{inside[0]}" if inside else f"{package}.{room}"


def upward(package: str) -> list[tuple[str, str]]:
    """An import from each floor to the one above, and between neighbours of one floor."""
    floors = layers_of(package)
    pairs = [
        (module_in(package, low), module_in(package, high))
        for above, below in itertools.pairwise(floors[1:])  # nobody imports __main__
        for low in below
        for high in above
    ]
    for floor in floors:
        if len(floor) > 1 and "names" not in floor:
            pairs += [
                (module_in(package, one), module_in(package, two)) for one in floor for two in floor if one != two
            ]
    return pairs


STATED = [
    ("sidecar.documents.spool", "sidecar.api.middleware"),
    ("sidecar.engines.tesseract.engine", "aiohttp"),
    ("sidecar.ocr.reader", "sidecar.retrieval.batcher"),
    ("controller.mirror.database", "controller.publish.reconcile"),
    ("sidecar.documents.pdf", "sidecar.engines.servers.ollama"),
    ("sidecar.retrieval.batcher", "sidecar.documents.pdf"),
    ("sidecar.settings", "sidecar.telemetry"),
    ("sidecar.ocr.page_reading", "aiohttp"),
    ("sidecar.gpu.residency_policy", "sidecar.gpu.vram_monitor"),
    ("sidecar.engines.servers.ollama", "sidecar.settings"),
]
INVENTED = [
    ("sidecar.gpu.residency_policy", "time"),
    ("sidecar.retrieval.batch_policy", "asyncio"),
    ("sidecar.retrieval.placement_policy", "sidecar.retrieval.placement"),
    ("sidecar.wire.ocr", "os"),
    ("sidecar.retrieval.retriever", "torch"),
    ("sidecar.api.documents", "pypdfium2"),
    ("sidecar.engines.vision", "tesserocr"),
    ("sidecar.engines.tesseract.engine", "sidecar.engines.vision"),
    ("sidecar.engines.vision", "sidecar.engines.tesseract.engine"),
    ("sidecar.engines.vision", "sidecar.engines.tesseract.layout"),
    ("sidecar.engines.tesseract.worker", "sidecar.engines.answers.model_answer"),
    ("sidecar.profiles.payload", "sidecar.errors"),
    ("sidecar.validation", "sidecar.errors"),
    ("sidecar.environment", "sidecar.settings"),
    ("controller.settings", "sidecar.settings"),
    ("controller.resource.spec", "sidecar.environment"),
    ("sidecar.errors", "controller.errors"),
    ("controller.publish.status", "sidecar.profiles.prompt"),
    ("controller.publish.reconcile", "kopf"),
    ("controller.mirror.planner", "controller.mirror.database"),
    ("controller.mirror.planner", "random"),
    ("sidecar.ocr.text", "urllib"),
    ("sidecar.retrieval.batch_policy", "http"),
    ("sidecar.engines.rapidocr.engine", "sidecar.engines.tesseract.layout"),
    ("sidecar.runtime.drain", "sidecar.client.exchange"),
    ("sidecar.client.answers", "sidecar.wire.ocr"),
    ("sidecar.client.retries", "time"),
    ("sidecar.api.documents", "sidecar.client.blocking"),
    ("sidecar.cli.embedded", "mcp"),
    ("sidecar.mcp.tools", "sidecar.settings"),
    ("sidecar.mcp.results", "asyncio"),
    ("sidecar.mcp.tools", "aiohttp"),
]


ABSURD = [*STATED, *INVENTED, *upward("sidecar"), *upward("controller")]
STRANGERS = ["sidecar", "controller"]
"""Packages that get a module which no layer names."""
NEWCOMERS = ["ocr", "gpu", "profiles", "wire", "engines"]
"""Rooms that get a module which does I/O and is not named as one that does."""


def copied(folder: Path) -> Path:
    """Copy what the contracts look at."""
    for package in ("sidecar", "controller"):
        shutil.copytree(ROOT / package, folder / package, ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copy(ROOT / "pyproject.toml", folder)
    return folder


def lint(tree: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run([LINT_IMPORTS, "--no-cache"], cwd=tree, capture_output=True, text=True, check=False)


@pytest.fixture(scope="module")
def refused(tmp_path_factory) -> str:
    """What is said of a tree with everything at once that must be refused: each is told by its own name."""
    tree = copied(tmp_path_factory.mktemp("absurd"))
    for importer, imported in ABSURD:
        with (tree / (importer.replace(".", "/") + ".py")).open("a", encoding="utf-8") as file:
            file.write(f"\nimport {imported}\n")
    for room in NEWCOMERS:
        (tree / "sidecar" / room / "newcomer.py").write_text("import asyncio\n", encoding="utf-8")
    found = lint(tree)
    assert found.returncode == 1
    return " ".join(found.stdout.split())


def is_told(said: str, importer: str, imported: str) -> bool:
    """Tell whether an import is refused for itself, and not as one step of a longer way."""
    return bool(re.search(rf"- {re.escape(importer)} -> {re.escape(imported)} \([l., \d]+\)(?! \S+ -> )", said))


def test_the_tree_as_it_is_passes(tmp_path):
    found = lint(copied(tmp_path))
    assert found.returncode == 0, found.stdout + found.stderr


@pytest.mark.parametrize(("importer", "imported"), ABSURD)
def test_an_absurd_import_is_refused(refused, importer, imported):
    assert is_told(refused, importer, imported)


@pytest.mark.parametrize("room", NEWCOMERS)
def test_a_new_module_of_a_room_may_do_no_io_until_it_is_named_as_one_that_does(refused, room):
    assert is_told(refused, f"sidecar.{room}.newcomer", "asyncio")


@pytest.mark.parametrize("package", STRANGERS)
def test_a_module_or_room_that_no_layer_names_is_refused(tmp_path, package):
    (copied(tmp_path) / package / "stranger.py").write_text('"""Belongs nowhere."""\n', encoding="utf-8")
    found = lint(tmp_path)
    assert found.returncode == 1
    assert f"{package}.stranger" in found.stdout


@pytest.mark.parametrize("package", ["sidecar", "controller"])
def test_a_folder_says_what_lives_there_and_stays_small(package):
    rooms = [path.parent for path in (ROOT / package).rglob("__init__.py")]
    for room in rooms:
        said = ast.get_docstring(ast.parse((room / "__init__.py").read_text(encoding="utf-8")))
        assert said, room
        assert said.count(".") >= 2, f"{room}: two sentences, what lives there and what may not"
        most = 8 if room.parent == ROOT else 13
        assert len(list(room.glob("*.py"))) - 1 <= most, f"{room}: give what belongs together a folder of its own"


IO_CALLS = frozenset(
    {"read_text", "read_bytes", "write_text", "write_bytes", "iterdir", "glob", "rglob", "mkdir", "rmdir", "unlink"}
    | {"touch", "symlink_to", "exists", "is_file", "is_dir", "stat", "now", "today", "utcnow", "open", "print", "input"}
)
"""What does I/O without an import that the contracts forbid: pathlib's, the clock of datetime, built-in functions."""
IO_EXCEPTIONS = {
    ("controller/clock.py", "now"),  # the one place where the controller takes the time
    ("sidecar/documents/pictures/jpeg.py", "open"),  # Pillow's, of bytes in memory
}


def pure_modules() -> list[Path]:
    """The modules that no list of the contracts names as doing I/O."""
    (named,) = [one["protected_modules"] for one in config()["contracts"] if one.get("as_packages") is False]
    does_io = re.compile("|".join(re.escape(name).replace(r"\*", r"[^.]+") for name in named))
    paths = [path for package in ("sidecar", "controller") for path in (ROOT / package).rglob("*.py")]
    return [path for path in paths if not does_io.fullmatch(".".join(path.relative_to(ROOT).with_suffix("").parts))]


def test_the_lists_of_modules_that_do_io_agree():
    """One that may import all, and that all may import, would be a door around both contracts."""
    (named,) = [one for one in config()["contracts"] if one.get("as_packages") is False]
    (imports,) = [one for one in config()["contracts"] if "asyncio" in one.get("forbidden_modules", ())]
    free = {arrow.removesuffix(" -> *") for arrow in imports["ignore_imports"] if arrow.endswith(" -> *")}
    assert named["allowed_importers"] == named["protected_modules"]
    assert free - set(named["protected_modules"]) == set()


def calls_of(path: Path) -> set[str]:
    """The names of the functions and methods that a module calls."""
    called = [node.func for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))) if isinstance(node, ast.Call)]
    return {
        one.attr if isinstance(one, ast.Attribute) else one.id
        for one in called
        if hasattr(one, "attr") or hasattr(one, "id")
    }


def test_a_module_that_does_no_io_calls_nothing_that_does():
    paths = pure_modules()
    assert len(paths) > 100
    found = {(str(path.relative_to(ROOT)), name) for path in paths for name in calls_of(path) & IO_CALLS}
    assert found == IO_EXCEPTIONS


def reads_of_the_environment(path: Path) -> list[int]:
    """Lines that read ``os.environ`` or call ``os.getenv``; to set what a library reads from it is no reading."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    written = {
        id(node.value)
        for node in ast.walk(tree)
        if (isinstance(node, ast.Subscript) and isinstance(node.ctx, ast.Store))
        or (isinstance(node, ast.Attribute) and node.attr == "setdefault")
    }
    asked = [node for node in ast.walk(tree) if isinstance(node, ast.Attribute) and node.attr in ("environ", "getenv")]
    return [node.lineno for node in asked if id(node) not in written]


@pytest.mark.parametrize("package", ["sidecar", "controller"])
def test_the_environment_is_read_in_main_and_nowhere_else_as_its_docstring_says(package):
    main = ROOT / package / "__main__.py"
    assert "the environment is read here and nowhere else" in main.read_text(encoding="utf-8").lower()
    readers = {path: lines for path in (ROOT / package).rglob("*.py") if (lines := reads_of_the_environment(path))}
    assert readers.keys() == {main}
    assert len(readers[main]) == 1, "once"
