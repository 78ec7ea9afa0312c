"""The texts that wait for one model, and whose turn it is. Pure.

The shortest request comes first, so that a question does not wait for an array of two thousand texts. A request that
was overtaken by twice as many tokens as it has itself leads every second batch, so that the array does not wait for an
endless row of questions. Both are counted text by text: an array is as short as what is left of it.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from operator import attrgetter
from typing import Generic, TypeVar

from sidecar.retrieval.model import Tokens

C = TypeVar("C")

OVERTAKEN = 2
"""How many times its own tokens a request is overtaken by before it is overdue. Questions that take up to two thirds
of the machine then never wait for an array, and an array takes at most four times as long as alone."""


@dataclass(slots=True, eq=False)
class Request:
    """One request: its tokens, how many of them wait, and how many tokens of all requests were taken before it came."""

    number: int
    tokens: int
    came_after: int
    waiting: int

    def is_overdue(self, taken: int) -> bool:
        """Tell whether too many others were taken since it came; ``taken`` counts the tokens of all."""
        return taken - self.came_after - (self.tokens - self.waiting) > OVERTAKEN * self.tokens


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
    """Texts in the order in which they are due."""

    def __init__(self) -> None:
        self._texts: list[QueuedText[C]] = []
        self._requests = 0
        self._taken = 0
        self._overdue_led = self._overdue_leads = False

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

    def tokens_before(self, tokens: int) -> int:
        """Count the waiting tokens that would come before a request of so many."""
        return sum(one.length for one in self._texts if one.request.waiting <= tokens)

    def add(self, call: C, texts: Sequence[Tokens]) -> None:
        """Queue the texts of a request."""
        tokens = sum(len(one.ids) for one in texts)
        self._requests += 1
        request = Request(self._requests, tokens, self._taken, tokens)
        self._texts.extend(QueuedText(call, place, one, request) for place, one in enumerate(texts))

    def keep(self, is_wanted: Callable[[C], bool]) -> None:
        """Drop the texts of callers that are gone."""
        self._texts = [one for one in self._texts if is_wanted(one.call)]

    def clear(self) -> None:
        """Drop all texts."""
        self._texts = []

    def lengths(self) -> list[int]:
        """Return the lengths of all texts, in tokens, in the order in which they are due."""
        self._texts.sort(key=attrgetter("request.waiting", "request.number", "place"))
        late = [] if self._overdue_led else [one for one in self._texts if one.request.is_overdue(self._taken)]
        self._overdue_leads = bool(late)
        if late:
            first = min(late, key=attrgetter("request.number", "place"))
            self._texts.remove(first)
            self._texts.insert(0, first)
        return [one.length for one in self._texts]

    def take(self, positions: Sequence[int]) -> list[QueuedText[C]]:
        """Take texts out, by their positions in :meth:`lengths`; the first of all is among them."""
        self._overdue_led = self._overdue_leads
        chosen = [self._texts[position] for position in positions]
        for one in chosen:
            one.request.waiting -= one.length
            self._taken += one.length
        going = set(positions)
        self._texts = [one for position, one in enumerate(self._texts) if position not in going]
        return chosen

    def put_back(self, texts: Sequence[QueuedText[C]]) -> None:
        """Queue texts again that were taken and not computed."""
        for one in texts:
            one.request.waiting += one.length
            self._taken -= one.length
        self._texts = [*texts, *self._texts]
