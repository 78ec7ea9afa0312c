"""Pods that do not come back, or stop: their slices are read by others, and a page that ends pods is left alone."""

import asyncio
import signal

from sidecar.jobs.jetstream import streams
from sidecar.jobs.record import State
from sidecar.jobs.slice_reader import SliceTurn
from tests.integration.sidecar.jobs.pods import Engine, Pod, draft, ended, pdf, running, server_access, until


async def test_a_pod_that_stops_gives_its_slices_back_at_once(server, tmp_path):
    first, second = (
        Pod(server_access(server.port), tmp_path / name, Engine(wait)) for name, wait in (("a", 60), ("b", 0))
    )
    async with running(first):
        ref = (await first.jobs.submit(draft(), pdf(tmp_path / "a.pdf", 20))).record.order.ref
        await until(lambda: len(first.engine.began) >= 4)
    async with running(second):
        last = await ended(second.jobs, ref, within_s=streams.ACK_WAIT_S / 2)
        assert last.record.state is State.DONE
        assert max(len(second.engine.began), 20) == 20


async def test_a_server_that_is_killed_costs_nothing(server, tmp_path):
    async with running(Pod(server_access(server.port), tmp_path / "spool", Engine(0.05))) as pod:
        ref = (await pod.jobs.submit(draft(), pdf(tmp_path / "a.pdf", 60))).record.order.ref
        for _ in range(2):
            began = len(pod.engine.began)
            await until(lambda: len(pod.engine.began) > began + 8)  # noqa: B023
            server.kill(signal.SIGKILL)
            server.start()
        last = await ended(pod.jobs, ref)
        await pod.connection.ready.wait()
        assert last.record.state is State.DONE
        texts = [page.text for page in (await pod.jobs.result(ref)).result.pages]
    assert texts == [f"page {number}" for number in range(1, 61)]


async def test_pages_that_are_stored_are_not_read_again(pod, tmp_path):
    ref = (await pod.jobs.submit(draft(), pdf(tmp_path / "a.pdf", 3))).record.order.ref
    last = await ended(pod.jobs, ref)
    job = (await pod.jobs.result(ref)).job
    began = list(pod.engine.began)
    read = await pod.slice_reader.read(SliceTurn(last.record, 0, 3), job)
    assert (pod.engine.began, read.deliveries, read.failed) == (began, 3, ())


async def test_a_page_whose_readers_did_not_come_back_is_left_alone_and_the_others_read(pod, tmp_path):
    path = pdf(tmp_path / "a.pdf", 4)
    ref = (await pod.jobs.submit(draft(), path)).record.order.ref
    last = await ended(pod.jobs, ref)
    await pod.queue.blobs.delete(ref.id)
    await pod.queue.records.mark(ref, 2, 2)
    await pod.queue.records.mark(ref, 3, 1)
    pod.engine.began.clear()
    job = pod.make_job(last.record.order, path)
    read = await pod.slice_reader.read(SliceTurn(last.record, 0, 4), job)
    assert (read.quarantined, read.failed, pod.engine.began) == ((2,), (2,), [1, 3, 4])
    assert await pod.queue.records.deaths(ref) == {1: 0, 2: 2, 3: 1, 4: 0}


async def test_a_job_that_was_deleted_does_not_come_back_with_its_first_turn(server, tmp_path):
    async with running(Pod(server_access(server.port), tmp_path / "spool"), works=False) as pod:
        ref = (await pod.jobs.submit(draft(), pdf(tmp_path / "a.pdf", 4))).record.order.ref
        await pod.jobs.cancel(ref)
        await pod.jobs.delete(ref)
        worker = asyncio.create_task(pod.worker.run())
        await until(lambda: _empty(pod))
        assert await pod.jobs.ids(ref.owner) == []
        worker.cancel()
        await asyncio.gather(worker, return_exceptions=True)


async def _empty(pod):
    return await pod.queue.turns.count() == 0
