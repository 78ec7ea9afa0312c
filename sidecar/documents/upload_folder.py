"""The shared volume of uploads: a file that a caller names is copied into the spool, in bounded time."""

import asyncio
import os
from collections.abc import Callable
from pathlib import Path

from sidecar.documents.spool import SpoolFile
from sidecar.documents.upload_paths import open_upload
from sidecar.errors import DeadlineError, StorageError
from sidecar.runtime.blocking_pool import BlockingPool, PoolFullError

OpenFile = Callable[[str, Path], int]
"""Opens a file by its path inside a folder; returns a descriptor."""
COPY_BYTES = 1024 * 1024
RETRY_AFTER_S = 30
"""A network file system that lost its server recovers in minutes rather than seconds."""


class UploadFolder:
    """Copies files out of ``base``, each within ``deadline_s`` seconds."""

    def __init__(
        self,
        base: Path,
        deadline_s: float,
        pool: BlockingPool,
        open_file: OpenFile = open_upload,
    ) -> None:
        self._base = base
        self._deadline_s = deadline_s
        self._pool = pool
        self._open_file = open_file

    async def copy(self, requested: str, target: SpoolFile) -> None:
        """Copy a file: the file that was checked is the one that is read, whatever happens to it meanwhile.

        Raises:
            PathForbiddenError, UploadNotFoundError: see :func:`sidecar.documents.upload_paths.open_upload`.
            TooLargeError, QueueFullError: it does not fit into the spool.
            DeadlineError: the volume did not answer in time.
            StorageError: the volume fails, or earlier copies still hang, so no further one is started.
        """
        try:
            async with asyncio.timeout(self._deadline_s):
                await self._pool.run(self._copy, requested, target)
        except TimeoutError as exc:
            raise DeadlineError(f"the file could not be read within {self._deadline_s:g} s") from exc
        except PoolFullError as exc:
            raise StorageError("the upload folder does not answer", retry_after_s=RETRY_AFTER_S) from exc
        except OSError as exc:
            raise StorageError("the file cannot be read now", retry_after_s=RETRY_AFTER_S) from exc

    def _copy(self, requested: str, target: SpoolFile) -> None:
        with os.fdopen(self._open_file(requested, self._base), "rb") as source:
            while chunk := source.read(COPY_BYTES):
                target.write(chunk)
