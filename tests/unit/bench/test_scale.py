"""The simulator of bench/scale: what must hold of every fleet, and what each of its designs and faults does."""

from dataclasses import replace
from itertools import islice, repeat

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bench.scale import heap
from bench.scale.clock import Clock, StuckError
from bench.scale.command import main
from bench.scale.heap import ISSUE, Kind, Pace
from bench.scale.outcome import percentile
from bench.scale.scenario import Costs, Design, Document, Fault, FaultKind, Scaling, Scenario
from bench.scale.simulation import simulate
from sidecar.jobs.record import Lane

FREE = Costs(open_s=0, page_s=0, step_s=0, end_s=0, hear_s=0, look_s=0)
SMALL_HEAPS = st.lists(st.builds(Kind, st.integers(1, 4), st.integers(1, 40)), min_size=1, max_size=4)
FAULTS = st.builds(Fault, st.sampled_from(FaultKind), st.integers(0, 2), st.floats(0, 30), st.floats(0.1, 60))


def one_document(pages: int, *, lane: Lane = Lane.BATCH, number: int = 0, at_s: float = 0.0) -> Document:
    return Document(number, at_s, (0.5,) * pages, lane)


# ── what must hold of each ────────────────────────────────────────────────────────────────────────────────────────


@settings(max_examples=60, deadline=None)
@given(SMALL_HEAPS, st.lists(FAULTS, max_size=3), st.sampled_from(Design), st.integers(1, 5))
def test_every_page_is_read_whatever_happens_and_never_faster_than_is_possible(kinds, faults, design, slices):
    documents = heap.at_once(kinds, Pace(0.5, 0.3))
    outcome = simulate(Scenario(documents, slices=slices, faults=tuple(faults)), design)
    assert outcome.unread_pages == 0
    assert outcome.makespan_s >= outcome.ideal_s
    assert 0 <= outcome.idle_share < 1
    assert outcome.gpu_hours == pytest.approx(3 * outcome.makespan_s / 3600)


@given(SMALL_HEAPS, st.sampled_from([Design.TURNS, Design.WHOLE]), st.integers(1, 3))
@settings(max_examples=30, deadline=None)
def test_without_faults_a_queue_reads_each_page_once(kinds, design, pods):
    outcome = simulate(Scenario(heap.at_once(kinds, Pace()), pods=pods), design)
    assert (outcome.doubled_pages, outcome.lost_pages, outcome.refused) == (0, 0, 0)


def test_the_same_seed_ends_the_same_and_another_does_not():
    runs = [simulate(Scenario(heap.at_once(ISSUE, Pace(0.5, 0.3, seed)), seed=seed)) for seed in (1, 1, 2)]
    assert runs[0] == runs[1]
    assert runs[0] != runs[2]


def test_one_pod_with_nothing_but_pages_to_do_takes_the_ideal_time():
    outcome = simulate(Scenario((one_document(160),), pods=1, costs=FREE))
    assert outcome.makespan_s == pytest.approx(160 / 4 * 0.5)
    assert outcome.idle_share == pytest.approx(0)


def test_more_pods_take_less_time():
    took = [simulate(Scenario(heap.at_once(ISSUE, Pace()), pods=pods)).makespan_s for pods in (1, 2, 4)]
    assert took[0] > 1.8 * took[1] > 3 * took[2]


# ── the designs ───────────────────────────────────────────────────────────────────────────────────────────────────


def test_a_long_document_is_read_by_all_pods_in_slices_and_by_one_as_a_whole():
    scenario = Scenario((one_document(240),))
    assert simulate(scenario).of_ideal > 0.9
    for design in (Design.WHOLE, Design.SPREAD):
        assert simulate(scenario, design).makespan_s > 2.9 * scenario.ideal_s


def test_a_letter_does_not_wait_for_the_report_before_it():
    letter = one_document(1, number=1, at_s=1.0)
    outcome = simulate(Scenario((one_document(400), letter), pods=1))
    assert (
        outcome.done_p50_s < outcome.makespan_s / 2 + 3
    )  # the median of two is their mean: the letter took 6 s at most


