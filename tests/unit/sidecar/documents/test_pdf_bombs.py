import time
import zlib

import pytest

from sidecar.documents.pdf_bombs import check_streams
from sidecar.errors import ExpansionBombError

MIB = 1024 * 1024


def pdf(tmp_path, *objects: bytes):
    path = tmp_path / "document.pdf"
    path.write_bytes(b"%PDF-1.7\n" + b"\n".join(objects))
    return path


def deflated(size: int, layers: int = 1, dictionary: bytes = b"", fill: bytes = b" ", newline: bytes = b"\n") -> bytes:
    data = fill * (size // len(fill))
    for _ in range(layers):
        data = zlib.compress(data, 9)
    filters = b"/Filter [" + b"/FlateDecode " * layers + b"]"
    return b"1 0 obj << " + dictionary + filters + b" >>\nstream" + newline + data + b"\nendstream endobj"


@pytest.mark.parametrize(
    "bomb",
    [
        pytest.param(deflated(2 * MIB), id="one layer"),
        pytest.param(deflated(2 * MIB, newline=b"\r\n"), id="carriage return"),
        pytest.param(deflated(2 * MIB).replace(b"/FlateDecode", b"/Fl"), id="short name"),
        pytest.param(deflated(64 * MIB, layers=2), id="two layers"),
        pytest.param(deflated(64 * MIB, layers=3), id="three layers"),
        pytest.param(deflated(10, layers=5), id="more layers than anybody needs"),
        pytest.param(deflated(2 * MIB).removesuffix(b"\nendstream endobj"), id="no end"),
        pytest.param(deflated(100) + deflated(2 * MIB), id="behind a harmless one"),
        pytest.param(deflated(2 * MIB, dictionary=b"/Type /ObjStm "), id="object stream"),
    ],
)
def test_bombs_are_found(tmp_path, bomb):
    with pytest.raises(ExpansionBombError):
        check_streams(pdf(tmp_path, bomb), MIB)


@pytest.mark.parametrize(
    "harmless",
    [
        pytest.param(b"", id="no stream"),
        pytest.param(deflated(MIB), id="at the limit"),
        pytest.param(deflated(2 * MIB, dictionary=b"/Subtype /Image "), id="an image, which its pixels bound"),
        pytest.param(deflated(2 * MIB, dictionary=b"/Subtype/Image"), id="an image, tightly written"),
        pytest.param(deflated(200), id="small"),
        pytest.param(b"1 0 obj << /Filter /FlateDecode >>\nstream\nnot deflate\nendstream", id="broken deflate"),
        pytest.param(
            b"1 0 obj << /Filter /FlateDecode >>\nstream\n" + bytes(range(256)) * 50 + b"\nendstream",
            id="large and broken",
        ),
        pytest.param(b"1 0 obj << /Filter /DCTDecode >>\nstream\n" + bytes(2 * MIB), id="another filter"),
    ],
)
def test_what_is_no_bomb_passes(tmp_path, harmless):
    check_streams(pdf(tmp_path, harmless), MIB)


def test_a_large_drawing_passes(tmp_path):
    """Real drawings expand five- to tenfold: more than the limit, far less than a hundredfold."""
    lines = b"".join(
        b"%d %d m %d %d l S\n" % (n * 7919 % 9973, n, n * 104729 % 7919, n * 31 % 1009) for n in range(150_000)
    )
    assert len(lines) > 2 * MIB

    check_streams(pdf(tmp_path, deflated(len(lines), fill=lines)), MIB)


def test_a_bomb_whose_inner_layer_ends_early_is_found(tmp_path):
    """PDF readers expand a layer whole before they look into it: 64 MiB here, though 10 bytes come out at the end."""
    outer = zlib.compress(zlib.compress(b"10 bytes..") + bytes(64 * MIB), 9)
    bomb = b"1 0 obj << /Filter [/FlateDecode /FlateDecode] >>\nstream\n" + outer + b"\nendstream endobj"

    with pytest.raises(ExpansionBombError):
        check_streams(pdf(tmp_path, bomb), MIB)


def test_a_word_in_the_dictionary_does_not_hide_its_filter(tmp_path):
    bomb = deflated(2 * MIB).replace(b" >>", b" /Comment (a word like obj) >>", 1)

    with pytest.raises(ExpansionBombError):
        check_streams(pdf(tmp_path, bomb), MIB)


@pytest.mark.parametrize("content", [b"%", b"stream\n", b"/FlateDecode stream\n", b"stream\nendstream", b"\n" * 5000])
def test_a_file_that_is_hardly_one_passes(tmp_path, content):
    path = tmp_path / "document.pdf"
    path.write_bytes(content)

    check_streams(path, MIB)


NESTING = b"1 0 obj << /Filter /FlateDecode >>\nstream\n"


def nested(size: int) -> bytes:
    """Streams without an end, each valid and holding all that follow: a stored block of deflate spans to the next."""
    inner = NESTING + b"x\x01"
    block = b"\x00" + len(inner).to_bytes(2, "little") + (len(inner) ^ 0xFFFF).to_bytes(2, "little")
    return inner + (block + inner) * (size // len(block + inner))


@pytest.mark.parametrize("content", [NESTING * (MIB // len(NESTING)), nested(MIB)], ids=["not deflate", "deflate"])
def test_streams_in_one_another_are_refused_as_soon_as_they_are_seen(tmp_path, content):
    started = time.process_time()
    with pytest.raises(ExpansionBombError):
        check_streams(pdf(tmp_path, content), MIB)
    assert time.process_time() - started < 2  # seconds; what is quadratic takes 20 and more


def test_many_streams_that_end_are_no_nest(tmp_path):
    drawing = b"".join(b"%d %d m %d l\n" % (n, n * 7919 % 9973, n * 31 % 1009) for n in range(8_000))

    check_streams(pdf(tmp_path, *[deflated(len(drawing), fill=drawing)] * 40), MIB)


def form(levels: int, shared: int) -> bytes:
    """A form's tree in which each field lists the next one more than once."""
    kids = [
        b"%d 0 obj\n<< /Kids [%s] >>\nendobj\n" % (at, b"%d 0 R " % (at + 1) * shared) for at in range(5, 5 + levels)
    ]
    return b"1 0 obj\n<< /AcroForm 4 0 R >>\nendobj\n" + b"".join(kids) + b"startxref\n0\n%%EOF"


@pytest.mark.parametrize("order", [1, -1])
def test_a_form_whose_fields_share_their_children_is_a_bomb(tmp_path, order):
    lines = form(25, 2).split(b"\n")
    with pytest.raises(ExpansionBombError):
        check_streams(pdf(tmp_path, form(25, 2) if order == 1 else reordered(lines)), MIB)


def reordered(lines: list[bytes]) -> bytes:
    """Objects in the reverse order."""
    starts = [at for at, line in enumerate(lines) if line.endswith(b" obj")]
    return b"\n".join(b"\n".join(lines[at : at + 3]) for at in reversed(starts)) + b"\nstartxref\n0\n%%EOF"


@pytest.mark.parametrize("content", [form(2000, 1), form(10, 2), form(0, 2), form(3, 2).replace(b"[8 0 R", b"[5 0 R")])
def test_other_forms_are_none(tmp_path, content):
    assert check_streams(pdf(tmp_path, content), MIB) is False
