"""A JSON body that holds a document in base64, taken apart while it arrives. Pure: bytes in, bytes out.

The document is a data URI, wherever it stands, or the value of a key that is named beforehand.

Only the document's own bytes leave here; the rest of the body, its skeleton, is small and parsed when it is complete.
RFC 2397 for data URIs, RFC 8259 for strings: `/` and `+` may be written as escapes, as PHP and .NET do.
"""

import binascii
import json
import re
from enum import Enum, auto

from sidecar.errors import FieldTooLargeError, InvalidValueError

SCHEME = b"data:"
PLACEHOLDER = "data:,document"
"""What stands in the skeleton where the document was."""
MAX_SKELETON_BYTES = 64 * 1024
"""Everything else in such a body: options, and perhaps a JSON schema. It is looked through byte by byte."""
MAX_HEAD_BYTES = 512
"""Of a data URI before its comma: a media type with its parameters."""
SPACES = (b" ", b"\t", b"\r", b"\n")
TO_STRINGS_END = re.compile(rb'(?:[^"\\]++|\\.)*+', re.DOTALL)
MALFORMED = "the document is not base64: it is incomplete, or has characters that do not belong there"


class _At(Enum):
    """Where in the body the next byte is."""

    OUTSIDE = auto()
    OPENING = auto()
    KEPT_STRING = auto()
    DOCUMENT = auto()


class BodySplitter:
    """Takes a body in pieces; gives the document's bytes, and keeps the skeleton.

    ``key``: whose value the document is; without it, the document is the string that begins as a data URI.
    """

    def __init__(self, key: str | None = None) -> None:
        self._key = key.encode() if key else None
        self._last = slice(0, 0)
        """Where in the skeleton the last string stands that was kept."""
        self.skeleton = bytearray()
        self.has_document = False
        self._at = _At.OUTSIDE
        self._opening = bytearray()
        self._backslash = False
        self._decoder = Base64(is_data_uri=key is None)

    def feed(self, data: bytes) -> bytes:
        """Take a piece of the body; return what it holds of the document.

        Raises:
            InvalidValueError: there is a second document, or it is not base64.
            FieldTooLargeError: the rest of the body is over its limit.
        """
        document, at = bytearray(), 0
        while at < len(data):
            match self._at:
                case _At.OUTSIDE:
                    at = self._to_string(data, at)
                case _At.OPENING:
                    at = self._open(data, at)
                case _:
                    at = self._to_end(data, at, document)
            if len(self.skeleton) > MAX_SKELETON_BYTES:
                raise FieldTooLargeError(
                    f"the body has more than {MAX_SKELETON_BYTES} bytes beside its document, which is the limit"
                )
        return bytes(document)

    def _to_string(self, data: bytes, at: int) -> int:
        quote = data.find(b'"', at)
        end = len(data) if quote < 0 else quote + 1
        self._keep(data[at:end])
        if quote >= 0:
            self._at, self._opening = _At.OPENING, bytearray()
            if self._is_the_keys_value():
                self._begin_document()
        return end

    def _is_the_keys_value(self) -> bool:
        if self._key is None or bytes(self.skeleton[self._last]) != self._key:
            return False
        between = bytes(self.skeleton[self._last.stop : -1])  # the first byte ends the key, the last begins the value
        return between.strip(b'" \t\r\n') == b":"

    def _begin_document(self) -> None:
        if self.has_document:
            raise InvalidValueError("the body has two documents, one a request is accepted")
        self._keep(PLACEHOLDER.encode())
        self._at, self.has_document = _At.DOCUMENT, True

    def _open(self, data: bytes, at: int) -> int:
        """Look at a string's first bytes: whether it is a data URI."""
        byte = data[at : at + 1]
        if byte not in b'"\\':
            self._opening += byte
            if len(self._opening) < len(SCHEME):
                return at + 1
            at += 1
        if self._opening.lower() == SCHEME and not self._key:
            self._begin_document()
            return at
        self._last = slice(len(self.skeleton), len(self.skeleton))
        self._keep(self._opening)
        self._at = _At.KEPT_STRING
        return at

    def _to_end(self, data: bytes, at: int, document: bytearray) -> int:
        """Go to the string's end, or to that of the piece, which may be in the middle of an escape."""
        end = at
        if self._backslash:
            end, self._backslash = at + 1, False
        end = _strings_end(data, end)
        if data[end : end + 1] == b"\\":
            end, self._backslash = end + 1, True
        self._give(data[at:end], document)
        if data[end : end + 1] != b'"':
            return end
        if self._at is _At.DOCUMENT:
            self._decoder.end()
        self._last = slice(self._last.start, len(self.skeleton))
        self._keep(b'"')
        self._at = _At.OUTSIDE
        return end + 1

    def _give(self, piece: bytes, document: bytearray) -> None:
        if self._at is _At.DOCUMENT:
            document += self._decoder.feed(piece)
        else:
            self._keep(piece)

    def _keep(self, piece: bytes | bytearray) -> None:
        self.skeleton += piece[: MAX_SKELETON_BYTES + 1]  # more is refused


