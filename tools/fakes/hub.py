"""A fake of the Hugging Face hub: only one model's files, as ``huggingface_hub`` requests them."""

import hashlib
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from aiohttp import web

COMMIT = "0123456789abcdef0123456789abcdef01234567"


class Hub:
    """Serves the files of one folder under one name, and counts what was downloaded."""

    def __init__(self, name: str, folder: Path) -> None:
        self.name = name
        self.downloaded: list[str] = []
        self.withheld: set[str] = set()
        """Files that are listed but not served."""
        self._files = {path.name: path.read_bytes() for path in folder.iterdir()}

    def add(self, path: str, content: bytes) -> None:
        """Add a file."""
        self._files[path] = content

    def app(self) -> web.Application:
        app = web.Application()
        app.router.add_get("/api/models/{owner}/{model}/revision/{revision}", self._describe)
        app.router.add_get("/api/models/{owner}/{model}/tree/{revision}", self._list)
        app.router.add_get("/{owner}/{model}/resolve/{revision}/{path:.+}", self._file)
        return app

    def _is_ours(self, request: web.Request) -> bool:
        return f"{request.match_info['owner']}/{request.match_info['model']}" == self.name

    async def _describe(self, request: web.Request) -> web.Response:
        if not self._is_ours(request):
            raise web.HTTPNotFound(headers={"X-Error-Code": "RepoNotFound"})
        siblings = [{"rfilename": path} for path in self._files]
        return web.json_response({"id": self.name, "sha": COMMIT, "siblings": siblings})

    async def _list(self, request: web.Request) -> web.Response:
        if not self._is_ours(request):
            raise web.HTTPNotFound(headers={"X-Error-Code": "RepoNotFound"})
        files = [
            {"type": "file", "path": path, "size": len(content), "oid": _digest(content)}
            for path, content in self._files.items()
        ]
        return web.json_response(files)

    async def _file(self, request: web.Request) -> web.Response:
        content = self._files.get(request.match_info["path"])
        if content is None or not self._is_ours(request) or request.match_info["path"] in self.withheld:
            raise web.HTTPNotFound(headers={"X-Error-Code": "EntryNotFound"})
        if request.method == "GET":
            self.downloaded.append(request.match_info["path"])
        headers = {"ETag": f'"{_digest(content)}"', "X-Repo-Commit": COMMIT}
        return web.Response(body=content, headers=headers)


def _digest(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


@asynccontextmanager
async def running_hub(hub: Hub) -> AsyncIterator[str]:
    """Serve it on a free port; yield its URL."""
    runner = web.AppRunner(hub.app())
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    try:
        yield f"http://127.0.0.1:{runner.addresses[0][1]}"
    finally:
        await runner.cleanup()
