"""The command line as its users meet it: its output, its exit status; a process where what counts is one."""

import asyncio
import io
import json
import os
import re
import shutil
import signal
import sys
from contextlib import redirect_stderr, redirect_stdout
from pathlib import Path

import pytest

from sidecar.cli import commands
from tests.conftest import until
from tests.matrix import first
from tools.fakes.hub import Hub, running_hub


def environment() -> dict[str, str]:
    own = {name: value for name, value in os.environ.items() if not name.startswith("OCR_")}
    return own | {"OCR_RAPIDOCR_THAI_URL": ""}  # not from the internet


async def run_process(*arguments: object, **environ: str) -> tuple[int, str, str]:
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        "sidecar",
        *map(str, arguments),
        env=environment() | environ,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    async with asyncio.timeout(60):
        out, err = await process.communicate()
    return process.returncode, out.decode(), err.decode()


async def run(*arguments: object, **environ: str) -> tuple[int, str, str]:
    """Do in a thread what the main module does: a process takes two seconds to import and start what it needs."""
    out, err = (io.TextIOWrapper(io.BytesIO(), encoding="utf-8", write_through=True) for _ in range(2))
    with redirect_stdout(out), redirect_stderr(err):
        async with asyncio.timeout(60):
            status = await asyncio.to_thread(commands.main, list(map(str, arguments)), environment() | environ)
    return status, *(stream.buffer.getvalue().decode() for stream in (out, err))


@pytest.fixture
def folder(tmp_path, data):
    """Two documents that are read from their text layer, one that is broken, and a file that is no document."""
    folder = tmp_path / "in"
    (folder / "sub").mkdir(parents=True)
    shutil.copy(data / "digital.pdf", folder / "a.pdf")
    shutil.copy(data / "leading-bytes.pdf", folder / "sub" / "b.PDF")
    shutil.copy(data / "broken-garbage.pdf", folder / "c.pdf")
    (folder / "notes.txt").write_text("not a document")
    return folder


async def test_a_document_is_printed_as_markdown(data):
    status, out, _ = await run_process("ocr", data / "digital.pdf", "--pages", "1-2")

    assert status == 0
    assert [line for line in out.splitlines() if line.startswith("#")] == ["# digital.pdf", "## Page 1", "## Page 2"]
    assert "LCBP3-RFA-2025-9613-0" in out


async def test_words_come_with_json_alone(data):
    status, out, _ = await run("ocr", "--json", "--include", "words", data / "digital.pdf", "--pages", "1-2")
    answer = json.loads(out)
    assert (status, answer["file"], answer["pageCount"]) == (0, "digital.pdf", 2)
    for page in answer["pages"]:
        words = [word for block in page["blocks"] for line in block["lines"] for word in line["words"]]
        assert sorted(word["text"] for word in words) == sorted(page["text"].split())
        assert all(word["box"] for word in words)

    status, out, err = await run("ocr", "--include", "words", data / "digital.pdf")
    assert (status, out) == (2, "")
    assert "--include needs --json" in err


async def test_a_scan_is_read_on_this_machine(data):
    status, out, _ = await run_process("ocr", "--embedded", data / "photo.png")

    assert status == 0
    assert "LCBP3-RFA-2025-5932-7" in out


async def test_json_holds_the_whole_answer(data):
    status, out, _ = await run("ocr", "--json", data / "digital.pdf")

    answer = json.loads(out)
    assert (status, answer["file"], answer["engineUsed"], len(answer["pages"])) == (0, "digital.pdf", "fast-path", 4)


@pytest.mark.parametrize(
    ("output", "suffix", "begins"),
    first(2, [("text", ".txt", b""), ("pdf", ".searchable.pdf", b"%PDF-"), ("html", ".html", b"<!DOCTYPE html>")]),
)
async def test_documents_are_written_in_another_format(data, tmp_path, output, suffix, begins):
    target = tmp_path / "out"
    status, out, _ = await run("ocr", "--format", output, "--output", target, data / "digital.pdf")
    assert (status, out, [one.name for one in target.iterdir()]) == (0, "", [f"digital.pdf{suffix}"])
    assert (target / f"digital.pdf{suffix}").read_bytes().startswith(begins)


async def test_a_document_in_another_format_is_printed_and_a_failure_told(data):
    status, out, err = await run("ocr", "--format", "alto", data / "digital.pdf", data / "broken-garbage.pdf")
    assert (status, out.count("<alto "), "document_unreadable" in err) == (1, 1, True)


