"""Counts each page of many jobs in their results, while pods and servers are killed at random: each once."""

import asyncio
import os
import random
import time
from collections import Counter
from contextlib import suppress

import pytest

from sidecar.errors import JobsUnavailableError
from sidecar.jobs.record import State
from tests.integration.sidecar.jobs.pods import (
    Cluster,
    Pod,
    PodProcess,
    draft,
    ended,
    figure,
    pdf,
    running,
    server_access,
)

pytestmark = [pytest.mark.matrix, pytest.mark.timeout(3600)]

PAGES, JOBS = 500, int(os.environ.get("CHAOS_JOBS", "100"))
EACH_S = (3.0, 8.0)
"""Something is killed after so long, and then again."""


async def _killing(server, pods, kills, seed):
    chance = random.Random(seed)
    nodes = server.nodes if isinstance(server, Cluster) else [server]
    while True:
        await asyncio.sleep(chance.uniform(*EACH_S))
        victim = chance.choice(nodes if chance.random() < 0.3 else pods)
        kills["server" if victim in nodes else "pod"] += 1
        victim.kill()
        await asyncio.sleep(chance.uniform(0, 2))
        victim.start()


async def _submitted(pod, path, number):
    while True:  # as a caller does who is told 503
        try:
            return (await pod.jobs.submit(draft(), path, f"key-{number}")).record.order.ref
        except JobsUnavailableError:
            await asyncio.sleep(0.5)


async def _counted(pod, ref):
    last = await ended(pod.jobs, ref, 3000)
    while True:
        with suppress(JobsUnavailableError):
            pages = Counter(page.page for page in (await pod.jobs.result(ref)).result.pages)
            return last.record.state, pages, last.redeliveries
        await asyncio.sleep(0.5)


async def test_each_page_of_many_jobs_is_there_once(server, tmp_path):
    access = server_access(server.port)
    pods = [PodProcess(access, tmp_path / f"pod-{n}") for n in range(3)]
    kills, began = Counter(), time.monotonic()
    path = pdf(tmp_path / "a.pdf", PAGES)
    async with running(Pod(access, tmp_path / "caller"), works=False) as caller:
        for pod in pods:
            pod.start()
        killing = asyncio.create_task(_killing(server, pods, kills, 19))
        try:
            refs = [await _submitted(caller, path, number) for number in range(JOBS)]
            told = [await _counted(caller, ref) for ref in refs]
        finally:
            killing.cancel()
            await asyncio.gather(killing, return_exceptions=True)
            for pod in pods:
                pod.kill()
    took_s = time.monotonic() - began
    lost = sum(PAGES - len(pages) for _, pages, _ in told)
    doubled = sum(count - 1 for _, pages, _ in told for count in pages.values())
    figure(f"{JOBS * PAGES} pages, {took_s:.0f} s, {JOBS * PAGES / took_s:.0f} pages/s, {kills},"
                    f" redeliveries {sum(one[2] for one in told)}, lost {lost}, doubled {doubled}")  # fmt: skip
    assert len(set(refs)) == JOBS
    assert (lost, doubled) == (0, 0)
    assert {state for state, _, _ in told} == {State.DONE}
    assert kills["pod"]
    assert kills["server"]
