"""Whether there is room for a page's model and calls: the one rule of gate and lease."""

import pytest

from sidecar.gpu.vram import UNREADABLE, ResidentModel, VramHeadroom
from sidecar.gpu.wish import Wish, lacking_mb, own_mb, too_large

TOTAL_MB = 16_384
WISH = Wish("ocr", least_mb=6000, need_mb=9000, idle_mb=5000)


def reading(**models: int) -> VramHeadroom:
    used_mb = sum(models.values())
    there = tuple(ResidentModel(f"{name}:latest", mb) for name, mb in models.items())
    return VramHeadroom(TOTAL_MB, used_mb, TOTAL_MB - used_mb, query_success=True, models=there)


@pytest.mark.parametrize(
    ("models", "lacking"),
    [
        ({}, 6000 - 16_384),  # alone
        ({"llm": 10_134}, 0),  # 6250 MiB are free: 5000 / 0.8
        ({"llm": 10_135}, 1),  # there is enough for a call, but the server would evict
        ({"llm": 11_000}, 6250 - 5384),
        ({"llm": 10_884, "ocr": 4500}, 0),  # it is loaded, and takes 5000 by the device's count
        ({"llm": 10_885, "ocr": 4500}, 1),
        ({"other_ocr": 16_000}, 6000 - 16_384),  # ours evict each other
        ({"llm": 1000, "other_ocr": 12_000}, 6250 - 3384),  # but not while the server may choose the LLM instead
    ],
)
def test_what_is_lacking_beside_others(models, lacking):
    assert lacking_mb(WISH, reading(**models), {"ocr", "other_ocr"}, WISH.least_mb) == lacking


def test_what_it_holds_itself_counts_only_while_it_is_there():
    assert [own_mb(WISH, reading(**one)) for one in ({}, {"ocr": 4500}, {"ocr": 5500})] == [0, 5000, 5500]


def test_what_the_card_can_never_hold_is_told_in_numbers():
    huge = Wish("ocr", least_mb=TOTAL_MB + 1, need_mb=0)
    assert too_large(huge, reading(llm=9000)) == "the OCR model needs 16385 MiB for a page, the GPU has 16384"
    assert too_large(huge, UNREADABLE) is None
    assert too_large(Wish("ocr", TOTAL_MB, 99_999), reading(llm=9000)) is None
