"""``jobs`` as its users meet it: processes that are killed, services that are killed, folders that are resumed."""

import asyncio
import json
import signal
import sys

import pytest
import pytest_asyncio

from tests.conftest import until
from tests.integration.sidecar.job_service import sidecars
from tests.integration.sidecar.test_cli import run


@pytest_asyncio.fixture
async def three():
    async with sidecars(3) as (queue, services):
        yield queue, services


@pytest.fixture
def folder(tmp_path):
    """Thirty documents of two pages."""
    folder = tmp_path / "in"
    (folder / "sub").mkdir(parents=True)
    for number in range(30):
        place = folder / "sub" if number % 2 else folder
        (place / f"{number:02}.pdf").write_bytes(b"first\nsecond of %d" % number)
    return folder


def urls(services):
    return [word for one in services for word in ("--url", one.url)]


def texts(folder):
    return {str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file()}


async def begin(*arguments: object) -> asyncio.subprocess.Process:
    pipes = {"stdout": asyncio.subprocess.PIPE, "stderr": asyncio.subprocess.PIPE}
    return await asyncio.create_subprocess_exec(sys.executable, "-m", "sidecar", *map(str, arguments), **pipes)


async def test_a_folder_is_read_few_at_a_time_and_each_text_stands_in_its_file(three, folder, tmp_path):
    queue, services = three
    status, out, err = await run("jobs", "submit", folder, *urls(services), "--output", tmp_path / "out", "--jobs", 4)
    assert (status, out, err) == (0, "", "30 done, 0 failed\n")
    assert texts(tmp_path / "out") == {f"{name}.md" for name in texts(folder)}
    assert (
        tmp_path / "out" / "00.pdf.md"
    ).read_text() == "# 00.pdf\n\n## Page 1\n\nfirst\n\n## Page 2\n\nsecond of 0\n"
    assert (queue.submissions, queue.most_unended <= 4) == (30, True)


async def test_each_failure_has_its_line_and_costs_no_other_document(three, folder, tmp_path):
    queue, services = three
    (folder / "00.pdf").write_bytes(b"broken")
    queue.refusals = [503, 429, 413, 502]
    status, _, err = await run("jobs", "submit", folder, *urls(services), "--output", tmp_path / "out")
    assert (status, len(texts(tmp_path / "out"))) == (1, 28)
    assert f"{folder}/00.pdf: the document is damaged (document_unreadable)\n" in err
    assert err.count("queue_full (413 queue_full)") == 1
    assert err.endswith("28 done, 2 failed\n")


async def test_a_run_that_is_killed_is_resumed_and_no_document_is_read_twice(three, folder, tmp_path):
    queue, services = three
    for name in ("00.pdf", "02.pdf"):
        (folder / name).write_bytes(b"slow")
    command = ("jobs", "submit", folder, *urls(services), "--output", tmp_path / "out", "--jobs", 8)
    for number, submissions in ((signal.SIGKILL, 30), (signal.SIGINT, 32)):
        process = await begin(*command)
        await until(lambda: len(texts(tmp_path / "out")) == 28 and queue.submissions == submissions)  # noqa: B023
        process.send_signal(number)
        _, err = await process.communicate()
    assert process.returncode == 130
    assert "28 of 30 documents are already done" in err.decode()
    assert "interrupted: 0 are done; run it again to continue" in err.decode()
    queue.go.set()
    status, _, _ = await run(*command)
    assert (status, len(texts(tmp_path / "out")), len(queue.jobs)) == (0, 30, 30)


async def test_services_that_are_killed_one_after_the_other_cost_nothing(three, folder, tmp_path):
    queue, services = three
    for name in ("00.pdf", "01.pdf", "02.pdf"):
        path = next(folder.rglob(name))
        path.write_bytes(b"slow\n" + name.encode())
    process = await begin("jobs", "submit", folder, *urls(services), "--output", tmp_path / "out", "--jobs", 3)
    await until(lambda: len(queue.jobs) >= 3)
    for one in services:
        await one.kill()
    await services[1].start()
    queue.go.set()
    await until(lambda: len(texts(tmp_path / "out")) > 10)
    await services[0].start()
    await services[1].kill()
    _, err = await process.communicate()
    assert (process.returncode, len(texts(tmp_path / "out")), len(queue.jobs)) == (0, 30, 30)
    assert err.decode().endswith("30 done, 0 failed\n")


async def test_without_a_folder_for_texts_documents_are_handed_over_and_their_ids_printed(three, folder):
    queue, services = three
    status, out, err = await run("jobs", "submit", folder, *urls(services), "--label", "may", "--priority", "realtime")
    assert (status, err) == (0, "30 handed over, 0 failed\n")
    assert sorted(line.split("\t")[0] for line in out.splitlines()) == sorted(queue.jobs)
    assert {(job["label"], job["priority"]) for job in queue.jobs.values()} == {("may", "realtime")}


