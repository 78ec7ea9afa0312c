"""The pages that wait for the lease: what each wishes for, and how each is answered. Decides nothing."""

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager

from sidecar.gpu.wish import Wish

Answer = str | None
"""Why there is no lease; None: look at the GPU again."""


class LeaseQueue:
    """Pages with their wishes, until they are answered or leave."""

    def __init__(self) -> None:
        self._asking: dict[asyncio.Future[Answer], Wish] = {}
        self._latest: Wish | None = None

    @property
    def asking(self) -> int:
        """How many wait for an answer."""
        return sum(not news.done() for news in self._asking)

    @property
    def wishes(self) -> tuple[Wish, ...]:
        """What those wish for who wait for an answer; the latest of all where nobody does, since calls may still run.

        All of them count: of two models with different needs, one would else undo what was begun for the other.
        """
        waiting = dict.fromkeys(wish for news, wish in self._asking.items() if not news.done())
        return tuple(waiting) or ((self._latest,) if self._latest else ())

    def note(self, wish: Wish) -> None:
        """Take that a page wishes for this, whether it has to wait or not."""
        self._latest = wish

    @contextmanager
    def waiting(self, wish: Wish) -> Iterator["asyncio.Future[Answer]"]:
        """Wait during the block; the answer is what comes of it."""
        news: asyncio.Future[Answer] = asyncio.get_running_loop().create_future()
        self._asking[news] = wish
        try:
            yield news
        finally:
            del self._asking[news]

    def answer(self, answer: Answer, to: Wish | None = None) -> None:
        """Answer all, or those with this wish."""
        for news, wish in self._asking.items():
            if not news.done() and to in (None, wish):
                news.set_result(answer)
