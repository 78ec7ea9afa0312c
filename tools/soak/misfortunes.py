"""What befalls the service: workers and model killed, keys rotated, the disk full, SIGTERM, kill -9."""

import asyncio
import contextlib
import random
import signal

import psutil

from tools.soak.callers import Crowd
from tools.soak.stage import Stage


class Misfortunes:
    """Each is a loop that ends with its crowd; ``count`` says how often each has struck."""

    def __init__(self, stage: Stage, crowd: Crowd) -> None:
        self.stage = stage
        self.crowd = crowd
        self.count: dict[str, int] = {}

    def _struck(self, what: str) -> None:
        self.count[what] = self.count.get(what, 0) + 1

    async def kill_workers(self, every_s: float) -> None:
        while not self.crowd.stopping.is_set():
            await self.crowd.pause(every_s)
            if workers := self.stage.workers():
                with contextlib.suppress(psutil.Error):
                    random.choice(workers).send_signal(signal.SIGKILL)
                    self._struck("workers killed")

    async def kill_model(self, every_s: float) -> None:
        while not self.crowd.stopping.is_set():
            await self.crowd.pause(every_s)
            self.stage.kill_model()
            await asyncio.sleep(2)
            self.stage.start_model()
            self._struck("model server killed")

    async def rotate_keys(self, every_s: float) -> None:
        while not self.crowd.stopping.is_set():
            await self.crowd.pause(every_s)
            self.stage.rotate()
            self._struck("keys rotated")

    async def fill_disk(self, every_s: float) -> None:
        while not self.crowd.stopping.is_set():
            await self.crowd.pause(every_s)
            if filler := await asyncio.to_thread(self.stage.fill_disk):
                await asyncio.sleep(2)
                filler.unlink()
                self._struck("disk full")

    async def restart(self, until_s: float, every_s: float) -> None:
        """End the service by SIGTERM and by kill -9 in turn, for so many seconds; then leave it alone."""
        loop = asyncio.get_running_loop()
        ends_s, is_gentle = loop.time() + until_s, True
        while loop.time() + every_s < ends_s:
            await self.crowd.pause(every_s)
            if is_gentle:
                status = await self.stage.terminate()
                self._struck("SIGTERM" if status == 0 else f"SIGTERM, exit status {status}")
            else:
                await self.stage.kill()
                self._struck("kill -9")
            is_gentle = not is_gentle
            await self.stage.start()
