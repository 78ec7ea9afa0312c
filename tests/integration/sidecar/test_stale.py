"""Which results have to be read again is told by their receipts, and by the service that would read them now."""

import json
import os

import pytest

from sidecar import __version__
from sidecar.api.app_keys import PROFILE_STORE
from sidecar.cli.commands import main
from sidecar.wire.common import NDJSON
from tests.conftest import until
from tests.integration.sidecar.test_cli import run

NOW = {
    "service": "1.0",
    "profile": "ocr-extract",
    "revision": "r1",
    "readers": [
        {"engine": "fast-path", "model": "pypdfium2-5"},
        {"engine": "tesseract", "model": "tesseract-5.5", "modelDigest": "t1", "languages": "tha+eng"},
        {"engine": "np-dms-ocr", "model": "m:latest", "modelDigest": "d1", "recipe": "generic", "promptSha256": "p1"},
    ],
}
DATA = {"model": "tesseract-5.5", "modelDigest": "t1", "parameters": {"languages": "tha+eng", "dpi": 300}}
BY_MODEL = {"model": "m:latest", "modelDigest": "d1", "recipe": "generic", "promptSha256": "p1"}


def answer(*pages: tuple[str, dict], service: str = "1.0", revision: str | None = None, **more) -> dict:
    return {
        "text": "",
        "pageCount": len(pages),
        "receipt": {"documentSha256": "0", "service": service},
        "profile": {"name": "ocr-extract", "revision": revision} if revision else None,
        "pages": [{"page": n, "text": "", "engine": one, "receipt": of} for n, (one, of) in enumerate(pages, 1)],
    } | more


@pytest.fixture
def judge(tmp_path, capsys):
    """Judge files, given as JSON or as bytes; return the exit status, and the causes of each."""

    def judge_(*options: str, **files: object) -> tuple[int, dict[str, str]]:
        folder = tmp_path / "results"
        folder.mkdir(exist_ok=True)
        (tmp_path / "now").write_text(json.dumps(NOW))
        for name, content in files.items():
            whole = content if isinstance(content, bytes) else json.dumps(content).encode()
            (folder / f"{name}.json").write_bytes(whole)
        status = main(["stale", "--told", str(tmp_path / "now"), *options, str(folder)], {})
        printed = [line.split("\t") for line in capsys.readouterr().out.splitlines()]
        return status, {os.path.basename(path).removesuffix(".json"): causes for path, causes in printed}  # noqa: PTH119

    return judge_


def test_what_was_made_as_it_would_be_now_is_not_listed(judge):
    pages = ("fast-path", {"model": "pypdfium2-5"}), ("np-dms-ocr", BY_MODEL), ("tesseract", {"model": "tesseract-5.5"})
    others = ("tesseract", DATA), ("tesseract", DATA | {"modelDigest": "e1", "parameters": {"languages": "eng"}})
    assert judge(a=answer(*pages, *others, revision="r1")) == (0, {})


@pytest.mark.parametrize(
    ("made", "causes"),
    [
        (answer(("np-dms-ocr", BY_MODEL), revision="r0"), "revision"),
        (answer(("np-dms-ocr", BY_MODEL | {"modelDigest": "d0"})), "model"),
        (answer(("np-dms-ocr", BY_MODEL | {"model": "other"})), "model"),
        (answer(("np-dms-ocr", BY_MODEL | {"promptSha256": "p0"})), "prompt"),
        (answer(("np-dms-ocr", BY_MODEL | {"recipe": "qwen-vl"})), "recipe"),
        (answer(("tesseract", {"model": "tesseract-5.4"})), "engine"),
        (answer(("tesseract", DATA | {"modelDigest": "t0"})), "engine"),
        (answer(("rapidocr", {"model": "rapidocr-3"})), "engine"),
        (answer(("fast-path", {"model": "pypdfium2-4"})), "engine"),
        (answer(("fast-path", {"model": "pypdfium2-5"}), service="0.9"), "service"),
        (
            answer(("np-dms-ocr", BY_MODEL | {"modelDigest": "d0"}), service="0.9", revision="r0"),
            "revision,model,service",
        ),
    ],
)
def test_what_would_be_made_in_another_way_is_listed_with_the_causes(judge, made, causes):
    assert judge(a=made) == (1, {"a": causes})
    assert judge("--ignore", causes, a=made) == (0, {})


