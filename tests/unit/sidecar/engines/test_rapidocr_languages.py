"""What RapidOCR's models read, and on which pages they may judge."""

import pytest

from sidecar.engines.rapidocr.languages import WHEEL_LANGUAGES, covers, missing_languages, needs_thai


@pytest.mark.parametrize(
    ("languages", "has_thai", "missing"),
    [
        ("eng", False, []),
        ("eng+deu+chi_sim", False, []),
        ("tha+eng", False, ["tha"]),
        ("tha+eng", True, []),
        ("tha+rus+ara", True, ["rus", "ara"]),
    ],
)
def test_languages_without_a_model_are_named(languages, has_thai, missing):
    assert missing_languages(languages, has_thai=has_thai) == missing


@pytest.mark.parametrize(
    ("languages", "text", "has_thai", "judges"),
    [
        ("eng", "เลขที่", False, True),  # what was asked for counts, whatever was read
        ("tha+eng", "Total RM 25.00", False, True),
        ("tha+eng", "Café Übermaß ªº 10 µm", False, True),
        ("tha+eng", "Total ก 25.00", False, False),
        ("tha+eng", "Total ก 25.00", True, True),
        ("tha+eng", "", False, True),
        ("tha+eng", "ИТОГО 25.00", True, True),
        ("rus+eng", "ИТОГО 25.00", True, False),
        ("rus+eng", "合同 カタカナ ひらがな", False, True),
    ],
)
def test_it_judges_what_it_was_asked_for_or_can_read(languages, text, has_thai, judges):
    assert covers(languages, text, has_thai=has_thai) is judges


@pytest.mark.parametrize(
    ("languages", "text", "has_thai", "thai"),
    [
        ("tha+eng", "", True, True),
        ("tha+eng", "เลขที่ 5", True, True),
        ("tha+eng", "Total 5", True, False),
        ("eng", "เลขที่ 5", True, False),
        ("tha+eng", "", False, False),
    ],
)
def test_the_thai_model_reads_where_thai_is_asked_for_and_may_be_there(languages, text, has_thai, thai):
    assert needs_thai(languages, text, has_thai=has_thai) is thai


def test_the_wheels_languages_are_those_of_rapidocrs_own_list():
    from rapidocr.utils.model_resolver import list_supported_langs  # noqa: PLC0415 - it takes a second to import
    from rapidocr.utils.typings import ModelType, OCRVersion, TaskType  # noqa: PLC0415 - likewise

    names = list_supported_langs(TaskType.REC, OCRVersion.PPOCRV6, ModelType.SMALL)
    assert len(WHEEL_LANGUAGES) <= len(names)
    assert not {"th", "ru", "ar", "ko"} & set(names)
