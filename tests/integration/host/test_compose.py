"""compose.yaml: valid, safe and large enough as it is written, and its processes do together what they should."""

import asyncio
import json
import re
import shutil
import subprocess
from importlib.resources import files

import jsonschema
import pytest
import yaml

from sidecar.gpu.lease.lease import CLOSE_S
from sidecar.settings import parse_settings
from tests.conftest import PATIENCE_S, until
from tests.integration.host import compose_file
from tests.integration.host.compose_file import TARGETS, command, environment, load, mebibytes, mounts
from tests.unit.test_dockerfile import make_image, values
from tests.unit.test_docs import ROOT

MODELS_MIB = 5 * 1024
"""Embedder and reranker on the CPU, as docs/deploy.md counts them."""
SERVICE_MIB = 1024
MARGIN_S = 15
"""How much longer than the drain a container must have, as docs/configuration.md says."""


def errors(written: dict) -> list[str]:
    """What the Compose specification's own schema, which check-jsonschema ships, refuses in a file."""
    path = files("check_jsonschema") / "builtin_schemas/vendor/compose-spec.json"
    schema = json.loads(path.read_text(encoding="utf-8"))
    return [error.message for error in jsonschema.validators.validator_for(schema)(schema).iter_errors(written)]


def test_it_is_what_the_specification_accepts():
    assert errors(compose_file.parse()) == []
    assert errors(load()) == []
    assert errors(load({"SHARED_NETWORK": "lcbp3", "SHARED_NETWORK_EXTERNAL": "true"})) == []


def test_the_file_for_hosts_without_a_gpu_is_so_but_for_the_tag_that_takes_away():
    assert errors(compose_file.parse(compose_file.WITHOUT_GPU)) == ["None is not of type 'array'"] * 2


def test_the_schema_refuses_what_it_should():
    written = load()
    written["services"]["ocr-sidecar"]["helthcheck"] = {}
    assert len(errors(written)) == 1


@pytest.mark.parametrize("more", [[], ["-f", "examples/compose/without-gpu.yaml"], ["--profile", "ollama"]])
def test_compose_itself_reads_it(more):
    docker = shutil.which("docker")
    if docker is None or subprocess.run([docker, "compose", "version"], capture_output=True, check=False).returncode:
        pytest.skip("there is no docker compose")
    ended = subprocess.run(
        [docker, "compose", "-f", "compose.yaml", *more, "config"], cwd=ROOT, capture_output=True, text=True, check=True
    )
    shown = yaml.safe_load(ended.stdout)["services"]
    assert shown.keys() == TARGETS.keys() | ({"ollama"} if "ollama" in more else set())
    devices = shown["ocr-sidecar"]["deploy"]["resources"].get("reservations", {}).get("devices", [])
    assert bool(devices) != ("-f" in more)


def test_without_a_gpu_nothing_asks_for_one():
    asking = {
        name
        for name, service in load()["services"].items()
        if "devices" in service["deploy"]["resources"].get("reservations", {})
    }
    without = compose_file.parse(compose_file.WITHOUT_GPU)["services"]
    assert asking == without.keys() == {"ocr-sidecar", "ollama"}
    assert {one["deploy"]["resources"]["reservations"]["devices"] for one in without.values()} == {None}


def test_images_are_those_that_make_builds_and_the_chart_s():
    images = {name: service["image"] for name, service in load()["services"].items()}
    built = {re.search(r"--tag (\S+) \.$", line)[1] for line in make_image("BUILDER=docker") if "--tag" in line}
    assert {images[name] for name in TARGETS} == built
    told = "".join((ROOT / "docs" / f"{page}.md").read_text(encoding="utf-8") for page in ("deploy", "switch"))
    assert set(re.findall(r"SIDECAR_IMAGE=(ocr-sidecar:[\d.]+\d)", told)) == {images["ocr-sidecar"]}
    chart = yaml.safe_load((ROOT / "helm" / "values.yaml").read_text(encoding="utf-8"))["ollama"]["inPod"]["image"]
    assert images["ollama"] == f"{chart['repository']}:{chart['tag']}"
    assert load({"SIDECAR_IMAGE": "registry.example/ocr:1"})["services"]["ocr-sidecar"]["image"].endswith("ocr:1")


def test_what_it_sets_are_settings_and_the_limits_suffice_for_them():
    sidecar = load()["services"]["ocr-sidecar"]
    settings = parse_settings(sidecar["environment"])
    limits = sidecar["deploy"]["resources"]["limits"]
    assert float(limits["cpus"]) == settings.workers == settings.retrieval_threads
    needed = settings.workers * settings.worker_memory_mb + SERVICE_MIB + MODELS_MIB
    assert mebibytes(limits["memory"]) >= needed
    assert int(sidecar["stop_grace_period"].rstrip("s")) >= settings.shutdown_s + MARGIN_S + CLOSE_S
    assert sidecar["environment"]["BGE_KEEP_ALIVE_SECONDS"] == "300"


def test_without_keys_the_ports_are_open_to_this_host_alone():
    for settings in ({}, {"OCR_AUTH_MODE": ""}):
        sidecar = load(settings)["services"]["ocr-sidecar"]
        assert sidecar["environment"]["OCR_AUTH_MODE"] == "network"
        defaults = parse_settings({})
        assert sidecar["ports"] == [f"127.0.0.1:{port}:{port}" for port in (defaults.port, defaults.ops_port)]
    assert all("ports" not in service for name, service in load()["services"].items() if name != "ocr-sidecar")


