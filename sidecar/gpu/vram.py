"""Readings of the GPU's memory, as values. Pure."""

from dataclasses import dataclass, field, replace

DEFAULT_REGISTRY, DEFAULT_NAMESPACE = "registry.ollama.ai/", "library/"


@dataclass(frozen=True, slots=True)
class ResidentModel:
    """One model that Ollama holds. ``vram_mb`` is its part in VRAM; ``context_length`` is 0 where it is not told.

    ``expires_at`` is Ollama's own text, which changes whenever a request of the model ends. ``remaining_s``: how long
    until then, by Ollama's clock; negative while a request runs for longer than that, None where it is not told.
    """

    name: str
    vram_mb: int
    context_length: int = 0
    expires_at: str = field(default="", compare=False)
    remaining_s: float | None = field(default=None, compare=False)


@dataclass(frozen=True, slots=True)
class VramHeadroom:
    """A reading, in MiB. ``models`` is what Ollama holds; without success the numbers mean nothing.

    ``gpu`` identifies the device where the device itself was read, so that all of its users count.
    """

    total_mb: int
    used_mb: int
    available_mb: int
    query_success: bool
    models: tuple[ResidentModel, ...] = ()
    gpu: str = ""

    @property
    def gpu_key(self) -> str:
        """What is learned of a GPU is kept under this: its own identity, or the little that is known of it."""
        return self.gpu or f"{self.total_mb} MiB"

    def held_by(self, model: str) -> int:
        """Return the MiB that a model holds; 0 if it is not resident."""
        return sum(one.vram_mb for one in self.models if same_model(one.name, model))

    def is_resident(self, model: str) -> bool:
        """Return whether Ollama holds a model."""
        return any(same_model(one.name, model) for one in self.models)

    def others(self, *models: str) -> tuple[ResidentModel, ...]:
        """Return what Ollama holds besides these models."""
        names = {full_name(model) for model in models}
        return tuple(one for one in self.models if full_name(one.name) not in names)

    def without(self, model: ResidentModel) -> "VramHeadroom":
        """Return what the reading would be if a model left."""
        models = tuple(one for one in self.models if one != model)
        freed_mb = model.vram_mb
        return replace(self, used_mb=self.used_mb - freed_mb, available_mb=self.available_mb + freed_mb, models=models)


UNREADABLE = VramHeadroom(0, 0, 0, query_success=False)


def same_model(one: str, other: str) -> bool:
    """Compare names as Ollama does: ignoring case, default registry and tag."""
    return full_name(one) == full_name(other)


def full_name(model: str) -> str:
    """Normalise a name: ignoring case, without the default registry, with the default tag if it has none."""
    name = model.casefold().removeprefix(DEFAULT_REGISTRY).removeprefix(DEFAULT_NAMESPACE)
    return name if ":" in name.rpartition("/")[2] else f"{name}:latest"