def _strings_end(data: bytes, at: int) -> int:
    """Return where a string's quote is, or an escape that is cut; the end of the data if neither is there."""
    quote = data.find(b'"', at)
    end = len(data) if quote < 0 else quote
    if data.find(b"\\", at, end) < 0:  # most documents: a hundred times as fast
        return end
    match = TO_STRINGS_END.match(data, at)
    assert match, "it matches anything"
    return match.end()


class Base64:
    """Decodes a document as it stands in JSON, piece by piece; in a data URI it follows ``data:`` and a head."""

    def __init__(self, *, is_data_uri: bool) -> None:
        self._head = bytearray() if is_data_uri else None
        self._escape = b""
        self._quantum = b""
        self._padded = False

    def feed(self, raw: bytes) -> bytes:
        """Decode a piece, which may be cut anywhere.

        Raises:
            InvalidValueError: it is not base64, or says that it is not.
        """
        text = self._unescape(raw)
        if self._head is not None:
            head, comma, text = text.partition(b",")
            self._head += head
            if len(self._head) > MAX_HEAD_BYTES:
                raise InvalidValueError(MALFORMED)
            if not comma:
                return b""
            self._check_head(self._head)
            self._head = None
        return self._decode(text)

    def end(self) -> None:
        """Refuse what is not complete.

        Raises:
            InvalidValueError: the end of the base64, or all of it, is missing.
        """
        if self._head is not None or self._quantum or self._escape:
            raise InvalidValueError(MALFORMED)

    def _unescape(self, raw: bytes) -> bytes:
        text, self._escape = self._escape + raw, b""
        if b"\\" not in text:
            return text
        # An escape has six characters, and may be cut after any of the first five.
        cut = max(text.rfind(b"\\u", max(0, len(text) - 5)), text.rfind(b"\\", len(text) - 1))
        if cut >= 0:
            text, self._escape = text[:cut], text[cut:]
        try:
            unescaped: str = json.loads(b'"' + text + b'"')
            return unescaped.encode("ascii")
        except ValueError as exc:
            raise InvalidValueError(MALFORMED) from exc

    @staticmethod
    def _check_head(head: bytearray) -> None:
        if not head.strip().lower().endswith(b";base64"):
            raise InvalidValueError("the data URI is not in base64: data:application/pdf;base64,… is accepted")

    def _decode(self, text: bytes) -> bytes:
        if any(space in text for space in SPACES):  # looking for them takes a tenth of the time of leaving them out
            text = text.translate(None, b"".join(SPACES))
        quanta = self._quantum + text
        whole = len(quanta) - len(quanta) % 4
        quanta, self._quantum = quanta[:whole], quanta[whole:]
        more_after_the_end = self._padded and (quanta or self._quantum)
        if more_after_the_end or quanta.endswith(b"==="):  # the latter is let pass by the decoder
            raise InvalidValueError(MALFORMED)
        self._padded = self._padded or quanta.endswith(b"=")
        try:
            return binascii.a2b_base64(quanta, strict_mode=True) if quanta else b""
        except binascii.Error as exc:
            raise InvalidValueError(MALFORMED) from exc
