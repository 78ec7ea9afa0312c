"""What the makers' own clients do with documents: each case asserts what their users get."""

import base64
import subprocess
import sys
import tempfile
from pathlib import Path

from tools.clients.table import Row, run

DATA = Path(__file__).parents[2] / "tests" / "data"
PDF = DATA / "digital.pdf"
SCAN = DATA / "photo.png"
SEVERAL = DATA / "scan-thai-english.pdf"
PLUGIN = Path(__file__).parents[2] / "examples" / "ocrmypdf" / "ocr_sidecar_ocrmypdf.py"
KEY = "any"
"""The service is started in network mode; clients insist on a key."""


def data_uri(path: Path, mime: str = "application/pdf") -> str:
    """Write a file as a data URI."""
    return f"data:{mime};base64,{base64.b64encode(path.read_bytes()).decode()}"


# ── mistralai ─────────────────────────────────────────────────────────────────────────────────────────────────────


def mistral_ocr(url: str) -> None:
    """Some pages of a PDF in the request."""
    from mistralai.client import Mistral

    with Mistral(api_key=KEY, server_url=url) as client:
        found = client.ocr.process(
            model="mistral-ocr-latest",
            document={"type": "document_url", "document_url": data_uri(PDF)},
            pages=[0, 2],
            include_image_base64=False,
        )
    assert [page.index for page in found.pages] == [0, 2]
    assert all(len(page.markdown) > 100 for page in found.pages)
    assert (found.usage_info.pages_processed, found.usage_info.doc_size_bytes) == (2, PDF.stat().st_size)


def mistral_image(url: str) -> None:
    """A picture, which an engine reads."""
    from mistralai.client import Mistral

    with Mistral(api_key=KEY, server_url=url) as client:
        found = client.ocr.process(
            model="any", document={"type": "image_url", "image_url": data_uri(SCAN, "image/png")}
        )
    assert len(found.pages[0].markdown) > 100
    assert found.model.startswith("tesseract")


def mistral_files(url: str) -> None:
    """Upload, signed URL, OCR by the URL and by the id, removal: as Open WebUI and LibreChat do."""
    from mistralai.client import Mistral

    with Mistral(api_key=KEY, server_url=url) as client:
        kept = client.files.upload(file={"file_name": "ก.pdf", "content": PDF.read_bytes()}, purpose="ocr")
        assert (kept.filename, kept.size_bytes) == ("ก.pdf", PDF.stat().st_size)
        signed = client.files.get_signed_url(file_id=kept.id, expiry=1)
        for document in (
            {"type": "document_url", "document_url": signed.url},
            {"type": "file", "file_id": kept.id},
        ):
            assert len(client.ocr.process(model="any", document=document).pages) == 4
        assert client.files.delete(file_id=kept.id).deleted


def mistral_refused(url: str) -> None:
    """A URL of elsewhere: the client shows what the service says."""
    from mistralai.client import Mistral, errors

    with Mistral(api_key=KEY, server_url=url) as client:
        try:
            client.ocr.process(
                model="any", document={"type": "document_url", "document_url": "https://example.com/a.pdf"}
            )
        except errors.HTTPValidationError as exc:
            assert "nothing is fetched here" in exc.data.detail[0].msg
        else:
            raise AssertionError("a URL was accepted")


# ── litellm ───────────────────────────────────────────────────────────────────────────────────────────────────────


def litellm_ocr(url: str) -> None:
    """LiteLLM's OCR, by its provider for Mistral."""
    import litellm

    found = litellm.ocr(
        model="mistral/mistral-ocr-latest",
        document={"type": "document_url", "document_url": data_uri(PDF)},
        api_base=f"{url}/v1",
        api_key=KEY,
        pages=[1],
    )
    assert [page.index for page in found.pages] == [1]
    assert len(found.pages[0].markdown) > 100
    assert found.usage_info.pages_processed == 1


# ── docling ───────────────────────────────────────────────────────────────────────────────────────────────────────


def docling_file(url: str) -> None:
    """A file with the client's own defaults, which it sends all."""
    from docling_serve_sdk import DoclingClient

    with DoclingClient(url, api_key=KEY, max_retries=0) as client:
        assert client.health_check().status == "ok"
        found = client.convert_file(PDF)
    assert (found.status.value, found.document.filename, found.errors) == ("success", PDF.name, [])
    assert len(found.document.md_content) > 1000
    assert found.document.json_content is None


def docling_formats(url: str) -> None:
    """All formats of some pages; docling's own library reads the JSON."""
    from docling_core.types.doc.document import DoclingDocument
    from docling_serve_sdk import ConvertDocumentsRequestOptions, DoclingClient
    from docling_serve_sdk.models import OutputFormat

    options = ConvertDocumentsRequestOptions(
        to_formats=[OutputFormat(name) for name in ("md", "json", "html", "text", "doctags")],
        page_range=(2, 99),
        md_page_break_placeholder="<!-- page -->",
    )
    with DoclingClient(url, api_key=KEY, max_retries=0) as client:
        document = client.convert_file(PDF, options=options).document
    assert document.md_content.count("<!-- page -->") == 2
    told = DoclingDocument.model_validate(document.json_content)
    assert [group.name for group in told.groups] == ["page 2", "page 3", "page 4"]
    for text in (told.export_to_markdown(), document.html_content, document.text_content, document.doctags_content):
        assert len(text) > 1000


