"""What somebody was broken off in is done by the next one, once; and nothing goes before its time."""

import asyncio

import pytest

from sidecar.errors import JobConflictError, JobsUnavailableError, QueueFullError
from sidecar.jobs.jetstream.connection import listening
from sidecar.jobs.jetstream.ends import Reason
from sidecar.jobs.queue import document_name
from sidecar.jobs.record import SCHEMA, Failure, Lane, Ref, State
from sidecar.jobs.turn import Step
from tests.integration.sidecar.jobs import pods
from tests.integration.sidecar.jobs.pods import Pod, draft, ended, pdf, running, server_access, until


@pytest.fixture
async def idle(server, tmp_path):
    async with running(Pod(server_access(server.port), tmp_path / "idle"), works=False) as one:
        yield one


async def test_a_job_that_came_to_be_is_not_deleted_as_one_that_did_not(pod, idle, tmp_path):
    ref = (await pod.jobs.submit(draft(), pdf(tmp_path / "a.pdf", 2))).record.order.ref
    await ended(pod.jobs, ref)
    await pod.connection.js.purge_stream("OCR_ENDED")
    await idle.queue.ends.add(Ref(owner=ref.owner, id="1" * 44), 0, Reason.ARRIVAL)
    await idle.queue.ends.add(ref, 0, Reason.ARRIVAL)
    assert await idle.queue.expire() == 1
    assert (await pod.jobs.view(ref)).record.state is State.DONE


async def test_what_is_kept_longer_does_not_stand_before_what_may_go(idle):
    for kept_s, reason in ((900, Reason.END), (900, Reason.ARRIVAL), (0, Reason.TAKEN)):
        await idle.queue.ends.add(Ref(owner="ab12", id=f"{kept_s:044x}"), kept_s, reason)
    assert await idle.queue.expire() == 1


async def test_two_who_delete_the_same_do_not_stop_one_another(idle):
    await idle.queue.ends.add(Ref(owner="ab12", id="1" * 44), 0, Reason.TAKEN)
    (end,) = [one async for one in idle.queue.ends.due()]
    await idle.queue.ends.forget(end)
    await idle.queue.ends.forget(end)


async def test_what_whoever_ended_a_job_left_undone_is_done_with_its_turn(server, tmp_path):
    async with running(Pod(server_access(server.port), tmp_path / "spool"), works=False) as pod:
        ref = (await pod.jobs.submit(draft(), pdf(tmp_path / "a.pdf", 2))).record.order.ref
        old = await pod.queue.records.get(ref)
        now = old.record.order.accepted_at
        failed = old.record.ended(State.FAILED, now, now, (), Failure(code="internal_error", detail="no"))
        await pod.queue.records.change(old, failed)  # here the pod was lost
        worker = asyncio.create_task(pod.worker.run())
        await until(lambda: _is_empty(pod))
        assert not await pod.queue.blobs.has(ref.id, document_name(old.record.order))
        worker.cancel()
        await asyncio.gather(worker, return_exceptions=True)


async def _is_empty(pod):
    return await pod.queue.turns.count() == 0


async def test_a_slice_that_is_given_back_does_not_put_the_next_one_again(server, tmp_path):
    refusals = iter([])

    def make_job(order, path):
        if error := next(refusals, None):
            raise error
        return pods.make_job(order, path)

    async with running(Pod(server_access(server.port), tmp_path / "spool", make_job=make_job), works=False) as pod:
        js = pod.connection.js
        config = (await js.stream_info("OCR_TURNS")).config
        await js.update_stream(config.evolve(duplicate_window=0.1))  # as if it took minutes
        await pod.jobs.submit(draft(), pdf(tmp_path / "a.pdf", 20))
        opening = await pod.queue.turns.take([Lane.BATCH])
        assert await pod.steps.take(opening) is None
        await opening.done()
        refusals = iter([QueueFullError("full", retry_after_s=1)] * 2)
        for _ in range(2):
            taken = await until(lambda: pod.queue.turns.take([Lane.BATCH]))
            assert (taken.turn.step, taken.turn.slice) == (Step.READ, 0)
            assert await pod.steps.take(taken) == 1
            await taken.later()
            await asyncio.sleep(0.2)  # the window of duplicates passes
        assert await pod.queue.turns.count() == 2


