"""The current API keys: from the environment, or from a mounted Secret that is read again when it changes."""

import asyncio
import contextlib
import logging
from pathlib import Path

from sidecar.api.key_ring import KeyRing
from sidecar.runtime.blocking_pool import BlockingPool, PoolFullError
from sidecar.settings import Settings, SettingsError

log = logging.getLogger(__name__)

Identity = tuple[int, int, int]

POLL_S = 1.0
"""Interval of the poll, in seconds: one stat a second costs nothing, and a rotated key works within that second."""
POLL_DEADLINE_S = 5.0
"""Deadline of one poll, in seconds. A poll that hangs keeps its thread, and the next one runs once it has ended."""


class KeyFile:
    """Holds the current :class:`KeyRing`; if the file becomes unreadable or empty, the last good ring stays."""

    def __init__(self, ring: KeyRing, path: Path | None = None, seen: Identity | None = None) -> None:
        self._path = path
        self._seen = seen
        self.ring = ring
        """The current keys."""

    @classmethod
    def from_settings(cls, settings: Settings) -> "KeyFile":
        """Read the keys for the first time.

        Raises:
            SettingsError: no key is configured, or the file contains none; the process must not start without one.
        """
        path = settings.api_key_file
        seen = _identity(path) if path else None  # before the content: a change in between is then noticed
        try:
            if path:
                return cls(KeyRing.parse_named(path.read_text()), path, seen)
            return cls(KeyRing.parse(settings.api_key.get_secret_value()))
        except (OSError, UnicodeDecodeError) as exc:
            raise SettingsError("OCR_SIDECAR_API_KEY_FILE cannot be read: mount it, or unset it") from exc
        except ValueError as exc:
            raise SettingsError(
                "OCR_AUTH_MODE is api-key, but no key is set: set OCR_SIDECAR_API_KEY_FILE (one key a line, also as "
                "name: key) or OCR_SIDECAR_API_KEY, or OCR_AUTH_MODE=network where a NetworkPolicy guards the port"
            ) from exc

    async def poll(self, pool: BlockingPool) -> None:
        """Poll until cancelled; a file system that hangs leaves the keys as they are."""
        while self._path:
            await asyncio.sleep(POLL_S)
            with contextlib.suppress(TimeoutError, PoolFullError):
                async with asyncio.timeout(POLL_DEADLINE_S):
                    await pool.run(self.look)

    def look(self) -> None:
        """Read the file again if it has changed. Blocks: not for the event loop."""
        if self._path:
            self._reload(self._path)

    def _reload(self, path: Path) -> None:
        seen = _identity(path)
        if seen is None or seen == self._seen:
            return
        try:
            self.ring = KeyRing.parse_named(path.read_text())
        except OSError:
            return  # it exists, but cannot be read now: it is tried again in a second
        except (UnicodeDecodeError, ValueError):
            log.error("api key file changed but holds no key that can be read; the last good keys stay in force")  # noqa: TRY400 - the exception's text names the path
        else:
            log.info("api keys reloaded", extra={"keys": len(self.ring.keys)})
        self._seen = seen


def _identity(path: Path) -> Identity | None:
    """Return what changes with the file's content; a mounted Secret gets a new inode with every update."""
    try:
        stat = path.stat()
    except OSError:
        return None
    return stat.st_ino, stat.st_mtime_ns, stat.st_size
