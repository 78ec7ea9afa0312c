"""One shared queue of whole documents, to compare with: what is handed out again is read from its first page."""

from collections import deque
from functools import partial

from bench.scale.fleet import Fleet
from bench.scale.pod import Pod, Portion
from bench.scale.scenario import Document
from sidecar.jobs.record import Lane


class Whole:
    """Gives each pod a few documents at a time, those of realtime first."""

    def __init__(self, fleet: Fleet) -> None:
        self._fleet = fleet
        self._lanes: dict[Lane, deque[Document]] = {lane: deque() for lane in Lane}
        self._held: dict[Pod, list[Document]] = {pod: [] for pod in fleet.pods}

    @property
    def due(self) -> int:
        """Slices' worth of pages that are not done, as if there were slices."""
        held = [one for documents in self._held.values() for one in documents]
        waiting = [one for lane in self._lanes.values() for one in lane]
        return sum(-(-len(one.pages_s) // self._fleet.scenario.slice_pages) for one in held + waiting)

    def arrive(self, document: Document) -> None:
        """Accept a document."""
        self._lanes[document.lane].append(document)
        self._fleet.offer()

    def take(self, pod: Pod) -> bool:
        """Give a pod its next document; return whether there was one."""
        for lane in pod.lanes.next():
            if self._lanes[lane]:
                pod.lanes.took(lane)
                self._begin(pod, self._lanes[lane].popleft())
                return True
        return False

    def lost(self, pod: Pod, delay_s: float) -> None:
        """Hand out again what a pod held, after so long."""
        documents, self._held[pod] = self._held[pod], []
        for document in documents:
            self._fleet.clock.after(delay_s, partial(self._again, document))

    def _again(self, document: Document) -> None:
        if document.number not in self._fleet.account.ended:
            self._lanes[document.lane].appendleft(document)
            self._fleet.offer_again()

    def _begin(self, pod: Pod, document: Document) -> None:
        pod.held += 1
        self._held[pod].append(document)
        pages = tuple(range(len(document.pages_s)))
        done = Portion(document, pages, lambda: self._finish(pod, document))
        pod.later(self._fleet.scenario.costs.open_s, lambda: pod.read(done))

    def _finish(self, pod: Pod, document: Document) -> None:
        if not pod.is_reachable:
            self._fleet.when_heard(pod, lambda: self._finish(pod, document))
            return
        if document in self._held[pod]:
            self._held[pod].remove(document)
        pod.held -= 1
        self._fleet.account.end(document, self._fleet.clock.now_s)
        self._fleet.ask(pod)