async def test_several_searchable_pdfs_need_a_folder(data):
    status, _, err = await run("ocr", "--format", "pdf", data / "digital.pdf", data / "mixed.pdf")
    assert (status, "several documents as pdf need --output DIR" in err) == (2, True)


async def test_a_folder_is_read_past_its_bad_documents(folder, tmp_path):
    status, out, err = await run("ocr", folder, "--output", tmp_path / "out")

    assert (status, out) == (1, "")
    assert "document_unreadable" in err
    assert "c.pdf" in err
    written = {str(path.relative_to(tmp_path / "out")) for path in (tmp_path / "out").rglob("*") if path.is_file()}
    assert written == {"a.pdf.md", "sub/b.PDF.md"}


async def test_a_folder_is_resumed_where_it_was_left(folder, tmp_path):
    await run("ocr", folder, "--output", tmp_path / "out")
    (tmp_path / "out" / "a.pdf.md").write_text("mine")
    (folder / "c.pdf").unlink()

    status, _, err = await run("ocr", folder, "--output", tmp_path / "out")

    assert status == 0
    assert "2 of 2 documents are already done" in err
    assert (tmp_path / "out" / "a.pdf.md").read_text() == "mine"


async def test_two_documents_of_one_name_are_not_written_over_each_other(folder, data, tmp_path):
    shutil.copy(data / "digital.pdf", folder / "sub" / "a.pdf")

    status, _, err = await run("ocr", folder / "a.pdf", folder / "sub" / "a.pdf", "--output", tmp_path / "out")

    assert status == 2
    assert "two documents would be written to" in err


async def test_an_output_folder_that_cannot_be_made_is_told_before_any_work(folder, tmp_path):
    (tmp_path / "out").touch()

    status, _, err = await run("ocr", folder, "--output", tmp_path / "out")

    assert (status, "Traceback" in err) == (2, False)


async def test_what_is_no_sidecar_is_told(data):
    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"--\r\n")  # the whole form: an answer before it may cut the sender off
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\n<html>")
        await writer.drain()
        writer.close()
        await writer.wait_closed()

    async with await asyncio.start_server(answer, "127.0.0.1", 0) as server:
        port = server.sockets[0].getsockname()[1]
        status, _, err = await run("ocr", "--url", f"http://127.0.0.1:{port}", data / "digital.pdf")

    assert (status, "no sidecar" in err, "Traceback" in err) == (1, True, False)


async def test_a_service_elsewhere_is_asked_with_the_key_of_the_environment(start, data):
    service = await start(OCR_AUTH_MODE="api-key", OCR_SIDECAR_API_KEY="the-key")

    good = await run("ocr", "--url", service.url, data / "digital.pdf", OCR_SIDECAR_API_KEY="the-key")
    bad = await run("ocr", "--url", service.url, data / "digital.pdf", OCR_SIDECAR_API_KEY="another")

    assert (good[0], bad[0]) == (0, 1)
    assert "LCBP3-RFA-2025-9613-0" in good[1]
    assert "401 unauthorized" in bad[2]
    assert "another" not in bad[2]


@pytest.mark.parametrize("command", ["ocr", "mcp"])
async def test_a_key_that_cannot_be_sent_is_told_in_one_line(data, command):
    arguments = [data / "digital.pdf"] if command == "ocr" else []
    status, out, err = await run(command, "--url", "http://127.0.0.1:9", *arguments, OCR_SIDECAR_API_KEY="ключ")
    assert (status, out, len(err.splitlines())) == (2, "", 1), err
    assert "printable ASCII" in err
    assert "ключ" not in err


@pytest.mark.parametrize("command", ["ocr", "mcp"])
@pytest.mark.parametrize(
    "url", first(2, ["nonsense", "me:secret@host", "127.0.0.1:8765", "ftp://host", "http://", "http://a:b"])
)
async def test_a_url_without_its_scheme_is_told_in_one_line(data, command, url):
    arguments = [data / "digital.pdf"] if command == "ocr" else []
    status, out, err = await run(command, "--url", url, *arguments)
    assert (status, out, len(err.splitlines())) == (2, "", 1), err
    assert "the URL of a service begins with http:// or https://, as in http://127.0.0.1:8765" in err
    assert "secret" not in err


@pytest.mark.parametrize("target", ["http://127.0.0.1:9", "http://no-such-host.invalid"])
async def test_a_service_that_is_not_there_is_an_error_not_a_traceback(data, target):
    status, out, err = await run("ocr", "--url", target, data / "digital.pdf")

    assert (status, out) == (1, "")
    assert "cannot be reached" in err.replace("\n", " ")
    assert "Traceback" not in err


