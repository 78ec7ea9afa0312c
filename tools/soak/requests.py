"""What callers send: documents, texts, and what those send who mean harm. Bytes, ready for a socket."""

import gzip
import json
import random
from dataclasses import dataclass

from bench.harness.service import ROOT
from tools.fakes.model_texts import texts

DATA = ROOT / "tests" / "data"
BOUNDARY = "soak"
DOCUMENTS = {
    "digital": ("digital.pdf", {}, 30),
    "model": ("photo.png", {"engine": "np-dms-ocr"}, 14),
    "model pages": ("fax.tiff", {"engine": "np-dms-ocr"}, 6),
    "tesseract": ("photo.png", {"engine": "tesseract"}, 3),
    "encrypted": ("encrypted.pdf", {}, 5),
    "broken": ("broken-garbage.pdf", {}, 5),
    "truncated": ("broken-truncated.pdf", {}, 5),
    "no document": ("not-a-pdf.pdf", {}, 5),
    "bomb": ("stream-bomb.pdf", {}, 3),
}
"""By name: the file, the fields beside it, and how often it is sent."""
SENTENCES = texts(200, 4, 40)
OF_ALL_LENGTHS = texts(400, 1, 200, seed=2)
"""Three to 700 tokens: batches of them have as many shapes as there are lengths."""


@dataclass(frozen=True)
class Sent:
    """A request: what it is, and the statuses that are right for it when nothing is wrong with the service."""

    what: str
    data: bytes


def head(method: str, path: str, key: str, headers: dict[str, str]) -> bytes:
    given = {"Host": "soak", "X-API-Key": key} | headers
    return "\r\n".join(
        [f"{method} {path} HTTP/1.1", *(f"{name}: {value}" for name, value in given.items()), "", ""]
    ).encode()


def document(key: str, chance: random.Random) -> Sent:
    (name,) = chance.choices(list(DOCUMENTS), [weight for *_, weight in DOCUMENTS.values()])
    file, fields, _ = DOCUMENTS[name]
    parts = [
        *(
            f'--{BOUNDARY}\r\nContent-Disposition: form-data; name="{field}"\r\n\r\n{value}\r\n'.encode()
            for field, value in fields.items()
        ),
        f'--{BOUNDARY}\r\nContent-Disposition: form-data; name="file"; filename="a"\r\n\r\n'.encode(),
        (DATA / file).read_bytes(),
        f"\r\n--{BOUNDARY}--\r\n".encode(),
    ]
    accept = {"Accept": "application/x-ndjson"} if chance.random() < 0.3 else {}
    return Sent(name, _form(key, b"".join(parts), accept))


def _form(key: str, body: bytes, more: dict[str, str]) -> bytes:
    kind = {"Content-Type": f"multipart/form-data; boundary={BOUNDARY}", "Content-Length": str(len(body))}
    return head("POST", "/ocr-upload", key, kind | more) + body


def text(key: str, chance: random.Random) -> Sent:
    return _text(key, chance, chance.choices(SENTENCES, k=chance.choice([1, 1, 1, 4, 16])))


def text_of_any_length(key: str, chance: random.Random) -> Sent:
    return _text(key, chance, chance.choices(OF_ALL_LENGTHS, k=chance.choice([1, 1, 1, 4])))


def _text(key: str, chance: random.Random, some: list[str]) -> Sent:
    path, body = chance.choice(
        [
            ("/embed", {"texts": some}),
            ("/rerank", {"query": some[0], "chunks": some}),
            ("/v1/embeddings", {"input": some, "model": "any"}),
        ]
    )
    data = json.dumps(body).encode()
    return Sent(
        path, head("POST", path, key, {"Content-Type": "application/json", "Content-Length": str(len(data))}) + data
    )


def packed(key: str, chance: random.Random) -> Sent:
    """A body of gzip, with a key or without."""
    body = gzip.compress(bytes(4_000_000))
    path = chance.choice(["/ocr-upload", "/embed", "/health"])
    kind = {"Content-Encoding": "gzip", "Content-Type": "application/json", "Content-Length": str(len(body))}
    return Sent("gzip", head("POST", path, chance.choice([key, "wrong"]), kind) + body)


def preamble(key: str, chance: random.Random) -> Sent:
    """A megabyte before the first boundary."""
    return Sent("preamble", _form(key, b"x" * 1_000_000, {}))


def crumbs(key: str, chance: random.Random) -> Sent:
    """Chunks of one byte."""
    kind = {"Content-Type": f"multipart/form-data; boundary={BOUNDARY}", "Transfer-Encoding": "chunked"}
    return Sent("crumbs", head("POST", "/ocr-upload", key, kind) + b"1\r\nx\r\n" * 20_000 + b"0\r\n\r\n")