async def test_a_full_pod_does_not_fail_what_was_accepted(server, tmp_path):
    refusals = iter([QueueFullError("full", retry_after_s=1)] * 3)

    def make_job(order, path):
        if error := next(refusals, None):
            raise error
        return pods.make_job(order, path)

    one = Pod(server_access(server.port), tmp_path / "spool", make_job=make_job)
    async with running(one):
        ref = (await one.jobs.submit(draft(), pdf(tmp_path / "a.pdf", 2))).record.order.ref
        assert (await ended(one.jobs, ref)).record.state is State.DONE
    assert next(refusals, None) is None


async def test_a_job_without_pages_ends(server, tmp_path):
    async with running(Pod(server_access(server.port), tmp_path / "spool"), works=False) as pod:
        ref = (await pod.jobs.submit(draft(), pdf(tmp_path / "a.pdf", 2))).record.order.ref
        old = await pod.queue.records.get(ref)
        await pod.queue.records.change(old, old.record.model_copy(update={"pages": (), "state": State.RUNNING}))
        worker = asyncio.create_task(pod.worker.run())
        assert (await ended(pod.jobs, ref)).record.state is State.FAILED
        worker.cancel()
        await asyncio.gather(worker, return_exceptions=True)


async def test_a_record_of_another_version_is_left_to_who_knows_it(pod, tmp_path):
    pod.engine.page_s = 0.3
    ref = (await pod.jobs.submit(draft(), pdf(tmp_path / "a.pdf", 20))).record.order.ref
    old = await until(lambda: _begun(pod, ref))
    key = f"$KV.ocr-jobs.{ref.key}.record"
    content = old.record.packed()
    await pod.connection.js.publish(key, content.replace(b"{", f'{{"schema_version":{SCHEMA + 1},'.encode(), 1))
    with pytest.raises(JobsUnavailableError):
        await pod.jobs.view(ref)
    await pod.connection.js.publish(key, content)
    assert (await ended(pod.jobs, ref)).record.state is State.DONE


async def _begun(pod, ref):
    known = await pod.queue.records.get(ref)
    return known if known.record.pages else None


async def test_who_listens_hears_through_a_client_that_was_closed(pod):
    heard = []
    async with listening(pod.connection, "said", heard.append):
        closed = pod.connection.client
        await closed.close()
        await until(lambda: pod.connection.failure is None and pod.connection.client is not closed)
        await pod.connection.client.publish("said", b"1")
        await until(lambda: heard)


async def test_a_key_whose_job_has_expired_makes_another_one(server, tmp_path):
    async with running(Pod(server_access(server.port), tmp_path / "spool", kept_for_s=0.0)) as pod:
        path = pdf(tmp_path / "a.pdf", 2)
        first = (await pod.jobs.submit(draft(), path, "key")).record.order.ref
        await ended(pod.jobs, first)
        assert await until(pod.queue.expire)
        second = (await pod.jobs.submit(draft(), path, "key")).record.order.ref
        assert second != first
        assert (await ended(pod.jobs, second)).record.state is State.DONE


async def test_one_key_for_two_documents_at_once_is_one_job_and_reads_its_own_document(pod, tmp_path):
    paths = [pdf(tmp_path / f"{pages}.pdf", pages) for pages in (2, 3)]
    told = await asyncio.gather(*(pod.jobs.submit(draft(), path, "key") for path in paths), return_exceptions=True)
    (refused,) = [one for one in told if isinstance(one, Exception)]
    assert isinstance(refused, JobConflictError)
    (view,) = [one for one in told if not isinstance(one, Exception)]
    last = await ended(pod.jobs, view.record.order.ref)
    assert (last.record.state, len(last.record.pages)) == (State.DONE, 2 + told.index(view))
