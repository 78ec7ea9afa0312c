"""Jobs on a real server: each page once, whatever comes between; and what a caller may ask at every state."""

import asyncio

import pytest

from sidecar.errors import (
    EngineUnavailableError,
    JobConflictError,
    JobExpiredError,
    JobNotFoundError,
    JobRunningError,
    QueueFullError,
    SidecarError,
    UnreadableDocumentError,
)
from sidecar.jobs.record import SCHEMA, Lane, Ref, State
from sidecar.jobs.turn import Step, Turn
from tests.integration.sidecar.jobs.pods import Engine, Pod, draft, ended, pdf, running, server_access, until


async def test_a_document_is_read_in_slices_and_comes_back_whole(pod, tmp_path):
    view = await pod.jobs.submit(draft(label="a"), pdf(tmp_path / "a.pdf", 19))
    last = await ended(pod.jobs, view.record.order.ref)
    assert (last.record.state, last.record.pages, last.pages_done) == (State.DONE, tuple(range(1, 20)), 19)
    finished = await pod.jobs.result(view.record.order.ref)
    assert [page.text for page in finished.result.pages] == [f"page {number}" for number in range(1, 20)]
    assert finished.result.facts.page_count == 19
    assert sorted(pod.progress.pages) == list(range(1, 20))
    assert pod.told == [view.record.order.ref.id]


async def test_what_a_caller_sees_grows_slice_by_slice(server, tmp_path):
    async with running(Pod(server_access(server.port), tmp_path / "spool", Engine(0.01), slices=1)) as pod:
        view = await pod.jobs.submit(draft(), pdf(tmp_path / "a.pdf", 30))
        seen = [(one.record.state, one.pages_done) async for one in pod.jobs.watch(view.record.order.ref)]
    counts = [done for _, done in seen]
    assert counts == sorted(counts)
    assert {8, 16, 24} <= set(counts)
    assert seen[-1] == (State.DONE, 30)


async def test_partial_pages_are_there_before_the_end(server, tmp_path):
    gate = asyncio.Event()

    class Gated(Engine):
        async def read(self, order, page, attempt, deadline_s):
            if page.index >= 8:
                await gate.wait()
            return await super().read(order, page, attempt, deadline_s)

    async with running(Pod(server_access(server.port), tmp_path / "spool", Gated())) as pod:
        ref = (await pod.jobs.submit(draft(), pdf(tmp_path / "a.pdf", 12))).record.order.ref
        await until(lambda: _done(pod, ref, 1))
        assert [page.page for page in await pod.jobs.pages(ref, 0)] == list(range(1, 9))
        with pytest.raises(JobRunningError):
            await pod.jobs.result(ref)
        gate.set()
        assert (await ended(pod.jobs, ref)).record.state is State.DONE


async def _done(pod, ref, slices):
    return len(await pod.queue.records.slices_done(ref)) >= slices


async def test_a_document_that_cannot_be_opened_fails_with_its_error(pod, tmp_path):
    (tmp_path / "a.pdf").write_bytes(b"%PDF-1.4 nothing")
    ref = (await pod.jobs.submit(draft(), tmp_path / "a.pdf")).record.order.ref
    last = await ended(pod.jobs, ref)
    assert (last.record.state, last.record.failure.code) == (State.FAILED, "document_unreadable")
    with pytest.raises(UnreadableDocumentError):
        await pod.jobs.result(ref)


async def test_a_page_that_cannot_be_read_makes_the_job_partial(server, tmp_path):
    def does(page):
        if page == 3:
            raise SidecarError("no")

    async with running(Pod(server_access(server.port), tmp_path / "spool", Engine(does=does))) as pod:
        ref = (await pod.jobs.submit(draft(), pdf(tmp_path / "a.pdf", 5))).record.order.ref
        last = await ended(pod.jobs, ref)
        assert (last.record.state, last.pages_failed) == (State.PARTIAL, 1)
        texts = [page.text for page in (await pod.jobs.result(ref)).result.pages]
    assert texts == ["page 1", "page 2", "", "page 4", "page 5"]


async def test_a_page_whose_error_may_pass_is_read_again_and_no_other_one(server, tmp_path):
    failures = iter([EngineUnavailableError("away")])

    def does(page):
        if page == 2 and (error := next(failures, None)):
            raise error

    engine = Engine(does=does)
    async with running(Pod(server_access(server.port), tmp_path / "spool", engine)) as pod:
        ref = (await pod.jobs.submit(draft(), pdf(tmp_path / "a.pdf", 4))).record.order.ref
        assert (await ended(pod.jobs, ref)).record.state is State.DONE
    assert sorted(engine.began) == [1, 2, 2, 3, 4]


@pytest.mark.parametrize("when", ["queued", "running"])
async def test_a_job_can_be_given_up(server, tmp_path, when):
    engine = Engine(30)
    async with running(Pod(server_access(server.port), tmp_path / "spool", engine), works=when == "running") as pod:
        ref = (await pod.jobs.submit(draft(), pdf(tmp_path / "a.pdf", 20))).record.order.ref
        if when == "running":
            await until(lambda: engine.began)
        assert (await pod.jobs.cancel(ref)).record.state is State.CANCELLED
        if when == "running":
            await until(lambda: engine.cancelled == len(engine.began), within_s=1)
        await until(lambda: _is_empty(pod) if when == "running" else True)
        assert (await pod.jobs.cancel(ref)).record.state is State.CANCELLED
        assert await pod.queue.due.count() == 0
        with pytest.raises(JobConflictError):
            await pod.jobs.result(ref)


