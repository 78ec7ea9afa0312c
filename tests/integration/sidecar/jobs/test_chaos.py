"""Nothing that was accepted is lost, and nothing is done twice in the result: whatever ends, hangs or is full.

The same on one server and on a cluster of three; ``make chaos`` runs what takes longer (see also test_chaos_long.py).
"""

import asyncio
import signal
import time

import pytest

from sidecar.errors import JobsUnavailableError, PageQuarantinedError
from sidecar.jobs.jetstream.embedded import EmbeddedServer
from sidecar.jobs.jetstream.ends import Reason
from sidecar.jobs.record import Ref, State
from tests.integration.sidecar.jobs.pods import (
    Engine,
    Pod,
    PodProcess,
    Server,
    draft,
    ended,
    figure,
    pdf,
    running,
    server_access,
    until,
)

HANGING = pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
"""NATS' library leaves a connection to a server that takes it and says nothing to the garbage collector."""


@pytest.fixture
async def caller(server, tmp_path):
    """A pod that takes jobs in and reads none."""
    async with running(Pod(server_access(server.port), tmp_path / "caller"), works=False) as one:
        yield one


@pytest.fixture
def process(server, tmp_path):
    """Starts pods as processes."""
    made = []

    def start(**what):
        one = PodProcess(server_access(server.port), tmp_path / f"pod-{len(made)}", **what)
        made.append(one)
        one.start()
        return one

    yield start
    for one in made:
        one.kill()


async def read_by(jobs, ref):
    """The pages of a job's result: each must be there once, in its order."""
    finished = await jobs.result(ref)
    return [page.page for page in finished.result.pages]


async def messages(pod, stream):
    return (await pod.connection.js.stream_info(stream)).state.messages


async def test_intake_that_is_killed_amid_a_document_leaves_nothing_and_the_same_key_goes_on(caller, process, tmp_path):
    path = pdf(tmp_path / "a.pdf", 3)
    path.write_bytes(path.read_bytes() + b"\n%" + b"x" * 60_000_000)
    intake = process(submits=[str(path), "key"])
    await until(lambda: _arrives(caller))
    intake.kill()
    assert await caller.jobs.ids("ab12") == []
    half = await messages(caller, "OCR_BLOBS")
    assert half >= 2
    small = pdf(tmp_path / "b.pdf", 3)
    ref = (await caller.jobs.submit(draft(), small, "key")).record.order.ref
    process()
    assert (await ended(caller.jobs, ref)).record.state is State.DONE
    assert await read_by(caller.jobs, ref) == [1, 2, 3]
    assert await messages(caller, "OCR_BLOBS") <= 4  # of the document nothing is left


async def _arrives(pod):
    return await messages(pod, "OCR_BLOBS") >= 2


async def test_what_arrived_by_half_is_deleted(caller, tmp_path):
    ref = Ref(owner="ab12", id="1" * 44)
    await caller.queue.blobs.put(ref.id, "document.x", b"half")
    await caller.queue.ends.add(ref, 0, Reason.ARRIVAL)
    assert await caller.queue.expire() == 1
    assert await messages(caller, "OCR_BLOBS") == 0


async def test_a_server_that_is_killed_with_the_pod_costs_nothing(server, caller, process, tmp_path):
    pod = process(page_s=0.05)
    ref = (await caller.jobs.submit(draft(), pdf(tmp_path / "a.pdf", 30))).record.order.ref
    await until(lambda: _done(caller, ref, 1))
    server.kill()
    pod.kill()
    server.start()
    process(page_s=0)
    assert (await ended(caller.jobs, ref, 90)).record.state is State.DONE
    assert await read_by(caller.jobs, ref) == list(range(1, 31))


async def _done(pod, ref, slices):
    return len(await pod.queue.records.slices_done(ref)) >= slices


async def test_a_pod_that_is_told_to_stop_gives_its_slices_back_at_once(caller, process, tmp_path):
    pod = process(page_s=60)
    ref = (await caller.jobs.submit(draft(), pdf(tmp_path / "a.pdf", 20))).record.order.ref
    await until(lambda: _held(caller, 2))
    began = time.monotonic()
    pod.kill(signal.SIGTERM)
    process()
    assert (await ended(caller.jobs, ref)).record.state is State.DONE
    assert time.monotonic() - began < 15  # a pod takes seconds to start; a dead one's turns come back after 20
    assert await read_by(caller.jobs, ref) == list(range(1, 21))