def test_a_realtime_page_waits_for_less_than_a_slice():
    batch = heap.at_once((Kind(20, 100),), Pace(0.5, 0.3))
    urgent = heap.arriving((Kind(60, 1),), Pace(), heap.poisson(0.5, 3), lane=Lane.REALTIME, first=len(batch))
    scenario = Scenario(batch + urgent)
    slice_s = scenario.slice_pages * scenario.slices * 0.5 / scenario.slots
    assert simulate(scenario).wait_p95_s <= slice_s
    as_batch = tuple(replace(one, number=one.number) for one in batch)
    assert simulate(Scenario(as_batch)).wait_p95_s is None


def test_batch_goes_on_beside_an_endless_stream_of_realtime():
    urgent = heap.arriving((Kind(5, 640),), Pace(), repeat(0.0), lane=Lane.REALTIME)
    batch = heap.arriving((Kind(7, 8),), Pace(), repeat(0.0), first=len(urgent))
    outcome = simulate(Scenario(urgent + batch, pods=1))
    assert outcome.done_p50_s < outcome.makespan_s / 4  # the median of these is one of batch


def test_what_is_read_ends_before_more_of_others_is_read():
    outcome = simulate(Scenario(heap.at_once((Kind(60, 1), Kind(40, 80)), Pace()), pods=1))
    assert outcome.done_p50_s < 0.2 * outcome.makespan_s


def test_short_documents_need_as_many_slices_at_a_time_as_there_are_slots():
    documents = heap.at_once((Kind(400, 1),), Pace())
    few, enough = (simulate(Scenario(documents, pods=1, slices=slices)).of_ideal for slices in (2, 6))
    assert few < 0.5
    assert enough > 0.85


def test_a_pod_without_a_queue_refuses_what_is_too_much_and_is_asked_again():
    outcome = simulate(Scenario(heap.at_once((Kind(12, 100),), Pace()), pods=1, queued_pages=300), Design.SPREAD)
    assert outcome.refused >= 9
    assert outcome.unread_pages == 0


# ── what goes wrong ───────────────────────────────────────────────────────────────────────────────────────────────


def happens(kind: FaultKind, design: Design, *, at_s: float = 10.0, for_s: float = 60.0, documents: int = 30):
    scenario = Scenario(
        heap.at_once((Kind(documents, 20),), Pace(0.5, 0.3)), faults=(Fault(kind, 0, at_s, for_s),), documents_a_pod=4
    )
    return simulate(scenario, design)


def test_a_killed_pods_slices_are_read_again_and_no_more_than_these():
    outcomes = [happens(FaultKind.KILL, Design.TURNS, at_s=at_s) for at_s in (8.0, 9.0, 10.0, 11.0)]
    assert {one.lost_pages for one in outcomes} == {0}
    assert 0 < max(one.doubled_pages for one in outcomes) <= 2 * 8


def test_a_killed_pods_whole_documents_are_read_again_from_their_first_page():
    assert happens(FaultKind.KILL, Design.WHOLE).doubled_pages > happens(FaultKind.KILL, Design.TURNS).doubled_pages


def test_a_killed_pod_without_a_queue_loses_what_it_had():
    outcome = happens(FaultKind.KILL, Design.SPREAD)
    assert outcome.lost_pages >= 20
    assert outcome.doubled_pages > 0


def test_what_a_killed_pod_held_waits_for_its_signs_to_fail_and_is_read_page_by_page():
    faults = (Fault(FaultKind.KILL, 0, 0.2, 900), Fault(FaultKind.KILL, 1, 0.2, 1))
    alone = Scenario((one_document(8),), pods=2, costs=FREE, faults=faults, sign_s=0)
    assert simulate(alone).makespan_s == pytest.approx(0.2 + 20 + 8 * 0.5)


def test_a_drained_pod_gives_its_slices_back_at_once():
    killed, drained = (happens(kind, Design.TURNS, documents=13) for kind in (FaultKind.KILL, FaultKind.DRAIN))
    assert drained.makespan_s < killed.makespan_s - 10
    assert any(happens(FaultKind.DRAIN, Design.TURNS, at_s=at_s).doubled_pages for at_s in (8.0, 9.0, 11.0))


def test_a_pod_that_nobody_hears_for_long_has_its_work_done_twice_and_counted_once():
    faults = tuple(Fault(FaultKind.PARTITION, pod, 1.0, 5.0) for pod in range(3))
    slow = simulate(Scenario((Document(0, 0.0, (40.0,)), Document(1, 0.0, (100.0,))), faults=faults))
    assert slow.doubled_pages == 0
    assert slow.makespan_s < 101
    assert 0 < happens(FaultKind.PARTITION, Design.TURNS, for_s=60.0).doubled_pages <= 2 * 8


