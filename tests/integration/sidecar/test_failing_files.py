"""A folder of files that once came out wrong, one a kind, answered as they should be.

The folder is not part of the project: ``OCR_FAILING_FILES`` names it.
"""

import os
from pathlib import Path

import pytest

from bench.quality.failing import FILES

FOLDER = os.environ.get("OCR_FAILING_FILES")
pytestmark = [
    pytest.mark.skipif(not FOLDER, reason="OCR_FAILING_FILES names no folder of files that came out wrong"),
    pytest.mark.asyncio(loop_scope="module"),
]
ENVIRONMENT = {"OCR_SECOND_ENGINE": "rapidocr"}


@pytest.mark.parametrize("kind", FILES)
async def test_a_file_that_came_out_wrong_comes_out_right(shared_service, kind):
    (path,) = (one for one in Path(FOLDER).iterdir() if one.name.startswith(kind))
    status, body = await shared_service.upload(path)
    pages = [page["text"] for page in body.get("pages", ())]
    codes = [*body.get("warnings", ()), *([body["code"]] if "code" in body else [])]
    assert list(FILES[kind].problems(pages, codes)) == []
    assert status == (422 if FILES[kind].code else 200)
