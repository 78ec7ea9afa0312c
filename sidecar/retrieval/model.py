"""What a retrieval model is to the rest of the service: values, and the seams its copies hide behind. Pure."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Protocol, TypeVar

CPU, GPU = "cpu", "cuda"
"""Devices by the names that answers give them."""
EMBED, RERANK = "embed", "rerank"
"""Models by what they can do."""

Input_contra = TypeVar("Input_contra", contravariant=True)
Result_co = TypeVar("Result_co", covariant=True)


class Vector(Protocol):
    """A row of numbers as the model's library holds it, serialised without being copied into Python objects."""

    def __len__(self) -> int:
        """Count the numbers."""

    def tobytes(self) -> bytes:
        """Give the numbers as little-endian bytes."""

    def tolist(self) -> list[Any]:
        """Give the numbers as Python's."""


@dataclass(frozen=True, slots=True)
class Tokens:
    """One input as the model reads it; ``truncated`` says that it was longer than the model reads.

    ``query_truncated`` says that it was the query, which is the same for all texts of a request. ``each`` asks for a
    vector of each token, too.
    """

    ids: Sequence[int]
    truncated: bool = False
    query_truncated: bool = False
    each: bool = False


@dataclass(frozen=True, slots=True)
class Piece:
    """A token and the part of the text that it stands for, from ``start`` to ``stop`` in characters."""

    id: int
    text: str
    special: bool
    start: int
    stop: int


@dataclass(frozen=True, slots=True)
class Embedding:
    """One text as vectors: ``dense`` has length 1; ``values`` are the weights of the token ids ``indices``.

    Both are None where a model gives no weights. ``each``: a vector of length 1 for each token after the first, in
    rows, if they were asked for.
    """

    dense: Vector
    indices: Vector | None = None
    values: Vector | None = None
    each: Vector | None = None


class ModelLoadError(Exception):
    """A model cannot be loaded; the text is a reason for ``/readyz`` and holds no path."""


class GpuOutOfMemoryError(Exception):
    """The GPU had no room for a copy, or for a batch."""


class GpuFailedError(Exception):
    """The GPU, or what drives it, failed."""


class AbandonedError(Exception):
    """Nobody waits for the batch any more, so it was not computed to its end."""


IsWanted = Callable[[], bool]
"""Tells whether anybody still waits for a batch. Asked from the thread that computes it."""


class ModelCopy(Protocol[Result_co]):
    """Weights on one device."""

    @property
    def device(self) -> str:
        """Tell where: ``cpu`` or ``cuda``."""

    def run(self, batch: Sequence[Tokens], is_wanted: IsWanted) -> Sequence[Result_co | None]:
        """Answer a batch; None for an input that the model gave no finite numbers for. Blocks.

        Raises:
            GpuOutOfMemoryError, GpuFailedError: nothing is answered; the CPU's copy can.
            AbandonedError: it was no longer wanted.
        """


class RetrievalModel(Protocol[Input_contra, Result_co]):
    """A model that is loaded: its tokenizer, its copy on the CPU, and how to get another one."""

    name: str
    max_tokens: int
    max_query_tokens: int
    """Most tokens of a query; 0 where there is none."""
    dimensions: int
    """How many numbers a vector has; 0 where there is none."""
    gpu_mb: int
    """MiB of GPU memory that a copy's weights take."""
    gives_tokens: bool
    """Whether it gives weights and vectors of tokens, beside a text's dense vector."""
    batch_cores: int
    """How many cores may compute one batch on the CPU; 0: any number."""
    backend: str
    """Which library computes on the CPU."""
    can_use_gpu: bool
    """Whether there is a GPU that copies can be made on."""

    @property
    def cpu(self) -> ModelCopy[Result_co]:
        """The copy that is always there."""

    def tokenize(self, inputs: Sequence[Input_contra]) -> list[Tokens]:
        """Give each input as the model reads it. Blocks."""

    def pieces(self, text: str, *, special: bool) -> list[Piece]:
        """Give the tokens of a text, with or without the special ones around it. Blocks."""

    def copy_to_gpu(self) -> ModelCopy[Result_co]:
        """Make a copy on the GPU. Blocks.

        Raises:
            GpuOutOfMemoryError, GpuFailedError: there is none.
        """

    def free_gpu(self) -> None:
        """Free memory that dropped copies left behind. Blocks."""


@dataclass(frozen=True, slots=True)
class ModelLimits:
    """What a model takes and gives, as :class:`RetrievalModel` says; it stays known while the model is away."""

    max_tokens: int
    max_query_tokens: int
    dimensions: int
    backend: str


def limits_of(model: RetrievalModel[Any, Any]) -> ModelLimits:
    """Return a model's limits."""
    return ModelLimits(model.max_tokens, model.max_query_tokens, model.dimensions, model.backend)
