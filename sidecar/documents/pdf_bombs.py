"""Finds decompression bombs in a PDF before a PDF library expands them. Reads bytes, decides, renders nothing.

Images are skipped: their pixels are limited when they are drawn. What this check misses (an encrypted or misspelt
filter) still meets the worker's address-space limit and deadline.
"""

import mmap
import re
import zlib
from collections.abc import Iterator
from pathlib import Path

from sidecar.errors import ExpansionBombError

MAX_RATIO = 100
"""Text and drawings are deflated five- to tenfold, seldom twentyfold; a bomb 500- to 1,000-fold."""
DEFLATE_MAX_RATIO = 1032
"""The most that deflate can expand (zlib's technical details): smaller streams cannot be bombs and are skipped."""

_STREAM = re.compile(rb"stream\r?\n")
_OBJECT = re.compile(rb"\d\s+obj\b")
_FLATE = re.compile(rb"/(?:FlateDecode|Fl)\b")
_IMAGE = re.compile(rb"/Subtype\s*/Image\b")
_DICTIONARY_BYTES = 2048
_CHUNK_BYTES = 64 * 1024
_MAX_LAYERS = 4
_MAX_LOOKS = 2
"""How often each byte of a file may be read on average: streams lie side by side, so once is enough."""


def check_streams(path: Path, max_stream_bytes: int) -> None:
    """Look into every deflated stream that could expand beyond ``max_stream_bytes``.

    Raises:
        ExpansionBombError: one expands over a hundredfold; deflate is nested deeper than anyone needs; or streams lie
            in one another, so that checking would take time quadratic in the file's size.
    """
    with path.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as data:
        looked_at = 0
        for start, end, layers in _deflated_streams(data):
            if layers > _MAX_LAYERS:
                raise ExpansionBombError(f"a stream is deflated {layers} times over, accepted are {_MAX_LAYERS}")
            length = end - start
            looked_at += length
            if looked_at > _MAX_LOOKS * len(data):
                raise ExpansionBombError("its streams lie in one another, which those of no real document do")
            limit = max(max_stream_bytes, length * MAX_RATIO)
            if length * DEFLATE_MAX_RATIO**layers > limit and _expands_beyond(data, start, end, layers, limit):
                raise ExpansionBombError(
                    f"a stream of {length} bytes expands to more than {limit} bytes, which no real page needs"
                )


def _deflated_streams(data: mmap.mmap) -> Iterator[tuple[int, int, int]]:
    end = 0
    for match in _STREAM.finditer(data):
        if data[match.start() - 3 : match.start()] == b"end":
            continue  # not in the pattern: a pattern that begins with letters is searched many times faster
        start = max(0, match.start() - _DICTIONARY_BYTES)
        dictionary = _OBJECT.split(data[start : match.start()])[-1]
        layers = len(_FLATE.findall(dictionary))
        if layers and not _IMAGE.search(dictionary):
            if end < match.end():  # else this one lies in the one before, and ends with it
                found = data.find(b"endstream", match.end())
                end = found if found >= 0 else len(data)
            yield match.end(), end, layers


def _expands_beyond(data: mmap.mmap, start: int, end: int, layers: int, limit: int) -> bool:
    chunks: Iterator[bytes] = (data[at : min(at + _CHUNK_BYTES, end)] for at in range(start, end, _CHUNK_BYTES))
    for _ in range(layers):
        chunks = _bounded(_inflate(chunks), limit)
    try:
        for _ in chunks:
            pass
    except ExpansionBombError:
        return True
    return False


def _bounded(chunks: Iterator[bytes], limit: int) -> Iterator[bytes]:
    """Bound one layer: readers expand each layer completely before they look into it."""
    total = 0
    for chunk in chunks:
        total += len(chunk)
        if total > limit:
            raise ExpansionBombError
        yield chunk


def _inflate(chunks: Iterator[bytes]) -> Iterator[bytes]:
    """Inflate piece by piece; a stream that is truncated or not deflate ends there, as in PDF readers."""
    inflater = zlib.decompressobj()
    for chunk in chunks:
        rest = chunk
        while rest and not inflater.eof:
            try:
                yield inflater.decompress(rest, _CHUNK_BYTES)
            except zlib.error:
                return
            rest = inflater.unconsumed_tail
