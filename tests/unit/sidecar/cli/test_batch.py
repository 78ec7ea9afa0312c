"""Several documents at a time: none waits in memory for another one, and what is read is kept."""

import asyncio
import io

from rich.console import Console
from rich.progress import Progress

from sidecar.cli.documents import Document
from sidecar.cli.reading import BatchReader
from sidecar.client import ClientError, WrittenDocument


class Client:
    """A service that answers for ``slow`` only once it may."""

    def __init__(self):
        self.may_end = asyncio.Event()

    async def read_as(self, path, **_):
        if path.name == "slow":
            await self.may_end.wait()
        if path.name == "bad":
            raise ClientError("refused")
        return WrittenDocument(content=path.name.encode(), media_type="text/plain", warnings=())


def documents(folder, *names):
    return [Document(folder / name, name, folder / "out" / f"{name}.txt") for name in names]


async def until(condition):
    async with asyncio.timeout(10):
        while not condition():
            await asyncio.sleep(0)


async def test_a_document_is_written_while_an_earlier_one_is_still_read(tmp_path):
    client, console = Client(), Console(file=io.StringIO())
    batch = BatchReader(client, {"output": "text"}, Progress(console=console), console, "text")
    reading = asyncio.create_task(batch.read_all(documents(tmp_path, "slow", "quick"), 2))
    await until((tmp_path / "out" / "quick.txt").exists)
    assert (batch.done, reading.done()) == (1, False)
    client.may_end.set()
    assert (await reading, batch.done) == (0, 2)


async def test_a_text_that_cannot_be_written_costs_no_other_one(tmp_path):
    client, console = Client(), Console(file=io.StringIO())
    batch = BatchReader(client, {"output": "text"}, Progress(console=console), console, "text")
    wanted = documents(tmp_path, "one", "bad", "two")
    (tmp_path / "out" / "one.txt.partial").mkdir(parents=True)
    assert (await batch.read_all(wanted, 1), batch.done) == (2, 1)
    assert "one.txt cannot be written" in console.file.getvalue()
