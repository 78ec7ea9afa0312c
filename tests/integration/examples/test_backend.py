"""examples/backend: compiled against the types of the service that runs, and run against it."""

import asyncio
import json
import os
import re
import shutil
import subprocess
from pathlib import Path

import pytest

from sidecar.ocr.warning_codes import WarningCode
from sidecar.wire.openapi import openapi_document
from tests.conftest import PATIENCE_S, until
from tests.integration.sidecar.model import PAGE
from tests.unit.test_docs import ROOT
from tools.fakes.ollama import Answer

FOLDER = ROOT / "examples" / "backend"
LOCK = FOLDER / "package-lock.json"
INSTALLED = FOLDER / "node_modules" / ".lock-that-is-installed.json"
NO_NETWORK = r"E(NOTFOUND|AI_AGAIN|CONNREFUSED|TIMEDOUT|NETUNREACH)"


def run(*command: str, timeout_s: float = 120) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        command, cwd=FOLDER, capture_output=True, text=True, check=False, timeout=timeout_s, stdin=subprocess.DEVNULL
    )


def install() -> None:
    """Install the locked packages, once for each lock; git ignores where they lie."""
    if INSTALLED.exists() and INSTALLED.read_bytes() == LOCK.read_bytes():
        return
    ended = run("npm", "ci", "--ignore-scripts", "--no-audit", "--no-fund", timeout_s=300)
    if ended.returncode and re.search(NO_NETWORK, ended.stderr):
        pytest.skip("the npm registry cannot be reached")
    assert ended.returncode == 0, ended.stderr
    shutil.copy(LOCK, INSTALLED)


@pytest.fixture(scope="module")
def built(tmp_path_factory) -> Path:
    """The example, compiled with the types of the API as it is."""
    if not (shutil.which("node") and shutil.which("npm")):
        pytest.skip("there is no Node with npm")
    install()
    described = tmp_path_factory.mktemp("backend") / "openapi.json"
    described.write_text(json.dumps(openapi_document(asks_for_keys=False)), encoding="utf-8")
    for command in (("node", "generate.mjs", described.as_uri()), ("node", "node_modules/typescript/bin/tsc")):
        ended = run(*command)
        assert ended.returncode == 0, ended.stdout + ended.stderr
    return FOLDER / "dist" / "main.js"


@pytest.fixture
def call(built, tmp_path, governed):
    """Runs the example's command line beside the service; gives its exit status and what it printed."""
    document = tmp_path / "document.png"
    document.write_bytes(PAGE)

    async def _call(mode: str, *more: str) -> tuple[int, dict]:
        process = await asyncio.create_subprocess_exec(
            *("node", str(built), mode, str(document), *more),
            stdout=subprocess.PIPE,
            env={"PATH": os.environ["PATH"], "OCR_API_URL": governed.service.url},
        )
        async with asyncio.timeout(60):
            output, _ = await process.communicate()
        return process.returncode, json.loads(output)

    return _call


async def publish(governed, name: str = "ocr-extract", **payload) -> None:
    """Publish a profile, and wait until it is in force."""
    governed.publish(name, **payload)
    async with asyncio.timeout(PATIENCE_S):
        while name not in {one["name"] for one in (await governed.ops("profiles"))["profiles"]}:
            await asyncio.sleep(0.05)


async def test_production_sends_the_profile_and_the_document_alone(call, governed):
    await publish(governed, runtimeParams={"temperature": 0.1}, systemPrompt="Read it.")
    status, result = await call("production")
    assert (status, result["engineUsed"], result["ocrUsed"]) == (0, "np-dms-ocr", True)
    assert (result["text"], result["incompletePages"], result["needsReview"]) == ("page text", [], False)
    assert result["profileRevision"]
    assert governed.options == [{"temperature": 0.1}]
    assert governed.system_prompts[0].startswith("Read it.")


async def test_production_says_which_pages_a_person_should_look_at(call, governed):
    await publish(governed)
    governed.fake.script([Answer.failure(500, "an error")])
    status, result = await call("production")
    assert status == 0
    assert (result["needsReview"], "engine-fallback" in result["warnings"]) == (True, True)


async def test_the_sandbox_uses_a_profile_of_its_own_and_shows_what_was_sent(call, governed):
    await publish(governed, runtimeParams={"temperature": 0.1})
    status, refused = await call("sandbox")
    assert (status, refused["status"], refused["code"]) == (1, 422, "unknown_profile")
    await publish(governed, "ocr-sandbox", runtimeParams={"temperature": 0.9})
    status, result = await call("sandbox")
    assert (status, result["fallbackUsed"]) == (0, False)
    (attempt,) = result["pages"][0]["attempts"]
    assert attempt == {"engine": "np-dms-ocr", "verdict": "good", "parameters": {"temperature": 0.9}}


async def test_a_caller_that_gives_up_ends_the_work_on_its_document(call, governed):
    await publish(governed)
    governed.fake.latency_s = 60
    status, result = await call("production", "2")
    assert (status, result["error"]) == (1, "TimeoutError")
    await until(lambda: not governed.service.spooled)


def test_its_scripts_are_what_the_tests_run_and_the_compiler_is_strict():
    package = json.loads((FOLDER / "package.json").read_text(encoding="utf-8"))
    assert package["scripts"] == {"generate": "node generate.mjs", "build": "tsc", "start": "node dist/main.js"}
    options = json.loads((FOLDER / "tsconfig.json").read_text(encoding="utf-8"))["compilerOptions"]
    assert options["strict"] is True


def test_the_codes_that_it_knows_are_codes_of_the_service():
    text = (FOLDER / "src" / "ocr.service.ts").read_text(encoding="utf-8")
    listed = re.search(r"NEEDS_REVIEW.*?\[(.*?)\]", text, re.DOTALL)[1]
    codes = set(re.findall(r"'([a-z-]+)'", listed))
    assert len(codes) > 5
    assert codes <= {code.value for code in WarningCode}


def test_the_lock_is_exact_and_names_no_registry():
    package = json.loads((FOLDER / "package.json").read_text(encoding="utf-8"))
    wanted = package["dependencies"] | package["devDependencies"]
    assert all(re.fullmatch(r"\d+\.\d+\.\d+", version) for version in wanted.values())
    packages = json.loads(LOCK.read_text(encoding="utf-8"))["packages"]
    assert packages[""]["dependencies"] | packages[""]["devDependencies"] == wanted
    locked = [one for path, one in packages.items() if path]
    assert all("integrity" in one and "resolved" not in one for one in locked)
    permissive = {"MIT", "Apache-2.0", "BSD-3-Clause", "BSD-2-Clause", "ISC", "Python-2.0", "(MIT OR CC0-1.0)"}
    assert {one["license"] for one in locked} <= permissive
