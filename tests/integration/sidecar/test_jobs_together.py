"""Client and command line with real services that share a queue."""

import json
import shutil

import pytest_asyncio

from sidecar.client import AsyncClient, Opened, Page, Summary
from tests.integration.sidecar.test_cli import run
from tests.integration.sidecar.test_jobs_cli import texts


@pytest_asyncio.fixture
async def queueing(start, tmp_path):
    """A service with its own queue."""
    return await start(OCR_JOBS="embedded", OCR_JOBS_DIR=str(tmp_path / "queue"))


async def test_the_client_hands_over_follows_fetches_and_lists(queueing, data):
    async with AsyncClient(queueing.url) as client:
        path = data / "digital.pdf"
        job = await client.submit_job(path, label="may", idempotency_key="one", output="pdf")
        again = await client.submit_job(path, label="june", idempotency_key="one", output="pdf")
        assert (job.id, job.filename) == (again.id, "digital.pdf")
        events = [event async for event in client.follow_job(job.id)]
        assert [type(event) for event in events] == [Opened, *[Page] * 4, Summary]
        job = await client.job(job.id, 5)
        assert (job.state, job.pages_done, job.has_result) == ("done", 4, True)
        assert (await client.job_result(job.id)).text == events[-1].text
        for output, begins in (("text", b""), ("pdf", b"%PDF")):
            assert (await client.job_result_as(job.id, output=output)).content.startswith(begins)
        assert [one.id async for one in client.jobs(label="may")] == [job.id]
        assert (await client.cancel_job(job.id)).state == "done"


async def test_the_command_line_has_a_folder_read_and_goes_on_where_it_was(queueing, data, tmp_path):
    folder, out = tmp_path / "in", tmp_path / "out"
    (folder / "sub").mkdir(parents=True)
    for name in ("digital.pdf", "broken-garbage.pdf", "mixed.pdf"):
        shutil.copy(data / name, folder / "sub")
    shutil.copy(data / "digital.pdf", folder / "สัญญา.pdf")
    command = ("jobs", "submit", folder, "--url", queueing.url, "--label", "may")
    status, ids, err = await run(*command, "--pages", "1")
    assert (status, len(ids.splitlines()), err) == (0, 4, "4 handed over, 0 failed\n")
    status, _, err = await run(*command, "--pages", "1", "--output", out)
    assert (status, texts(out)) == (1, {"sub/digital.pdf.md", "sub/mixed.pdf.md", "สัญญา.pdf.md"})
    assert "broken-garbage.pdf: " in err
    assert "(document_unreadable)" in err
    status, listed, _ = await run("jobs", "list", "--url", queueing.url, "--label", "may")
    assert (status, len(listed.splitlines())) == (0, 4)
    assert (await run("jobs", "watch", "--url", queueing.url, "--label", "may"))[0] == 1
    status, _, err = await run(*command, "--json", "--output", out)
    answer = json.loads((out / "สัญญา.pdf.json").read_text())
    assert (status, len(texts(out)), answer["file"], answer["pageCount"]) == (1, 6, "สัญญา.pdf", 4)
    assert answer["receipt"]["documentSha256"]


async def test_services_without_jobs_are_told_at_once(service, data, tmp_path):
    status, _, err = await run("jobs", "submit", data / "digital.pdf", "--url", service.url)
    assert (status, "OCR_JOBS lets a service take them" in err) == (2, True)
