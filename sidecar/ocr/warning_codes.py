"""Every warning an answer can carry: what differs from what was asked, and is no error. Pure."""

from enum import StrEnum


class WarningCode(StrEnum):
    """Codes for programs; docs/api.md says what each means, docs/operations.md what to do."""

    PAGE_FAILED = "page-failed"
    DEADLINE_PARTIAL = "deadline-partial"
    PAGES_LIMITED = "pages-limited"
    DOCUMENT_REPAIRED = "document-repaired"
    FORM_NOT_SHOWN = "form-not-shown"
    ENGINE_FALLBACK = "engine-fallback"
    GPU_PRESSURE = "gpu-pressure"
    GPU_OUT_OF_MEMORY = "gpu-out-of-memory"
    MODEL_MISSING = "model-missing"
    ENGINE_UNAVAILABLE = "engine-unavailable"
    ENGINE_FAILED = "engine-failed"
    ENGINE_REFUSED = "engine-refused"
    DEADLINE_EXCEEDED = "deadline-exceeded"
    PAGE_TRUNCATED = "page-truncated"
    PAGE_LOOPED = "page-looped"
    PAGE_ECHOED = "page-echoed"
    PAGE_EMPTY = "page-empty"
    PAGE_RETRIED = "page-retried"
    TEXT_LAYER_IMPLAUSIBLE = "text-layer-implausible"
    LANGUAGES_UNREAD = "languages-unread"
    NUMERALS_DOUBTFUL = "numerals-doubtful"
    BLOCKS_MISSING = "blocks-missing"
    PROFILE_MISSING = "profile-missing"
    PROMPT_UNFILLED = "prompt-unfilled"
    PARAMETERS_NOT_APPLIED = "parameters-not-applied"
    UNKNOWN_FIELD = "unknown-field"