def docling_source(url: str) -> None:
    """A file in JSON."""
    from docling_serve_sdk import DoclingClient
    from docling_serve_sdk.models import ConvertDocumentsRequest, FileSourceRequest

    file = FileSourceRequest(base64_string=base64.b64encode(PDF.read_bytes()).decode(), filename="a.pdf")
    with DoclingClient(url, api_key=KEY, max_retries=0) as client:
        found = client.convert_source(ConvertDocumentsRequest(sources=[file]))
    assert (found.status.value, found.document.filename) == ("success", "a.pdf")
    assert len(found.document.md_content) > 1000


def docling_refused(url: str) -> None:
    """A source to fetch, and a format that there is not."""
    from docling_serve_sdk import ConvertDocumentsRequestOptions, DoclingClient
    from docling_serve_sdk.client import DoclingValidationError
    from docling_serve_sdk.models import ConvertDocumentsRequest, HttpSourceRequest, OutputFormat

    with DoclingClient(url, api_key=KEY, max_retries=0) as client:
        elsewhere = ConvertDocumentsRequest(sources=[HttpSourceRequest(url="https://example.com/a.pdf")])
        yaml = ConvertDocumentsRequestOptions(to_formats=[OutputFormat.YAML])
        for call, said in (
            (lambda: client.convert_source(elsewhere), "nothing is fetched here"),
            (lambda: client.convert_file(PDF, options=yaml), "to_formats.0 is 'yaml', accepted: 'md', 'json'"),
        ):
            try:
                call()
            except DoclingValidationError as exc:
                assert said in str(exc), exc
            else:
                raise AssertionError(f"accepted what should say {said}")


# ── OCRmyPDF ──────────────────────────────────────────────────────────────────────────────────────────────────────


def ocrmypdf(url: str, *options: str, source: Path = SEVERAL) -> tuple[int, str, list[str]]:
    """Run the command with the plugin; return its exit status, what it said, and the text of each page."""
    import pypdfium2

    with tempfile.TemporaryDirectory() as folder:
        out = Path(folder) / "out.pdf"
        command = [sys.executable, "-m", "ocrmypdf", "--plugin", str(PLUGIN), "--sidecar-url", url, *options]
        ended = subprocess.run(
            [*command, "--output-type", "pdf", str(source), str(out)], capture_output=True, check=False, text=True
        )
        if ended.returncode:
            return ended.returncode, ended.stderr, []
        with pypdfium2.PdfDocument(out) as pdf:
            return 0, ended.stderr, [page.get_textpage().get_text_range() for page in pdf]


def ocrmypdf_reads(url: str) -> None:
    """A scan becomes a PDF that can be searched, page by page."""
    status, said, pages = ocrmypdf(url, "-l", "tha+eng")
    assert status == 0, said
    assert len(pages) == 3
    for text, number in zip(pages, ("2025-8411-0", "2025-3580-1", "2025-9188-2"), strict=True):
        assert f"LCBP3-RFA-{number}" in text


def ocrmypdf_refused(url: str) -> None:
    """A language that is not there, nobody who answers, and no URL: the command ends with the reason."""
    for options, status, reason in (
        (("-l", "vol"), 7, "ocr-sidecar answered 422: "),
        (("--sidecar-url", "http://127.0.0.1:9"), 3, "ocr-sidecar does not answer at http://127.0.0.1:9"),
        (("--sidecar-url", "file:///a"), 1, "an http or https URL is accepted"),
        (("--sidecar-key-file", "/nothing"), 1, "--sidecar-key-file cannot be read"),
    ):
        ended, said, _ = ocrmypdf(url, *options)
        assert (ended, reason in said) == (status, True), said


ROWS = (
    Row("mistralai", "`ocr.process`, `document_url` with a data URI, `pages`", mistral_ocr),
    Row("mistralai", "`ocr.process`, `image_url` with a data URI", mistral_image),
    Row("mistralai", "`files.upload`, `get_signed_url`, `ocr.process`, `files.delete`", mistral_files),
    Row("mistralai", "the message of an error", mistral_refused),
    Row("docling-serve-client", "`health_check`, `convert_file`", docling_file),
    Row(
        "docling-serve-client",
        "`convert_file` with all formats, `page_range`; docling-core reads the JSON",
        docling_formats,
    ),
    Row("docling-serve-client", "`convert_source` with a file", docling_source),
    Row("docling-serve-client", "the message of an error", docling_refused),
    Row("ocrmypdf", "`--plugin examples/ocrmypdf/ocr_sidecar_ocrmypdf.py`", ocrmypdf_reads),
    Row("ocrmypdf", "the message of an error", ocrmypdf_refused),
    Row("litellm", "`ocr`, `mistral/…`, with `/v1`", litellm_ocr),
)

if __name__ == "__main__":
    sys.exit(run(ROWS, sys.argv[1]))
