"""The queue of turns, as `sidecar.jobs` has it: its decisions are the product's own, only time and pages are not."""

from collections import deque
from dataclasses import dataclass
from functools import partial

from bench.scale.fleet import Fleet
from bench.scale.pod import Pod, Portion
from bench.scale.scenario import Document
from sidecar.jobs.attempts import CAREFUL_FROM
from sidecar.jobs.record import Lane, cut
from sidecar.jobs.turn import Step


@dataclass(eq=False, slots=True)
class Turn:
    """One step of one job, and how often it was handed out."""

    document: Document
    step: Step
    slice: int = 0
    delivery: int = 0
    portion: Portion | None = None
    """What its holder reads of it."""
    stored: int = 0
    """Pages that need not be read again."""

    def lost(self) -> None:
        """Keep what was stored: who reads page by page stores each, others only the whole slice."""
        if self.portion and self.portion.is_careful:
            self.stored += self.portion.read
        self.portion = None


class Turns:
    """One turn a job in its lane: whoever takes the turn of a slice puts the next slice's turn at the end."""

    def __init__(self, fleet: Fleet) -> None:
        self._fleet = fleet
        self._lanes: dict[Lane, deque[Turn]] = {lane: deque() for lane in Lane}
        self._held: dict[Pod, set[Turn]] = {pod: set() for pod in fleet.pods}
        self._done: dict[int, set[int]] = {}
        self._due = 0

    @property
    def due(self) -> int:
        """Slices that are not done: those of documents nobody has opened count as one each."""
        return self._due

    def arrive(self, document: Document) -> None:
        """Accept a document."""
        self._due += 1
        self._put(Turn(document, Step.OPEN))

    def take(self, pod: Pod) -> bool:
        """Give a pod its next step; return whether there was one."""
        for lane in pod.lanes.next():
            while self._lanes[lane]:
                turn = self._lanes[lane].popleft()
                if not self._is_done(turn):
                    if turn.step is Step.READ:
                        pod.lanes.took(lane)
                    self._begin(pod, turn)
                    return True
        return False

    def lost(self, pod: Pod, delay_s: float) -> None:
        """Hand out again what a pod held, after so long."""
        turns, self._held[pod] = self._held[pod], set()
        for turn in sorted(turns, key=lambda one: (one.document.number, one.slice)):
            turn.lost()
            self._fleet.clock.after(delay_s, partial(self._again, turn))

    def _again(self, turn: Turn) -> None:
        """Put it before all others, as JetStream does, unless it was done meanwhile."""
        if not self._is_done(turn):
            self._lane(turn).appendleft(turn)
            self._fleet.offer_again()

    def _put(self, turn: Turn) -> None:
        self._lane(turn).append(turn)
        self._fleet.offer()

    def _lane(self, turn: Turn) -> deque[Turn]:
        return self._lanes[Lane.REALTIME if turn.step is Step.END else turn.document.lane]

    def _is_done(self, turn: Turn) -> bool:
        done = self._done.get(turn.document.number)
        match turn.step:
            case Step.OPEN:
                return done is not None
            case Step.READ:
                return done is not None and turn.slice in done
            case Step.END:
                return turn.document.number in self._fleet.account.ended

    def _slices(self, document: Document) -> list[tuple[int, ...]]:
        return list(cut(range(len(document.pages_s)), self._fleet.scenario.slice_pages))

    def _begin(self, pod: Pod, turn: Turn) -> None:
        pod.held += 1
        turn.delivery += 1
        self._held[pod].add(turn)
        costs = self._fleet.scenario.costs
        match turn.step:
            case Step.OPEN:
                pod.later(costs.open_s, lambda: self._finish(pod, turn))
            case Step.READ:
                if turn.delivery == 1 and turn.slice + 1 < len(self._slices(turn.document)):
                    self._put(Turn(turn.document, Step.READ, turn.slice + 1))
                pod.later(costs.step_s, lambda: self._read(pod, turn))
            case Step.END:
                pod.later(costs.end_s, lambda: self._finish(pod, turn))

    def _read(self, pod: Pod, turn: Turn) -> None:
        pages = self._slices(turn.document)[turn.slice][turn.stored :]
        careful = turn.delivery >= CAREFUL_FROM
        portion = Portion(turn.document, pages, lambda: self._finish(pod, turn), is_careful=careful)
        turn.portion = portion
        pod.read(portion)

    def _finish(self, pod: Pod, turn: Turn) -> None:
        """Report a step, now or once the pod is heard again; what another pod did first stays."""
        if not pod.is_reachable:
            self._fleet.when_heard(pod, lambda: self._finish(pod, turn))
            return
        self._held[pod].discard(turn)
        pod.held -= 1
        if not self._is_done(turn):
            self._next_step(turn)
        self._fleet.ask(pod)

    def _next_step(self, turn: Turn) -> None:
        document = turn.document
        match turn.step:
            case Step.OPEN:
                self._done[document.number] = set()
                self._due += len(self._slices(document)) - 1
                self._put(Turn(document, Step.READ))
            case Step.READ:
                done = self._done[document.number]
                done.add(turn.slice)
                self._due -= 1
                if len(done) == len(self._slices(document)):
                    self._put(Turn(document, Step.END))
            case Step.END:
                self._fleet.account.end(document, self._fleet.clock.now_s)
