"""The pods of a simulation: who has time for more, who ends and comes back, how many there are."""

import math
import random
from collections.abc import Callable
from functools import partial
from typing import Protocol

from bench.scale.clock import Clock
from bench.scale.outcome import Account
from bench.scale.pod import Ledger, Pod
from bench.scale.scenario import Design, Document, Fault, FaultKind, Scaling, Scenario


class Queue(Protocol):
    """How pages find a pod."""

    @property
    def due(self) -> int:
        """Slices that are not done."""

    def arrive(self, document: Document) -> None:
        """Accept a document."""

    def take(self, pod: Pod) -> bool:
        """Give a pod something to do; return whether there was something."""

    def lost(self, pod: Pod, delay_s: float) -> None:
        """Do what follows when a pod ends, or is not heard: its work is given out again after so long."""


class Fleet:
    """All pods that there are, or may be. ``at_once`` is how much a pod takes at a time, of what its queue gives."""

    def __init__(self, scenario: Scenario, design: Design, clock: Clock, account: Account) -> None:
        self.scenario, self.clock, self.account = scenario, clock, account
        self.queue: Queue
        self._at_once = scenario.slices if design is Design.TURNS else scenario.documents_a_pod
        self._grace_s = 0.0 if design is Design.TURNS else scenario.grace_s
        self._chance = random.Random(scenario.seed + 1)
        ledger = Ledger(lambda d, p: account.started(d, p, clock.now_s), account.read, scenario.costs.page_s)
        most = scenario.scaling.most if scenario.scaling else scenario.pods
        self.pods = [Pod(number, scenario.slots, clock, ledger) for number in range(most)]
        self._unheard: dict[Pod, list[Callable[[], None]]] = {pod: [] for pod in self.pods}
        self._is_offering = False
        for pod in self.pods[: scenario.scaling.least if scenario.scaling else most]:
            pod.start()
            pod.pay()

    def ask(self, pod: Pod) -> None:
        """Let a pod that has just ended something take what it can, at once."""
        while pod.takes_work and pod.held < self._at_once and self.queue.take(pod):
            pass

    def offer(self) -> None:
        """Let every pod with a free hand ask for work, as it hears of some."""
        if not self._is_offering:
            self._is_offering = True
            self.clock.after(self.scenario.costs.hear_s, self._give)

    def offer_again(self) -> None:
        """Let them find what is handed out again, when they look for it."""
        self.clock.after(self.scenario.costs.look_s * self._chance.random(), self.offer)

    def _give(self) -> None:
        self._is_offering = False
        asking = [pod for pod in self.pods if pod.takes_work]
        self._chance.shuffle(asking)
        while asking:
            asking = [pod for pod in asking if pod.held < self._at_once and self.queue.take(pod)]

    def when_heard(self, pod: Pod, do: Callable[[], None]) -> None:
        """Call ``do`` once the pod is reached again."""
        self._unheard[pod].append(do)

    # ── what goes wrong ───────────────────────────────────────────────────────────────────────────────────────

    def plan(self, fault: Fault) -> None:
        """Let something happen to a pod in its time."""
        pod = self.pods[fault.pod]
        happen = {FaultKind.KILL: self._kill, FaultKind.DRAIN: self._drain, FaultKind.PARTITION: self._part}
        self.clock.after(fault.at_s, lambda: happen[fault.kind](pod, fault.for_s))

    def _kill(self, pod: Pod, for_s: float) -> None:
        self._unheard[pod].clear()
        since_sign_s = self._chance.random() * self.scenario.sign_s
        pod.end()
        self.queue.lost(pod, self.scenario.redelivery_s - since_sign_s)
        self.clock.after(for_s, lambda: self._return(pod))

    def _return(self, pod: Pod) -> None:
        if pod.is_paid:
            pod.start()
            self.offer()

    def _drain(self, pod: Pod, for_s: float) -> None:
        """End a pod as Kubernetes does: it has its grace for what it holds, and gives the rest back at once."""
        pod.is_leaving = True
        self.clock.after(for_s, lambda: self._return(pod))
        self._leave(pod, self.clock.now_s + self._grace_s, pod.life)

    def _leave(self, pod: Pod, ends_s: float, life: int) -> None:
        if pod.life != life or not pod.is_leaving:
            return
        if pod.held and self.clock.now_s < ends_s:
            self.clock.after(self.scenario.costs.look_s, lambda: self._leave(pod, ends_s, life))
            return
        pod.end()
        self.queue.lost(pod, 0.0)
        if pod.is_retired:
            pod.is_retired = False
            pod.pay_no_more()

    def _part(self, pod: Pod, for_s: float) -> None:
        """Let nobody hear a pod. What it holds is given out again if that lasts."""
        pod.is_reachable = False
        unheard_s = self.scenario.redelivery_s - self._chance.random() * self.scenario.sign_s
        self.clock.after(for_s, lambda: self._heard(pod))
        if for_s > unheard_s:
            self.queue.lost(pod, unheard_s)

    def _heard(self, pod: Pod) -> None:
        pod.is_reachable = True
        waiting, self._unheard[pod] = self._unheard[pod], []
        for do in waiting:
            do()
        self.offer()

    # ── how many there are ────────────────────────────────────────────────────────────────────────────────────

    def scale(self, scaling: Scaling, fewer_since_s: float | None = None) -> None:
        """Decide how many pods there are, now and from time to time."""
        paid = [pod for pod in self.pods if pod.is_paid and not pod.is_leaving]
        wanted = max(scaling.least, math.ceil(self.queue.due / scaling.slices_a_pod))
        fewer_since_s = (fewer_since_s or self.clock.now_s) if wanted < len(paid) else None
        for pod in [pod for pod in self.pods if not pod.is_paid][: max(0, wanted - len(paid))]:
            pod.pay()
            self.clock.after(scaling.start_s, partial(self._return, pod))
        if fewer_since_s is not None and self.clock.now_s - fewer_since_s >= scaling.cool_s:
            for pod in paid[wanted:]:
                self._retire(pod)
        self.clock.after(scaling.look_s, lambda: self.scale(scaling, fewer_since_s))

    def _retire(self, pod: Pod) -> None:
        pod.is_leaving = pod.is_retired = True
        self._leave(pod, self.clock.now_s + self._grace_s, pod.life)
