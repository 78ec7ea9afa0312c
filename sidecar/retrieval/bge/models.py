"""BGE-M3 and the reranker: tokenise, forward. The encoder is torch's or OpenVINO's, all else is torch's.

These libraries take seconds to import. So they are imported inside functions, which run in a thread, once the ports are
open. The forward is run here and not by FlagEmbedding, whose own runs the first batch twice.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from sidecar.retrieval.bge.loading import TORCH, Loaded, LoadOptions, load_embedder, load_reranker
from sidecar.retrieval.bge.tokenizer import Tokenizer
from sidecar.retrieval.bge.torch_runtime import (
    copy_to,
    errors_of,
    free_gpu,
    gpu_errors,
    padding_mask,
    while_wanted,
)
from sidecar.retrieval.model import (
    CPU,
    EMBED,
    GPU,
    RERANK,
    Embedding,
    IsWanted,
    Piece,
    Tokens,
)

if TYPE_CHECKING:
    import numpy as np
    import torch


IDS_A_ROW = 1 << 32
"""What sets the token ids of one text apart from those of the next in one array; no vocabulary is that large."""


class ModelOnCpu:
    """What models have in common: a tokenizer, a copy on the CPU, and what is known of them for copies elsewhere."""

    name = EMBED

    def __init__(self, loaded: Loaded, options: LoadOptions, *, paired: bool) -> None:
        self._tokenizer = Tokenizer(loaded.tokenizer, loaded.config, options.max_tokens, paired=paired)
        self._gpu = options.gpu
        self._dtype = options.dtype
        self.max_tokens = self._tokenizer.max_tokens
        self.backend = loaded.backend
        self.gpu_mb = loaded.gpu_mb
        self.can_use_gpu = options.gpu is not None and self.backend == TORCH
        self.batch_cores = 0 if self.backend == TORCH else 1

    def pieces(self, text: str, *, special: bool) -> list[Piece]:
        """Give the tokens of a text."""
        return self._tokenizer.pieces(text, self._tokenizer.room, special=special)

    def free_gpu(self) -> None:
        """Give back what copies left."""
        free_gpu()


class Embedder(ModelOnCpu):
    """BGE-M3: a text becomes a dense vector and a sparse one."""

    gives_tokens = True

    def __init__(self, folder: Path, options: LoadOptions) -> None:
        """Load it from its folder.

        Raises:
            ModelLoadError: it is not what it should be.
        """
        loaded = load_embedder(folder, options)
        super().__init__(loaded, options, paired=False)
        self.max_query_tokens = 0
        self.dimensions: int = loaded.config.hidden_size
        self.cpu = EmbedderCopy(CPU, loaded.encoder, Heads(*loaded.heads), self._tokenizer)

    def tokenize(self, inputs: Sequence[str]) -> list[Tokens]:
        """Give texts as the model reads them."""
        return self._tokenizer.singles(inputs)

    def copy_to_gpu(self) -> "EmbedderCopy":
        """Make a copy on the GPU."""
        with gpu_errors():
            encoder = copy_to(self.cpu.encoder, self._gpu, self._dtype)
            heads = Heads(*(copy_to(head, self._gpu) for head in self.cpu.heads))
            return EmbedderCopy(GPU, encoder, heads, self._tokenizer)


class Reranker(ModelOnCpu):
    """A cross-encoder: a query and a text become a score, any number, larger for what fits better."""

    name = RERANK
    gives_tokens = False

    def __init__(self, folder: Path, options: LoadOptions) -> None:
        """Load it from its folder.

        Raises:
            ModelLoadError: it is not what it should be.
        """
        loaded = load_reranker(folder, options)
        super().__init__(loaded, options, paired=True)
        self.max_query_tokens = min(self.max_tokens * 3 // 4, self._tokenizer.room)
        self.dimensions = 0
        self.cpu = RerankerCopy(CPU, loaded.encoder, loaded.heads[0], self._tokenizer)

    def tokenize(self, inputs: Sequence[tuple[str, str]]) -> list[Tokens]:
        """Give pairs as the model reads them; as in FlagEmbedding a query has three quarters of the room at most."""
        queries = dict.fromkeys(query for query, _ in inputs)
        known = dict(zip(queries, self._tokenizer.ids(list(queries), self.max_query_tokens), strict=True))
        texts = self._tokenizer.ids([text for _, text in inputs], self._tokenizer.room)
        return [self._pair(known[query], text) for (query, _), text in zip(inputs, texts, strict=True)]

    def _pair(self, query: tuple[list[int], bool], text: tuple[list[int], bool]) -> Tokens:
        query_ids = query[0][: self.max_query_tokens]
        room = self._tokenizer.room - len(query_ids)
        query_cut = query[1] or len(query[0]) > self.max_query_tokens
        cut = query_cut or text[1] or len(text[0]) > room
        return Tokens(self._tokenizer.pair(query_ids, text[0][:room]), cut, query_cut)

    def copy_to_gpu(self) -> "RerankerCopy":
        """Make a copy on the GPU."""
        with gpu_errors():
            encoder = copy_to(self.cpu.encoder, self._gpu, self._dtype)
            return RerankerCopy(GPU, encoder, copy_to(self.cpu.head, self._gpu), self._tokenizer)


# ── forward ───────────────────────────────────────────────────────────────────────────────────────────────────────


class Heads(NamedTuple):
    """What BGE-M3 has beside its encoder: a weight for each token, and a vector for each."""

    sparse: Any
    colbert: Any


class EmbedderCopy:
    """BGE-M3's weights on one device; what the heads compute is computed in float32."""

    def __init__(self, device: str, encoder: Any, heads: Heads, tokenizer: Tokenizer) -> None:  # noqa: ANN401
        self.device = device
        self.encoder = encoder
        self.heads = heads
        self._tokenizer = tokenizer

    def run(self, batch: Sequence[Tokens], is_wanted: IsWanted) -> list[Embedding | None]:
        """Embed a batch: the first token's vector, normalised, and a weight for each token."""
        import torch

        ids = self._tokenizer.pad(batch)
        with torch.inference_mode(), while_wanted(is_wanted), errors_of(self.device):
            tensor = torch.from_numpy(ids).to(self.heads.sparse.weight.device)
            hidden = self.encoder(tensor, attention_mask=padding_mask(batch, tensor.device))[0]
            dense = torch.nn.functional.normalize(hidden[:, 0].float(), dim=-1)
            weights = torch.relu(self.heads.sparse(hidden.float())).squeeze(-1)
            both = torch.cat([dense, weights], dim=1).cpu().numpy()  # one transfer, one wait for the GPU
            each = [self._each(row, one) for row, one in zip(hidden, batch, strict=True)]
        size = dense.shape[1]
        return self._embeddings(both[:, :size], both[:, size:], ids, each)

    def _each(self, hidden: "torch.Tensor", text: Tokens) -> "np.ndarray | None":
        """Compute ColBERT's vectors if they are asked for: of all tokens after the first, as FlagEmbedding does."""
        import torch

        if not text.each:
            return None
        vectors = self.heads.colbert(hidden[1 : len(text.ids)].float())
        found: np.ndarray = torch.nn.functional.normalize(vectors, dim=-1).cpu().numpy()
        return found

    def _embeddings(
        self, dense: "np.ndarray", weights: "np.ndarray", ids: "np.ndarray", each: "Sequence[np.ndarray | None]"
    ) -> list[Embedding | None]:
        """Keep each text's largest weight of each token, of those above zero and of tokens that are no special ones.

        All texts at once: done one by one it would keep the GPU waiting for a tenth of its time.
        """
        import numpy as np

        counted = ~np.isin(ids, self._tokenizer.unused_ids)
        finite = np.isfinite(dense).all(axis=1) & (np.isfinite(weights) | ~counted).all(axis=1)
        rows, columns = np.nonzero(counted & (weights > 0))
        keys, group = np.unique(rows * IDS_A_ROW + ids[rows, columns], return_inverse=True)
        largest = np.zeros(len(keys), dtype=np.float32)
        np.maximum.at(largest, group, weights[rows, columns])
        firsts = np.searchsorted(keys, np.arange(1, len(ids)) * IDS_A_ROW)
        sparse = zip(np.split(keys % IDS_A_ROW, firsts), np.split(largest, firsts), strict=True)
        return [
            Embedding(vector, indices, values, vectors) if is_finite else None
            for vector, (indices, values), is_finite, vectors in zip(dense, sparse, finite, each, strict=True)
        ]


class RerankerCopy:
    """The reranker's weights on one device; its head computes in float32, so that near scores stay apart."""

    def __init__(self, device: str, encoder: Any, head: Any, tokenizer: Tokenizer) -> None:  # noqa: ANN401
        self.device = device
        self.encoder = encoder
        self.head = head
        self._tokenizer = tokenizer

    def run(self, batch: Sequence[Tokens], is_wanted: IsWanted) -> list[float | None]:
        """Score a batch: the raw logit, as FlagEmbedding's ``compute_score`` gives it."""
        import numpy as np
        import torch

        ids = self._tokenizer.pad(batch)
        with torch.inference_mode(), while_wanted(is_wanted), errors_of(self.device):
            tensor = torch.from_numpy(ids).to(self.encoder.device)
            hidden = self.encoder(tensor, attention_mask=padding_mask(batch, tensor.device))[0]
            scores = self.head(hidden[:, :1].float()).view(-1).cpu().numpy()
        return [float(score) if np.isfinite(score) else None for score in scores]