async def _held(pod, turns):
    about = await pod.connection.js.consumer_info("OCR_TURNS", "turns-batch")
    return about.num_ack_pending >= turns


async def test_a_watcher_that_reads_nothing_holds_nobody_up(pod, tmp_path):
    pod.engine.page_s = 0.02
    ref = (await pod.jobs.submit(draft(), pdf(tmp_path / "a.pdf", 60))).record.order.ref
    watchers = [pod.jobs.watch(ref) for _ in range(20)]
    for one in watchers:
        await anext(one)  # and then no more
    assert (await ended(pod.jobs, ref)).record.state is State.DONE
    for one in watchers:
        assert (await anext(one)).record.state is State.DONE
        await one.aclose()


@pytest.mark.parametrize("pages_read", [0, 1, 20])
async def test_cancelling_at_any_state_stops_the_work_in_other_pods_within_a_second(
    server, caller, tmp_path, pages_read
):
    engine = Engine(does=lambda page: 0 if page <= pages_read else 60)
    async with running(Pod(server_access(server.port), tmp_path / "spool", engine)):
        ref = (await caller.jobs.submit(draft(), pdf(tmp_path / "a.pdf", 30))).record.order.ref
        await until(lambda: len(engine.began) > pages_read)
        began = time.monotonic()
        await caller.jobs.cancel(ref)
        await until(lambda: engine.cancelled == sum(page > pages_read for page in engine.began))
        figure(f"cancelled: the work stopped after {time.monotonic() - began:.3f} s")
        assert time.monotonic() - began < 1
        assert (await caller.jobs.view(ref)).record.state is State.CANCELLED
        await until(lambda: _is_empty(caller))
        assert await caller.queue.due.count() == 0


async def _is_empty(pod):
    return await pod.queue.turns.count() == 0


@pytest.fixture
def small_server(tmp_path):
    one = Server(tmp_path / "store", max_mb=8)
    one.start()
    yield one
    one.kill()


async def _hand_in_until_refused(pod, document):
    accepted = []
    try:
        for _ in range(10):
            accepted.append((await pod.jobs.submit(draft(), document)).record.order.ref)  # noqa: PERF401
    except JobsUnavailableError:
        return accepted
    raise AssertionError("never full")


async def test_a_full_disk_refuses_what_is_new_and_keeps_what_was_accepted(small_server, tmp_path):
    big = pdf(tmp_path / "big.pdf", 2)
    big.write_bytes(big.read_bytes() + b"\n%" + b"x" * 3_000_000)
    async with running(Pod(server_access(small_server.port), tmp_path / "spool"), works=False) as pod:
        accepted = await _hand_in_until_refused(pod, big)
        assert accepted
        worker = asyncio.create_task(pod.worker.run())
        for ref in accepted:
            await ended(pod.jobs, ref)
            assert await read_by(pod.jobs, ref) == [1, 2]
        await pod.queue.expire()
        ref = (await pod.jobs.submit(draft(), pdf(tmp_path / "a.pdf", 2))).record.order.ref
        assert (await ended(pod.jobs, ref)).record.state is State.DONE
        worker.cancel()
        await asyncio.gather(worker, return_exceptions=True)


async def test_what_one_embedded_server_accepted_the_next_one_has(tmp_path):
    embedded = EmbeddedServer(tmp_path / "store")
    await embedded.start()
    watching = asyncio.create_task(embedded.watch())
    try:
        async with running(Pod(embedded.access, tmp_path / "spool", Engine(0.05))) as pod:
            ref = (await pod.jobs.submit(draft(), pdf(tmp_path / "a.pdf", 30))).record.order.ref
            await until(lambda: _done(pod, ref, 1))
            embedded._process.kill()
            assert (await ended(pod.jobs, ref)).record.state is State.DONE
            assert await read_by(pod.jobs, ref) == list(range(1, 31))
    finally:
        watching.cancel()
        await asyncio.gather(watching, return_exceptions=True)
        await embedded.stop()


@pytest.mark.matrix
async def test_a_pod_that_is_killed_has_its_slices_taken_again_within_30_s(caller, process, tmp_path):
    pod = process(page_s=60)
    ref = (await caller.jobs.submit(draft(), pdf(tmp_path / "a.pdf", 20))).record.order.ref
    await until(lambda: _held(caller, 2))
    pod.kill()
    began = time.monotonic()
    process()
    assert (await ended(caller.jobs, ref)).record.state is State.DONE
    figure(f"a dead pod's slices were done after {time.monotonic() - began:.1f} s")
    assert time.monotonic() - began < 30
    assert await read_by(caller.jobs, ref) == list(range(1, 21))


