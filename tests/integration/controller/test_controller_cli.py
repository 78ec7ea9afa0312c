"""The command line: render on a laptop, mirror once, and how mistakes are told."""

import asyncio
import contextlib
import json
import os
import signal
import socket
import sqlite3
import subprocess
import sys
from pathlib import Path

import aiohttp
import pytest
import yaml

from bench.harness.service import free_ports
from controller.__main__ import main
from controller.publish.config_map import plan_entries
from controller.resource.spec import read_resource
from sidecar.profiles.payload import parse_profile
from tests import conftest
from tests.integration.controller.cluster_under_test import ROOT, SPEC, until
from tests.integration.controller.test_rights import TABLES
from tests.matrix import first


def manifest(name="ocr-extract", **spec):
    return {
        "apiVersion": "ocr.np-dms.work/v1beta1",
        "kind": "OcrProfile",
        "metadata": {"name": name},
        "spec": SPEC | spec,
    }


def write(path, *documents):
    path.write_text(yaml.safe_dump_all(documents, allow_unicode=True), encoding="utf-8")
    return str(path)


# ── render ────────────────────────────────────────────────────────────────────────────────────────────────────────


def test_render_writes_what_the_config_map_would_hold(tmp_path):
    prompt = {"promptType": "ocr_extraction", "versionNumber": 2, "systemPrompt": "อ่านเอกสาร"}
    files = [
        write(tmp_path / "a.yaml", manifest("a", prompt=prompt), {"kind": "ConfigMap", "metadata": {"name": "x"}}),
        write(tmp_path / "b.yaml", manifest("b", retry={"maxAttempts": 3}), None),
    ]
    output = tmp_path / "profiles"
    assert main(["render", "--output", str(output), *files]) == 0
    assert sorted(path.name for path in output.iterdir()) == ["a.json", "b.json"]
    metadata = {"name": "a", "namespace": "ocr", "uid": "u", "generation": 1}
    in_cluster = plan_entries([read_resource(manifest("a", prompt=prompt) | {"metadata": metadata})], {})
    assert (output / "a.json").read_text(encoding="utf-8") == in_cluster.data["a.json"]
    assert json.loads((output / "b.json").read_bytes())["retry"] == {"maxAttempts": 3, "temperatureStep": 0.1}


def test_render_takes_withdrawn_profiles_away_and_leaves_invalid_ones(tmp_path, capsys):
    output = tmp_path / "profiles"
    source = write(tmp_path / "a.yaml", manifest("off"), manifest("bad"), manifest("llm"))
    assert main(["render", "--output", str(output), source]) == 0
    good = (output / "bad.json").read_bytes()
    changed = [
        manifest("off", isActive=False),
        manifest("bad", temperature=9),
        manifest("llm", canonicalModel="np-dms-ai"),
    ]
    assert main(["render", "--output", str(output), write(tmp_path / "a.yaml", *changed)]) == 1
    assert [path.name for path in output.iterdir()] == ["bad.json"]
    assert (output / "bad.json").read_bytes() == good
    assert capsys.readouterr().err == "ocr-controller: bad: spec.temperature: input should be less than or equal to 2\n"


def test_render_reads_standard_input(tmp_path):
    text = yaml.safe_dump(manifest())
    command = [sys.executable, "-m", "controller", "render", "--output", str(tmp_path)]
    subprocess.run(command, input=text, text=True, check=True, cwd=ROOT, timeout=20)
    assert [path.name for path in tmp_path.iterdir()] == ["ocr-extract.json"]


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("a: [", "is not YAML"),
        ("kind: OcrProfile\nspec: {}\n", "holds an OcrProfile without metadata.name"),
        ("\x00", "not YAML"),
        ("kind: OcrProfile\nmetadata: {name: a}\nspec: [1]\n", "a: spec"),
        ("kind: OcrProfile\nmetadata: {name: ../x}\nspec: {isActive: false}\n", "metadata.name is '../x'"),
    ],
)
def test_render_tells_what_is_wrong_with_a_file(tmp_path, capsys, text, sentence):
    path = tmp_path / "a.yaml"
    path.write_text(text, encoding="utf-8")
    output, other = tmp_path / "profiles", tmp_path / "x.json"
    other.touch()
    assert main(["render", "--output", str(output), str(path)]) == 1
    assert sentence in capsys.readouterr().err
    assert other.exists()
    assert not output.exists() or not list(output.iterdir())


def test_render_tells_of_a_file_that_is_not_there(tmp_path, capsys):
    assert main(["render", "--output", str(tmp_path), str(tmp_path / "none.yaml")]) == 1
    assert "none.yaml" in capsys.readouterr().err


# ── run and mirror ────────────────────────────────────────────────────────────────────────────────────────────────


