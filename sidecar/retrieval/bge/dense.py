"""Embedders that give one dense vector, in the layout of sentence-transformers: e5, BGE's others, Qwen3-Embedding.

How a vector is made of the hidden states stands beside the weights; a model that does not say it is refused.
"""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal

from sidecar.retrieval.bge.loading import LoadOptions, load_dense
from sidecar.retrieval.bge.models import ModelOnCpu
from sidecar.retrieval.bge.tokenizer import Tokenizer
from sidecar.retrieval.bge.torch_runtime import copy_to, errors_of, gpu_errors, padding_mask, while_wanted
from sidecar.retrieval.model import CPU, EMBED, GPU, Embedding, IsWanted, ModelLoadError, Tokens

Pooling = Literal["cls", "mean", "lasttoken"]
MODULES, POOLING_FILE = "modules.json", "1_Pooling/config.json"
KNOWN_MODULES = {"Transformer", "Pooling", "Normalize"}
FLAGS: dict[str, Pooling] = {
    "pooling_mode_cls_token": "cls",
    "pooling_mode_mean_tokens": "mean",
    "pooling_mode_lasttoken": "lasttoken",
}


def pooling_of(folder: Path) -> Pooling:
    """Read how a model's vectors are made of its hidden states.

    Raises:
        ModelLoadError: it does not say so, or in a way that is not known here.
    """
    modules = _read(folder / MODULES)
    kinds = {str(one.get("type", "")).rpartition(".")[2] for one in modules} if isinstance(modules, list) else set()
    if unknown := kinds - KNOWN_MODULES:
        raise ModelLoadError(f"model-unusable: it has a layer that is not known here, {min(unknown)[:40]}")
    said = _read(folder / POOLING_FILE)
    chosen = [mode for flag, mode in FLAGS.items() if said.get(flag) is True] if isinstance(said, dict) else []
    others = [flag for flag, value in said.items() if flag.startswith("pooling_mode") and value is True] if said else []
    if len(chosen) != 1 or len(others) != 1:
        raise ModelLoadError(f"model-unusable: {POOLING_FILE} names none of {', '.join(FLAGS.values())}")
    return chosen[0]


def _read(path: Path) -> Any:  # noqa: ANN401 - JSON
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as exc:
        raise ModelLoadError(f"model-unusable: {path.name} is missing or no JSON") from exc


class DenseEmbedder(ModelOnCpu):
    """A text becomes a dense vector, and no other."""

    name = EMBED
    gives_tokens = False

    def __init__(self, folder: Path, options: LoadOptions) -> None:
        """Load it from its folder.

        Raises:
            ModelLoadError: it is not what it should be.
        """
        self._pooling = pooling_of(folder)
        loaded = load_dense(folder, options)
        super().__init__(loaded, options, paired=False)
        self.max_query_tokens = 0
        self.dimensions: int = loaded.config.hidden_size
        self.cpu = DenseCopy(CPU, loaded.encoder, self._pooling, self._tokenizer)

    def tokenize(self, inputs: Sequence[str]) -> list[Tokens]:
        """Give texts as the model reads them."""
        return self._tokenizer.singles(inputs)

    def copy_to_gpu(self) -> "DenseCopy":
        """Make a copy on the GPU."""
        with gpu_errors():
            return DenseCopy(GPU, copy_to(self.cpu.encoder, self._gpu, self._dtype), self._pooling, self._tokenizer)


class DenseCopy:
    """The weights on one device; what follows the encoder is computed in float32."""

    def __init__(self, device: str, encoder: Any, pooling: Pooling, tokenizer: Tokenizer) -> None:  # noqa: ANN401
        self.device = device
        self.encoder = encoder
        self._pooling = pooling
        self._tokenizer = tokenizer

    def run(self, batch: Sequence[Tokens], is_wanted: IsWanted) -> list[Embedding | None]:
        """Embed a batch."""
        import numpy as np
        import torch

        ids = self._tokenizer.pad(batch)
        with torch.inference_mode(), while_wanted(is_wanted), errors_of(self.device):
            tensor = torch.from_numpy(ids).to(self.encoder.device)
            hidden = self.encoder(tensor, attention_mask=padding_mask(batch, tensor.device))[0]
            lengths = torch.tensor([len(one.ids) for one in batch], device=hidden.device)
            pooled = self._pooled(hidden, lengths)
            dense = torch.nn.functional.normalize(pooled, dim=-1).cpu().numpy()
        finite = np.isfinite(dense).all(axis=1)
        return [Embedding(row) if is_finite else None for row, is_finite in zip(dense, finite, strict=True)]

    def _pooled(self, hidden: Any, lengths: Any) -> Any:  # noqa: ANN401 - torch's tensors
        """Make a vector of each row's tokens, those that fill it up left out."""
        import torch

        if self._pooling == "cls":
            return hidden[:, 0].float()
        if self._pooling == "lasttoken":
            return hidden[torch.arange(len(hidden), device=hidden.device), lengths - 1].float()
        real = torch.arange(hidden.shape[1], device=hidden.device) < lengths[:, None]
        # Not multiplied: what is not finite in a token that only fills up would spoil its row.
        return torch.where(real[..., None], hidden.float(), 0).sum(dim=1) / lengths[:, None]
