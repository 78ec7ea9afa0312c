"""What the machine runs out of, descriptors and its disk: told as what it is, with the time to come back."""

import asyncio
import contextlib
import json
import os
import resource

import aiohttp
import pytest

from tests.conftest import until
from tests.integration.sidecar.raw import FORM, connected, head, status_of
from tools.fakes import small_disk

PART = b'--x\r\nContent-Disposition: form-data; name="file"\r\n\r\n'


@contextlib.contextmanager
def no_descriptor_left():
    """Open connections still work; nothing can be opened."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    lowest = os.open(os.devnull, os.O_RDONLY)
    os.close(lowest)
    resource.setrlimit(resource.RLIMIT_NOFILE, (lowest, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


async def test_no_descriptor_for_the_spool_is_told_as_what_it_is(service, data):
    body = PART + (data / "digital.pdf").read_bytes() + b"\r\n--x--\r\n"
    sent = head("POST", "/ocr-upload", FORM | {"Content-Length": str(len(body))}) + body
    async with connected(service.url) as (reader, writer), asyncio.timeout(10):
        await until(lambda: service.service._api_port.connections)
        with no_descriptor_left():
            writer.write(sent)
            told = await reader.readuntil(b"}")

    assert (status_of(told), json.loads(told.partition(b"\r\n\r\n")[2])["code"]) == (503, "storage_unavailable")
    assert b"Retry-After: 30" in told
    assert (await service.upload(data / "digital.pdf"))[0] == 200


@pytest.fixture(params=["nr_inodes=2", "size=8k"], ids=["no inode", "no space"])
def full_disk(request, tmp_path):
    """A folder that takes the service's own folder and not one document more."""
    if reason := small_disk.why_not():
        pytest.skip(reason)
    (tmp_path / "full").mkdir()
    with small_disk.small_disk(tmp_path / "full", request.param) as folder:
        yield folder


async def test_no_room_on_the_spool_s_disk_is_told_as_what_it_is(start, full_disk, data):
    service = await start(OCR_SPOOL_DIR=str(full_disk))
    for headers in ({}, {"Accept": "application/x-ndjson"}):
        sent = aiohttp.FormData()
        sent.add_field("file", (data / "digital.pdf").read_bytes(), filename="a.pdf")
        async with service.client.post(f"{service.url}/ocr-upload", data=sent, headers=headers) as response:
            assert (response.status, (await response.json())["code"]) == (503, "storage_unavailable")
            assert response.headers["Retry-After"] == "30"
    assert not service.spooled
    small_disk.resize(full_disk, "nr_inodes=99,size=9m")

    assert (await service.upload(data / "digital.pdf"))[0] == 200
