"""The Dockerfile, read rather than built: half of what `make image-check` takes minutes to see is seen here."""

import http.server
import json
import re
import subprocess
import sys
import threading
import tomllib
from collections.abc import Iterator
from fnmatch import translate
from io import BytesIO
from pathlib import Path

import pytest
from dockerfile_parse import DockerfileParser

import sidecar
from controller.settings import parse_settings as parse_controller_settings
from sidecar.settings import parse_settings as parse_sidecar_settings

ROOT = Path(__file__).parents[2]
DOCKERFILE = (ROOT / "Dockerfile").read_text(encoding="utf-8")
TARGETS = ("controller", "sidecar")
RUNTIME = "runtime"
"""The stage that both targets stand on."""
NOT_OURS = {"PATH", "LANG", "HOME", "PYTHONPATH", "PYTHONDONTWRITEBYTECODE", "PYTHONUNBUFFERED", "HF_HOME"}
"""What the images tell others than our settings: the shell, Python, and the libraries that cache models."""

Instruction = tuple[str, str]


def stages() -> dict[str, list[Instruction]]:
    """The instructions of each stage, by its name; those before the first stage by an empty one."""
    found: dict[str, list[Instruction]] = {"": []}
    for line in DockerfileParser(fileobj=BytesIO(DOCKERFILE.encode())).structure:
        kind, value = line["instruction"], line["value"]
        if kind == "FROM":
            found[value.split()[-1]] = [(kind, value)]
        elif kind != "COMMENT":
            found[list(found)[-1]].append((kind, value))
    return found


STAGES = stages()


def values(stage: str, kind: str) -> list[str]:
    return [value for found, value in STAGES[stage] if found == kind]


def only(stage: str, kind: str) -> str:
    (value,) = values(stage, kind)
    return value


def variables(stage: str, kind: str = "ENV") -> dict[str, str]:
    pairs = re.findall(r'(\S+?)=("[^"]*"|\S+)', " ".join(values(stage, kind)))
    return {name: value.strip('"') for name, value in pairs}


def default(stage: str, name: str) -> str:
    return variables(stage, "ARG")[name]


@pytest.fixture(params=TARGETS)
def target(request) -> str:
    return request.param


# ── what the images are ───────────────────────────────────────────────────────────────────────────────────────────


def test_the_last_stages_are_the_images():
    assert tuple(STAGES)[-2:] == TARGETS
    assert {only(name, "FROM").split()[0] for name in TARGETS} == {RUNTIME}


def test_an_image_runs_as_a_numeric_user_below_an_init(target):
    assert only(target, "USER") == "65532:65532"
    assert json.loads(only(target, "ENTRYPOINT")) == ["tini", "--", "python", "-m", target]
    assert json.loads(only(target, "CMD")) == [{"sidecar": "serve", "controller": "run"}[target]]
    assert "ocr:x:65532:65532:" in only(RUNTIME, "RUN")


def test_nothing_is_installed_in_an_image_but_what_it_runs_with(target):
    assert not re.search(r"\b(apt-get|pip|curl|wget|git|gcc)\b", " ".join(values(target, "RUN")))
    installed = re.search(r"apt-get install (.+?) >/dev/null", only(RUNTIME, "RUN"))[1].split()
    assert [word for word in installed if not word.startswith("-")] == ["ca-certificates", "tini"]
    assert not values(target, "ADD")


def test_the_code_is_copied_last(target):
    sources = [re.search(r"--from=(\S+)", value)[1] for value in values(target, "COPY")]
    assert sources[-1] == f"{target}-code"
    assert f"{target}-packages" in sources[:-1]
    commands = [kind for kind, _ in STAGES[target]]
    last_copy = len(commands) - 1 - commands[::-1].index("COPY")
    assert "RUN" not in commands[last_copy:], "a change of the code would run it anew"


def test_packages_do_not_depend_on_the_code(target):
    own = [value for value in values(f"{target}-packages", "COPY") if "--from" not in value]
    assert own == ["requirements.lock hashes.lock ./"]


def test_labels_say_what_it_is(target):
    labels = {name.removeprefix("org.opencontainers.image."): v for name, v in variables(target, "LABEL").items()}
    assert labels.keys() == {"title", "description", "licenses", "version", "revision"}
    assert labels["title"] == f"ocr-{target}"
    assert (labels["version"], labels["revision"]) == ("${VERSION}", "${REVISION}")
    assert default(target, "VERSION") == sidecar.__version__
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    assert labels["licenses"] == project["license"]


def test_the_environment_holds_settings_and_no_secret(target):
    environ = variables(RUNTIME) | variables(target)
    parse = {"sidecar": parse_sidecar_settings, "controller": parse_controller_settings}[target]
    settings = parse(environ)
    ours = {field.alias: getattr(settings, name) for name, field in type(settings).model_fields.items()}
    assert environ.keys() - NOT_OURS <= ours.keys()
    assert {str(ours[name]) == environ[name] for name in environ.keys() - NOT_OURS} == {True}
    assert settings.host == "0.0.0.0"
    assert environ["PATH"].startswith("/opt/venv/bin:")
    given = " ".join(value for name in STAGES for kind in ("ARG", "ENV") for value in values(name, kind))
    assert not re.search(r"KEY|TOKEN|SECRET|PASSWORD", given)


