"""A model that has just left frees its memory late: what looks like pressure then is looked at again."""

import pytest

from sidecar.gpu.residency_policy import may_still_be_freed
from sidecar.gpu.vram import ResidentModel, VramHeadroom

LLM = ResidentModel("np-dms-ai:latest", 9000)


def reading(used_mb: int, available_mb: int) -> VramHeadroom:
    return VramHeadroom(16_384, used_mb, available_mb, query_success=True, models=(LLM,))


@pytest.mark.parametrize(
    ("used_mb", "available_mb", "expected"),
    [
        (13_500, 2884, True),  # 4500 MiB that nobody is known to hold: the OCR model on its way out
        (10_000, 2884, False),  # only a CUDA context is unaccounted for
        (9000, 3999, False),
        (10_116, 2884, True),  # exactly enough
        (10_115, 2884, False),
    ],
)
def test_memory_that_no_model_is_known_to_hold_may_still_be_freed(used_mb, available_mb, expected):
    assert may_still_be_freed(reading(used_mb, available_mb), 4000) is expected