def test_a_digest_that_one_side_does_not_know_is_no_cause(judge):
    assert judge(a=answer(("np-dms-ocr", BY_MODEL | {"modelDigest": None}), revision="r1")) == (0, {})


def test_a_page_that_nobody_could_read_says_nothing(judge):
    made = answer(("tesseract", {"model": "tesseract-5.5"}))
    made["pages"].append({"page": 2, "text": "", "engine": None, "error": "page_unreadable"})
    assert judge(a=made) == (0, {})


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"\xff\xfe",
        b"[" * 100_000,
        b'{"a":' * 100_000,
        b'{"pages": 7}',
        b'{"text": "", "pageCount": 1' + b"0" * 5000 + b', "pages": []}',
        b"[1, 2]",
        b'"text"',
        b'{"event": {"page": 1}}',
        b'{"event": "page", "page": [], "text": {}}',
        b'{"text": "", "pageCount": 0, "pages": [], "receipt": {"service": 7}}',
        json.dumps(answer()).encode()[:-9],
        json.dumps(answer() | {"receipt": None}).encode(),
    ],
)
def test_what_is_no_result_costs_the_others_nothing(judge, content):
    old = answer(("tesseract", {"model": "tesseract-5.4"}))
    assert judge(hostile=content) == (3, {})
    assert judge(hostile=content, old=old) == (1, {"old": "engine"})


def test_a_name_cannot_forge_a_line(tmp_path, capsys):
    (tmp_path / "now").write_text(json.dumps(NOW))
    (tmp_path / "a\nforged\x1b[2J.json").write_text(json.dumps(answer(service="0")))
    (tmp_path / "pipe.json").symlink_to("/dev/stdin")
    assert main(["stale", "--told", str(tmp_path / "now"), str(tmp_path)], {}) == 1
    (line,) = capsys.readouterr().out.splitlines()
    assert line.endswith("a?forged?[2J.json\tservice")


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--told", "missing"], "no answer of GET /provenance"),
        (["--url", "http://127.0.0.1:9"], "cannot be reached"),
        (["--told", "missing", "--ignore", "weather"], "weather"),
    ],
)
def test_who_cannot_be_asked_is_told(tmp_path, capsys, arguments, said):
    assert main(["stale", *arguments, str(tmp_path)], {}) == 2
    assert said in capsys.readouterr().err


async def test_a_running_service_is_asked(govern, fake, tmp_path, data):
    govern.publish()
    governed = await govern()
    service, folder = governed.service, tmp_path / "results"
    folder.mkdir()
    fields = {"include": "receipt", "engine": "np-dms-ocr"}
    _, whole = await service.upload(data / "photo.png", **fields)
    _, events = await service.upload(data / "photo.png", {"Accept": NDJSON}, **fields)
    (folder / "whole.json").write_text(json.dumps(whole))
    (folder / "streamed.ndjson").write_text("\n".join(map(json.dumps, events)))
    asked = "stale", "--url", service.url, folder
    status, out, err = await run(*asked)
    assert (status, out) == (0, ""), err

    govern.publish(systemPrompt="Read anew.")
    store = service.service.api[PROFILE_STORE]
    await until(lambda: store.current.get("ocr-extract").revision != whole["profile"]["revision"])
    async with service.client.get(f"{service.url}/provenance") as response:
        told = await response.json()
    status, out, _ = await run(*asked)
    assert status == 1
    assert [line.partition("\t")[2] for line in out.splitlines()] == ["revision,prompt"] * 2
    assert told["service"] == __version__
    assert "Read anew" not in json.dumps(told)


async def test_what_the_service_tells_needs_a_key_and_a_profile_that_there_is(start):
    service = await start(OCR_AUTH_MODE="api-key", OCR_SIDECAR_API_KEY="secret")
    async with service.client.get(f"{service.url}/provenance") as response:
        assert response.status == 401
    headers = {"X-API-Key": "secret"}
    async with service.client.get(f"{service.url}/provenance?profile=none", headers=headers) as response:
        assert (response.status, (await response.json())["code"]) == (422, "unknown_profile")