def test_the_ports_are_those_the_settings_default_to():
    sidecars, controllers = parse_sidecar_settings({}), parse_controller_settings({})
    assert only("sidecar", "EXPOSE") == f"{sidecars.port} {sidecars.ops_port}"
    assert only("controller", "EXPOSE") == str(controllers.ops_port)


# ── the health check, on a real socket ────────────────────────────────────────────────────────────────────────────


class Livez(http.server.BaseHTTPRequestHandler):
    status = 200

    def do_GET(self) -> None:
        self.send_response(self.status if self.path == "/livez" else 404)
        self.end_headers()

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def livez() -> Iterator[http.server.ThreadingHTTPServer]:
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), type("OwnLivez", (Livez,), {})) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield server
        server.shutdown()
        thread.join()


PORT_NAMES = {"sidecar": "OCR_OPS_PORT", "controller": "CONTROLLER_OPS_PORT"}


def health(target: str, **environ: str) -> int:
    options, command = only(target, "HEALTHCHECK").split(" CMD ")
    assert re.fullmatch(r"(--(interval|timeout|start-period)=\d+s ?)+", options)
    program, *arguments = json.loads(command)
    assert program == "python"
    done = subprocess.run([sys.executable, *arguments], env=environ, capture_output=True, timeout=20, check=False)
    return done.returncode


def test_the_health_check_asks_the_port_that_is_set(target, livez):
    port = str(livez.server_address[1])
    assert health(target, **{PORT_NAMES[target]: port}) == 0
    livez.RequestHandlerClass.status = 503
    assert health(target, **{PORT_NAMES[target]: port}) == 1


def test_the_health_check_knows_the_default_port(target):
    ports = {"sidecar": parse_sidecar_settings({}).ops_port, "controller": parse_controller_settings({}).ops_port}
    assert f"os.environ.get('{PORT_NAMES[target]}') or {ports[target]}" in only(target, "HEALTHCHECK")


# ── what it is built from ─────────────────────────────────────────────────────────────────────────────────────────


def test_the_base_is_debian_12_with_a_python_we_support():
    version, flavour = re.fullmatch(r"\S+/python:(3\.\d+)-(\S+)", default("", "BASE_IMAGE")).groups()
    assert flavour == "slim-bookworm"
    wanted = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]["requires-python"]
    assert int(version.split(".")[1]) >= int(wanted.removeprefix(">=3."))


def test_all_stages_stand_on_the_base():
    roots = {only(name, "FROM").split()[0] for name in STAGES if name} - STAGES.keys()
    assert roots == {"${BASE_IMAGE}"}


def test_the_packages_are_the_locked_ones(target):
    commands = [value for value in values(f"{target}-packages", "RUN") if "install" in value]
    (all_of_them,) = [value for value in commands if "--requirement" in value]
    choice, installation = re.split(r"python3 -m tools\.lock\.chosen report\.json > chosen\.txt", all_of_them)
    assert "--dry-run" in choice
    assert "--constraint requirements.lock" in choice
    assert "--no-deps --only-binary :all: --require-hashes --requirement chosen.txt" in re.sub(
        r"\s+", " ", installation
    )
    assert f"tools.lock.sbom ocr-{target} " in values(f"{target}-packages", "RUN")[-1]
    lists = set(re.findall(r"--requirement (\w+)\.txt", choice))
    assert lists == ({"sidecar", "rapidocr", "retrieval", "jobs"} if target == "sidecar" else {"controller"})
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    assert lists <= project["optional-dependencies"].keys()


def test_torch_is_the_one_that_pyproject_asks_for():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    asked = next(one for one in project["optional-dependencies"]["retrieval"] if one.startswith("torch=="))
    command = re.search(r"\$\((grep \S+ requirements\.lock)\)", values("sidecar-packages", "RUN")[0])[1]
    found = subprocess.run(["sh", "-c", command], cwd=ROOT, capture_output=True, text=True, check=True).stdout
    assert found.split() == [asked]


def ignored(path: str) -> bool:
    """Whether the build does not see a file, by the rules of .dockerignore: the last pattern that fits it or a folder
    above it decides."""
    above = [path, *(str(parent) for parent in Path(path).parents)]
    lines = (ROOT / ".dockerignore").read_text(encoding="utf-8").splitlines()
    verdict = False
    for line in (line for line in lines if line and not line.startswith("#")):
        pattern = line.removeprefix("!")
        forms = [pattern, pattern.removeprefix("**/")] if pattern.startswith("**/") else [pattern]
        if any(re.fullmatch(translate(form), one) for form in forms for one in above if one != "."):
            verdict = not line.startswith("!")
    return verdict


