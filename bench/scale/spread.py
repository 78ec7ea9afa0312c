"""No queue, to compare with: a connection for each document, to a pod by chance. Whose pod ends must send again."""

import random

from bench.scale.fleet import Fleet
from bench.scale.pod import Pod, Portion
from bench.scale.scenario import Document


class Spread:
    """Sends each document to a pod as kube-proxy does: each ready one is as likely as the others."""

    def __init__(self, fleet: Fleet) -> None:
        self._fleet = fleet
        self._chance = random.Random(fleet.scenario.seed)
        self._held: dict[Pod, list[Document]] = {pod: [] for pod in fleet.pods}

    @property
    def due(self) -> int:
        """Slices' worth of pages that are not done, as if there were slices."""
        held = [one for documents in self._held.values() for one in documents]
        return sum(-(-len(one.pages_s) // self._fleet.scenario.slice_pages) for one in held)

    def arrive(self, document: Document) -> None:
        """Send a document, and again later if it is refused."""
        ready = [pod for pod in self._fleet.pods if pod.takes_work]
        if not ready:
            self._come_again(document)
            return
        pod = self._chance.choice(ready)
        waiting = sum(len(one.pages_s) for one in self._held[pod])
        if waiting and waiting + len(document.pages_s) > self._fleet.scenario.queued_pages:
            self._fleet.account.refused += 1
            self._come_again(document)
            return
        self._begin(pod, document)

    def take(self, pod: Pod) -> bool:  # noqa: ARG002 - the shape of a queue
        """Nothing waits: each document is at its pod."""
        return False

    def lost(self, pod: Pod, delay_s: float) -> None:  # noqa: ARG002 - nobody hands it out again
        """Let the callers of a pod's documents get an error, and send them again."""
        documents, self._held[pod] = self._held[pod], []
        for document in documents:
            self._fleet.account.lost_pages += len(document.pages_s)
            self._come_again(document)

    def _come_again(self, document: Document) -> None:
        self._fleet.clock.after(self._fleet.scenario.retry_s, lambda: self.arrive(document))

    def _begin(self, pod: Pod, document: Document) -> None:
        pod.held += 1
        self._held[pod].append(document)
        pages = tuple(range(len(document.pages_s)))
        portion = Portion(document, pages, lambda: self._finish(pod, document))
        pod.later(self._fleet.scenario.costs.open_s, lambda: pod.read(portion))

    def _finish(self, pod: Pod, document: Document) -> None:
        """Answer the caller; one whose connection broke has gone, and sends it again."""
        pod.held -= 1
        if document in self._held[pod]:
            self._held[pod].remove(document)
            self._fleet.account.end(document, self._fleet.clock.now_s)
        self._fleet.ask(pod)
