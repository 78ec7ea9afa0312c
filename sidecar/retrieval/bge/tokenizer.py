"""Texts as token ids, by the tokenizers library itself."""

import re
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from sidecar.retrieval.model import (
    ModelLoadError,
    Piece,
    Tokens,
)

if TYPE_CHECKING:
    import numpy as np


MODEL_LIMIT_TOKENS = 8192
"""Most tokens of an input, whatever a model says it can read."""


TOKEN_CHARS = 16
"""No token of XLM-R is longer: so many characters for each token that is read usually hold enough of them. The rest of
a text is looked at only where they do not, since one character may become eighteen (U+FDFA)."""
MAX_CHARS_PER_TOKEN = 64
"""A text is cut at so many characters for each token that is read, so that the time for one has a bound."""
SPACES = re.compile(r"\s{2,}")
"""What tokenizers of this family read as one space: it must not take the room of words."""


class Tokenizer:
    """The tokenizer's own library, called directly: the wrapper around it costs more than a short text does."""

    def __init__(
        self,
        tokenizer: Any,  # noqa: ANN401 - the library's types say no more
        config: Any,  # noqa: ANN401 - likewise
        max_tokens: int,
    ) -> None:
        """Read at most ``max_tokens`` of an input, special ones included, and what the model can."""
        self._backend = tokenizer.backend_tokenizer
        self._backend.no_truncation()
        self._backend.no_padding()
        self.pad_id: int = tokenizer.pad_token_id
        self._first, self._last = tokenizer.cls_token_id, tokenizer.sep_token_id
        special = (tokenizer.cls_token, tokenizer.eos_token, tokenizer.pad_token, tokenizer.unk_token)
        self.unused_ids = sorted(tokenizer.convert_tokens_to_ids([token for token in special if token]))
        self._known_ids: int = config.vocab_size
        positions = config.max_position_embeddings - config.pad_token_id - 1
        self.max_tokens = min(max_tokens, positions, tokenizer.model_max_length)
        if tokenizer("a", "b")["input_ids"] != self.pair(*(ids for ids, _ in self.ids(["a", "b"], 8))):
            raise ModelLoadError("model-unusable: its tokenizer is not of the XLM-R family")

    def ids(self, texts: Sequence[str], limit: int) -> list[tuple[list[int], bool]]:
        """Give texts as ids without special ones, and whether they were cut before that."""
        max_chars = limit * MAX_CHARS_PER_TOKEN
        short = [text if len(text) <= max_chars else SPACES.sub(" ", text) for text in texts]
        begun = [text[: limit * TOKEN_CHARS] for text in short]
        found = self._backend.encode_batch_fast(begun, add_special_tokens=False)
        return [self._whole(text, one.ids, limit) for text, one in zip(short, found, strict=True)]

    def _whole(self, text: str, begun: list[int], limit: int) -> tuple[list[int], bool]:
        """Give the ids of a text whose beginning is known, and whether it was cut before that."""
        if len(text) <= limit * TOKEN_CHARS:
            return begun, False
        if len(begun) >= limit:
            return begun, True
        max_chars = limit * MAX_CHARS_PER_TOKEN
        return self._backend.encode(text[:max_chars], add_special_tokens=False).ids, len(text) > max_chars

    def pieces(self, text: str, limit: int, *, special: bool) -> list[Piece]:
        """Give the tokens of a text, cut to so many, with the special ones around it or without."""
        found = self._backend.encode(text[: limit * TOKEN_CHARS], add_special_tokens=False)
        if len(found.ids) < limit and len(text) > limit * TOKEN_CHARS:
            found = self._backend.encode(text[: limit * MAX_CHARS_PER_TOKEN], add_special_tokens=False)
        spans = zip(found.ids[:limit], found.offsets[:limit], strict=True)
        pieces = [Piece(number, text[start:stop], False, start, stop) for number, (start, stop) in spans]
        if not special:
            return pieces
        first, last = (Piece(one, self._backend.id_to_token(one), True, 0, 0) for one in (self._first, self._last))
        return [first, *pieces, last]

    def single(self, ids: Sequence[int]) -> list[int]:
        """Put the special ids around one text."""
        return [self._first, *ids, self._last]

    def pair(self, one: Sequence[int], other: Sequence[int]) -> list[int]:
        """Put the special ids around two texts."""
        return [self._first, *one, self._last, self._last, *other, self._last]

    def pad(self, batch: Sequence[Tokens]) -> "np.ndarray":
        """Give a batch as one matrix."""
        import numpy as np

        longest = max(len(one.ids) for one in batch)
        ids = np.full((len(batch), longest), self.pad_id, dtype=np.int64)
        for row, one in zip(ids, batch, strict=True):
            row[: len(one.ids)] = one.ids
        if ids.max() >= self._known_ids:  # a GPU that meets one computes nothing more in this process
            raise ValueError("a token that the model does not know")
        return ids
