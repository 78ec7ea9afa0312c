"""What a dialect adds to a document that is answered from its text layer: each beside `/ocr-upload`, in turn."""

import asyncio
import base64
import io
import json
import os
import statistics

import pikepdf

from bench.harness.figure import Figure, below
from bench.harness.load import BOUNDARY, DATA, Connection, form
from bench.harness.service import HOST, running_service

DOCUMENT = "digital.pdf"
DOCUMENTS = 500
QUICK_DOCUMENTS = 50
WARM_UP = 20
TARGET_MS = 2.0
GROWN_MIB = 4


def run(*, quick: bool) -> list[Figure]:
    content = (DATA / DOCUMENT).read_bytes()
    documents = QUICK_DOCUMENTS if quick else DOCUMENTS
    with running_service(OCR_WORKERS="1") as service:
        taken_s = asyncio.run(_in_turn(service.port, _requests(content), documents))
        large_s = asyncio.run(_in_turn(service.port, _requests(_grown(content)), documents // 10))
    per_mib_ms = (1000 / GROWN_MIB) * statistics.median(
        one - own for one, own in zip(large_s["/v1/ocr"], large_s["/ocr-upload"], strict=True)
    )
    return [*_figures(taken_s), Figure("more by /v1/ocr for each MiB of a document", f"{per_mib_ms:+.2f} ms")]


def _figures(taken_s: dict[str, list[float]]) -> list[Figure]:
    own_s = taken_s.pop("/ocr-upload")
    figures = [Figure("a document by /ocr-upload, median", f"{1000 * statistics.median(own_s):.2f} ms")]
    for path, of_dialect_s in taken_s.items():
        more_ms = [1000 * (one - own) for one, own in zip(of_dialect_s, own_s, strict=True)]
        median_ms, (low_ms, _, high_ms) = statistics.median(more_ms), statistics.quantiles(more_ms, n=4)
        shown = f"{median_ms:+.2f} ms (half of them {low_ms:+.2f} to {high_ms:+.2f})"
        figures.append(below(f"more by {path}, median", shown, median_ms, TARGET_MS, " ms"))
    return figures


async def _in_turn(port: int, requests: dict[str, bytes], rounds: int) -> dict[str, list[float]]:
    """Send each request in each round, one at a time; return the seconds of each, in the order of the rounds."""
    taken_s: dict[str, list[float]] = {path: [] for path in requests}
    async with Connection.open(port) as connection:
        for number in range(WARM_UP + rounds):
            for path, request in requests.items():
                reply = await connection.ask(request)
                assert reply.status == 200, reply.body[:300]
                if number >= WARM_UP:
                    taken_s[path].append(reply.latency_s)
    return taken_s


def _grown(content: bytes) -> bytes:
    """Put bytes into a PDF that nobody looks at."""
    out = io.BytesIO()
    with pikepdf.open(io.BytesIO(content)) as pdf:
        pdf.Root.Unused = pdf.make_indirect(pikepdf.Stream(pdf, os.urandom(GROWN_MIB * 1024 * 1024)))
        pdf.save(out, compress_streams=False)
    return out.getvalue()


def _requests(content: bytes) -> dict[str, bytes]:
    """Encode the document as our own callers and those of each dialect send it."""
    uri = f"data:application/pdf;base64,{base64.b64encode(content).decode()}"
    mistral = {"model": "any", "document": {"type": "document_url", "document_url": uri}}
    form_type = f"multipart/form-data; boundary={BOUNDARY}"
    docling = {"to_formats": "md", "image_export_mode": "placeholder"}
    return {
        "/ocr-upload": _request("POST", "/ocr-upload", form_type, form("file", content, {})),
        "/process": _request("PUT", "/process", "application/pdf", content),
        "/v1/ocr": _request("POST", "/v1/ocr", "application/json", json.dumps(mistral).encode()),
        "/v1/convert/file": _request("POST", "/v1/convert/file", form_type, form("files", content, docling)),
    }


def _request(method: str, path: str, content_type: str, body: bytes) -> bytes:
    head = f"{method} {path} HTTP/1.1\r\nHost: {HOST}\r\nContent-Type: {content_type}\r\nContent-Length: {len(body)}"
    return f"{head}\r\n\r\n".encode() + body
