"""The lease, replayed against a small world in virtual time: days as scripts, and days that nobody thought of."""

from collections.abc import Iterator
from dataclasses import dataclass, field, replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sidecar.gpu.lease.policy import FOREVER_S, next_lease, owe, plan_leaving, restore
from sidecar.gpu.lease.state import Act, Facts, LeaseState, LeaseTerms, Owed, Phase
from sidecar.gpu.vram import UNREADABLE, ResidentModel, VramHeadroom
from sidecar.gpu.wish import Wish

TOTAL_MB, LLM_MB, OCR_MB = 16_384, 12_000, 9000
TERMS = LeaseTerms(wait_s=60, hold_s=120)
TICK_S = 0.25
LOAD_S = 8.0


@dataclass
class World:
    """Ollama and our pages, in virtual seconds: the LLM, and the OCR model that is there while pages are read."""

    terms: LeaseTerms = TERMS
    least_mb: int = OCR_MB
    pages: int = 0  # that wait or are read
    page_s: float = 2.0
    llm_busy_until_s: float = 0.0
    keep_alive_s: float = 300.0
    is_up: bool = True
    fails_to_load: int = 0
    now_s: float = 0.0
    state: LeaseState = field(default_factory=LeaseState)
    llm_there: bool = True
    llm_leaves: bool = False
    llm_expires_s: float = 300.0
    reading: list[float] = field(default_factory=list)  # when each running call ends
    ocr_there: bool = False
    another_mb: int = 0  # another LLM that somebody called, and that stays
    acts: list[Act] = field(default_factory=list)
    refusals: list[str] = field(default_factory=list)
    away_since_s: float | None = None
    longest_away_s: float = 0.0
    read: int = 0

    def headroom(self) -> VramHeadroom:
        if not self.is_up:
            return UNREADABLE
        models = []
        if self.llm_there:
            left_s = self.llm_expires_s - self.now_s
            models.append(ResidentModel("llm", LLM_MB, 8192, f"{self.llm_expires_s}", left_s))
        if self.ocr_there:
            models.append(ResidentModel("ocr", OCR_MB))
        if self.another_mb:
            models.append(ResidentModel("another", self.another_mb, 8192, "never", FOREVER_S + 1))
        used_mb = sum(one.vram_mb for one in models)
        return VramHeadroom(TOTAL_MB, used_mb, TOTAL_MB - used_mb, query_success=True, models=tuple(models))

    @property
    def asking(self) -> int:
        waiting = self.pages - len(self.reading)
        return min(4, waiting) if self.state.phase is not Phase.HELD else 0

    def tick(self) -> None:
        """Let a quarter of a second pass: pages end and begin, the LLM's request ends, the lease decides and acts."""
        self.now_s += TICK_S
        self.run_llm()
        self.run_pages()
        facts = Facts(
            self.now_s,
            self.headroom(),
            frozenset({"ocr"}),
            (Wish("ocr", self.least_mb, self.least_mb),),
            self.asking,
            self.pages,
            len(self.reading),
        )
        self.state, act = next_lease(self.state, facts, self.terms)
        self.do(act)
        self.note_away()

    def run_llm(self) -> None:
        is_busy = self.now_s < self.llm_busy_until_s
        if is_busy and not self.llm_there and self.is_up and not self.reading:
            self.llm_there, self.ocr_there = True, False  # Ollama loads it for its caller
        if self.llm_there and not is_busy and self.llm_leaves:
            self.llm_there, self.llm_leaves = False, False
        if is_busy and self.llm_there:
            self.llm_expires_s = self.now_s + self.keep_alive_s  # short requests, one after another

    def run_pages(self) -> None:
        done = [ends_s for ends_s in self.reading if ends_s <= self.now_s]
        self.reading = [ends_s for ends_s in self.reading if ends_s > self.now_s]
        self.pages -= len(done)
        self.read += len(done)
        while self.state.phase is Phase.HELD and len(self.reading) < min(4, self.pages) and self.is_up:
            assert not self.llm_there, "two models that do not fit"
            self.ocr_there = True
            self.reading.append(self.now_s + self.page_s)

    def do(self, act: Act) -> None:
        if act is not Act.NONE:
            self.acts.append(act)
        match act:
            case Act.UNLOAD:
                self.llm_leaves, self.another_mb = self.llm_there, 0
            case Act.RELEASE if not self.reading:
                self.ocr_there = False
            case Act.CUT:
                self.pages -= len(self.reading)
                self.reading.clear()
            case Act.REFUSE:
                self.refusals.append(str(self.state.refusal))
                self.pages = len(self.reading)
            case Act.LOAD if self.fails_to_load or not self.is_up:
                self.fails_to_load = max(0, self.fails_to_load - 1)
            case Act.LOAD if [one.name for one in self.state.owed] == ["another"]:
                self.another_mb = LLM_MB
            case Act.LOAD:
                assert not self.reading, "two models that do not fit"
                assert not self.another_mb, "what is owed evicts a third model"
                self.now_s += LOAD_S if not self.llm_there else 0
                self.llm_there, self.llm_leaves, self.ocr_there = True, False, False

    def note_away(self) -> None:
        if self.llm_there:
            self.away_since_s = None
            return
        self.away_since_s = self.now_s if self.away_since_s is None else self.away_since_s
        self.longest_away_s = max(self.longest_away_s, self.now_s - self.away_since_s)

    def run(self, seconds: float) -> None:
        ends_s = self.now_s + seconds
        while self.now_s < ends_s:
            self.tick()

    def until(self, *phases: Phase, within_s: float = 300) -> float:
        """Run until the lease is in one of the phases; return how long that took."""
        began_s = self.now_s
        while self.state.phase not in phases:
            assert self.now_s - began_s < within_s, f"still {self.state.phase}"
            self.tick()
        return self.now_s - began_s

    def count(self, act: Act) -> int:
        return self.acts.count(act)


