"""What lies in the images, and what must not."""

import json
import re
import stat
import subprocess
from pathlib import Path

import sidecar
from controller.settings import parse_settings as parse_controller_settings
from sidecar.settings import parse_settings as parse_sidecar_settings
from tools.image.build import ROOT

USER = 65532
PROGRAM_FOLDERS = ("bin", "sbin", "usr/bin", "usr/sbin", "usr/local/bin", "usr/local/sbin", "opt/venv/bin")
BUILD_TOOLS = re.compile(r"(gcc|g\+\+|cc|c\+\+|cpp|ld|as|make|cmake|git|pip[\d.]*|easy_install|curl|wget)")
BUILD_PACKAGES = {"pip", "setuptools", "wheel", "ensurepip"}
CACHES = ("var/lib/apt/lists", "var/cache/apt", "var/log", "root/.cache", "tmp", "var/tmp", "build", "data", "opt/pip")
WEIGHTS = re.compile(r".*\.(safetensors|gguf|ggml|onnx|ckpt|h5)|pytorch_model.*\.bin|tf_model.*")
MAX_CONTROLLER_MB = 150


def test_no_build_tools(image):
    programs = {path.name for folder in PROGRAM_FOLDERS for path in image.files(folder)}
    assert "tini" in programs
    assert {name for name in programs if BUILD_TOOLS.fullmatch(name)} == set()
    packages = {path for path in image.tree.rglob("python3*/**/__init__.py") if path.parent.name in BUILD_PACKAGES}
    homes = {path.parent for path in packages if path.parents[1].name in ("site-packages", "dist-packages")}
    allowed = {"setuptools"} if image.target == "sidecar" else set()  # torch depends on it
    assert {path.name for path in homes} == allowed
    assert list(image.tree.glob("usr/**/ensurepip")) == []


def test_the_bill_of_materials_names_what_is_installed(image):
    bill = json.loads((image.tree / "opt/venv/sbom.cdx.json").read_text(encoding="utf-8"))
    assert bill["metadata"]["component"]["name"] == f"ocr-{image.target}"
    told = {(one["name"].lower().replace("-", "_").replace(".", "_"), one["version"]) for one in bill["components"]}
    there = (path.name for path in image.tree.glob("opt/venv/lib/python3*/site-packages/*.dist-info"))
    names = (re.fullmatch(r"(.+)-(.+)\.dist-info", name).groups() for name in there)
    assert told == {(name.lower().replace("-", "_").replace(".", "_"), version) for name, version in names}
    unhashed = {one["name"] for one in bill["components"] if "hashes" not in one["externalReferences"][0]}
    assert unhashed <= {"torch"}


def test_no_caches(image):
    left = [path for folder in CACHES for path in image.files(folder)]
    assert left == []


def test_no_weights(image):
    assert [path for path in image.files("") if WEIGHTS.fullmatch(path.name)] == []


def test_the_controller_has_no_torch_and_is_small(controller):
    packages = {path.name for path in (controller.tree / "opt/venv/lib").glob("python3*/site-packages/*")}
    assert "kopf" in packages
    assert packages & {"torch", "FlagEmbedding", "transformers", "numpy", "tesserocr", "PIL"} == set()
    assert controller.sizes["packed_mb"] < MAX_CONTROLLER_MB


def test_the_code_is_what_is_committed_and_nothing_else(image):
    tracked = subprocess.run(["git", "ls-files"], cwd=ROOT, capture_output=True, text=True, check=True).stdout.split()
    ours = {name for name in tracked if name.startswith(f"{image.target}/")} | {"LICENSE"}
    ours |= {
        f"sidecar/{name}.py"
        for name in ("__init__", "environment", "validation", "profiles/__init__", "profiles/payload")
    }
    there = {str(path.relative_to("/app")) for path in image.files("app")}
    code = {name for name in there if "__pycache__" not in name}
    assert code == ours
    assert all((image.tree / "app" / name).read_bytes() == (ROOT / name).read_bytes() for name in code)


def test_all_code_is_compiled_for_good(image):
    """A read-only root keeps no bytecode; what was compiled must hold whatever the files' times are."""
    (standard,) = {path.parents[1].relative_to(image.tree) for path in image.tree.glob("usr/**/asyncio/runners.py")}
    sources = [
        path
        for folder in ("app", "opt/venv/lib", f"{standard}/asyncio", f"{standard}/unittest")
        for path in image.files(folder)
        if path.suffix == ".py"
    ]
    bytecode = {
        source: image.there(source.parent / "__pycache__" / f"{source.stem}.cpython-311.pyc") for source in sources
    }
    missing = [source for source, compiled in bytecode.items() if not compiled.exists()]
    assert len(missing) <= len(sources) / 1000, "some packages hold templates, which are no Python"
    assert [source for source in missing if not source.is_relative_to("/opt")] == []
    flags = {compiled.read_bytes()[4:8] for compiled in bytecode.values() if compiled.exists()}
    assert flags == {b"\1\0\0\0"}, "bytecode by hash, unchecked (PEP 552)"


def test_nothing_is_writable_that_should_not_be(image):
    mine, anyones, privileged = set(), set(), set()
    for path in image.tree.rglob("*"):
        found, name = path.lstat(), f"/{path.relative_to(image.tree)}"
        if name.startswith("/dev/") or stat.S_ISLNK(found.st_mode):
            continue
        if USER in (found.st_uid, found.st_gid):
            mine.add(name)
        if found.st_mode & stat.S_IWOTH:
            anyones.add(name)
        if found.st_mode & (stat.S_ISUID | stat.S_ISGID) and stat.S_ISREG(found.st_mode):
            privileged.add(name)
    assert mine == ({"/models", "/profiles", "/spool", "/state"} if image.target == "sidecar" else {"/profiles"})
    assert anyones <= {"/tmp", "/var/tmp", "/run/lock"}
    assert privileged == set()


def test_tesseracts_data_is_there_without_its_program(sidecar):
    data = {path.name for path in sidecar.files("usr/share/tesseract-ocr") if path.suffix == ".traineddata"}
    assert data == {"eng.traineddata", "tha.traineddata", "osd.traineddata"}
    assert not [path for path in sidecar.files("usr/bin") if path.name.startswith("tesseract")]


def test_the_configuration_says_who_what_and_where(image):
    config = image.config
    assert config["User"] == f"{USER}:{USER}"
    assert config["WorkingDir"] == "/app"
    labels = {name.rpartition(".")[2]: value for name, value in config["Labels"].items()}
    assert labels["title"] == f"ocr-{image.target}"
    assert labels["version"] == sidecar.__version__
    assert re.fullmatch(r"[0-9a-f]{40}(-dirty)?|unknown", labels["revision"])
    ports = {"sidecar": {"8765/tcp", "9090/tcp"}, "controller": {"8080/tcp"}}
    assert set(config["ExposedPorts"]) == ports[image.target]


def test_the_environment_holds_settings_and_no_secret(image):
    parse = {"sidecar": parse_sidecar_settings, "controller": parse_controller_settings}[image.target]
    settings = parse(image.environment)
    assert settings.host == "0.0.0.0"
    assert not [name for name in image.environment if re.search(r"KEY|TOKEN|SECRET|PASSWORD|_URL", name)]


def test_the_user_has_a_name(image):
    """Libraries that ask who they are, such as getpass, fail without."""
    assert re.search(rf"^\w+:x:{USER}:{USER}:", (Path(image.tree) / "etc/passwd").read_text(), re.MULTILINE)
