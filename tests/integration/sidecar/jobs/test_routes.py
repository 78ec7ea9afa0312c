"""Jobs over HTTP, on NATS' own server: handed in, followed, fetched in any format, given up."""

import json

import pytest

from tests.integration.sidecar.jobs.serving import DIGITAL, Caller


@pytest.fixture
async def service(start, tmp_path):
    return await start(OCR_JOBS="embedded", OCR_JOBS_DIR=str(tmp_path / "jobs"), OCR_JOBS_SLICE_PAGES="1")


@pytest.fixture
def caller(service):
    return Caller(service)


async def test_a_job_is_told_of_from_its_beginning_to_its_end(service, caller, data):
    status, accepted = await caller.submit(data / "mixed.pdf", label="may", priority="realtime", nonsense="x")
    assert status == 202
    assert (accepted["state"], accepted["pages"], accepted["label"]) == ("queued", None, "may")
    assert (accepted["priority"], accepted["filename"]) == ("realtime", "invoice ๑.pdf")
    assert (accepted["warnings"], accepted["ignoredFields"]) == (["unknown-field"], ["nonsense"])

    ended = await caller.ended(accepted["id"])
    assert (ended["state"], ended["pages"], ended["pagesDone"], ended["pagesFailed"]) == ("done", 3, 3, 0)
    assert ended["acceptedAt"] <= ended["startedAt"] <= ended["endedAt"] <= ended["expiresAt"]
    assert (ended["error"], ended["position"], ended["secondsLeft"]) == (None, None, None)

    at_once = (await service.upload(data / "mixed.pdf"))[1]
    status, headers, body = await caller.result(accepted["id"])
    result = json.loads(body)
    assert (status, headers["Content-Type"]) == (200, "application/json")
    assert [page["text"] for page in result["pages"]] == [page["text"] for page in at_once["pages"]]
    assert result["text"] == at_once["text"]
    assert result.keys() == at_once.keys()
    assert result["ignoredFields"] == ["nonsense"]
    assert result["requestId"] == accepted["requestId"]


async def test_a_result_comes_in_the_formats_of_an_upload_with_its_headers(service, caller):
    _, job = await caller.submit(DIGITAL, include="words", nonsense="x")
    await caller.ended(job["id"])
    for output, media_type in (
        ("text", "text/plain; charset=utf-8"),
        ("markdown", "text/markdown; charset=utf-8"),
        ("html", "text/html; charset=utf-8"),
        ("hocr", "text/vnd.hocr+html; charset=utf-8"),
        ("alto", "application/alto+xml"),
    ):
        by_field = await caller.result(job["id"], output=output)
        by_header = await caller.result(job["id"], headers={"Accept": media_type.partition(";")[0]})
        assert (by_field[0], by_field[1]["Content-Type"]) == (200, media_type)
        assert by_field[1]["X-Ignored-Fields"] == "nonsense"
        assert by_header[2] == by_field[2]
        assert by_field[1]["X-Ocr-Pages"] == by_header[1]["X-Ocr-Pages"] != ""
    pages = json.loads((await caller.result(job["id"]))[2])["pages"]
    assert pages[0]["blocks"][0]["lines"][0]["words"]
    status, _, body = await caller.result(job["id"], output="pdf")
    assert (status, json.loads(body)["code"]) == (409, "job_conflict")
    status, _, body = await caller.result(job["id"], output="docx")
    assert (status, json.loads(body)["code"]) == (422, "invalid_value")


async def test_a_searchable_pdf_is_there_where_it_was_asked_for(caller, data):
    _, job = await caller.submit(data / "scan-thai-english.pdf", output="pdf")
    await caller.ended(job["id"])
    status, headers, body = await caller.result(job["id"])
    assert (status, headers["Content-Type"], body[:5]) == (200, "application/pdf", b"%PDF-")
    assert len(body) > (data / "scan-thai-english.pdf").stat().st_size
    status, _, body = await caller.result(job["id"], output="json")
    assert (status, json.loads(body)["pages"][0]["blocks"]) == (200, None)


