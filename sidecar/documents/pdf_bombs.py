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
_LENGTH = re.compile(rb"/Length\s+(\d{1,12})")
_INDIRECT_LENGTH = re.compile(rb"/Length\s+(\d{1,9})\s+\d+\s+R\b")
_NUMBER_OBJECT = re.compile(rb"\b(\d{1,9})\s+\d+\s+obj\s+(\d{1,12})\s+endobj\b")
_END_OF_OBJECT = re.compile(rb"(?<![^\0\t\n\f\r ()<>\[\]{}/%])endobj(?![^\0\t\n\f\r ()<>\[\]{}/%])")
"""Only as a separate word, as for PDFium: the letters may also occur in a stream."""
_END_BYTES = 32
"""How far ``endstream`` may be from the end that a stream claims: line ends, and a length that is off by a few."""
_TAIL_BYTES = 4096
"""``startxref`` is among a file's last words; what some senders append is short."""
_DICTIONARY_BYTES = 2048
_CHUNK_BYTES = 64 * 1024
_MAX_LAYERS = 4
_MAX_LOOKS = 2
"""How often each byte of a file may be read on average: streams lie side by side, so once is enough."""


def check_streams(path: Path, max_stream_bytes: int) -> bool:
    """Look into every deflated stream that could expand beyond ``max_stream_bytes``.

    Return whether the file is damaged: the end of a stream or of the file is missing.

    Raises:
        ExpansionBombError: one expands over a hundredfold; deflate is nested deeper than anyone needs; or streams lie
            in one another, so that checking would take time quadratic in the file's size.
    """
    with path.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as data:
        looked_at, is_damaged = 0, b"startxref" not in data[-_TAIL_BYTES:]
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
            is_damaged = is_damaged or b"endstream" not in data[end : end + _END_BYTES]
        return is_damaged


def _deflated_streams(data: mmap.mmap) -> Iterator[tuple[int, int, int]]:
    end = keyword_end = 0
    lengths: dict[bytes, int] | None = None
    for match in _STREAM.finditer(data):
        dictionary_start, keyword_end = keyword_end, match.end()
        if data[match.start() - 3 : match.start()] == b"end":
            continue  # not in the pattern: a pattern that begins with letters is searched many times faster
        dictionary = _dictionary(data, dictionary_start, match.start())
        layers = len(_FLATE.findall(dictionary))
        if layers and not _IMAGE.search(dictionary):
            if end < match.end():  # else this one lies in the one before, and ends with it
                if lengths is None and _INDIRECT_LENGTH.search(dictionary):
                    lengths = {number: int(value) for number, value in _NUMBER_OBJECT.findall(data)}
                end = _stream_end(data, match.end(), _length(dictionary, lengths or {}))
            yield match.end(), end, layers


def _dictionary(data: mmap.mmap, earliest: int, end: int) -> bytes:
    """Return the dictionary before a stream: a short piece nearly always, else all since the stream before."""
    parts = _OBJECT.split(data[max(earliest, end - _DICTIONARY_BYTES) : end])
    return parts[-1] if len(parts) > 1 else _OBJECT.split(data[earliest:end])[-1]


def _length(dictionary: bytes, lengths: dict[bytes, int]) -> int | None:
    """Return the length that a stream claims, itself or through another object."""
    if found := _INDIRECT_LENGTH.search(dictionary):
        return lengths.get(found[1])
    found = _LENGTH.search(dictionary)
    return int(found[1]) if found else None


def _stream_end(data: mmap.mmap, start: int, length: int | None) -> int:
    """Return where a stream ends, as PDF readers find it.

    Its length counts if ``endstream`` follows; else the next ``endstream`` or ``endobj``, whichever comes first.
    """
    if length is not None and b"endstream" in data[start + length : start + length + _END_BYTES]:
        return start + length
    found = data.find(b"endstream", start)
    if found < 0:
        found = len(data)
    end_of_object = _END_OF_OBJECT.search(data, start, found)
    return end_of_object.start() if end_of_object else found


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