# ── days as scripts ───────────────────────────────────────────────────────────────────────────────────────────────


def test_a_batch_takes_one_unload_and_one_load():
    world = World(pages=60)
    world.until(Phase.HELD)
    took_s = world.until(Phase.FREE)
    assert (world.read, world.count(Act.UNLOAD), world.count(Act.LOAD)) == (60, 1, 1)
    assert took_s < 60 / 4 * 2 + TERMS.linger_s + LOAD_S + 5
    assert world.llm_there


def test_pages_that_come_meanwhile_are_read_in_the_same_lease():
    world = World(pages=4)
    world.until(Phase.HELD)
    for _ in range(10):
        world.run(3)
        world.pages += 3
    world.until(Phase.FREE)
    assert (world.read, world.count(Act.UNLOAD)) == (34, 1)


def test_a_busy_llm_is_waited_for_and_left_alone_if_it_stays_busy():
    world = World(pages=4, llm_busy_until_s=100)
    world.run(61)
    assert world.refusals == ["llm did not become idle within 60 s"]
    assert (world.count(Act.UNLOAD), world.longest_away_s) == (0, 0)


def test_after_a_wait_in_vain_the_next_page_is_told_at_once():
    world = World(pages=4, llm_busy_until_s=200)
    world.run(61)
    world.pages = 2
    world.run(1)
    assert world.refusals[1:]
    assert set(world.refusals) == {"llm did not become idle within 60 s"}
    world.run(30)
    world.pages = 2
    world.tick()
    assert world.state.phase is Phase.WAITING


def test_an_llm_that_becomes_idle_in_time_makes_way():
    world = World(pages=8, llm_busy_until_s=30)
    assert 30 <= world.until(Phase.HELD) < 33
    world.until(Phase.FREE)
    assert world.read == 8


def test_one_long_answer_of_the_llm_ends_before_it_leaves():
    """Ollama shows a running request only by a date that does not change."""
    world = World(pages=4)
    world.llm_expires_s = 300
    world.until(Phase.TAKING)
    world.llm_busy_until_s = world.now_s + 20
    world.keep_alive_s = 0
    assert 20 <= world.until(Phase.HELD) < 22


