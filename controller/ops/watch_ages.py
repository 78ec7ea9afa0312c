"""How long each watch has been silent: the API server sends an event, or renews a watch, once a minute."""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field


@dataclass(slots=True)
class WatchAges:
    """When something was last heard of each watched kind: an event, or the beginning of a new watch."""

    clock: Callable[[], float]
    """Seconds that only rise."""
    _heard: dict[str, float] = field(default_factory=dict)

    def begin(self, kinds: Iterable[str]) -> None:
        """Count from now on, for kinds of which nothing may ever be heard."""
        self._heard = dict.fromkeys(kinds, self.clock())

    def heard(self, kind: str) -> None:
        """Note that something was heard of this kind."""
        if kind in self._heard:
            self._heard[kind] = self.clock()

    def ages(self) -> Mapping[str, float]:
        """Return the seconds since then, by kind; nothing before the watches begin."""
        now = self.clock()
        return {kind: now - moment for kind, moment in self._heard.items()}