async def test_pages_are_told_as_a_streamed_upload_tells_them(caller, data):
    _, job = await caller.submit(data / "mixed.pdf", include="blocks")
    lines = await caller.lines(job["id"])
    assert [one["event"] for one in lines] == ["document", "page", "page", "page", "done"]
    assert [one["page"] for one in lines[1:4]] == [1, 2, 3]
    assert all(one["blocks"] for one in lines[1:4] if one["text"])
    assert lines[4]["text"] == json.loads((await caller.result(job["id"]))[2])["text"]

    events = await caller.events(job["id"])
    assert [(one["id"], one["event"]) for one in events] == [
        ("0", "document"),
        ("1", "page"),
        ("2", "page"),
        ("3", "page"),
        ("4", "done"),
    ]
    assert [json.loads(one["data"]) for one in events][:4] == lines[:4]
    assert [one["id"] for one in await caller.events(job["id"], last="2")] == ["3", "4"]
    async with caller._service.client.get(
        caller.url(f"/{job['id']}"), headers={"Accept": "text/event-stream", "Last-Event-ID": "x"}
    ) as response:
        assert response.status == 422


async def test_what_an_upload_would_refuse_is_refused_before_it_is_kept(caller):
    for fields, code in (
        ({"engine": "nobody"}, "unknown_engine"),
        ({"languages": "xxx"}, "language_missing"),
        ({"pages": "3-1"}, "invalid_value"),
        ({"maxPages": "501"}, "invalid_value"),
        ({"profile": "nobody"}, "unknown_profile"),
        ({"keep_alive": "5"}, "keep_alive_refused"),
        ({"priority": "now"}, "invalid_value"),
        ({"label": "x" * 201}, "invalid_value"),
        ({"callbackUrl": "https://evil.example/"}, "invalid_value"),
        ({"callback_url": "https://a", "callbackUrl": "https://a"}, "invalid_value"),
    ):
        status, body = (
            await caller.submit(label="refused", **fields) if "label" not in fields else await caller.submit(**fields)
        )
        assert (fields, body["code"]) == (fields, code)
        assert status >= 400
    assert (await caller.get("", label="refused"))[1] == {"jobs": [], "next": None}


async def test_the_same_key_hands_in_one_job(caller, data):
    key = {"Idempotency-Key": "invoice-1"}
    first = await caller.submit(headers=key, label="a")
    again = await caller.submit(headers=key, label="a")
    assert (again[0], again[1]["id"]) == (202, first[1]["id"])
    status, other = await caller.submit(data / "mixed.pdf", headers=key)
    assert (status, other["code"]) == (409, "job_conflict")
    status, bad = await caller.submit(headers={"Idempotency-Key": "a b"})
    assert (status, bad["code"]) == (422, "invalid_value")


async def test_a_document_that_cannot_be_opened_fails_with_its_own_error(caller):
    _, job = await caller.submit(b"this is no document")
    ended = await caller.ended(job["id"])
    assert (ended["state"], ended["error"]["code"]) == ("failed", "unsupported_media_type")
    status, _, body = await caller.result(job["id"])
    assert (status, json.loads(body)["code"], json.loads(body)["detail"]) == (
        415,
        "unsupported_media_type",
        ended["error"]["detail"],
    )
    lines = await caller.lines(job["id"])
    assert [(one["event"], one["code"], one["status"]) for one in lines] == [("error", "unsupported_media_type", 415)]


async def test_jobs_that_are_not_there_are_not_found_whatever_their_id(caller):
    for job in ("0" * 44, "x", "*", "%3E", "a.b", "0" * 43 + "*"):
        for status, body in (await caller.get(f"/{job}"), await caller.cancel(job), await caller.get(f"/{job}/result")):
            assert (job, status, body["code"]) == (job, 404, "job_not_found")


