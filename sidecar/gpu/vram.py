"""Readings of the GPU's memory, as values. Pure."""

from dataclasses import dataclass

DEFAULT_REGISTRY, DEFAULT_NAMESPACE = "registry.ollama.ai/", "library/"


@dataclass(frozen=True, slots=True)
class ResidentModel:
    """One model that Ollama holds. ``vram_mb`` is its part in VRAM; ``context_length`` is 0 if it is not known."""

    name: str
    vram_mb: int
    context_length: int = 0


@dataclass(frozen=True, slots=True)
class VramHeadroom:
    """A reading, in MiB. ``models`` is what Ollama holds; without success the numbers mean nothing."""

    total_mb: int
    used_mb: int
    available_mb: int
    query_success: bool
    models: tuple[ResidentModel, ...] = ()

    def held_by(self, model: str) -> int:
        """Return the MiB that a model holds; 0 if it is not resident."""
        return sum(one.vram_mb for one in self.models if same_model(one.name, model))

    def is_resident(self, model: str) -> bool:
        """Return whether Ollama holds a model."""
        return any(same_model(one.name, model) for one in self.models)

    def others(self, model: str) -> tuple[ResidentModel, ...]:
        """Return what Ollama holds besides a model."""
        return tuple(one for one in self.models if not same_model(one.name, model))


UNREADABLE = VramHeadroom(0, 0, 0, query_success=False)


def same_model(one: str, other: str) -> bool:
    """Compare names as Ollama does: ignoring case, default registry and tag."""
    return full_name(one) == full_name(other)


def full_name(model: str) -> str:
    """Normalise a name: ignoring case, without the default registry, with the default tag if it has none."""
    name = model.casefold().removeprefix(DEFAULT_REGISTRY).removeprefix(DEFAULT_NAMESPACE)
    return name if ":" in name.rpartition("/")[2] else f"{name}:latest"