@pytest.mark.timeout(300)
@pytest.mark.matrix
async def test_a_page_that_kills_its_reader_is_left_alone_and_the_others_are_read(caller, process, tmp_path):
    pods = [process(deadly=[5])]
    ref = (await caller.jobs.submit(draft(), pdf(tmp_path / "a.pdf", 20))).record.order.ref
    last = await _ended_with_new_pods(caller, ref, pods, lambda: process(deadly=[5]))
    assert (last.record.state, last.quarantined) == (State.PARTIAL, (5,))
    assert await read_by(caller.jobs, ref) == list(range(1, 21))


@pytest.mark.timeout(300)
@pytest.mark.matrix
async def test_a_document_whose_opening_kills_fails_and_kills_no_more(caller, process, tmp_path):
    pods = [process(opening_kills=True)]
    ref = (await caller.jobs.submit(draft(), pdf(tmp_path / "a.pdf", 20))).record.order.ref
    last = await _ended_with_new_pods(caller, ref, pods, lambda: process(opening_kills=True))
    assert (last.record.state, last.record.failure.code) == (State.FAILED, "page_quarantined")
    assert len(pods) <= 4
    with pytest.raises(PageQuarantinedError):
        await caller.jobs.result(ref)


async def _ended_with_new_pods(caller, ref, pods, start):
    ending = asyncio.create_task(ended(caller.jobs, ref, 150))
    while not ending.done():
        if pods[-1].is_gone:
            pods.append(start())
        await asyncio.sleep(0.2)
    return await ending


@pytest.mark.timeout(300)
@pytest.mark.matrix
@pytest.mark.parametrize("server", ["three"], indirect=True)
async def test_any_two_servers_may_go_and_come_back(server, caller, process, tmp_path):
    process(page_s=0.02)
    refs = [(await caller.jobs.submit(draft(), pdf(tmp_path / "a.pdf", 40))).record.order.ref for _ in range(3)]
    for first, second in ((0, 1), (1, 2), (2, 0)):
        server.nodes[first].kill()
        server.nodes[second].kill()
        await asyncio.sleep(2)  # that long there is no majority
        server.nodes[first].start()
        server.nodes[second].start()
        await until(lambda: _answers(caller), 60)
    for ref in refs:
        assert (await ended(caller.jobs, ref, 120)).record.state is State.DONE
        assert await read_by(caller.jobs, ref) == list(range(1, 41))


async def _answers(pod):
    try:
        return await pod.queue.turns.count() >= 0
    except JobsUnavailableError:
        return False


@HANGING
@pytest.mark.timeout(300)
@pytest.mark.matrix
async def test_a_server_that_hangs_for_a_minute_costs_time_and_nothing_else(server, caller, process, tmp_path):
    for _ in range(2):
        process(page_s=0.05)
    refs = [(await caller.jobs.submit(draft(), pdf(tmp_path / "a.pdf", 60))).record.order.ref for _ in range(3)]
    await until(lambda: _done(caller, refs[0], 1))
    server.pause()
    await asyncio.sleep(60)  # as a partition: connections stay open, and nothing comes
    server.resume()
    for ref in refs:
        assert (await ended(caller.jobs, ref, 120)).record.state is State.DONE
        assert await read_by(caller.jobs, ref) == list(range(1, 61))


@HANGING
@pytest.mark.timeout(300)
@pytest.mark.matrix
async def test_a_pod_that_hangs_for_a_minute_and_goes_on_does_nothing_twice_in_the_result(caller, process, tmp_path):
    frozen = process(page_s=0.2)
    ref = (await caller.jobs.submit(draft(), pdf(tmp_path / "a.pdf", 60))).record.order.ref
    await until(lambda: _held(caller, 2))
    frozen.signal(signal.SIGSTOP)
    process(page_s=0.05)
    began = time.monotonic()
    last = await ended(caller.jobs, ref, 60)
    await asyncio.sleep(max(0.0, 60 - (time.monotonic() - began)))
    frozen.signal(signal.SIGCONT)
    await until(lambda: _is_empty(caller))
    assert (last.record.state, last.quarantined) == (State.DONE, ())
    assert await read_by(caller.jobs, ref) == list(range(1, 61))