async def test_a_file_that_is_not_there_is_an_error_not_a_traceback(tmp_path):
    status, _, err = await run_process("ocr", tmp_path / "absent.pdf")

    assert status == 1
    assert "absent.pdf" in err
    assert "Traceback" not in err


async def test_doctor_tells_what_is_missing_and_how_to_get_it(tmp_path):
    (tmp_path / "eng.traineddata").touch()
    status, out, _ = await run_process("doctor", TESSDATA_PREFIX=str(tmp_path), OCR_AUTH_MODE="network")

    assert status == 1
    assert "MISSING  language tha" in out
    assert "apt-get install tesseract-ocr-tha" in out
    assert "ok       language eng" in out


@pytest.mark.parametrize("setting", first(1, [{"OCR_RECIPE": "nonsense"}, {"OCR_DIALECTS": "foo"}]))
async def test_doctor_finds_the_settings_that_serve_would_refuse(setting):
    status, out, _ = await run_process("doctor", OCR_AUTH_MODE="network", **setting)

    assert status == 1
    assert f"MISSING  settings: {next(iter(setting))} is" in out


async def test_who_stops_listening_gets_no_traceback(data):
    """As ``| head -1`` does."""
    command = f"{sys.executable} -m sidecar ocr {data / 'digital.pdf'} | true; echo ${{PIPESTATUS[0]}}"
    process = await asyncio.create_subprocess_exec(
        *("bash", "-c", command), stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE
    )
    async with asyncio.timeout(60):
        out, err = await process.communicate()

    assert (out, b"Traceback" in err, b"BrokenPipe" in err) == (b"141\n", False, False)


async def test_doctor_is_content_with_this_machine():
    status, out, _ = await run_process("doctor", OCR_AUTH_MODE="network")

    assert status == 0
    assert "MISSING" not in out
    assert "ok       the command mcp: serves language models" in out


@pytest.mark.parametrize(
    "arguments",
    [["--help"], ["ocr", "--help"], ["serve", "--help"], ["mcp", "--help"], ["doctor", "--help"], ["fetch", "--help"]],
)
async def test_help_needs_nothing_installed_or_configured(arguments):
    status, out, err = await run_process(*arguments, OCR_NONSENSE="1")

    assert (status, err) == (0, "")
    assert out.startswith("usage: python -m sidecar")


async def test_the_version_is_told():
    from sidecar import __version__  # noqa: PLC0415 - beside its only use

    assert (await run_process("--version"))[:2] == (0, f"ocr-sidecar {__version__}\n")


@pytest.mark.parametrize("arguments", [[], ["nonsense"], ["ocr"]])
async def test_wrong_usage_is_status_two(arguments):
    assert (await run_process(*arguments))[0] == 2


# ── models ────────────────────────────────────────────────────────────────────────────────────────────────────────


async def test_models_are_fetched_once_and_then_found_without_a_network(tmp_path, models):
    hub = Hub("owner/embedder", models.embedder)
    hub.add("onnx/model.onnx", b"not needed")
    environ = {"BGE_M3_MODEL": "owner/embedder", "RERANKER_MODEL": str(models.reranker), "HF_HOME": str(tmp_path)}
    async with running_hub(hub) as url:
        before = await run_process("doctor", **environ)
        status, out, err = await run_process("fetch", HF_ENDPOINT=url, **environ)
        again = await run_process("fetch", HF_ENDPOINT=url, **environ)

    assert "absent   /embed: owner/embedder is not available\n         -> python -m sidecar fetch\n" in before[1]
    assert (status, err) == (0, "")
    assert [line.split(":")[0] for line in out.splitlines()] == ["owner/embedder", str(models.reranker)]
    assert sorted(hub.downloaded) == sorted(path.name for path in models.embedder.iterdir())
    assert again == (0, out, "")
    assert "ok       /embed: owner/embedder is available" in (await run_process("doctor", **environ))[1]
    fetched = await run_process("fetch", HF_HUB_OFFLINE="1", **environ)
    assert fetched == (0, out, "")


@pytest.mark.parametrize(
    "withheld", first(1, ["model.safetensors", "tokenizer.json", "config.json", "sparse_linear.pt"])
)
async def test_a_download_that_was_broken_off_is_finished_by_the_next(tmp_path, models, withheld):
    hub = Hub("owner/embedder", models.embedder)
    hub.withheld = {withheld}
    environ = {"BGE_M3_MODEL": "owner/embedder", "RERANKER_MODEL": "", "HF_HOME": str(tmp_path)}
    async with running_hub(hub) as url:
        assert (await run_process("fetch", HF_ENDPOINT=url, **environ))[0] == 1
        hub.withheld = set()
        status, out, err = await run_process("fetch", HF_ENDPOINT=url, **environ)

    assert (status, err) == (0, "")
    folder = Path(out.split(": in ")[1].strip())
    assert sorted(path.name for path in folder.iterdir()) == sorted(path.name for path in models.embedder.iterdir())
    assert hub.downloaded.count(withheld) == 1