async def test_jobs_are_listed_watched_and_cancelled_by_their_label(three, folder):
    _queue, services = three
    (folder / "00.pdf").write_bytes(b"broken")
    (folder / "02.pdf").write_bytes(b"slow")
    await run("jobs", "submit", folder, *urls(services), "--label", "may")
    await run("jobs", "submit", folder / "04.pdf", *urls(services), "--label", "june", "--format", "text")

    status, out, _ = await run("jobs", "list", *urls(services), "--label", "may", "--json")
    assert (status, len(out.splitlines()), {json.loads(line)["label"] for line in out.splitlines()}) == (0, 30, {"may"})
    status, out, _ = await run("jobs", "list", *urls(services), "--state", "failed")
    assert [line.split("\t")[1::5] for line in out.splitlines()] == [["failed", "00.pdf"]]

    watching = await begin("jobs", "watch", *urls(services), "--label", "may")
    _, _, cancelled = await run("jobs", "cancel", *urls(services), "--label", "may")
    assert cancelled == "30 cancelled, or had ended, 0 failed\n"
    _, err = await watching.communicate()
    assert watching.returncode == 1
    assert sorted(line.split(" (")[0] for line in err.decode().splitlines()) == [
        "00.pdf",
        "02.pdf",
        "28 done, 2 failed",
    ]

    status, _, err = await run("jobs", "watch", *urls(services), "nobody's")
    assert (status, "nobody's: job_not_found (404 job_not_found)" in err) == (1, True)


async def test_a_cancelled_job_is_made_anew_and_a_failed_one_if_that_is_asked_for(three, folder, tmp_path):
    queue, services = three
    (folder / "00.pdf").write_bytes(b"broken")
    (folder / "02.pdf").write_bytes(b"slow")
    command = ("jobs", "submit", folder, *urls(services), "--output", tmp_path / "out")
    await run("jobs", "submit", folder, *urls(services), "--label", "may")
    await run("jobs", "cancel", *urls(services), "--label", "may")
    queue.go.set()
    status, _, err = await run(*command)
    assert (status, err.count("document_unreadable"), len(queue.jobs)) == (1, 1, 31)
    status, _, _ = await run(*command)
    assert (status, len(queue.jobs)) == (1, 31)
    status, _, _ = await run(*command, "--retry-failed")
    assert (status, len(queue.jobs), len(texts(tmp_path / "out"))) == (1, 32, 29)


async def test_what_the_queue_forgot_is_handed_over_again(three, folder, tmp_path):
    queue, services = three
    (folder / "02.pdf").write_bytes(b"slow")
    process = await begin("jobs", "submit", folder, *urls(services), "--output", tmp_path / "out")
    await until(lambda: len(texts(tmp_path / "out")) == 29)
    queue.jobs.clear()
    queue.go.set()
    assert await process.wait() == 0
    assert (len(queue.jobs), len(texts(tmp_path / "out"))) == (1, 30)


@pytest.mark.parametrize(
    ("arguments", "status", "said"),
    [
        (["jobs", "submit", "IN", "--url", "127.0.0.1"], 2, "the URL of a service begins with http://"),
        (["jobs", "submit", "IN", "--url", "http://127.0.0.1:9"], 1, "cannot be reached"),
        (["jobs", "submit", "IN", "--include", "words"], 2, "--include needs --json"),
        (["jobs", "watch"], 2, "jobs watch needs ids of jobs, or --label"),
        (["jobs", "submit", "EMPTY"], 1, "there is no document in this folder"),
    ],
)
async def test_what_cannot_be_done_is_told_at_once(folder, tmp_path, arguments, status, said):
    (tmp_path / "empty").mkdir()
    places = {"IN": str(folder), "EMPTY": str(tmp_path / "empty")}
    found, _, err = await run(*(places.get(one, one) for one in arguments))
    assert (found, said in err, "Traceback" in err) == (status, True, False)


async def test_services_that_stay_away_end_the_run(three, folder, tmp_path):
    _queue, services = three
    (folder / "02.pdf").write_bytes(b"slow")
    process = await begin("jobs", "submit", folder, *urls(services), "--output", tmp_path / "out", "--patience", "0.5")
    await until(lambda: len(texts(tmp_path / "out")) == 29)
    for one in services:
        await one.kill()
    _, err = await process.communicate()
    assert process.returncode == 1
    assert "no service has answered for" in err.decode()
    assert "run it again to continue" in err.decode()
