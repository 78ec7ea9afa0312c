"""How sure a page's text is, and what another reader says of it, in answers. Pure."""

from pydantic import Field

from sidecar.evidence import layout
from sidecar.evidence.confidence import Quality
from sidecar.ocr.checks.comparison import Verification
from sidecar.wire.common import Box, Wire


class DisagreementBody(Wire):
    """What two readers of a page read differently; null: nothing is there."""

    mine: str | None = Field(description="As it stands in the text.")
    other: str | None = Field(description="As the other engine read it.")
    box: Box | None = Field(
        description="Left, top, right and bottom edge in points from the page's top left corner, if known."
    )


class VerificationBody(Wire):
    """What came of holding a page against another engine's reading of it."""

    outcome: str = Field(description="`agrees`, `differs` or `unverified`.")
    engine: str | None = Field(description="The other engine.")
    duration_ms: int
    reason: str | None = Field(description="Why it is unverified.")


class QualityBody(Wire):
    """How sure a page's text is."""

    score: float = Field(description="0 to 1.")
    origin: str = Field(description="What the score was made from: `words`, `tokens`, `text`, `agreement`, with `+`.")
    verdict: str = Field(description="`high`, `medium` or `low`.")


def quality_body(judged: Quality | None) -> QualityBody | None:
    """Render how sure a page's text is, if that is known."""
    return QualityBody(score=judged.score, origin=judged.origin, verdict=judged.verdict) if judged else None


def verification_body(check: Verification | None) -> VerificationBody | None:
    """Render what came of a check, if there was one."""
    if check is None:
        return None
    return VerificationBody(
        outcome=check.outcome, engine=check.engine, duration_ms=check.duration_ms, reason=check.reason
    )


def disagreement_bodies(check: Verification | None) -> list[DisagreementBody]:
    """Render what another engine read differently."""
    return [
        DisagreementBody(mine=one.mine, other=one.other, box=_corners(one.box) if one.box else None)
        for one in (check.disagreements if check else ())
    ]


def _corners(box: layout.Box) -> list[float]:
    return [round(edge, 2) for edge in (box.left, box.top, box.right, box.bottom)]