async def test_what_cannot_be_fetched_is_told_and_the_other_one_fetched(tmp_path, models):
    hub = Hub("owner/reranker", models.reranker)
    environ = {"BGE_M3_MODEL": "owner/other", "RERANKER_MODEL": "owner/reranker", "HF_HOME": str(tmp_path)}
    async with running_hub(hub) as url:
        status, out, err = await run_process("fetch", HF_ENDPOINT=url, **environ)

    assert status == 1
    missing, fetched = out.splitlines()
    assert missing == "owner/other: model-missing: it is not in the cache, and the hub does not give it"
    assert "404" in err
    assert fetched.startswith("owner/reranker: in ")


async def test_with_no_models_configured_there_is_nothing_to_fetch():
    assert await run_process("fetch", BGE_M3_MODEL="", RERANKER_MODEL="") == (0, "", "")


# ── standard input, empty folders, Ctrl-C ─────────────────────────────────────────────────────────────────────────


async def run_with_input(content: bytes, *arguments: object) -> tuple[int, str, str]:
    own = {name: value for name, value in os.environ.items() if not name.startswith("OCR_")}
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "sidecar", *map(str, arguments)),
        env=own,
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    async with asyncio.timeout(60):
        out, err = await process.communicate(content)
    return process.returncode, out.decode(), err.decode()


async def test_a_document_comes_by_standard_input(data):
    status, out, err = await run_with_input((data / "digital.pdf").read_bytes(), "ocr", "-")

    assert (status, err) == (0, "")
    assert out.startswith("# stdin\n")
    assert "LCBP3-RFA-2025-9613-0" in out


async def test_its_text_has_a_name_in_the_folder_of_texts(data, tmp_path):
    content = (data / "digital.pdf").read_bytes()
    status, _, _ = await run_with_input(content, "ocr", "-", data / "leading-bytes.pdf", "--output", tmp_path / "out")

    assert status == 0
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == ["leading-bytes.pdf.md", "stdin.md"]


@pytest.mark.parametrize(
    ("content", "code"), first(1, [(b"", "document_empty"), (b"no document", "unsupported_media_type")])
)
async def test_what_comes_by_standard_input_and_is_no_document_is_told(content, code):
    status, out, err = await run_with_input(content, "ocr", "-")

    assert (status, out) == (1, "")
    assert err.startswith("standard input: ")
    assert code in err


async def test_a_folder_without_a_document_is_told_with_the_suffixes_that_are_read(tmp_path, data):
    (tmp_path / "empty").mkdir()
    (tmp_path / "empty" / "notes.txt").write_text("not a document")
    status, out, err = await run("ocr", tmp_path / "empty", data / "digital.pdf")

    assert status == 1
    suffixes = ".bmp, .jpeg, .jpg, .pdf, .png, .tif, .tiff, .webp"
    assert err == f"{tmp_path / 'empty'}: there is no document in this folder; accepted are {suffixes}\n"
    assert "LCBP3-RFA-2025-9613-0" in out, "the others are read"


@pytest.mark.timeout(240)  # its documents keep two workers busy, beside the other tests
@pytest.mark.parametrize("embedded", [True, False])
async def test_ctrl_c_says_in_one_line_how_far_it_came(folder, data, tmp_path, start, embedded):
    for number in range(4):
        shutil.copy(data / "scan-noisy-skewed.pdf", folder / f"slow-{number}.pdf")
    (folder / "c.pdf").rename(folder / "z.pdf")  # broken: it has failed by then, and nobody has asked it yet
    where = [] if embedded else ["--url", (await start()).url]
    own = {name: value for name, value in os.environ.items() if not name.startswith("OCR_")}
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "sidecar", "ocr", str(folder), "--output", str(tmp_path / "out"), "--jobs", "9"),
        *where,
        env=own,
        stderr=asyncio.subprocess.PIPE,
        start_new_session=True,
    )
    await until((tmp_path / "out" / "a.pdf.md").exists, 180)
    os.killpg(process.pid, signal.SIGINT)  # as a terminal does
    async with asyncio.timeout(20):
        _, err = await process.communicate()

    assert process.returncode == 130
    said = r"interrupted: [12] of 7 documents are done; run it again to continue\n"  # the second may be done by then
    assert re.fullmatch(said, err.decode())