def test_whatever_the_operator_sets_wins_and_nothing_is_set_twice():
    assert load({"OCR_WORKERS": "7"})["services"]["ocr-sidecar"]["environment"]["OCR_WORKERS"] == "7"
    fixed = {
        name: value
        for name, value in compose_file.parse()["services"]["ocr-sidecar"]["environment"].items()
        if "${" not in value
    }
    at = mounts(load()["services"]["ocr-sidecar"])
    follow = {"OCR_PROFILE_DIR": at["profiles"], "OCR_SPOOL_DIR": f"{at['spool']}/documents"}
    assert fixed == follow | {"OCR_STATE_DIR": at["state"]}, "they follow from the volumes"


def test_another_model_server_in_place_of_ollama_is_two_lines_of_the_operator_s(tmp_path):
    lines = "OCR_MODEL_API=openai\nOCR_MODEL_URL=http://vllm-0:8000/v1,http://vllm-1:8000/v1\n"
    (tmp_path / ".env").write_text(lines, encoding="utf-8")
    service = load(compose_file.env_file(tmp_path / ".env"))["services"]["ocr-sidecar"]
    settings = parse_settings(compose_file.environment("ocr-sidecar", service, tmp_path))
    assert settings.model_server_urls == ("http://vllm-0:8000/v1", "http://vllm-1:8000/v1")


def test_the_mirror_s_health_is_open_to_the_network_alone():
    mirror = load()["services"]["ocr-mirror"]
    assert (mirror["environment"], "ports" in mirror) == ({"MIRROR_OPS_PORT": "8080"}, False)


def test_only_the_mirror_gets_the_database():
    written = (ROOT / "compose.yaml").read_text(encoding="utf-8")
    assert "DATABASE_URL" not in "".join(line for line in written.splitlines() if not line.startswith("#"))
    services = load()["services"]
    assert [one["path"] for one in services["ocr-mirror"]["env_file"]] == ["mirror.env"]
    assert [one["path"] for one in services["ocr-sidecar"]["env_file"]] == [".env"]
    ignored = (ROOT / ".gitignore").read_text(encoding="utf-8").split()
    assert {".env", "mirror.env"} <= set(ignored)


@pytest.mark.parametrize("name", TARGETS)
def test_containers_may_do_little_and_can_write_where_they_must(name):
    service = load()["services"][name]
    assert service["read_only"]
    assert service["cap_drop"] == ["ALL"]
    assert service["security_opt"] == ["no-new-privileges:true"]
    owned = re.search(r"install -d -o 65532 -g 65532 (.+)", "\n".join(values(TARGETS[name], "RUN")))[1].split()
    assert set(mounts(service).values()) <= set(owned), "a fresh volume takes its owner from the image"


# ── the processes ─────────────────────────────────────────────────────────────────────────────────────────────────


@pytest.fixture
def dot_env(host, fake) -> dict[str, str]:
    """What an operator writes into .env, and what is written there for this test."""
    told = host.settings | {
        "MIRROR_OPS_PORT": str(host.mirror_ops),
        "OLLAMA_API_URL": fake.url,
        "OCR_RAPIDOCR_DIR": str(host.root),
    }
    (host.root / ".env").write_text("".join(f"{name}={value}\n" for name, value in told.items()), encoding="utf-8")
    return told


async def start(host, name: str, dot_env: dict[str, str]):
    """Start what the container of a service runs; give the process, its environment, and the service."""
    service = load(dot_env)["services"][name]
    folders = list(mounts(service).values())
    environ = {key: host.here(value, folders) for key, value in environment(name, service, host.root).items()}
    process = await host.start([host.here(word, folders) for word in command(name, service)], environ)
    return process, environ, service


async def test_the_database_s_parameters_reach_the_model_and_an_edit_too(host, fake, mariadb, dot_env):
    (host.root / "mirror.env").write_text(f"DATABASE_URL={mariadb.url()}\nMIRROR_INTERVAL_SECONDS=0.1\n")
    mirror, mirror_environ, mirror_service = await start(host, "ocr-mirror", dot_env)
    profile = host.root / "profiles" / "ocr-extract.json"
    await until(profile.exists)
    mirror_check = mirror_service["healthcheck"]["test"]
    assert (mirror_check[0], await host.run(mirror_check[1:], mirror_environ)) == ("CMD", 0)
    sidecar, environ, service = await start(host, "ocr-sidecar", dot_env)
    check = service["healthcheck"]["test"]
    assert check[0] == "CMD"
    async with asyncio.timeout(3 * PATIENCE_S):
        while await host.profile() is None or await host.run(check[1:], environ):
            assert sidecar.returncode is None
            await asyncio.sleep(0.05)

    read = await host.read()
    assert (read["engineUsed"], read["profile"]["name"]) == ("np-dms-ocr", "ocr-extract")
    assert fake.chats[-1].options == {"temperature": 0.1, "top_p": 0.5, "repeat_penalty": 1.0, "num_ctx": 8192}
    mariadb.execute("UPDATE ai_execution_profiles SET temperature = 0.7 WHERE profile_name = 'ocr-extract'")
    before = await host.profile()
    async with asyncio.timeout(PATIENCE_S):
        while await host.profile() == before:
            assert (sidecar.returncode, mirror.returncode) == (None, None)
            await asyncio.sleep(0.05)
    await host.read()
    assert fake.chats[-1].options["temperature"] == 0.7

    grace_s = int(service["stop_grace_period"].rstrip("s"))
    assert (await host.stop(sidecar, grace_s), await host.stop(mirror, 10)) == (0, 0)
    assert await host.run(check[1:], environ) == await host.run(mirror_check[1:], mirror_environ) == 1
    assert not list((host.root / "spool").rglob("document-*"))


async def test_a_mirror_without_a_database_says_so_and_ends(host, dot_env):
    process, *_ = await start(host, "ocr-mirror", dot_env)
    async with asyncio.timeout(PATIENCE_S):
        assert await process.wait() == 2