async def test_jobs_of_a_label_are_listed_page_by_page(caller):
    ids = [(await caller.submit(label="may"))[1]["id"] for _ in range(3)]
    await caller.submit(label="june")
    for one in ids:
        await caller.ended(one)
    _, first = await caller.get("", label="may", limit="2")
    assert [one["id"] for one in first["jobs"]] == ids[:2]
    _, second = await caller.get("", label="may", limit="2", after=first["next"])
    assert [one["id"] for one in second["jobs"]] == ids[2:]
    assert (await caller.get("", label="may", state="failed"))[1]["jobs"] == []
    for query in ({}, {"label": "may", "limit": "0"}, {"label": "may", "after": ">"}, {"label": "m", "state": "x"}):
        status, body = await caller.get("", **query)
        assert (query, status, body["code"]) == (query, 422, "invalid_value")
    assert (await caller.get(f"/{ids[0]}", wait="soon"))[0] == 422


async def test_a_job_belongs_to_the_key_that_made_it(start, tmp_path):
    keys = tmp_path / "keys"
    keys.write_text("one: aaaaaaaa\ntwo: bbbbbbbb\none: cccccccc\nunnamed-key-1\n")
    service = await start(
        OCR_JOBS="embedded",
        OCR_JOBS_DIR=str(tmp_path / "jobs"),
        OCR_AUTH_MODE="api-key",
        OCR_SIDECAR_API_KEY_FILE=str(keys),
    )
    one, two, rotated, unnamed = (Caller(service, key) for key in ("aaaaaaaa", "bbbbbbbb", "cccccccc", "unnamed-key-1"))
    _, job = await one.submit()
    assert (await rotated.get(f"/{job['id']}"))[0] == 200
    assert [each["id"] for each in (await rotated.get(""))[1]["jobs"]] == [job["id"]]
    for other in (two, unnamed):
        assert (await other.get(f"/{job['id']}"))[0] == 404
        assert (await other.cancel(job["id"]))[0] == 404
        assert (await other.result(job["id"]))[0] == 404
        assert (await other.get(""))[1]["jobs"] == []


async def test_a_job_that_was_given_up_stays_readable_and_has_no_result(start, tmp_path):
    service = await start(OCR_JOBS="embedded", OCR_JOBS_DIR=str(tmp_path / "jobs"), OCR_JOBS_SLICES="0")
    caller = Caller(service)  # nobody works here: the job waits
    _, job = await caller.submit()
    assert job["position"] == 0
    assert (await caller.result(job["id"]))[0] == 409
    status, cancelled = await caller.cancel(job["id"])
    assert (status, cancelled["state"]) == (202, "cancelled")
    assert (await caller.cancel(job["id"]))[1]["state"] == "cancelled"
    assert (await caller.get(f"/{job['id']}"))[1]["state"] == "cancelled"
    status, _, body = await caller.result(job["id"])
    assert (status, json.loads(body)["code"]) == (409, "job_conflict")
    assert [(one["event"], one["code"]) for one in await caller.lines(job["id"])] == [("error", "job_conflict")]


async def test_where_jobs_are_off_there_are_no_such_routes(start):
    service = await start()
    status, body = await Caller(service).submit()
    assert (status, body["code"]) == (404, "not_found")
    async with service.client.get(f"{service.ops}/readyz") as response:
        assert (await response.json())["jobs"] == {"state": "off", "reason": None}


async def test_without_the_queue_documents_are_read_and_jobs_say_so(start, data):
    service = await start(OCR_JOBS="nats://127.0.0.1:9")
    status, body = await Caller(service).submit()
    assert (status, body["code"]) == (503, "jobs_unavailable")
    assert (await service.upload(data / "digital.pdf"))[0] == 200
    async with service.client.get(f"{service.ops}/readyz") as response:
        jobs = (await response.json())["jobs"]
        assert (response.status, jobs["state"]) == (200, "failed")
        assert jobs["reason"]