def test_an_llm_that_does_not_leave_in_time_gets_its_time_back():
    world = World(pages=4)
    world.until(Phase.TAKING)
    world.llm_busy_until_s = world.now_s + 500
    world.until(Phase.RESTORING)
    world.until(Phase.FREE, within_s=5)
    assert world.refusals == ["llm did not leave within 60 s"]
    assert (world.count(Act.LOAD), world.llm_leaves, world.longest_away_s) == (1, False, 0)


def test_where_there_is_no_room_even_without_the_llm_it_is_back_at_once_and_not_tried_soon():
    world = World(pages=4, least_mb=16_000)
    world.until(Phase.TAKING)
    world.least_mb = TOTAL_MB + 1  # another process came
    world.until(Phase.FREE)
    assert world.refusals == ["the GPU has no room for the OCR model even without llm"]
    assert world.longest_away_s < 5 + LOAD_S + 2
    world.pages = 4
    world.run(60)
    assert world.count(Act.UNLOAD) == 1


def test_the_lease_ends_and_pages_that_wait_get_the_next():
    world = World(pages=1000)
    world.run(400)
    assert world.longest_away_s <= TERMS.hold_s + 30
    assert world.count(Act.UNLOAD) == world.count(Act.LOAD) + (not world.llm_there) >= 2
    assert world.read > 500


def test_a_page_that_runs_beyond_the_end_is_ended():
    world = World(pages=8, page_s=1000)
    world.run(200)
    assert world.count(Act.CUT) == 1
    assert world.longest_away_s <= TERMS.hold_s + 30


def test_whoever_calls_the_llm_ends_the_lease():
    world = World(pages=4, page_s=2)
    world.until(Phase.HELD)
    world.run(2)
    world.pages = 0
    world.llm_busy_until_s = world.now_s + 10
    world.run(1)
    assert world.state.phase in {Phase.RELEASING, Phase.RESTORING}
    assert world.llm_there


def test_callers_that_leave_take_the_lease_along():
    world = World(pages=4)
    world.until(Phase.TAKING)
    world.pages = 0
    world.until(Phase.FREE)
    assert (world.count(Act.UNLOAD), world.count(Act.LOAD), world.llm_there) == (1, 1, True)


def test_callers_that_leave_while_they_wait_cost_the_llm_nothing():
    world = World(pages=4, llm_busy_until_s=20)
    world.run(5)
    world.pages = 0
    world.run(TICK_S)
    assert (world.state.phase, world.refusals) == (Phase.FREE, [])
    world.run(100)
    assert (world.count(Act.UNLOAD), world.longest_away_s) == (0, 0)


def test_callers_that_leave_before_the_llm_has_left_give_it_its_time_back():
    world = World(pages=4)
    world.until(Phase.TAKING)
    world.llm_busy_until_s = world.now_s + 500
    world.pages = 0
    assert world.until(Phase.FREE) < 2
    assert (world.llm_leaves, world.longest_away_s) == (False, 0)


def test_a_lone_page_is_not_worth_it_where_the_operator_says_so():
    world = World(pages=2, terms=replace(TERMS, min_pages=3))
    world.run(61)
    assert world.refusals == ["2 pages waited for a lease, which is taken for 3 or more"]
    world.run(30)
    world.pages = 3
    world.until(Phase.HELD)


def test_a_load_that_fails_is_tried_until_it_holds():
    world = World(pages=4, fails_to_load=6)
    world.until(Phase.HELD)
    world.until(Phase.FREE)
    assert (world.count(Act.LOAD), world.llm_there) == (7, True)


def test_a_server_that_restarts_is_given_its_llm_back():
    world = World(pages=40)
    world.until(Phase.HELD)
    world.run(5)
    world.is_up, world.ocr_there = False, False
    world.reading.clear()
    world.pages = 0
    world.run(20)
    world.is_up = True
    assert world.until(Phase.FREE) < 45
    assert world.llm_there


def test_what_a_dead_process_owed_is_given_back():
    world = World(llm_there=False, ocr_there=True)
    world.state = restore([Owed(name="llm", vram_mb=LLM_MB, context_length=8192, keep_alive_s=300)], 0)
    assert world.until(Phase.FREE) < 30
    assert (world.llm_there, world.acts[0]) == (True, Act.RELEASE)


