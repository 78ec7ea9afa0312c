"""Rows for the tests of the mirror: the seed row, and its prompt."""

from dataclasses import replace
from decimal import Decimal
from typing import Any

from controller.mirror.rows import ProfileRow, PromptRow, Snapshot

OCR_EXTRACT = ProfileRow(
    id=5,
    profile_name="ocr-extract",
    canonical_model="np-dms-ocr",
    temperature=Decimal("0.100"),
    top_p=Decimal("0.500"),
    max_tokens=None,
    num_ctx=8192,
    repeat_penalty=Decimal("1.000"),
    keep_alive_seconds=0,
    is_active=1,
)
PROMPT = PromptRow(
    version_number=2, template="ถอดข้อความ {{text}}", context_config='{"dmsTags": {"documentNumber": true}}'
)


def profile(**columns: Any) -> ProfileRow:
    return replace(OCR_EXTRACT, **columns)


def prompt(**columns: Any) -> PromptRow:
    return replace(PROMPT, **columns)


def rows(
    *profiles: ProfileRow, prompts: tuple[PromptRow, ...] = (PROMPT,), user_prompts: tuple[PromptRow, ...] = ()
) -> Snapshot:
    return Snapshot(profiles, prompts, user_prompts)


NOTHING = Snapshot((), (PROMPT,), has_profiles=False)
OTHERS_ONLY = Snapshot((), (PROMPT,), has_profiles=True)
