"""The published profiles: a directory of ``<name>.json`` files, polled four times a second and swapped as a whole.

A mounted ConfigMap, whose ``..data`` link the kubelet swaps, or any directory. No request waits for this: it takes the
current :class:`Profiles`, which are immutable.
"""

import asyncio
import itertools
import logging
import os
import stat
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path

from sidecar.profiles.payload import Profile, ProfileError, parse_profile, revision_of
from sidecar.runtime.blocking_pool import BlockingPool, PoolFullError

log = logging.getLogger(__name__)

POLL_S = 0.25
LOOK_S = 10.0
"""Deadline of one poll, in seconds: a thousand files take a tenth of it on a slow disk."""
SUFFIX = ".json"
MAX_FILE_BYTES = 1024 * 1024
"""A ConfigMap holds no more in all its keys."""
MAX_FILES = 5000
"""A ConfigMap has room for about 3,000 of the smallest profiles."""
DATA_LINK = "..data"
"""Link to the folder that holds a mounted ConfigMap's files; the kubelet swaps it, and with it all files at once."""
SHOWN_PROFILES = 20
"""Names in one log line."""
FOLDER = "."
"""The name under which a problem of the whole directory is listed."""


@dataclass(frozen=True, slots=True)
class Loaded:
    """One applied profile. ``content_revision`` is computed: after a hand edit it differs from the file's own."""

    profile: Profile
    loaded_at: datetime
    content_revision: str


@dataclass(frozen=True, slots=True)
class Profiles:
    """All profiles at one moment, by name, and the files that could not be used, each with the reason."""

    loaded: Mapping[str, Loaded] = field(default_factory=dict)
    refused: Mapping[str, str] = field(default_factory=dict)

    def get(self, name: str) -> Profile | None:
        """Return a profile; None if none of that name is published."""
        found = self.loaded.get(name)
        return found.profile if found else None


Stamp = tuple[int, int, int, int, int]


class ProfileStore:
    """Holds the profiles of the last poll. ``folder`` None: there are no profiles."""

    def __init__(
        self,
        folder: Path | None,
        now: Callable[[], datetime] = lambda: datetime.now(UTC),
        max_files: int = MAX_FILES,
        pool: BlockingPool | None = None,
        look_s: float = LOOK_S,
    ) -> None:
        self._folder = folder
        self._max_files = max_files
        self._now = now
        self._pool = pool or BlockingPool("profiles", 1)
        self._look_s = look_s
        self._stamps: dict[str, Stamp] | None = None
        self._is_late = False
        self.current = Profiles()

    async def keep_loading(self) -> None:
        """Poll until cancelled; whatever goes wrong, the last good profiles stay."""
        while self._folder:
            await self.look_in_time()
            await asyncio.sleep(POLL_S)

    async def look_in_time(self) -> None:
        """Poll, in a thread; a folder that does not answer in time is reported, and the last good profiles stay."""
        if self._is_late:
            self._stamps = None  # so that the next poll that ends replaces the reason
        try:
            async with asyncio.timeout(self._look_s):
                await self._pool.run(self.look)
            self._is_late = False
        except (TimeoutError, PoolFullError):
            self._is_late = True
            self._swap(Profiles(self.current.loaded, {FOLDER: "the folder does not answer"}))
        except Exception:  # this loop supervises itself
            log.exception("the profiles cannot be polled")

    def look(self) -> None:
        """Read what has changed, and swap. Blocks: not for the event loop."""
        if self._folder is None:
            return
        try:
            folder = _resolved(self._folder)
            files = _files(folder)
            stamps = {name: _stamp(folder / name) for name in files[: self._max_files]}
        except OSError as exc:
            self._swap(Profiles(self.current.loaded, {FOLDER: f"the folder cannot be read: {exc.strerror}"}))
            self._stamps = None
            return
        if stamps == self._stamps:
            return
        profiles, unread = self._load(folder, stamps)
        if len(files) > self._max_files:
            too_many = f"it holds {len(files)} files, the limit is {self._max_files}"
            profiles = replace(profiles, refused={**profiles.refused, FOLDER: too_many})
        if _resolved(self._folder) == folder:  # else it was swapped meanwhile, and this is a mixture of both
            self._swap(profiles)
            self._stamps = None if unread else stamps  # what could not be read is read again at the next poll

    def _load(self, folder: Path, stamps: Mapping[str, Stamp]) -> tuple[Profiles, bool]:
        """Read all files; also return whether reading one failed, for any reason of the machine."""
        unread = False
        loaded: dict[str, Loaded] = {}
        refused: dict[str, str] = {}
        for file in sorted(stamps):
            name = file.removesuffix(SUFFIX)
            before = self.current.loaded.get(name)
            try:
                loaded[name] = self._loaded(parse_profile(_read(folder / file), name), before)
            except ProfileError as exc:
                refused[_shown(file)] = str(exc)
            except OSError as exc:
                refused[_shown(file)] = f"it cannot be read: {exc.strerror}"
                unread = True
            if name not in loaded and before:
                loaded[name] = before  # the last good version stays in force
        return Profiles(loaded, refused), unread

    def _loaded(self, profile: Profile, before: Loaded | None) -> Loaded:
        return before if before and before.profile == profile else Loaded(profile, self._now(), revision_of(profile))

    def _swap(self, profiles: Profiles) -> None:
        if profiles == self.current:
            return
        log.log(
            logging.WARNING if profiles.refused else logging.INFO,
            "profiles loaded",
            extra={
                "profiles": len(profiles.loaded),
                "changed": [name for name, one in profiles.loaded.items() if one != self.current.loaded.get(name)][
                    :SHOWN_PROFILES
                ],
                "refused": dict(itertools.islice(profiles.refused.items(), SHOWN_PROFILES)),
            },
        )
        self.current = profiles


def _shown(name: str) -> str:
    """Return a file's name in Unicode; a file system may contain any bytes."""
    return os.fsencode(name).decode(errors="replace")


def _resolved(folder: Path) -> Path:
    """Return the files' folder: for a mounted ConfigMap the current target of the kubelet's link."""
    link = folder / DATA_LINK
    return Path(os.path.realpath(link)) if link.is_symlink() else folder  # pathlib's raises for a link to itself


def _files(folder: Path) -> list[str]:
    with os.scandir(folder) as entries:
        return sorted(entry.name for entry in entries if _is_profile(entry.name))


def _is_profile(name: str) -> bool:
    return name.endswith(SUFFIX) and not name.startswith(".")


def _stamp(path: Path) -> Stamp:
    """Return a file's identity without opening it; links are followed."""
    try:
        about = path.stat()
    except OSError:
        return 0, 0, 0, 0, 0  # for example a dangling link; reading it will show the error
    # After a chmod that makes a file readable, only the last of these changes.
    return about.st_dev, about.st_ino, about.st_size, about.st_mtime_ns, about.st_ctime_ns


def _read(path: Path) -> bytes:
    """Read one regular file: a pipe would never end.

    Raises:
        ProfileError: it is no regular file, or too large.
        OSError: it cannot be read.
    """
    handle = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    try:
        if not stat.S_ISREG(os.fstat(handle).st_mode):
            raise ProfileError("it is not a regular file")
        with os.fdopen(handle, "rb", closefd=False) as file:
            content = file.read(MAX_FILE_BYTES + 1)
    finally:
        os.close(handle)
    if len(content) > MAX_FILE_BYTES:
        raise ProfileError(f"it has more than {MAX_FILE_BYTES} bytes")
    return content
