"""The texts that wait for one model, and whose turn it is. Pure.

Callers lead batches in turn: next comes the one of whose texts the fewest tokens were taken, so that none waits for all
that another sends. Texts of all callers fill its batch. Among the requests of one caller the shortest comes first, so
that a question does not wait for an array of two thousand texts. A request that was overtaken by twice as many tokens
as it has itself leads every second batch of its caller, so that the array does not wait for an endless row of
questions. Both are counted text by text: an array is as short as what is left of it.
"""

from collections import Counter
from collections.abc import Callable, Hashable, Iterator, Sequence
from dataclasses import dataclass
from operator import attrgetter
from typing import Generic, TypeVar

from sidecar.retrieval.model import Tokens

C = TypeVar("C")

OVERTAKEN = 2
"""How many times its own tokens a request is overtaken by before it is overdue. Questions that take up to two thirds
of the machine then never wait for an array, and an array takes at most four times as long as alone."""


@dataclass(slots=True, eq=False)
class Lane:
    """One caller: how many of its tokens were taken, and its level, which decides between callers.

    The level rises with each token that is taken. A caller that had nothing waiting has at least the lowest level of
    those that had: nobody saves up turns.
    """

    caller: Hashable
    level: int
    taken: int = 0
    overdue_led: bool = False


@dataclass(slots=True, eq=False)
class Request:
    """One request: its tokens, how many of them wait, and how many tokens of its caller were taken before it came."""

    lane: Lane
    number: int
    tokens: int
    came_after: int
    waiting: int

    @property
    def is_overdue(self) -> bool:
        """Tell whether too many others of its caller's were taken since it came."""
        overtaken_by = self.lane.taken - self.came_after - (self.tokens - self.waiting)
        return overtaken_by > OVERTAKEN * self.tokens

    def take(self, tokens: int) -> None:
        """Count what was taken, or put back where it is negative."""
        self.waiting -= tokens
        self.lane.taken += tokens
        self.lane.level += tokens


@dataclass(frozen=True, slots=True, eq=False)
class QueuedText(Generic[C]):
    """One text of a caller's."""

    call: C
    place: int
    tokens: Tokens
    request: Request

    @property
    def length(self) -> int:
        """Count its tokens."""
        return len(self.tokens.ids)


class TextQueue(Generic[C]):
    """Texts, of which the first is due, and the others in the order of their requests."""

    def __init__(self) -> None:
        self._texts: list[QueuedText[C]] = []
        self._lanes: dict[Hashable, Lane] = {}
        self._requests = 0
        self._leads: tuple[Lane, bool] | None = None
        """Who leads the batch that is being chosen, and whether because a request is overdue."""

    def __len__(self) -> int:
        """Count the texts that wait."""
        return len(self._texts)

    def __iter__(self) -> Iterator[QueuedText[C]]:
        """Iterate over them."""
        return iter(self._texts)

    @property
    def tokens(self) -> int:
        """Count the tokens that wait."""
        return sum(one.length for one in self._texts)

    def tokens_before(self, tokens: int, caller: Hashable = None) -> int:
        """Count the waiting tokens that would come before a caller's request of so many.

        Each other caller has as many turns meanwhile, if it has so many texts.
        """
        waiting: Counter[Hashable] = Counter()
        for one in self._texts:
            if one.request.lane.caller != caller or one.request.waiting <= tokens:
                waiting[one.request.lane.caller] += one.length
        own = waiting.pop(caller, 0)
        return own + sum(min(others, own + tokens) for others in waiting.values())

    def add(self, call: C, texts: Sequence[Tokens], caller: Hashable = None) -> None:
        """Queue the texts of a caller's request."""
        tokens = sum(len(one.ids) for one in texts)
        self._requests += 1
        lane = self._lane(caller)
        request = Request(lane, self._requests, tokens, lane.taken, tokens)
        self._texts.extend(QueuedText(call, place, one, request) for place, one in enumerate(texts))

    def _lane(self, caller: Hashable) -> Lane:
        """Find or make a caller's lane; forget those whose callers would get the same one anew."""
        waiting = {one.request.lane for one in self._texts}
        lowest = min((lane.level for lane in waiting), default=None)
        kept = [one for one in self._lanes.values() if one in waiting or (lowest is not None and one.level > lowest)]
        self._lanes = {one.caller: one for one in kept}
        return self._lanes.setdefault(caller, Lane(caller, lowest or 0))

    def keep(self, is_wanted: Callable[[C], bool]) -> None:
        """Drop the texts of callers that are gone."""
        self._texts = [one for one in self._texts if is_wanted(one.call)]

    def clear(self) -> None:
        """Drop all texts."""
        self._texts = []

    def lengths(self) -> list[int]:
        """Return the lengths of all texts, in tokens: first the one that is due, then from short to long requests."""
        self._texts.sort(key=attrgetter("request.waiting", "request.number", "place"))
        if self._texts:
            first = self._first()
            self._texts.remove(first)
            self._texts.insert(0, first)
        return [one.length for one in self._texts]

    def _first(self) -> QueuedText[C]:
        """Choose the text that leads the next batch."""
        lane = min((one.request.lane for one in self._texts), key=attrgetter("level"))
        own = [one for one in self._texts if one.request.lane is lane]
        late = [] if lane.overdue_led else [one for one in own if one.request.is_overdue]
        self._leads = lane, bool(late)
        return min(late, key=attrgetter("request.number", "place")) if late else own[0]

    def take(self, positions: Sequence[int]) -> list[QueuedText[C]]:
        """Take texts out, by their positions in :meth:`lengths`; the first of all is among them."""
        if self._leads:
            lane, is_overdue = self._leads
            lane.overdue_led = is_overdue
        chosen = [self._texts[position] for position in positions]
        for one in chosen:
            one.request.take(one.length)
        going = set(positions)
        self._texts = [one for position, one in enumerate(self._texts) if position not in going]
        return chosen

    def put_back(self, texts: Sequence[QueuedText[C]]) -> None:
        """Queue texts again that were taken and not computed."""
        for one in texts:
            one.request.take(-one.length)
        self._texts = [*texts, *self._texts]
