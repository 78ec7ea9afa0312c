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
    """The tokenizer's own library, called directly: the wrapper around it costs more than a short text does.

    Always in batches: for a single text the library keeps the interpreter's lock, a third of a second if it is long.
    """

    def __init__(self, tokenizer: Any, config: Any, max_tokens: int, *, paired: bool) -> None:  # noqa: ANN401 - libraries' types
        """Take over a tokenizer of transformers; ``paired``: for two texts at a time.

        Args:
            tokenizer: transformers' own.
            config: the model's, which says how many tokens it can tell the places of.
            max_tokens: most that are read of an input, special ones included, however many the model can.
            paired: whether inputs are two texts.

        Raises:
            ModelLoadError: what it puts around texts is not known here.
        """
        self._backend = tokenizer.backend_tokenizer
        self._backend.no_truncation()
        self._backend.no_padding()
        if tokenizer.pad_token_id is None:
            raise ModelLoadError("model-unusable: its tokenizer has no token to fill up with")
        self.pad_id: int = tokenizer.pad_token_id
        special = (tokenizer.cls_token, tokenizer.eos_token, tokenizer.pad_token, tokenizer.unk_token)
        self.unused_ids = sorted(tokenizer.convert_tokens_to_ids([token for token in special if token]))
        self._known_ids: int = config.vocab_size
        one, other = (ids for ids, _ in self.ids(["a", "b"], 8))
        whole = tokenizer("a", "b")["input_ids"] if paired else tokenizer("a")["input_ids"]
        self._before, self._between, self._after = _around(whole, one, other if paired else [])
        self.max_tokens = min(max_tokens, positions_of(config), tokenizer.model_max_length)
        self.room = self.max_tokens - len(self._before) - len(self._between) - len(self._after)

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
        (found,) = self._backend.encode_batch_fast([text[:max_chars]], add_special_tokens=False)
        return found.ids, len(text) > max_chars

    def pieces(self, text: str, limit: int, *, special: bool) -> list[Piece]:
        """Give the tokens of a text, cut to so many, with the special ones around it or without.

        White space stays where it is, since they say where in the text they are.
        """
        begun = _within(text, limit * TOKEN_CHARS)
        (found,) = self._backend.encode_batch([begun], add_special_tokens=False)
        if len(found.ids) < limit and len(begun) < len(text):
            (found,) = self._backend.encode_batch(
                [_within(text, limit * MAX_CHARS_PER_TOKEN)], add_special_tokens=False
            )
        spans = zip(found.ids[:limit], found.offsets[:limit], strict=True)
        pieces = [Piece(number, text[start:stop], False, start, stop) for number, (start, stop) in spans]
        if not special:
            return pieces
        before, after = ([self._special(one) for one in ids] for ids in (self._before, self._after))
        return [*before, *pieces, *after]

    def _special(self, number: int) -> Piece:
        return Piece(number, self._backend.id_to_token(number), True, 0, 0)

    def singles(self, texts: Sequence[str]) -> list[Tokens]:
        """Give texts as a model reads them, cut to its room."""
        return [
            Tokens(self.single(ids[: self.room]), cut or len(ids) > self.room)
            for ids, cut in self.ids(texts, self.room)
        ]

    def single(self, ids: Sequence[int]) -> list[int]:
        """Put the special ids around one text."""
        return [*self._before, *ids, *self._after]

    def pair(self, one: Sequence[int], other: Sequence[int]) -> list[int]:
        """Put the special ids around two texts."""
        return [*self._before, *one, *self._between, *other, *self._after]

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


def _within(text: str, max_chars: int) -> str:
    """Cut a text behind so many characters, white space counted as one of them."""
    end = max_chars
    for space in SPACES.finditer(text):
        if space.start() >= end or end >= len(text):
            break
        end += len(space[0]) - 1
    return text[:end]


def _around(whole: Sequence[int], one: Sequence[int], other: Sequence[int]) -> tuple[list[int], list[int], list[int]]:
    """Tell what a tokenizer puts before, between and after two texts, or around one, from what it made of them.

    Raises:
        ModelLoadError: they are not to be found in it.
    """
    first = _place(whole, one, 0)
    second = _place(whole, other, first + len(one)) if other else first + len(one)
    return list(whole[:first]), list(whole[first + len(one) : second]), list(whole[second + len(other) :])


def _place(whole: Sequence[int], part: Sequence[int], start: int) -> int:
    for place in range(start, len(whole) - len(part) + 1):
        if part and list(whole[place : place + len(part)]) == list(part):
            return place
    raise ModelLoadError("model-unusable: its tokenizer does not put whole texts together")


def positions_of(config: Any) -> int:  # noqa: ANN401 - transformers' types say no more
    """Return how many tokens a model can tell the places of; RoBERTa's family counts them from behind its padding."""
    positions: int = config.max_position_embeddings
    return positions - config.pad_token_id - 1 if "roberta" in config.model_type else positions
