"""Makes the documents that tests need and no sample holds."""

import io
import struct
import zlib

from PIL import Image, ImageDraw, ImageFont
from reportlab.lib.pagesizes import A4
from reportlab.lib.utils import ImageReader
from reportlab.pdfgen.canvas import Canvas

LINE = "The contractor submits the shop drawing for approval, please review within seven working days."


def picture_of_text(lines: int = 8, size: tuple[int, int] = (1654, 2338), text: str = LINE) -> Image.Image:
    """A page of text as a picture, at 200 dots per inch."""
    image = Image.new("L", size, 255)
    font = ImageFont.load_default(32)
    for line in range(lines):
        ImageDraw.Draw(image).text((100, 120 + 60 * line), text, fill=0, font=font)
    return image


def as_png(image: Image.Image) -> bytes:
    out = io.BytesIO()
    image.save(out, "PNG")
    return out.getvalue()


def as_tiff(pages: list[Image.Image]) -> bytes:
    out = io.BytesIO()
    pages[0].save(out, "TIFF", save_all=True, append_images=pages[1:], compression="tiff_lzw")
    return out.getvalue()


class PdfMaker:
    """A PDF page by page."""

    def __init__(self, **options) -> None:
        self._out = io.BytesIO()
        self.canvas = Canvas(self._out, pagesize=A4, **options)

    def text_page(self, lines: int = 10, text: str = LINE, rotate: int = 0) -> "PdfMaker":
        self.canvas.setPageRotation(rotate)
        for line in range(lines):
            self.canvas.drawString(50, 780 - 20 * line, text)
        self.canvas.showPage()
        return self

    def scan_page(self, image: Image.Image, hidden_text: list[str] = (), stamp: list[str] = (), strips: int = 1):
        """A picture over the whole page, with invisible text over it, as scanners' software writes, or a stamp."""
        width, height = A4
        step = image.height // strips
        for strip in range(strips):
            part = image.crop((0, strip * step, image.width, (strip + 1) * step))
            top = height - height * strip / strips
            self.canvas.drawImage(ImageReader(part), 0, top - height / strips, width, height / strips)
        hidden = self.canvas.beginText(36, 780)
        hidden.setTextRenderMode(3)
        hidden.setFont("Helvetica", 11.2, leading=21.6)
        hidden.textLines(hidden_text)
        self.canvas.drawText(hidden)
        self.canvas.setFont("Helvetica", 7)
        for line, text in enumerate(stamp):
            self.canvas.drawString(20, 825 - 8 * line, text)
        self.canvas.showPage()
        return self

    def empty_page(self) -> "PdfMaker":
        self.canvas.showPage()
        return self

    def finish(self) -> bytes:
        self.canvas.save()
        return self._out.getvalue()


def raw_pdf(*objects: bytes) -> bytes:
    """A PDF of hand-written objects, numbered from 1; the first is the catalogue."""
    out = io.BytesIO(b"")
    out.write(b"%PDF-1.7\n")
    offsets = []
    for number, body in enumerate(objects, 1):
        offsets.append(out.tell())
        out.write(b"%d 0 obj\n%s\nendobj\n" % (number, body))
    start = out.tell()
    out.write(b"xref\n0 %d\n0000000000 65535 f \n" % (len(objects) + 1))
    out.writelines(b"%010d 00000 n \n" % offset for offset in offsets)
    out.write(b"trailer << /Size %d /Root 1 0 R >>\nstartxref\n%d\n%%%%EOF\n" % (len(objects) + 1, start))
    return out.getvalue()


def stream(dictionary: bytes, data: bytes) -> bytes:
    return b"<< %s /Length %d >>\nstream\n%s\nendstream" % (dictionary, len(data), data)


def pdf_with_image(width: int, height: int, pixels: bytes) -> bytes:
    """One page that shows one grey picture."""
    content = b"q 595 0 0 842 0 0 cm /I Do Q"
    header = b"/Type /XObject /Subtype /Image /Width %d /Height %d /ColorSpace /DeviceGray /BitsPerComponent 8"
    return raw_pdf(
        b"<< /Type /Catalog /Pages 2 0 R >>",
        b"<< /Type /Pages /Kids [3 0 R] /Count 1 >>",
        b"<< /Type /Page /Parent 2 0 R /MediaBox [0 0 595 842] /Contents 4 0 R"
        b" /Resources << /XObject << /I 5 0 R >> >> >>",
        stream(b"", content),
        stream(header % (width, height) + b" /Filter /FlateDecode", zlib.compress(pixels, 9)),
    )


def png_header(width: int, height: int) -> bytes:
    """A PNG that claims a size and holds next to nothing."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    header = struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0)
    data = zlib.compress(b"\0" * 1000)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", data) + chunk(b"IEND", b"")
