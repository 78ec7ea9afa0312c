"""JPEG files that are cut off: whether one is, and how much of the picture is there. Pure."""

import hashlib
import io

from PIL import Image, ImageChops

END = b"\xff\xd9"
_SCAN = b"\xff\xda"
TAIL_BYTES = 64 * 1024
LEAST_SHARE = 0.6
"""Share of the rows that must be there: more than the head of a letter."""
LEAST_SCANS = 3
"""A progressive picture with this many scans shows its letters; the others only make them sharper."""
_ANYTHING = hashlib.shake_128(b"no picture").digest(TAIL_BYTES).replace(b"\xff", b"\xfe")
"""Bytes that continue a scan with whatever they mean, and hold no marker."""


def lacks_end(tail: bytes) -> bool:
    """Return whether a JPEG with these last bytes, at most :data:`TAIL_BYTES`, is cut off in its last scan.

    The end marker cannot occur within a scan, and a preview's end marker lies before the last scan begins.
    """
    return tail.rfind(END) <= tail.rfind(_SCAN)


def share_there(content: bytes) -> float:
    """Return the share of a picture's rows that a cut-off file contains; pixels are decoded twice for this.

    Libjpeg fills in what is missing. So two files with different continuations differ from the first missing row on.
    """
    ended, continued = (Image.open(io.BytesIO(content + more + END), formats=["JPEG"]) for more in (b"", _ANYTHING))
    if ended.info.get("progressive") and content.count(_SCAN) >= LEAST_SCANS:
        return 1.0
    differs = ImageChops.difference(ended.convert("L"), continued.convert("L")).getbbox()
    return differs[1] / ended.height if differs else 1.0