@pytest.mark.parametrize("takes_its_place", ["while it is held", "before our start"])
def test_an_llm_that_was_to_stay_for_ever_is_not_owed_for_ever_while_another_stays_in_its_place(takes_its_place):
    world = World(llm_expires_s=FOREVER_S * 2)
    if takes_its_place == "while it is held":
        world.pages = 8
        world.until(Phase.HELD)
        assert [one.keep_alive_s for one in world.state.owed] == [-1]
        world.pages = 0
        world.reading.clear()
        world.ocr_there, world.another_mb = False, LLM_MB
        world.until(Phase.RESTORING)
    else:
        world.llm_there = False
        world.another_mb = LLM_MB
        world.state = restore([Owed(name="llm", vram_mb=LLM_MB, context_length=8192, keep_alive_s=-1)], 0)
    world.run(TERMS.hold_s)
    assert (world.state.phase, world.count(Act.LOAD)) == (Phase.RESTORING, 0)
    world.until(Phase.FREE, within_s=TERMS.late_s + 1)
    assert [one.name for one in world.state.forgiven] == ["llm"]
    world.pages = 8
    world.until(Phase.HELD)
    assert [one.name for one in world.state.owed] == ["another"]
    world.until(Phase.FREE)
    assert (world.read, world.another_mb, world.llm_there, world.refusals) == (8, LLM_MB, False, [])


# ── details ───────────────────────────────────────────────────────────────────────────────────────────────────────


def reading(*models: ResidentModel) -> VramHeadroom:
    used_mb = sum(one.vram_mb for one in models)
    return VramHeadroom(TOTAL_MB, used_mb, TOTAL_MB - used_mb, query_success=True, models=models)


@pytest.mark.parametrize(
    ("remaining_s", "keep_alive_s"),
    [(240.5, 240.5), (2.0, 60.0), (-5.0, 60.0), (None, 60.0), (9.2e9, -1.0), (FOREVER_S, FOREVER_S)],
)
def test_what_is_left_of_keep_alive_is_noted(remaining_s, keep_alive_s):
    owed = owe(ResidentModel("llm", 9000, 8192, "2026-…", remaining_s))
    assert owed == Owed(name="llm", vram_mb=9000, context_length=8192, keep_alive_s=keep_alive_s)


def test_no_more_models_leave_than_must_the_largest_first():
    small, large = ResidentModel("bge", 1000), ResidentModel("llm", 9000)

    def leaving(*wishes: Wish) -> tuple[ResidentModel, ...]:
        return plan_leaving(Facts(0, reading(small, large), frozenset({"ocr"}), wishes))

    assert leaving(Wish("ocr", 8000, 14_000)) == (large,)
    assert leaving(Wish("ocr", 8000, 16_000)) == (large, small)
    assert leaving(Wish("ocr", 6384, 6384)) == ()
    assert leaving(Wish("ocr", 6384, 6384, idle_mb=5108)) == (large,)  # else the server evicts somebody to load ours
    assert leaving(Wish("ocr", 6384, 6384, idle_mb=13_000)) == (large, small)
    assert leaving(Wish("ocr", 6384, 6384), Wish("other", 6000, 16_000)) == ()
    assert leaving(Wish("ocr", 6384, 6384), Wish("other", 7000, 7000)) == (large,)
    assert leaving(Wish("ocr", 6384, 6384), Wish("other", 7000, 16_000)) == (large, small)
    assert leaving(Wish("ocr", 9000, 9000), Wish("other", 7000, 7000)) == (large, small)  # together they take more


def test_what_the_server_wants_free_beside_others_counts_only_beside_others():
    taking = LeaseState(Phase.TAKING, 0, 60, owed=(owe(ResidentModel("llm", 9000)),))
    facts = Facts(1, reading(), frozenset({"ocr"}), (Wish("ocr", 14_000, 14_000, idle_mb=13_600),), asking=1)
    assert next_lease(taking, facts, TERMS)[0].phase is Phase.HELD
    facts = replace(facts, headroom=reading(ResidentModel("bge", 1000)))
    assert next_lease(replace(taking, stays=frozenset({"bge"})), facts, TERMS)[0].phase is Phase.TAKING
    assert next_lease(LeaseState(), replace(facts, headroom=reading()), TERMS)[0].phase is Phase.WAITING


