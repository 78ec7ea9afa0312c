"""Those who call: honest ones, those who leave, and those who stall. Each tells the ledger how every request ended."""

import asyncio
import contextlib
import json
import random
import sys
import time
from collections.abc import Callable

from bench.harness.service import HOST, ROOT
from tools.soak import requests
from tools.soak.ledger import End, Ledger
from tools.soak.requests import Sent
from tools.soak.stage import Stage

ANSWER_S = 90.0
"""Nothing here takes longer; a request without an answer by then is lost."""
AWAY_S = 0.2
Make = Callable[[str, random.Random], Sent]


class Crowd:
    """Callers of one stage, until it is told to stop."""

    def __init__(self, stage: Stage, ledger: Ledger) -> None:
        self.stage = stage
        self.ledger = ledger
        self.stopping = asyncio.Event()

    async def pause(self, seconds: float) -> None:
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await self.stopping.wait()

    async def honest(self, make: Make, pause_s: float, seed: int) -> None:
        """Send one request after the other, some over one connection, and read each answer."""
        chance = random.Random(seed)
        while not self.stopping.is_set():
            connection = await self._connect()
            if connection is None:
                continue
            reader, writer = connection
            try:
                for _ in range(chance.choice([1, 1, 4])):
                    if not await self._ask(reader, writer, make(self.stage.key, chance)):
                        break
            finally:
                writer.transport.abort()
            await self.pause(chance.uniform(0, 2 * pause_s))

    async def leaving(self, make: Make, pause_s: float, seed: int) -> None:
        """Send, and leave before the answer, or in the middle of sending."""
        chance = random.Random(seed)
        while not self.stopping.is_set():
            connection = await self._connect()
            if connection is None:
                continue
            _, writer = connection
            data = make(self.stage.key, chance).data
            with contextlib.suppress(OSError):
                writer.write(data if chance.random() < 0.6 else data[: chance.randrange(len(data))])
                await self.pause(chance.uniform(0, 1))
            writer.transport.abort()
            self.ledger.ended(End.LEFT)
            await self.pause(chance.uniform(0, 2 * pause_s))

    async def idle(self, count: int) -> None:
        """Have so many connections held by a process of its own, and enter what became of them."""
        command = [sys.executable, "-m", "tools.soak.idlers", str(self.stage.port), str(count)]
        pipe = asyncio.subprocess.PIPE
        idlers = await asyncio.create_subprocess_exec(*command, cwd=ROOT, stdin=pipe, stdout=pipe)
        await self.stopping.wait()
        told = json.loads((await idlers.communicate(b""))[0])
        self.ledger.ends[End.CLOSED_IDLE] += told["closed"]
        self.ledger.ends[End.LEFT] += told["opened"] - told["closed"]
        self.ledger.refused += told["refused"]

    async def slow_head(self) -> None:
        """Send a head byte by byte, and never its end."""
        first, every_s, crumb = b"POST /ocr-upload HTTP/1.1\r\nHost: a\r\nX-", 1.0, b"a"
        while not self.stopping.is_set():
            connection = await self._connect()
            if connection is None:
                await self.pause(random.uniform(1, 3))
                continue
            reader, writer = connection
            epoch = self.stage.epoch
            with contextlib.suppress(OSError):
                writer.write(first)
                while not self.stopping.is_set() and not writer.transport.is_closing():
                    with contextlib.suppress(TimeoutError):
                        async with asyncio.timeout(every_s):
                            if not await reader.read(1000):
                                break
                    writer.write(crumb)
            self.ledger.ended(
                End.LEFT if self.stopping.is_set() else End.IN_THE_AIR if epoch != self.stage.epoch else End.CLOSED_IDLE
            )
            writer.transport.abort()
            await self.pause(random.uniform(0, 1))

    async def slow_body(self, seed: int) -> None:
        """Send a document's body byte by byte: it must be answered, with 408 when its time is up."""
        chance = random.Random(seed)
        while not self.stopping.is_set():
            connection = await self._connect()
            if connection is None:
                continue
            reader, writer = connection
            sent = requests.document(self.stage.key, chance)
            begin = sent.data.index(b"\r\n\r\n") + 40
            sending = asyncio.create_task(_dribble(writer, sent.data[begin:]))
            await self._ask(reader, writer, Sent("slow body", sent.data[:begin]))
            sending.cancel()
            writer.transport.abort()
            await self.pause(0.5)

    async def _connect(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter] | None:
        """Connect; None, after a moment, where the service is away."""
        try:
            return await asyncio.open_connection(HOST, self.stage.port, limit=1 << 26)
        except OSError:
            self.ledger.refused += 1
            await self.pause(AWAY_S)
            return None

    async def _ask(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, sent: Sent) -> bool:
        """Send a request, read its answer, and tell the ledger; returns whether the connection goes on."""
        epoch = self.stage.epoch
        try:
            async with asyncio.timeout(ANSWER_S):
                sending = asyncio.create_task(_send(writer, sent.data))
                try:
                    status, body, goes_on = await _answer(reader)
                finally:
                    sending.cancel()
        except (OSError, EOFError, TimeoutError, ValueError) as exc:
            is_killed = self.stage.is_dying or epoch != self.stage.epoch
            how = f"{sent.what}, {self._since_up()}: {exc!r}"
            if not is_killed:
                print("lost:", how, flush=True)
            self.ledger.ended(End.IN_THE_AIR if is_killed else End.LOST, how)
            return False
        self.ledger.answered(sent.what, status, body)
        return goes_on

    def _since_up(self) -> str:
        begin, end = self.stage.up_s[-1]
        now_s = time.monotonic()
        return f"{now_s - begin:.1f} s after a start" if self.stage.is_up else f"{now_s - end:.1f} s after a stop"


async def _send(writer: asyncio.StreamWriter, data: bytes) -> None:
    with contextlib.suppress(OSError):  # whoever answers early need not take the rest
        writer.write(data)
        await writer.drain()


async def _dribble(writer: asyncio.StreamWriter, data: bytes) -> None:
    with contextlib.suppress(OSError):
        for place in range(len(data)):
            await asyncio.sleep(0.3)
            writer.write(data[place : place + 1])


async def _answer(reader: asyncio.StreamReader) -> tuple[int, bytes, bool]:
    """Read one answer whole: its status, its body, and whether the connection goes on."""
    head = (await reader.readuntil(b"\r\n\r\n")).lower()
    status = int(head.split(b" ", 2)[1])
    if b"transfer-encoding: chunked" in head:
        body = await _chunks(reader)
    else:
        body = await reader.readexactly(int(head.partition(b"content-length:")[2].partition(b"\r\n")[0]))
    return status, body, b"connection: close" not in head


async def _chunks(reader: asyncio.StreamReader) -> bytes:
    body = b""
    while size := int(await reader.readuntil(b"\r\n"), 16):
        body += (await reader.readexactly(size + 2))[:-2]
    await reader.readuntil(b"\r\n")
    return body
