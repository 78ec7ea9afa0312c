"""What a unit of each page is, and where QPDF need not be asked."""

import io

import pikepdf
import pytest

from sidecar.documents.places.units import user_units
from tests.integration.sidecar.documents import PdfMaker

MODES = {"packed": pikepdf.ObjectStreamMode.generate, "plain": pikepdf.ObjectStreamMode.disable}


def document(unit, mode, *, encrypted=False) -> bytes:
    out = io.BytesIO()
    with pikepdf.open(io.BytesIO(PdfMaker().text_page(2).text_page(2).finish())) as pdf:
        if unit:
            pdf.pages[1].obj["/UserUnit"] = unit
        secret = pikepdf.Encryption(owner="owner", user="", R=6) if encrypted else False
        pdf.save(out, object_stream_mode=MODES[mode], encryption=secret, min_version="1.6")
    return out.getvalue()


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("encrypted", [False, True])
@pytest.mark.parametrize(("unit", "known"), [(None, {}), (1, {}), (2.5, {1: 2.5})])
def test_units_are_found_however_the_file_is_written(tmp_path, unit, known, mode, encrypted):
    (tmp_path / "document").write_bytes(document(unit, mode, encrypted=encrypted))
    assert user_units(tmp_path / "document", [0, 1]) == known