async def _is_empty(pod):
    return await pod.queue.turns.count() == 0


async def test_a_job_that_has_ended_stays_as_it_is(pod, tmp_path):
    ref = (await pod.jobs.submit(draft(), pdf(tmp_path / "a.pdf", 2))).record.order.ref
    await ended(pod.jobs, ref)
    assert (await pod.jobs.cancel(ref)).record.state is State.DONE


async def test_a_result_expires_and_it_is_known_that_it_was_there(server, tmp_path):
    async with running(Pod(server_access(server.port), tmp_path / "spool", kept_for_s=0.0)) as pod:
        ref = (await pod.jobs.submit(draft(), pdf(tmp_path / "a.pdf", 2))).record.order.ref
        with pytest.raises(JobExpiredError):
            await until(lambda: _expired(pod, ref))
        with pytest.raises(JobNotFoundError):
            await pod.jobs.view(Ref(owner=ref.owner, id="0" * 44))
        with pytest.raises(JobNotFoundError):
            await pod.jobs.view(Ref(owner="cd34", id=ref.id))
        assert await pod.jobs.ids(ref.owner) == []


async def _expired(pod, ref):
    await pod.queue.expire()
    await pod.jobs.view(ref)


async def test_the_same_key_is_the_same_job_and_only_for_the_same_document(pod, tmp_path):
    first, other = pdf(tmp_path / "a.pdf", 2), pdf(tmp_path / "b.pdf", 3)
    one, two = await asyncio.gather(*(pod.jobs.submit(draft(), first, "key") for _ in range(2)))
    assert one.record.order.ref == two.record.order.ref
    await ended(pod.jobs, one.record.order.ref)
    assert (await pod.jobs.submit(draft(), first, "key")).record.order.ref == one.record.order.ref
    with pytest.raises(JobConflictError):
        await pod.jobs.submit(draft(), other, "key")
    anothers = (await pod.jobs.submit(draft(owner="cd34"), other, "key")).record.order.ref
    assert anothers != one.record.order.ref
    await ended(pod.jobs, anothers)
    assert sorted(pod.progress.pages) == [1, 1, 2, 2, 3], "each of the two jobs was read once"


async def test_a_job_that_is_read_ends_before_more_of_others_is_read(server, tmp_path):
    engine = Engine(0.01)
    async with running(Pod(server_access(server.port), tmp_path / "intake", engine), works=False) as intake:
        short = (await intake.jobs.submit(draft(), pdf(tmp_path / "short.pdf", 1))).record.order.ref
        for number in range(8):
            await intake.jobs.submit(draft(), pdf(tmp_path / f"{number}.pdf", 24))
        async with running(Pod(server_access(server.port), tmp_path / "spool", engine, slices=1)):
            assert (await ended(intake.jobs, short)).record.state is State.DONE
            assert len(engine.began) <= 1 + 2 * 8  # the slice that was under way, and one more until this is heard


async def test_realtime_goes_before_batch(server, tmp_path):
    engine = Engine(0.05, slots=1)
    async with running(Pod(server_access(server.port), tmp_path / "spool", engine, slices=1, slice_pages=1)) as pod:
        long = (await pod.jobs.submit(draft(), pdf(tmp_path / "a.pdf", 40))).record.order.ref
        await until(lambda: len(engine.began) >= 2)
        short = (await pod.jobs.submit(draft(Lane.REALTIME), pdf(tmp_path / "b.pdf", 1))).record.order.ref
        await ended(pod.jobs, short)
        assert not (await pod.jobs.view(long)).record.state.is_end


async def test_jobs_of_one_queue_go_round(server, tmp_path):
    engine = Engine(0.02, slots=1)
    async with running(Pod(server_access(server.port), tmp_path / "spool", engine, slices=1, slice_pages=1)) as pod:
        long = (await pod.jobs.submit(draft(), pdf(tmp_path / "a.pdf", 40))).record.order.ref
        short = (await pod.jobs.submit(draft(), pdf(tmp_path / "b.pdf", 3))).record.order.ref
        await ended(pod.jobs, short)
        assert (await pod.jobs.view(long)).pages_done < 12


async def test_more_jobs_than_may_wait_are_refused(server, tmp_path):
    async with running(Pod(server_access(server.port), tmp_path / "spool", max_jobs=2), works=False) as pod:
        for _ in range(2):
            await pod.jobs.submit(draft(), pdf(tmp_path / "a.pdf", 1))
        with pytest.raises(QueueFullError):
            await pod.jobs.submit(draft(), pdf(tmp_path / "a.pdf", 1))


async def test_what_another_version_wrote_waits_for_who_can_read_it(pod, tmp_path):
    alien = Turn(step=Step.READ, ref=Ref(owner="ab12", id="0" * 44), schema_version=SCHEMA + 1)
    await pod.queue.turns.put(alien, Lane.BATCH)
    await until(lambda: _parked(pod))
    ref = (await pod.jobs.submit(draft(), pdf(tmp_path / "a.pdf", 2))).record.order.ref
    assert (await ended(pod.jobs, ref)).record.state is State.DONE
    mine = alien.model_copy(update={"schema_version": SCHEMA})
    headers = {"Ocr-Lane": "batch", "Ocr-Schema": str(SCHEMA)}
    await pod.connection.js.publish(f"ocr.parked.{SCHEMA}", mine.packed(), headers=headers)
    assert await pod.queue.turns.unpark() == 1
    await until(lambda: _is_empty(pod))


async def _parked(pod):
    return await pod.queue.turns.unpark() == 1
