"""A service whose jobs live in a server of its own, and a caller of its routes."""

import io
import json
from pathlib import Path

import aiohttp

from tests.conftest import Running

DIGITAL = Path(__file__).parents[3] / "data" / "digital.pdf"


class Caller:
    """Calls the routes of jobs, with one key or none."""

    def __init__(self, service: Running, key: str | None = None):
        self._service = service
        self._headers = {"X-API-Key": key} if key else {}

    def url(self, path: str = "") -> str:
        return f"{self._service.url}/v1/jobs{path}"

    async def submit(self, document: Path | bytes = DIGITAL, headers: dict[str, str] | None = None, **fields: str):
        form = aiohttp.FormData(quote_fields=False)
        for name, value in fields.items():
            form.add_field(name, io.BytesIO(value.encode()))
        content = document if isinstance(document, bytes) else document.read_bytes()
        form.add_field("file", io.BytesIO(content), filename="invoice ๑.pdf", content_type="application/pdf")
        return await self._json("POST", "", data=form, headers=headers)

    async def get(self, path: str, **query: str):
        return await self._json("GET", path, params=query)

    async def cancel(self, job: str):
        return await self._json("DELETE", f"/{job}")

    async def result(self, job: str, headers: dict[str, str] | None = None, **query: str):
        """Status, headers and body of a result."""
        headers = self._headers | (headers or {})
        async with self._service.client.get(self.url(f"/{job}/result"), params=query, headers=headers) as response:
            return response.status, response.headers, await response.read()

    async def ended(self, job: str) -> dict:
        """The job once it has ended."""
        known = ""
        for _ in range(100):
            _, body = await self.get(f"/{job}", wait="20", known=known)
            if body["state"] not in ("queued", "running"):
                return body
            known = body["version"]
        raise AssertionError(body)

    async def lines(self, job: str) -> list[dict]:
        async with self._service.client.get(
            self.url(f"/{job}"), headers=self._headers | {"Accept": "application/x-ndjson"}
        ) as response:
            assert response.content_type == "application/x-ndjson"
            return [json.loads(line) async for line in response.content]

    async def events(self, job: str, last: str | None = None) -> list[dict]:
        """Server-sent events, each with its fields."""
        headers = self._headers | {"Accept": "text/event-stream"} | ({"Last-Event-ID": last} if last else {})
        async with self._service.client.get(self.url(f"/{job}"), headers=headers) as response:
            text = (await response.read()).decode()
        blocks = [block for block in text.split("\n\n") if block and not block.startswith(":")]
        return [dict(line.split(": ", 1) for line in block.split("\n")) for block in blocks]

    async def _json(self, method: str, path: str, headers: dict[str, str] | None = None, **options):
        headers = self._headers | (headers or {})
        async with self._service.client.request(method, self.url(path), headers=headers, **options) as response:
            return response.status, await response.json()
