"""A real Chromium without a window, by its own protocol: https://chromedevtools.github.io/devtools-protocol/."""

import asyncio
import base64
import itertools
import json
import os
import shutil
import signal
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Any

import aiohttp

CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
PATIENCE_S = 60.0


class Tab:
    """A page that is open."""

    def __init__(self, socket: aiohttp.ClientWebSocketResponse) -> None:
        self._socket = socket
        self._numbers = itertools.count(1)

    async def call(self, method: str, **params: object) -> dict[str, Any]:
        number = next(self._numbers)
        await self._socket.send_json({"id": number, "method": method, "params": params})
        async with asyncio.timeout(PATIENCE_S):
            async for message in self._socket:
                answer = json.loads(message.data)
                if answer.get("id") == number:
                    assert "error" not in answer, answer
                    return answer["result"]
        raise AssertionError("the browser left")

    async def value_of(self, expression: str) -> Any:
        told = await self.call("Runtime.evaluate", expression=expression, returnByValue=True)
        return told["result"].get("value")

    async def when(self, expression: str) -> Any:
        """Wait until an expression is true, and return its value."""
        async with asyncio.timeout(PATIENCE_S):
            while not (value := await self.value_of(expression)):
                await asyncio.sleep(0.05)
        return value

    async def screenshot(self) -> bytes:
        return base64.b64decode((await self.call("Page.captureScreenshot", format="png"))["data"])


@asynccontextmanager
async def opened(url: str, folder: Path, width: int = 900, height: int = 560) -> AsyncIterator[Tab]:
    """Open a page in a new browser, which ends with the block."""
    options = ["--headless=new", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--no-first-run"]
    options += [f"--user-data-dir={folder}", "--remote-debugging-port=0", f"--window-size={width},{height}"]
    quiet = asyncio.subprocess.DEVNULL
    process = await asyncio.create_subprocess_exec(
        str(CHROMIUM), *options, url, stdout=quiet, stderr=quiet, start_new_session=True
    )
    try:
        async with (
            aiohttp.ClientSession() as session,
            session.ws_connect(await _address(session, folder, url), max_msg_size=0) as socket,
        ):
            tab = Tab(socket)
            metrics = {"width": width, "height": height, "deviceScaleFactor": 1, "mobile": False}
            await tab.call("Emulation.setDeviceMetricsOverride", **metrics)
            yield tab
    finally:
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        await process.wait()


async def _address(session: aiohttp.ClientSession, folder: Path, url: str) -> str:
    """Wait until the browser says where its page can be talked to."""
    async with asyncio.timeout(PATIENCE_S):
        while True:
            with suppress(FileNotFoundError, ValueError, IndexError, aiohttp.ClientError):
                port = int((folder / "DevToolsActivePort").read_text().splitlines()[0])
                async with session.get(f"http://127.0.0.1:{port}/json/list") as response:
                    pages = [one for one in await response.json() if one["type"] == "page" and one["url"] == url]
                    return pages[0]["webSocketDebuggerUrl"]
            await asyncio.sleep(0.1)
