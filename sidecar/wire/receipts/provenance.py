"""How a page would be read now: what its receipt would say. Pure."""

from collections.abc import Iterable

from pydantic import Field

from sidecar import __version__
from sidecar.errors import SidecarError
from sidecar.ocr.engine import FAST_PATH, OcrEngine, ReadOrder
from sidecar.ocr.results.receipt import receipt_of
from sidecar.profiles.payload import Profile
from sidecar.wire.common import Wire


class ReaderBody(Wire):
    """One that reads pages now, with what it would be told."""

    engine: str
    model: str
    model_digest: str | None = None
    recipe: str | None = None
    prompt_sha256: str | None = None
    languages: str | None = Field(
        None, description="Languages that it reads by default, whose data `modelDigest` tells."
    )


class ProvenanceBody(Wire):
    """Answer of `GET /provenance`."""

    service: str = Field(description="Version of this service.")
    profile: str | None = Field(
        description="The profile that was asked for, or the default one; null if there is none."
    )
    revision: str | None
    readers: list[ReaderBody] = Field(description="Those that are there now; text layers are read by `fast-path`.")


def provenance_body(
    profile: Profile | None, engines: Iterable[OcrEngine], order: ReadOrder, library: str
) -> ProvenanceBody:
    """Render how pages would be read now; ``library`` reads the text layers."""
    readers = [ReaderBody(engine=FAST_PATH, model=library, languages=None)]
    return ProvenanceBody(
        service=__version__,
        profile=profile.name if profile else None,
        revision=profile.revision if profile else None,
        readers=[*readers, *filter(None, (_reader(one, order) for one in engines))],
    )


def _reader(engine: OcrEngine, order: ReadOrder) -> ReaderBody | None:
    """Render an engine; None for one that is not there."""
    try:
        receipt = receipt_of(engine, order, {})
    except SidecarError:
        return None
    return ReaderBody(
        engine=engine.traits.name,
        model=receipt.model.name,
        model_digest=receipt.model.digest,
        recipe=receipt.recipe,
        prompt_sha256=receipt.prompt_sha256,
        languages=order.languages if engine.traits.takes_languages else None,
    )
