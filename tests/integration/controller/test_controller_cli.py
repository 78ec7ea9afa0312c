"""The command line: render on a laptop, mirror once, and how mistakes are told."""

import asyncio
import json
import os
import socket
import sqlite3
import subprocess
import sys

import pytest
import yaml

from controller.__main__ import main
from controller.publish.config_map import plan_entries
from controller.resource.spec import read_resource
from tests.integration.controller.cluster_under_test import ROOT, SPEC, until
from tests.integration.controller.test_rights import TABLES


def manifest(name="ocr-extract", **spec):
    return {
        "apiVersion": "ocr.np-dms.work/v1alpha1",
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


async def command(kube, *arguments, **environ):
    """Run a command as a process of its own; give exit status, output and errors."""
    known = {name: os.environ[name] for name in ("PATH", "HOME") if name in os.environ}
    environ = known | ({"KUBECONFIG": str(kube.kubeconfig())} if kube else {}) | environ
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        *("-m", "controller", *arguments),
        cwd=ROOT,
        env=environ,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )
    async with asyncio.timeout(20):
        output, errors = await process.communicate()
    return process.returncode, output.decode(), errors.decode()


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


async def test_mirror_tells_that_the_database_is_not_there(fake, tmp_path):
    url = {"DATABASE_URL": f"sqlite+aiosqlite:///{tmp_path}/none.db"}
    status, _, errors = await command(fake, "mirror", "--once", "--dry-run", **url)
    assert status == 1
    assert str(tmp_path) not in errors


@pytest.mark.parametrize(
    ("arguments", "environ", "sentence"),
    [
        (["mirror", "--once"], {}, "DATABASE_URL is unset"),
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
