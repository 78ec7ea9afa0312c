"""Which files of a folder are documents to read, and where their texts go."""

import pytest

from sidecar.cli.commands import _parser
from sidecar.cli.documents import find_documents
from sidecar.cli.formats import SUFFIXES_OF
from sidecar.cli.reading import read_documents
from sidecar.settings import SettingsError


def test_what_was_written_as_pdf_is_no_document_of_the_next_run(tmp_path):
    for name in ("a.pdf", "a.pdf.searchable.pdf", "sub.searchable.pdf"):
        (tmp_path / name).touch()
    found = find_documents([str(tmp_path)], tmp_path, SUFFIXES_OF["pdf"], tmp_path / "stdin")
    assert [(one.name, one.target) for one in found] == [("a.pdf", tmp_path / "a.pdf.searchable.pdf")]


def test_no_two_formats_have_the_same_file():
    assert len(set(SUFFIXES_OF.values())) == len(SUFFIXES_OF)


def test_a_folder_where_a_text_would_go_is_refused_before_any_work(tmp_path):
    (tmp_path / "a.pdf").touch()
    (tmp_path / "out" / "a.pdf.md").mkdir(parents=True)
    options = _parser().parse_args(["ocr", str(tmp_path / "a.pdf"), "--output", str(tmp_path / "out")])
    with pytest.raises(SettingsError, match=r"a\.pdf\.md is a folder"):
        read_documents(options, {}, "")
