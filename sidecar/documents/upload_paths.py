"""Opens a file that a caller names by its path, inside one folder and nowhere else.

The file that is checked is the one that is read: the path is walked from the upload base one component at a time,
without following links, and the result is a descriptor. Nothing is opened by name afterwards.
"""

import errno
import os
import re
import stat
import unicodedata
from pathlib import Path, PurePosixPath
from urllib.parse import unquote_to_bytes

from sidecar.errors import PathForbiddenError, UploadNotFoundError

MAX_PATH_BYTES = 4095  # PATH_MAX of Linux, less its NUL
_REFUSALS = frozenset({errno.ELOOP, errno.ENOTDIR, errno.EACCES, errno.EPERM, errno.ENAMETOOLONG, errno.ENXIO})
DECODE_ROUNDS = 5
"""How many layers of percent-encoding are decoded; no honest caller sends more."""
_OVERLONG = re.compile(rb"[\xc0\xc1][\x80-\xbf]|\xe0[\x80-\x9f]|\xf0[\x80-\x8f]|[\xf8-\xfd][\x80-\xbf]")
"""Overlong UTF-8, for example of a dot or a slash: no honest caller sends it."""


def open_upload(requested: str, base: Path) -> int:
    """Open a regular file inside ``base`` for reading; the caller closes the descriptor.

    Raises:
        PathForbiddenError: the path leads, or tries to lead, outside the base, or to anything but a regular file.
        UploadNotFoundError: it lies inside, but nothing is there.
    """
    if any(_leaves(form, base) for form in _decoded_forms(requested)):
        raise _forbidden()
    try:
        real_base, real = os.path.realpath(base), os.path.realpath(requested)
    except OSError as exc:
        raise _forbidden() from exc  # a link that was removed while it was followed
    if not _is_inside(real, real_base):
        raise _forbidden()
    return _open_beneath(real_base, PurePosixPath(real).relative_to(real_base).parts)


def _leaves(form: str, base: Path) -> bool:
    """Return whether a path leaves the base, judged by its text alone."""
    if "\0" in form or len(os.fsencode(form)) > MAX_PATH_BYTES or not PurePosixPath(form).is_absolute():
        return True
    lexical, lexical_base = os.path.normpath(form), os.path.normpath(base)
    return not _is_inside(lexical, lexical_base)


def _is_inside(path: str, base: str) -> bool:
    return path != base and os.path.commonpath([path, base]) == base


def _decoded_forms(requested: str) -> set[str]:
    """List the forms of a path for readers that decode percent signs, normalise Unicode, or accept backslashes."""
    try:
        requested.encode()
    except UnicodeEncodeError as exc:
        raise _forbidden() from exc
    forms = {requested}
    form = requested
    for _ in range(DECODE_ROUNDS):
        raw = unquote_to_bytes(form)
        if _OVERLONG.search(raw):
            raise _forbidden()
        decoded = unicodedata.normalize("NFKC", raw.decode("utf-8", "replace")).replace("\\", "/")
        forms.add(decoded)
        if decoded == form:
            return forms
        form = decoded
    raise _forbidden()


def _open_beneath(base: str, parts: tuple[str, ...]) -> int:
    """Walk from the base without following links; a component replaced by a link meanwhile fails here."""
    folder = _open_at(base, os.O_RDONLY | os.O_DIRECTORY, None)
    try:
        for part in parts[:-1]:
            inner = _open_at(part, os.O_RDONLY | os.O_DIRECTORY, folder)
            os.close(folder)
            folder = inner
        # O_NONBLOCK: opening a FIFO would wait forever for a writer; it has no effect on regular files.
        descriptor = _open_at(parts[-1], os.O_RDONLY | os.O_NONBLOCK, folder)
    finally:
        os.close(folder)
    if not stat.S_ISREG(os.fstat(descriptor).st_mode):
        os.close(descriptor)
        raise _forbidden()
    return descriptor


def _open_at(name: str, flags: int, folder: int | None) -> int:
    try:
        return os.open(name, flags | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=folder)
    except OSError as exc:
        if exc.errno == errno.ENOENT:
            raise UploadNotFoundError("pdfPath names no file in the upload folder") from exc
        if exc.errno in _REFUSALS:
            raise _forbidden() from exc
        raise  # the volume fails, or this process has too many open files: not the path's fault


def _forbidden() -> PathForbiddenError:
    return PathForbiddenError("pdfPath must be the absolute path of a regular file inside the upload folder")