def test_a_fleet_that_never_comes_back_is_told():
    faults = (Fault(FaultKind.KILL, 0, 0.1, 1e9),)
    with pytest.raises(StuckError, match="does not end"):
        simulate(Scenario((one_document(8),), pods=1, faults=faults))


# ── how many pods, and what they cost ─────────────────────────────────────────────────────────────────────────────


def test_pods_come_with_the_work_and_go_after_it():
    documents = (*heap.at_once((Kind(200, 20),), Pace()), one_document(1, number=200, at_s=3000.0))
    fixed = Scenario(documents, pods=5, price_an_hour=2.0)
    scaled = replace(fixed, scaling=Scaling(1, 5, slices_a_pod=20))
    always, sometimes = simulate(fixed), simulate(scaled)
    assert always.cost == pytest.approx(2.0 * 5 * always.makespan_s / 3600)
    assert sometimes.cost < always.cost / 2
    assert sometimes.unread_pages == 0


def test_no_more_pods_come_than_may():
    documents = heap.at_once((Kind(400, 20),), Pace())
    outcome = simulate(Scenario(documents, scaling=Scaling(1, 2, slices_a_pod=1)))
    assert outcome.gpu_hours <= 2 * outcome.makespan_s / 3600


# ── heaps, times, figures ─────────────────────────────────────────────────────────────────────────────────────────


def test_a_heap_is_read_from_its_text():
    assert heap.kinds("65x2, 12x10,3x150") == ISSUE
    assert sum(kind.count * kind.pages for kind in ISSUE) == 700


@pytest.mark.parametrize("text", ["", "65", "65x", "x2", "0x2", "65x0", "65x-2", "65*2"])
def test_what_is_no_heap_is_refused(text):
    with pytest.raises(ValueError, match="is not COUNTxPAGES"):
        heap.kinds(text)


def test_an_archive_has_as_many_documents_as_were_asked_for():
    for count in (1, 7, 20_000):
        assert sum(kind.count for kind in heap.office(count)) == count


def test_pages_take_as_long_as_was_said_on_average():
    documents = heap.at_once((Kind(2000, 5),), Pace(2.0, 0.5))
    times_s = [page_s for one in documents for page_s in one.pages_s]
    mean_s = sum(times_s) / len(times_s)
    assert mean_s == pytest.approx(2.0, rel=0.03)
    assert (sum((one - mean_s) ** 2 for one in times_s) / len(times_s)) ** 0.5 == pytest.approx(1.0, rel=0.1)


def test_documents_come_as_often_as_was_said_on_average():
    (*_, last_s) = islice(heap.poisson(4.0, seed=1), 4000)
    assert last_s == pytest.approx(1000, rel=0.1)


def test_a_percentile_is_one_of_the_values():
    assert percentile([3, 1, 2], 0.5) == 2
    assert percentile(range(1, 101), 0.95) == 95
    assert percentile([], 0.95) is None


def test_events_happen_in_their_order_and_those_of_one_time_in_the_order_of_asking():
    clock, happened = Clock(), []
    for delay_s, name in ((2.0, "c"), (1.0, "a"), (1.0, "b")):
        clock.after(delay_s, lambda name=name: happened.append((clock.now_s, name)))
    clock.run(lambda: len(happened) == 3)
    assert happened == [(1.0, "a"), (1.0, "b"), (2.0, "c")]


def test_the_command_prints_a_line_for_each_design(capsys):
    assert main(["simulate", "--documents", "4x2", "--fault", "kill:0:1:5", "--realtime", "2:1.5"]) == 0
    printed = capsys.readouterr().out
    assert "6 documents, 10 pages" in printed
    assert [line.split()[1] for line in printed.splitlines()[4:]] == ["turns", "whole", "spread"]


@pytest.mark.parametrize(
    "wrong", [["--documents", "4"], ["--pods", "0"], ["--fault", "flood:0:1:2"], ["--scale", "1:2"]]
)
def test_the_command_refuses_what_it_does_not_know(wrong, capsys):
    with pytest.raises(SystemExit):
        main(["simulate", *wrong])
    assert wrong[0] in capsys.readouterr().err
