"""The documents that a model may have read: those in one folder, which the operator names."""

import asyncio
import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from itertools import islice
from pathlib import Path
from typing import BinaryIO

from sidecar.documents.upload_paths import open_upload
from sidecar.errors import PathForbiddenError, UploadNotFoundError

SUFFIXES = frozenset({".pdf", ".png", ".jpg", ".jpeg", ".tif", ".tiff", ".webp", ".bmp"})
MAX_LISTED = 200
"""Most names in a list: more would fill a model's context."""
MAX_LOOKED_AT = 20_000
"""Most files that are looked at for it: a folder may be a whole disk."""


class NotReadableError(Exception):
    """The path may not be read; the text is for the model, and tells nothing of what lies outside the folder."""


class Folder:
    """One folder, whose files may be read: its own, those below it, and nothing that a link points to elsewhere."""

    def __init__(self, base: Path) -> None:
        self._base = base.absolute()

    @asynccontextmanager
    async def open(self, path: str) -> AsyncIterator[BinaryIO]:
        """Open a document during the block by its path in the folder; the file that is checked is the one that is read.

        Raises:
            NotReadableError: the path leads elsewhere, or to no file.
        """
        file = await asyncio.to_thread(self._open, path)
        try:
            yield file
        finally:
            file.close()

    async def names(self) -> list[str]:
        """Return the paths of documents in the folder, sorted; not all, where there are very many."""
        return await asyncio.to_thread(self._names)

    def _open(self, path: str) -> BinaryIO:
        # A NUL, ".." and the like are judged by open_upload; joining an absolute path gives that path.
        try:
            return os.fdopen(open_upload(os.path.join(self._base, path), self._base), "rb")  # noqa: PTH118 - no Path: it folds what has to be judged
        except (PathForbiddenError, OSError, ValueError) as exc:
            raise NotReadableError(
                "only documents inside the folder that is shared can be read, by their path in it"
            ) from exc
        except UploadNotFoundError as exc:
            raise NotReadableError("there is no document of that path in the folder that is shared") from exc

    def _names(self) -> list[str]:
        found = islice(self._base.rglob("*"), MAX_LOOKED_AT)
        names = (
            str(one.relative_to(self._base))
            for one in found
            if one.suffix.lower() in SUFFIXES and not one.is_symlink() and self._can_be_read(one)
        )
        return sorted(islice(names, MAX_LISTED))

    def _can_be_read(self, path: Path) -> bool:
        """Return whether :meth:`open` takes it: not every name that a disk has can be asked for."""
        try:
            os.close(open_upload(str(path), self._base))
        except (PathForbiddenError, UploadNotFoundError, OSError, ValueError):
            return False
        return True
