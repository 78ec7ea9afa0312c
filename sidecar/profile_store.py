"""The published profiles: a directory of ``<name>.json`` files, looked at four times a second and swapped as a whole.

A mounted ConfigMap, whose ``..data`` link the kubelet swaps, or any directory of a laptop. Nothing here is on the path
of a request, which takes the current :class:`Profiles`; those never change.
"""

import asyncio
import logging
import os
import stat
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path

from sidecar.profile import Profile, ProfileError, parse_profile, revision_of

log = logging.getLogger(__name__)

LOOK_EVERY_S = 0.25
SUFFIX = ".json"
MAX_FILE_BYTES = 1024 * 1024
"""A ConfigMap holds no more in all its keys."""
MAX_FILES = 1000
FOLDER = "."
"""What a problem of the whole directory is listed under."""


@dataclass(frozen=True, slots=True)
class Loaded:
    """One profile as it is applied. ``content_revision`` is computed: after a hand edit it is not the file's own."""

    profile: Profile
    loaded_at: datetime
    content_revision: str


@dataclass(frozen=True, slots=True)
class Profiles:
    """All profiles at one moment, by name, and the files that could not be used, each with the reason."""

    loaded: Mapping[str, Loaded] = field(default_factory=dict)
    refused: Mapping[str, str] = field(default_factory=dict)

    def get(self, name: str) -> Profile | None:
        """Give a profile; None where none of that name is published."""
        found = self.loaded.get(name)
        return found.profile if found else None


Stamp = tuple[int, int, int, int]


class ProfileStore:
    """Holds what the directory held when it was last looked at. ``folder`` None: there are no profiles."""

    def __init__(self, folder: Path | None, now: Callable[[], datetime] = lambda: datetime.now(UTC)) -> None:
        self._folder = folder
        self._now = now
        self._stamps: dict[str, Stamp] | None = None
        self.current = Profiles()

    async def keep_loading(self) -> None:
        """Look until cancelled; whatever goes wrong, what was good stays."""
        while self._folder:
            try:
                await asyncio.to_thread(self.look)
            except Exception:  # this loop is its own supervisor
                log.exception("the profiles cannot be looked at")
            await asyncio.sleep(LOOK_EVERY_S)

    def look(self) -> None:
        """Read what has changed, and swap. Blocks: not for the event loop."""
        if self._folder is None:
            return
        try:
            stamps = _stamps(self._folder)
        except OSError as exc:
            self._swap(Profiles(self.current.loaded, {FOLDER: f"the folder cannot be read: {exc.strerror}"}))
            self._stamps = None
            return
        if stamps != self._stamps:
            self._swap(self._load(self._folder, stamps))
            self._stamps = stamps

    def _load(self, folder: Path, stamps: Mapping[str, Stamp]) -> Profiles:
        loaded: dict[str, Loaded] = {}
        refused: dict[str, str] = {}
        for file in sorted(stamps):
            name = file.removesuffix(SUFFIX)
            before = self.current.loaded.get(name)
            try:
                loaded[name] = self._loaded(parse_profile(_read(folder / file), name), before)
            except ProfileError as exc:
                refused[file] = str(exc)
            except OSError as exc:
                refused[file] = f"it cannot be read: {exc.strerror}"
            if file in refused and before:
                loaded[name] = before  # the last good version stays in force
        return Profiles(loaded, refused)

    def _loaded(self, profile: Profile, before: Loaded | None) -> Loaded:
        return before if before and before.profile == profile else Loaded(profile, self._now(), revision_of(profile))

    def _swap(self, profiles: Profiles) -> None:
        if profiles == self.current:
            return
        log.info(
            "profiles loaded",
            extra={
                "profiles": {name: one.profile.revision for name, one in profiles.loaded.items()},
                "refused": dict(profiles.refused),
            },
        )
        self.current = profiles


def _stamps(folder: Path) -> dict[str, Stamp]:
    """Tell each file's identity, without opening it; links are followed, as a ConfigMap's keys are such."""
    found: dict[str, Stamp] = {}
    with os.scandir(folder) as entries:
        for entry in entries:
            if entry.name.startswith(".") or not entry.name.endswith(SUFFIX) or len(found) >= MAX_FILES:
                continue
            try:
                about = entry.stat()
            except OSError:
                found[entry.name] = (0, 0, 0, 0)  # a link into nothing; reading it will say so
                continue
            found[entry.name] = (about.st_dev, about.st_ino, about.st_size, about.st_mtime_ns)
    return found


def _read(path: Path) -> bytes:
    """Read one file, if it is one: a pipe would never end.

    Raises:
        ProfileError: it is no regular file, or too large.
        OSError: it cannot be read.
    """
    handle = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    with os.fdopen(handle, "rb") as file:
        if not stat.S_ISREG(os.fstat(handle).st_mode):
            raise ProfileError("it is not a regular file")
        content = file.read(MAX_FILE_BYTES + 1)
    if len(content) > MAX_FILE_BYTES:
        raise ProfileError(f"it has more than {MAX_FILE_BYTES} bytes")
    return content