async def start(kube, *arguments, **environ):
    """Start a command as a process of its own."""
    known = {name: os.environ[name] for name in ("PATH", "HOME") if name in os.environ}
    environ = known | ({"KUBECONFIG": str(kube.kubeconfig())} if kube else {}) | environ
    return await asyncio.create_subprocess_exec(
        sys.executable,
        *("-m", "controller", *map(str, arguments)),
        cwd=ROOT,
        env=environ,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )


async def command(kube, *arguments, **environ):
    """Run a command; give exit status, output and errors."""
    process = await start(kube, *arguments, **environ)
    async with asyncio.timeout(20):
        output, errors = await process.communicate()
    return process.returncode, output.decode(), errors.decode()


@contextlib.asynccontextmanager
async def running(*arguments, **environ):
    """Have a command run during the block."""
    process = await start(*arguments, **environ)
    try:
        yield process
    finally:
        if process.returncode is None:
            process.kill()
        await process.communicate()


async def test_mirror_once_does_what_the_dry_run_said(kube, tmp_path):
    path = tmp_path / "profiles.db"
    database = sqlite3.connect(path)
    database.executescript(TABLES)
    database.close()
    url = {"DATABASE_URL": f"sqlite+aiosqlite:///{path}"}
    status, said, _ = await command(kube, "mirror", "--once", "--dry-run", **url)
    assert (status, "ocr-extract" in said) == (0, True)
    assert await kube.admin.get("ocrprofiles", "ocr-extract") is None
    status, done, _ = await command(kube, "mirror", "--once", **url)
    assert (status, done) == (0, said)
    found = await kube.admin.get("ocrprofiles", "ocr-extract")
    assert (found["spec"]["numCtx"], found["spec"]["temperature"]) == (8192, 0.1)


def rows(path: Path, script: str = TABLES) -> dict[str, str]:
    """Change the database; return the settings that name it."""
    with contextlib.closing(sqlite3.connect(path)) as database:
        database.executescript(script)
    return {"DATABASE_URL": f"sqlite+aiosqlite:///{path}", "MIRROR_INTERVAL_SECONDS": "0.1"}


async def test_without_a_cluster_the_rows_become_files_that_a_sidecar_reads(tmp_path):
    out = tmp_path / "profiles"
    url = rows(tmp_path / "profiles.db")
    status, said, _ = await command(None, "mirror", "--once", "--dry-run", "--output", out, **url)
    assert (status, "ocr-extract would be created" in said, [*out.glob("*.json")]) == (0, True, [])
    assert (await command(None, "mirror", "--once", "--output", out, **url))[0] == 0
    content = (out / "ocr-extract.json").read_bytes()
    profile = parse_profile(content, "ocr-extract")
    assert (profile.runtime_params.num_ctx, profile.runtime_params.temperature) == (8192, 0.1)
    assert (profile.generation, profile.retry.max_attempts) == (1, 2)
    assert (await command(None, "mirror", "--once", "--output", out, **url))[1].startswith("nothing would change\n")


async def test_a_mirror_into_a_folder_goes_on_until_it_is_stopped(tmp_path):
    out = tmp_path / "profiles"
    url = rows(tmp_path / "profiles.db")
    file = out / "ocr-extract.json"
    async with running(None, "mirror", "--output", out, **url) as process:
        await conftest.until(file.exists)
        rows(tmp_path / "profiles.db", "UPDATE ai_execution_profiles SET temperature = 0.7")
        await conftest.until(lambda: parse_profile(file.read_bytes(), "ocr-extract").runtime_params.temperature == 0.7)
        rows(tmp_path / "profiles.db", "UPDATE ai_execution_profiles SET is_active = 0")
        await conftest.until(lambda: not file.exists())
        status, _, errors = await command(None, "mirror", "--once", "--output", out, **url)
        assert (status, "another mirror writes to the folder" in errors) == (2, True)
        process.send_signal(signal.SIGTERM)
        assert await asyncio.wait_for(process.wait(), 10) == 0