def restoring(headroom: VramHeadroom, tries: int = 1, keep_alive_s: float = 300, now_s: float = 60):
    owed = Owed(name="llm", vram_mb=9000, context_length=0, keep_alive_s=keep_alive_s)
    state = replace(restore([owed], 0), tries=tries)
    return next_lease(state, Facts(now_s, headroom, frozenset({"ocr"})), TERMS)


def test_a_model_partly_on_the_cpu_is_not_back_for_three_tries():
    part = reading(ResidentModel("llm", 5000))
    assert [restoring(part, tries)[1] for tries in (1, 2, 3)] == [Act.LOAD, Act.LOAD, Act.LOOK_AGAIN]
    assert restoring(reading(ResidentModel("llm", 8200)))[0].phase is Phase.FREE


def test_what_is_owed_evicts_nobody_and_is_void_once_it_would_have_left():
    other = reading(ResidentModel("another-llm", 12_000))
    assert restoring(other, keep_alive_s=100, now_s=100)[1] is Act.NONE
    state, act = restoring(other, keep_alive_s=100, now_s=101)
    assert (state.phase, act) == (Phase.FREE, Act.LOOK_AGAIN)
    assert [one.name for one in state.forgiven] == ["llm"]
    assert restoring(reading(ResidentModel("another-llm", 4000)))[1] is Act.LOAD


@pytest.mark.parametrize("keep_alive_s", [-1, 24 * 3600])
def test_what_is_owed_for_long_is_void_after_the_longest_lease_where_another_has_its_room(keep_alive_s):
    """Without a lease, Ollama would have evicted it for the other; and OCR must not be refused for ever."""
    other = reading(ResidentModel("another-llm", 12_000))
    assert restoring(other, keep_alive_s=keep_alive_s, now_s=150)[0].phase is Phase.RESTORING
    state, _ = restoring(other, keep_alive_s=keep_alive_s, now_s=151)
    assert (state.phase, [one.name for one in state.forgiven]) == (Phase.FREE, ["llm"])


def test_what_is_owed_is_tried_as_long_as_there_is_room_for_it():
    assert restoring(reading(ResidentModel("small", 4000)), keep_alive_s=-1, now_s=1e6)[1] is Act.LOAD
    assert restoring(UNREADABLE, keep_alive_s=-1, now_s=1e6)[1] is Act.LOAD


def test_while_nothing_can_be_read_loads_are_tried_all_the_same():
    assert restoring(UNREADABLE)[1] is Act.LOAD


# ── days that nobody thought of ───────────────────────────────────────────────────────────────────────────────────


EVENTS = st.lists(
    st.tuples(
        st.sampled_from(["pages", "llm", "down", "up", "fail", "wait", "leave"]),
        st.integers(1, 40),
    ),
    max_size=25,
)


def play(world: World, events: list[tuple[str, int]]) -> Iterator[None]:
    for what, number in events:
        match what:
            case "pages":
                world.pages += number
            case "llm":
                world.llm_busy_until_s = world.now_s + number
            case "down":
                world.is_up, world.ocr_there, world.llm_there = False, False, False
                world.reading.clear()
                world.pages = 0
            case "up":
                world.is_up = True
            case "fail":
                world.fails_to_load = number % 4
            case "leave":
                world.pages = len(world.reading)
        world.run(number)
        yield


@settings(max_examples=150)
@given(EVENTS)
def test_whatever_happens_two_models_never_meet_and_the_llm_comes_back(events):
    """`World` itself asserts that pages and the LLM never meet."""
    world = World()
    for _ in play(world, events):
        if world.is_up and "down" not in {what for what, _ in events} and not world.fails_to_load:
            assert world.longest_away_s <= TERMS.hold_s + 60
    was_down = any(what == "down" for what, _ in events)
    owed = world.state.owed
    world.is_up, world.fails_to_load, world.pages = True, 0, len(world.reading)
    world.run(200)
    assert world.state == replace(LeaseState(), refusal=world.state.refusal, barred_until_s=world.state.barred_until_s)
    assert world.llm_there or (was_down and not owed)