def test_what_is_copied_is_there_and_seen():
    copied = [value for name in STAGES for value in values(name, "COPY") if "--from" not in value]
    sources = [source for value in copied for source in value.split()[:-1]]
    assert {"sidecar", "controller", "requirements.lock", "pyproject.toml", "LICENSE"} <= set(sources)
    assert [source for source in sources if not (ROOT / source).exists() or ignored(source)] == []


def test_all_of_the_sidecar_that_the_controller_imports_is_copied_for_it():
    copied = {source for value in values("controller-code", "COPY") for source in value.split()[:-1]}
    imported = {"sidecar/__init__.py"}
    for path in [*(ROOT / "controller").rglob("*.py"), *(ROOT / source for source in copied if source.endswith(".py"))]:
        for module in re.findall(r"^from (sidecar[\w.]*) import", path.read_text(encoding="utf-8"), re.MULTILINE):
            parts = module.split(".")
            imported.add("/".join(parts) + ".py")
            imported |= {"/".join(parts[:depth]) + "/__init__.py" for depth in range(1, len(parts))}
    assert {source for source in copied if source.startswith("sidecar/")} == imported


def test_the_build_sees_code_and_lists_only():
    listed = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, check=True, text=True).stdout
    seen = {name.split("/")[0] for name in listed.split("\0") if name and not ignored(name)}
    assert seen == {"sidecar", "controller", "requirements.lock", "hashes.lock", "pyproject.toml", "LICENSE", "tools"}
    assert {name for name in listed.split("\0") if name.startswith("tools/") and not ignored(name)} == {
        "tools/__init__.py",
        *(f"tools/lock/{name}.py" for name in ("__init__", "chosen", "hashes", "lock_file", "sbom")),
    }
    private = (".env", "keys", ".git/config", "sidecar/__pycache__/app.cpython-311.pyc", "models/model.safetensors")
    assert [name for name in private if not ignored(name)] == []


# ── make image ────────────────────────────────────────────────────────────────────────────────────────────────────


def make_image(*settings: str) -> list[str]:
    command = ["make", "--dry-run", "image", *settings]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True).stdout.splitlines()


@pytest.mark.parametrize(
    ("builder", "begin"),
    [
        ("docker", "DOCKER_BUILDKIT=1 BUILDX_NO_DEFAULT_ATTESTATIONS=1 docker build "),
        ("podman", "podman build --format docker "),
        ("buildah", "buildah bud --format docker "),
    ],
)
def test_make_image_builds_both_with_any_engine(builder, begin):
    lines = [line for line in make_image(f"BUILDER={builder}") if line.startswith(begin)]
    tags = [re.search(r"--target (\w+) --tag (\S+) \.$", line).groups() for line in lines]
    assert tags == [(target, f"ocr-{target}:{sidecar.__version__}") for target in TARGETS]
    assert all(f"--build-arg VERSION={sidecar.__version__} " in line for line in lines)
    assert not any("TORCH" in line or "--secret" in line for line in lines), "the Dockerfile has the defaults"


def test_make_image_hands_on_what_it_is_given():
    (_, line) = [
        line
        for line in make_image(
            "BUILDER=podman", "TORCH=cu130", "TORCH_INDEX=", "PIP_CONF=pip.conf", "REGISTRY=registry.example/ocr/"
        )
        if line.startswith("podman")
    ]
    assert "--build-arg TORCH='cu130' --build-arg TORCH_INDEX='' " in line
    assert "--secret id=pip,src=pip.conf " in line
    # Another build is another image: a node that has pulled the CPU's would keep it under the same tag.
    assert f"--tag registry.example/ocr/ocr-sidecar:{sidecar.__version__}-cu130 " in line


def test_build_arguments_of_make_are_those_of_the_dockerfile():
    asked = set(
        re.findall(
            r"--build-arg (\w+)=", " ".join(make_image("BUILDER=docker", "BASE_IMAGE=a", "TORCH=b", "TORCH_INDEX=c"))
        )
    )
    assert asked == {name for stage in STAGES for name in variables(stage, "ARG")}


def test_every_variable_of_make_image_has_its_line():
    lines = (ROOT / "docs" / "deploy.md").read_text(encoding="utf-8").splitlines()
    documented = {match[1] for line in lines if (match := re.match(r"\| `([A-Z_]+)` \|", line))}
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    assert documented == set(variables_of_builds()) | {"BUILDER", "REGISTRY", "TAG", "PIP_CONF", "BUILD_OPTIONS"}
    assert all(f"$({name})" in makefile for name in documented - set(variables_of_builds()))


def variables_of_builds() -> set[str]:
    """Build arguments that a caller decides; version and revision are the code's."""
    return {name for stage in STAGES for name in variables(stage, "ARG")} - {"VERSION", "REVISION"}
