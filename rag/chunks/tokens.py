"""Counting in a model's own tokens: what decides how much text fits into one chunk."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Protocol

import numpy as np
import numpy.typing as npt
from tokenizers import Tokenizer

from rag.errors import ModelError

#: Characters tokenised in one piece: the tokenizer's own time grows faster than its input.
BLOCK = 16_384
#: Pieces tokenised at once: bounds the memory that a large document takes.
BLOCKS_AT_ONCE = 32

_LONG_WORD = re.compile(rf"[^ \n]{{{BLOCK // 2}}}")

Starts = npt.NDArray[np.int64]


class TokenCounter(Protocol):
    """What chunking needs to know about a model."""

    @property
    def window(self) -> int:
        """Most tokens that the model reads, special tokens included."""
        ...

    @property
    def passage_prefix(self) -> str:
        """What the model wants in front of every passage; it takes its share of the window."""
        ...

    @property
    def splits_at_spaces(self) -> bool:
        """Whether the parts of a text that is cut at white space have the tokens that the whole has there."""
        ...

    def counts(self, texts: Sequence[str]) -> list[int]:
        """Tokens of each text, special tokens included."""
        ...

    def starts(self, text: str) -> Starts:
        """Where each token of the text begins (code points, ascending), without special tokens."""
        ...


class ModelTokens:
    """A ``tokenizer.json`` with truncation and padding switched off, so that nothing is cut in silence."""

    def __init__(self, tokenizer: Tokenizer, *, window: int, passage_prefix: str = "") -> None:
        tokenizer.no_truncation()
        tokenizer.no_padding()
        self.tokenizer = tokenizer
        self.window = window
        self.passage_prefix = passage_prefix
        #: BERT's tokenizers look at one word after the other. Others may not, and their texts are counted one by one.
        self.splits_at_spaces = _is_bert(tokenizer)

    @classmethod
    def from_folder(cls, folder: Path, *, window: int, passage_prefix: str = "") -> ModelTokens:
        """Read ``tokenizer.json`` from a model's folder; :class:`ModelError` if there is none or it is broken."""
        path = folder / "tokenizer.json"
        try:
            return cls(Tokenizer.from_file(str(path)), window=window, passage_prefix=passage_prefix)
        except Exception as error:  # tokenizers raises plain Exception
            raise ModelError(f"The model's tokenizer can't be read from {path}.") from error

    def ids(self, texts: Sequence[str]) -> list[list[int]]:
        """Token ids of each text, special tokens included, however long."""
        return [encoding.ids for encoding in self.tokenizer.encode_batch_fast(list(texts))]

    def count(self, text: str) -> int:
        """Tokens of one text, special tokens included."""
        return self.counts([text])[0]

    def counts(self, texts: Sequence[str]) -> list[int]:
        """Tokens of each text, special tokens included."""
        return [len(encoding) for encoding in self.tokenizer.encode_batch_fast(list(texts))]

    def starts(self, text: str) -> Starts:
        """Where each token begins. Exact but at the seams of blocks, which fall on white space where there is any."""
        blocks = list(_blocks(text))
        found = [np.empty(0, np.int64)]
        for first in range(0, len(blocks), BLOCKS_AT_ONCE):
            some = blocks[first : first + BLOCKS_AT_ONCE]
            encodings = self.tokenizer.encode_batch([text[a:b] for a, b in some], add_special_tokens=False)
            for (offset, _), encoding in zip(some, encodings, strict=True):
                starts = np.array([start for start, _ in encoding.offsets], np.int64)
                found.append(np.maximum.accumulate(starts) + offset)
        return np.concatenate(found)


def _is_bert(tokenizer: Tokenizer) -> bool:
    parts = (tokenizer.normalizer, tokenizer.pre_tokenizer, tokenizer.model)
    return [type(part).__name__ for part in parts] == ["BertNormalizer", "BertPreTokenizer", "WordPiece"] and not any(
        any(map(str.isspace, token.content)) for token in tokenizer.get_added_tokens_decoder().values()
    )


def has_seams_in_words(text: str) -> bool:
    """Whether :meth:`ModelTokens.starts` had to cut a word for want of white space."""
    return len(text) > BLOCK and _LONG_WORD.search(text) is not None


def _blocks(text: str) -> Iterator[tuple[int, int]]:
    start = 0
    while start < len(text):
        end = min(start + BLOCK, len(text))
        if end < len(text):
            seam = max(text.rfind(" ", start + BLOCK // 2, end), text.rfind("\n", start + BLOCK // 2, end))
            end = seam if seam > start else end
        yield start, end
        start = end
