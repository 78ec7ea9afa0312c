"""`/ocr-upload` with a long document, read as a job: its caller sees no difference, whatever was asked for."""

import pytest

TAKES = ("durationMs", "processingTimeMs", "requestId", "readAt")
"""What differs between any two answers."""


@pytest.fixture
async def alone(start):
    return await start()


@pytest.fixture
async def shared(start, tmp_path):
    jobs = {"OCR_JOBS": "embedded", "OCR_JOBS_DIR": str(tmp_path / "jobs"), "OCR_JOBS_SLICE_PAGES": "1"}
    return await start(OCR_SYNC_OVER_JOBS="on", **jobs)


def bare(value):
    if isinstance(value, dict):
        return {name: bare(one) for name, one in value.items() if name not in TAKES}
    return [bare(one) for one in value] if isinstance(value, list) else value


@pytest.mark.parametrize("fields", [{}, {"include": "words,blocks,receipt"}, {"pages": "2-3"}, {"maxPages": "2"}],
                         ids=["text", "everything", "pages", "first"])  # fmt: skip
async def test_the_answer_is_the_same(alone, shared, data, fields):
    asked = {"engine": "tesseract", **fields}
    one, other = [await service.upload(data / "mixed.pdf", **asked) for service in (alone, shared)]
    assert (one[0], bare(other[1])) == (200, bare(one[1]))
    assert await _slices(shared) == len(one[1]["pages"])


async def test_each_page_is_streamed_in_order(alone, shared, data):
    headers = {"Accept": "application/x-ndjson"}
    told = []
    for service in (alone, shared):
        _, lines = await service.upload(data / "mixed.pdf", headers=headers, engine="tesseract")
        told.append(bare(lines))
    assert told[0] == told[1]


async def _slices(service) -> int:
    async with service.client.get(f"{service.ops}/metrics") as response:
        lines = (await response.text()).splitlines()
    done = [line for line in lines if line.startswith('ocr_jobs_slices_total{outcome="done"}')]
    return int(float(done[0].rpartition(" ")[2])) if done else 0
