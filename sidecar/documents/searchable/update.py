"""What is appended to a PDF to change it: an incremental update, ISO 32000-1, 7.5.6. Runs in worker processes only.

The file's bytes stay as they are, all of them, and only what is new has to be written, which for scanned pages is a
hundredth. pikepdf reads and makes the objects; QPDF writes whole files only.
"""

import re
import struct
from collections.abc import Mapping
from pathlib import Path

from pikepdf import Dictionary, Object, Pdf, Stream

TAIL_BYTES = 1024
"""Where ``startxref`` must stand: in the last line but two, after which senders may add a little."""
HEADER = b"%PDF-"
_START = re.compile(rb"startxref\s+(\d{1,12})\s+%%EOF\s*$")
TABLE_KEYS = ("/Root", "/Info", "/ID")
"""What a trailer repeats of the one before."""
Offsets = Mapping[int, tuple[int, int]]
"""Generation and place in the file, by the number of an object."""


def appended(pdf: Pdf, path: Path, changed: list[Object], first_new: int) -> bytes | None:
    """Return what makes the file at ``path`` the changed document; None if it must be written anew.

    That is where the file is encrypted or damaged, so that QPDF had to search for its objects; or begins with something
    else, from where readers differ in counting; or where a page is no object of its own.

    Args:
        pdf: the open document, with its changes.
        path: the file that it was opened from.
        changed: objects of the file that changed.
        first_new: the number of the first object that is new; all from there on are appended.
    """
    size, table_at = path.stat().st_size, _table_at(path)
    numbers = [one.objgen[0] for one in changed]
    is_own = all(0 < number < first_new for number in numbers) and len(set(numbers)) == len(numbers)
    if table_at is None or pdf.is_encrypted or pdf.get_warnings() or not is_own:
        return None
    last = pdf.make_indirect(Dictionary()).objgen[0]  # a number that is free
    body, offsets = bytearray(b"\n"), dict[int, tuple[int, int]]()
    for one in [*changed, *(pdf.get_object(number, 0) for number in range(first_new, last))]:
        offsets[one.objgen[0]] = one.objgen[1], size + len(body)
        body += _written(one)
    entries = b"".join(
        f"{key} {pdf.trailer[key].unparse().decode('latin-1')}\n".encode("latin-1")
        for key in TABLE_KEYS
        if key in pdf.trailer
    )
    entries += f"/Prev {table_at}\n".encode()
    at = size + len(body)
    write = _table if _has_table(path, table_at) else _table_stream
    return bytes(body) + write(dict(sorted(offsets.items())), entries, last, at) + f"startxref\n{at}\n%%EOF\n".encode()


def _table_at(path: Path) -> int | None:
    with path.open("rb") as file:
        if file.read(len(HEADER)) != HEADER:
            return None
        file.seek(max(0, path.stat().st_size - TAIL_BYTES))
        found = _START.search(file.read())
    return int(found[1]) if found else None


def _has_table(path: Path, at: int) -> bool:
    """Return whether the file's last list of objects is a table, not a stream: an update must be of the same kind."""
    with path.open("rb") as file:
        file.seek(at)
        return file.read(TAIL_BYTES).lstrip().startswith(b"xref")


def _written(one: Object) -> bytes:
    number, generation = one.objgen
    head = f"{number} {generation} obj\n".encode()
    if not isinstance(one, Stream):
        return head + one.unparse(resolved=True) + b"\nendobj\n"
    content = one.read_raw_bytes()
    entries = one.stream_dict
    entries["/Length"] = len(content)
    return head + entries.unparse(resolved=True) + b"\nstream\n" + content + b"\nendstream\nendobj\n"


def _table(offsets: Offsets, entries: bytes, last: int, _at: int) -> bytes:
    rows = [b"xref\n"]
    for numbers in _stretches(offsets):
        rows.append(f"{numbers[0]} {len(numbers)}\n".encode())
        rows += [f"{offsets[one][1]:010d} {offsets[one][0]:05d} n \n".encode() for one in numbers]
    return b"".join(rows) + f"trailer\n<<\n/Size {last}\n".encode() + entries + b">>\n"


def _table_stream(offsets: Offsets, entries: bytes, last: int, at: int) -> bytes:
    listed = {**offsets, last: (0, at)}  # it lists itself
    content = b"".join(struct.pack(">BQH", 1, place, generation) for generation, place in listed.values())
    index = " ".join(f"{numbers[0]} {len(numbers)}" for numbers in _stretches(listed))
    head = f"{last} 0 obj\n<<\n/Type /XRef\n/W [1 8 2]\n/Index [{index}]\n/Size {last + 1}\n/Length {len(content)}\n"
    return head.encode() + entries + b">>\nstream\n" + content + b"\nendstream\nendobj\n"


def _stretches(offsets: Offsets) -> list[list[int]]:
    """Divide ascending numbers into those that follow one another."""
    found: list[list[int]] = []
    for number in offsets:
        if found and number == found[-1][-1] + 1:
            found[-1].append(number)
        else:
            found.append([number])
    return found
