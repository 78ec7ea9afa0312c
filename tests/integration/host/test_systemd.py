"""The units of examples/systemd: systemd accepts them, they may do little, and their processes run as written."""

import asyncio
import configparser
import json
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from controller.settings import parse_settings as parse_controller_settings
from sidecar.gpu.lease.lease import CLOSE_S
from sidecar.settings import parse_settings
from tests.conftest import PATIENCE_S, until
from tests.integration.host.compose_file import env_file, load
from tests.integration.host.test_compose import MARGIN_S, MODELS_MIB, SERVICE_MIB
from tests.unit.test_docs import ROOT

FOLDER = ROOT / "examples" / "systemd"
UNITS = sorted(FOLDER.glob("*.service"))
HOME = "/opt/ocr-sidecar"
"""Where a unit expects this repository."""
STATE = ("HF_HOME", "OCR_RAPIDOCR_DIR", "OCR_STATE_DIR")
"""What outlives a process."""
MAX_EXPOSURE = 20
"""systemd-analyze's measure times ten; below 20 is what it calls safe enough, with the GPU in reach."""


def lines(unit: str) -> list[tuple[str, str]]:
    """What a unit says, in order; names may come twice."""
    text = (FOLDER / f"{unit}.service").read_text(encoding="utf-8")
    return re.findall(r"^(\w+)=(.*)$", text, re.MULTILINE)


def only(unit: str, name: str) -> str:
    (value,) = [value for key, value in lines(unit) if key == name]
    return value


def environment(unit: str) -> dict[str, str]:
    return dict(value.split("=", 1) for key, value in lines(unit) if key == "Environment")


@pytest.fixture
def analyze(tmp_path):
    """Runs systemd-analyze on the units, with the Python of this machine in the place of the one they name."""
    program = shutil.which("systemd-analyze")
    if program is None:
        pytest.skip("there is no systemd-analyze")
    for unit in UNITS:
        text = unit.read_text(encoding="utf-8").replace(f"{HOME}/.venv/bin/python", sys.executable)
        (tmp_path / unit.name).write_text(text, encoding="utf-8")

    def _analyze(*arguments: object) -> subprocess.CompletedProcess[str]:
        command = [program, *map(str, arguments)]
        return subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)

    return _analyze


@pytest.mark.parametrize("unit", UNITS, ids=lambda unit: unit.stem)
def test_systemd_accepts_it_without_a_word(unit, analyze, tmp_path):
    ended = analyze("verify", tmp_path / unit.name)
    assert (ended.returncode, [line for line in ended.stderr.splitlines() if unit.name in line]) == (0, [])


def test_systemd_would_refuse_a_mistake(analyze, tmp_path):
    unit = tmp_path / "ocr-mirror.service"
    unit.write_text(unit.read_text(encoding="utf-8").replace("ProtectProc=", "ProtectPrc="), encoding="utf-8")
    assert "ProtectPrc" in analyze("verify", unit).stderr


@pytest.mark.parametrize("unit", UNITS, ids=lambda unit: unit.stem)
def test_what_it_could_reach_is_little(unit, analyze, tmp_path):
    ended = analyze("security", "--offline=true", f"--threshold={MAX_EXPOSURE}", tmp_path / unit.name)
    assert ended.returncode == 0, ended.stdout[-300:] + ended.stderr


def test_what_they_set_are_settings_and_the_limits_suffice():
    settings = parse_settings(environment("ocr-sidecar"))
    needed = settings.workers * settings.worker_memory_mb + SERVICE_MIB + MODELS_MIB
    assert int(only("ocr-sidecar", "MemoryMax").removesuffix("G")) * 1024 >= needed
    assert only("ocr-sidecar", "CPUQuota") == f"{100 * settings.workers}%"
    assert settings.retrieval_threads == settings.workers
    assert int(only("ocr-sidecar", "TimeoutStopSec")) >= settings.shutdown_s + MARGIN_S + CLOSE_S
    composed = load()["services"]["ocr-sidecar"]["environment"]
    same = ("OCR_WORKERS", "RETRIEVAL_THREADS", "BGE_KEEP_ALIVE_SECONDS")
    assert {name: environment("ocr-sidecar")[name] for name in same} == {name: composed[name] for name in same}
    parse_controller_settings(environment("ocr-mirror"))


def test_the_sidecar_reads_where_the_mirror_writes():
    written = only("ocr-mirror", "ExecStart").split(" --output ")[1]
    assert written == f"/var/lib/{only('ocr-mirror', 'StateDirectory')}"
    assert environment("ocr-sidecar")["OCR_PROFILE_DIR"] == written
    states = [value for name, value in environment("ocr-sidecar").items() if name in STATE]
    assert all(value.startswith(f"/var/lib/{only('ocr-sidecar', 'StateDirectory')}/") for value in states)
    assert len(states) == len(STATE)


async def start(host, unit: str):
    """Start what a unit runs; its EnvironmentFile wins over its Environment."""
    folders = ["/var/lib/", "/etc/ocr-sidecar/"]
    told = environment(unit) | env_file(Path(host.here(only(unit, "EnvironmentFile").lstrip("-"), folders)))
    command = host.here(only(unit, "ExecStart"), folders).split()
    assert command[0] == f"{HOME}/.venv/bin/python"
    return await host.start(command, {name: host.here(value, folders) for name, value in told.items()})


async def test_the_processes_do_together_what_they_should(host, fake, mariadb):
    settings = host.root / "etc" / "ocr-sidecar"
    settings.mkdir(parents=True)
    told = host.settings | {"OLLAMA_API_URL": fake.url, "OCR_AUTH_MODE": "network"}
    (settings / "sidecar.env").write_text("".join(f"{name}={value}\n" for name, value in told.items()))
    (settings / "mirror.env").write_text(f"DATABASE_URL={mariadb.url()}\n", encoding="utf-8")
    mirror, sidecar = await start(host, "ocr-mirror"), await start(host, "ocr-sidecar")
    profile = host.root / "var" / "lib" / "ocr-profiles" / "ocr-extract.json"
    await until(profile.exists)
    async with asyncio.timeout(PATIENCE_S):
        while not await host.profile():
            await asyncio.sleep(0.05)
    read = await host.read()
    assert read["profile"]["revision"] == json.loads(profile.read_bytes())["revision"]
    assert fake.chats[-1].options["num_ctx"] == 8192
    stop_s = {unit: int(only(unit, "TimeoutStopSec")) for unit in ("ocr-sidecar", "ocr-mirror")}
    assert await host.stop(sidecar, stop_s["ocr-sidecar"]) == 0
    assert await host.stop(mirror, stop_s["ocr-mirror"]) == 0


def test_units_are_written_as_systemd_reads_them():
    for unit in UNITS:
        parser = configparser.ConfigParser(strict=False, interpolation=None)
        parser.read(unit, encoding="utf-8")
        assert parser.sections() == ["Unit", "Service", "Install"]