async def test_a_mirror_into_a_folder_tells_its_health_and_metrics_where_it_is_asked_to(tmp_path):
    out, (port,) = tmp_path / "profiles", free_ports(1)
    told = rows(tmp_path / "profiles.db") | {"MIRROR_OPS_PORT": str(port)}
    async with running(None, "mirror", "--output", out, **told) as process, aiohttp.ClientSession() as client:

        async def ask(path: str) -> tuple[int, str]:
            async with client.get(f"http://127.0.0.1:{port}{path}") as answer:
                return answer.status, await answer.text()

        async def becomes(status: int, *words: str) -> None:
            async with asyncio.timeout(conftest.PATIENCE_S):
                while True:
                    with contextlib.suppress(aiohttp.ClientError):
                        found, body = await ask("/readyz")
                        if found == status and all(word in body for word in words):
                            return
                    await asyncio.sleep(0.05)

        await becomes(200)
        assert (await ask("/livez"))[0] == 200
        assert "ocr_controller_mirror_rows 2.0" in (await ask("/metrics"))[1]
        (out / "ocr-extract.json").unlink()
        (out / "ocr-extract.json").mkdir()
        rows(tmp_path / "profiles.db", "UPDATE ai_execution_profiles SET temperature = 0.7")
        await becomes(503, "reconcile-failing", str(out))
        (out / "ocr-extract.json").rmdir()
        await becomes(200)
        rows(tmp_path / "profiles.db", "ALTER TABLE ai_execution_profiles RENAME TO gone")
        await becomes(503, "database-unreachable")
        assert (await ask("/livez"))[0] == 200
        process.send_signal(signal.SIGTERM)
        assert await asyncio.wait_for(process.wait(), 10) == 0


async def test_a_mirror_whose_ops_port_is_taken_says_so_and_ends(tmp_path):
    told = rows(tmp_path / "profiles.db")
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = other.getsockname()[1]
        status, _, errors = await command(
            None, "mirror", "--output", tmp_path / "out", MIRROR_OPS_PORT=str(port), **told
        )
    assert (status, f"MIRROR_OPS_PORT is {port}: " in errors) == (2, True)


async def test_a_profile_that_somebody_else_wrote_is_left_alone(tmp_path):
    out = tmp_path / "profiles"
    out.mkdir()
    (out / "ocr-extract.json").write_text("{}")
    status, said, _ = await command(None, "mirror", "--once", "--output", out, **rows(tmp_path / "profiles.db"))
    assert (status, "NameClash" in said) == (0, True)
    assert (out / "ocr-extract.json").read_text() == "{}"


@pytest.mark.parametrize(
    "content", first(2, ["{", '{"metadata": {"name": "b", "uid": "", "resourceVersion": "1"}, "spec": {}}', "[]", "{}"])
)
async def test_a_stranger_s_file_among_the_mirror_s_is_told(tmp_path, content):
    out = tmp_path / "profiles"
    (out / ".ocrprofiles").mkdir(parents=True)
    (out / ".ocrprofiles" / "a.json").write_text(content)
    status, said, errors = await command(None, "mirror", "--once", "--output", out, **rows(tmp_path / "profiles.db"))
    assert (status, "not written by the mirror" in said + errors, "Traceback" in errors) == (1, True, False)


async def test_mirror_tells_that_the_database_is_not_there(fake, tmp_path):
    url = {"DATABASE_URL": f"sqlite+aiosqlite:///{tmp_path}/none.db"}
    status, _, errors = await command(fake, "mirror", "--once", "--dry-run", **url)
    assert status == 1
    assert str(tmp_path) not in errors


@pytest.mark.parametrize(
    ("arguments", "environ", "sentence"),
    [
        (["mirror", "--once"], {}, "DATABASE_URL is unset"),
        (["mirror"], {"DATABASE_URL": "sqlite+aiosqlite:////x.db"}, "mirror needs --once, or --output DIR"),
        (
            ["mirror", "--output", "/proc/x"],
            {"DATABASE_URL": "sqlite+aiosqlite:////x.db"},
            "the folder /proc/x cannot be written",
        ),
        (["run"], {"CONTROLLER_OPS_PROT": "1"}, "CONTROLLER_OPS_PROT is not a setting"),
        (["run"], {"KUBECONFIG": "/nowhere/kubeconfig"}, "no API server is known"),
    ],
)
async def test_a_mistake_is_one_line_and_exit_status_2(arguments, environ, sentence):
    status, _, errors = await command(None, *arguments, **environ)
    assert status == 2
    assert sentence in errors.splitlines()[-1]
    assert "Traceback" not in errors


async def test_a_port_that_is_taken_is_told(fake):
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = str(taken.getsockname()[1])
        status, _, errors = await command(fake, "run", CONTROLLER_OPS_PORT=port)
    assert status == 2
    assert f"CONTROLLER_OPS_PORT is {port}" in errors


async def test_ops_port_tells_liveness_readiness_and_metrics(fake, run_controller):
    controller = await run_controller(fake)
    await fake.admin.create_profile("a")
    await until(fake.admin.payloads)
    await until(controller.readiness, lambda seen: seen == (200, []))
    assert (await controller.get("/livez"))[0] == 200
    status, text = await controller.get("/metrics")
    assert status == 200
    assert f'ocr_controller_profiles{{namespace="{fake.admin.namespace}",publication="Published"}} 1.0' in text
