"""The list of profiles, kept while a watch says that nothing has changed: a thousand are a tenth of a second of work.

The passes ask anew, and what they are told is kept for the mirror, too.
Without a watch that can be trusted every question is passed on, so a lost watch costs time and not truth.
"""

import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from controller.mirror.mirror import ProfileResources
from controller.resource.event import Event

Manifest = Mapping[str, Any]


class KeptList:
    """Stands between the mirror and the API server; what is written here is listed anew."""

    def __init__(
        self,
        resources: ProfileResources,
        namespace: str | None,
        keep_s: float,
        is_watched: Callable[[], bool],
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """Keep the list of one namespace.

        Args:
            resources: who is asked.
            namespace: whose list is kept; None: nobody asks for one, so none is.
            keep_s: how long a list is kept at most, in seconds: it corrects what a watch missed.
            is_watched: whether ``note_change`` is told of all that changes.
            clock: seconds that only rise.
        """
        self._resources, self._namespace, self._keep_s = resources, namespace, keep_s
        self._is_watched, self._clock = is_watched, clock
        self._kept: Sequence[Manifest] = ()
        self._good_until = -1.0

    def note_change(self) -> None:
        """Note that a profile came, changed or went."""
        self._good_until = -1.0

    async def list_profiles(self, namespace: str) -> Sequence[Manifest]:
        """Return the profiles as they were, if nothing has changed since."""
        if namespace != self._namespace or not self._is_watched() or self._clock() >= self._good_until:
            return await self.list_anew(namespace)
        return self._kept

    async def list_anew(self, namespace: str) -> Sequence[Manifest]:
        """Ask for the profiles."""
        if namespace != self._namespace:
            return await self._resources.list_profiles(namespace)
        self._good_until = self._clock() + self._keep_s  # before it is asked: a change meanwhile makes it stale
        try:
            self._kept = await self._resources.list_profiles(namespace)
        except BaseException:
            self.note_change()
            raise
        return self._kept

    async def apply_profile(self, manifest: Manifest, manager: str) -> object:
        """Apply one."""
        try:
            return await self._resources.apply_profile(manifest, manager)
        finally:
            self.note_change()

    async def delete_profile(self, namespace: str, name: str, uid: str) -> None:
        """Delete one."""
        try:
            await self._resources.delete_profile(namespace, name, uid)
        finally:
            self.note_change()

    async def emit_event(self, about: Manifest, event: Event, component: str, now: str) -> None:
        """Create an event."""
        await self._resources.emit_event(about, event, component, now)
