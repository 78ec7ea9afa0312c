"""How long the OCR model may stay in VRAM, and whether calling it would evict the LLM. Pure.

The LLM comes first. keep_alive is decided here and nowhere else.
"""

from dataclasses import dataclass
from math import ceil

from sidecar.gpu.vram import VramHeadroom

LARGE_CONTEXT_PROFILES = frozenset({"deep-analysis", "large-context"})
LARGE_CONTEXT_TOKENS = 32_768
DEFAULT_CONTEXTS = ((47 * 1024, 262_144), (23 * 1024, 32_768))
"""From this much VRAM on, in MiB: the context, in tokens, that Ollama gives a model that nobody gave one."""
UNKNOWN_MB = -1

LARGE_CONTEXT_ACTIVE = "large-context-active"
QUERY_FAILED = "query-failed"
HIGH_PRESSURE = "high-pressure"
HEADROOM_SUFFICIENT = "headroom-sufficient"
LEASE = "lease"
NOT_GOVERNED = "not-governed"


@dataclass(frozen=True, slots=True)
class ResidencyLimits:
    """What the operator allows: seconds in VRAM, and MiB above and below which there is pressure."""

    window_s: int
    main_model_pressure_mb: int
    headroom_mb: int


@dataclass(frozen=True, slots=True)
class OcrResidencyDecision:
    """What is sent as keep_alive (None: nothing), the headroom it was decided on (-1: not known), and why."""

    keep_alive_seconds: int | None
    vram_headroom_mb: int
    reason: str


def calculate_ocr_residency(
    headroom: VramHeadroom, model: str, active_profile: str | None, limits: ResidencyLimits, cap_s: int = 0
) -> OcrResidencyDecision:
    """Decide for one model call; the first rule that fits. Comparisons are strict: equality is no pressure.

    What the OCR model itself holds is left out on both sides, or its own residency would evict it.

    Args:
        headroom: the reading, not older than the call.
        model: the OCR model's name.
        active_profile: the LLM profile in use, as the caller or the operator says.
        limits: thresholds and the longest residency.
        cap_s: longest residency the OCR profile allows, in seconds; 0 sets none.
    """
    if active_profile in LARGE_CONTEXT_PROFILES or _has_large_context(headroom, model):
        return OcrResidencyDecision(0, UNKNOWN_MB, LARGE_CONTEXT_ACTIVE)
    if not headroom.query_success:
        return OcrResidencyDecision(0, UNKNOWN_MB, QUERY_FAILED)
    own_mb = headroom.held_by(model)
    too_much_used = headroom.used_mb - own_mb > limits.main_model_pressure_mb
    too_little_left = headroom.available_mb + own_mb < limits.headroom_mb
    if too_much_used or too_little_left:
        return OcrResidencyDecision(0, headroom.available_mb, HIGH_PRESSURE)
    window_s = min(limits.window_s, cap_s) if cap_s > 0 else limits.window_s
    return OcrResidencyDecision(window_s, headroom.available_mb, HEADROOM_SUFFICIENT)


def lease_residency(headroom: VramHeadroom, left_s: float) -> OcrResidencyDecision:
    """Let the model stay as long as the lease lasts: the LLM is away, and if we die, it leaves by itself."""
    return OcrResidencyDecision(max(1, ceil(left_s)), headroom.available_mb, LEASE)


def ungoverned(headroom: VramHeadroom) -> OcrResidencyDecision:
    """Leave it to a model server that holds its model as it likes; what there is on the card is told all the same."""
    return OcrResidencyDecision(None, headroom.available_mb if headroom.query_success else UNKNOWN_MB, NOT_GOVERNED)


def _has_large_context(headroom: VramHeadroom, model: str) -> bool:
    """Return whether an LLM has a context that somebody made large; the default of a large card says nothing."""
    default = next((tokens for from_mb, tokens in DEFAULT_CONTEXTS if headroom.total_mb >= from_mb), 0)
    return any(LARGE_CONTEXT_TOKENS <= other.context_length > default for other in headroom.others(model))


def would_evict(headroom: VramHeadroom, model: str, required_mb: int, calls_running: int) -> bool:
    """Return whether calling the OCR model now would evict another model.

    False if the reading failed (a pessimistic guard once froze production), and while calls of ours run: the model is
    then resident or being loaded, even if no reading shows it yet.
    """
    if not headroom.query_success or calls_running or headroom.is_resident(model):
        return False
    return headroom.available_mb < required_mb and bool(headroom.others(model))


def would_overflow(headroom: VramHeadroom, model: str, required_mb: int, room_mb: int, calls_running: int) -> bool:
    """Return whether one more call would take more than there is for the model and its calls, where the need is known.

    A call that would be alone on the card is made all the same: nobody loses anything, and the server may move a part
    of the model to the CPU. False if the reading failed.
    """
    if not headroom.query_success or not (calls_running or headroom.others(model)):
        return False
    return room_mb < required_mb


def needs_room(headroom: VramHeadroom, model: str, required_mb: int) -> bool:
    """Return whether the model must be loaded and does not fit beside what is resident."""
    return headroom.query_success and not headroom.is_resident(model) and headroom.available_mb < required_mb


def is_short(headroom: VramHeadroom, model: str, required_mb: int) -> bool:
    """Return whether a call, resident or not, found less memory than it requires; False if the reading failed."""
    return headroom.query_success and headroom.available_mb + headroom.held_by(model) < required_mb


def may_still_be_freed(headroom: VramHeadroom, required_mb: int) -> bool:
    """Return whether memory that no known model holds would be enough: an evicted model frees its memory late."""
    unaccounted_mb = headroom.used_mb - sum(model.vram_mb for model in headroom.models)
    return headroom.available_mb + unaccounted_mb >= required_mb
