"""A text as the set of its three-word phrases (word 3-shingles), which near-duplicates are told by.

Words are compared without case and punctuation. A phrase never reaches over the end of a sentence, so texts that hold
the same sentences in another order have the same phrases; a sentence of one or two words is a phrase of its own.
Characters of scripts without spaces count as words. Texts that differ in whitespace alone count as the same.
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from hashlib import blake2b
from itertools import count, islice

import numpy as np
from numpy.typing import NDArray

#: Words of a phrase.
PHRASE_WORDS = 3
#: Kana, Han, Hangul, Thai, Lao, Burmese and Khmer: a character is a word.
_UNSPACED = "\u3040-\u30ff\u3400-\u9fff\uf900-\ufaff\uac00-\ud7af\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff"
_TOKEN = re.compile(rf"[{_UNSPACED}]|[^\W_{_UNSPACED}]+(?:['’][^\W_{_UNSPACED}]+)*|[.!?…]+(?=[\s\"'”’)\]]|$)|[。！？]")
_ENDS = ".!?…。！？"
_AT_ONCE = 2000

Hashes = NDArray[np.uint64]
Ints = NDArray[np.int64]

_MIX = (np.uint64(0x9E3779B97F4A7C15), np.uint64(0xC2B2AE3D27D4EB4F), np.uint64(0x165667B19E3779F9))


@dataclass(frozen=True)
class PhraseSets:
    """Texts by what they say. Texts of one shape have the same set of phrases, or differ in whitespace alone.

    ``shape`` [texts] numbers them; ``hashes[starts[s]:starts[s + 1]]`` are the phrases of shape ``s``, in order and
    each once; ``words`` [texts] is how many words a text has; ``common`` [texts] the share of its words that are among
    the commonest of all texts, NaN where there are none.
    """

    shape: Ints
    starts: Ints
    hashes: Hashes
    words: Ints
    common: NDArray[np.float64]

    @property
    def sizes(self) -> Ints:
        """Phrases of each shape."""
        return np.diff(self.starts)


class PhraseReader:
    """Reads texts one after another, some at a time; what is kept of them is numbers."""

    def __init__(self) -> None:
        self._vocabulary: defaultdict[str, int] = defaultdict(count().__next__)
        self._twins: dict[bytes, int] = {}
        #: Of each text: the number of the first one that is the same but for whitespace.
        self._first: list[int] = []
        self._hashes: list[Hashes] = []
        self._sizes: list[Ints] = []
        self._words: list[Ints] = []
        self._tokens: list[NDArray[np.int32]] = []

    def read(self, texts: Iterable[str]) -> None:
        """Take in some more."""
        waiting = iter(texts)
        while some := list(islice(waiting, _AT_ONCE)):
            self._read(some)

    def _read(self, texts: Sequence[str]) -> None:
        lists: list[list[int]] = []
        for text in texts:
            known = len(self._twins)
            first = self._twins.setdefault(_squeezed(text), known)
            self._first.append(first)
            if first == known:
                lists.append([self._vocabulary[token] for token in _TOKEN.findall(text.casefold())])
        if not lists:
            return
        lengths = np.array([len(one) for one in lists], np.int64)
        tokens = np.fromiter((token for one in lists for token in one), np.int32, int(lengths.sum()))
        owner = np.repeat(np.arange(len(lists)), lengths)
        is_end = np.isin(tokens, self._ends())
        self._words.append(np.bincount(owner[~is_end], minlength=len(lists)))
        self._tokens.append(tokens[~is_end])
        hashes, sizes = _phrases(tokens, owner, is_end, len(lists))
        self._hashes.append(hashes)
        self._sizes.append(sizes)

    def _ends(self) -> NDArray[np.int32]:
        return np.array([number for token, number in self._vocabulary.items() if token[0] in _ENDS], np.int32)

    def finish(self) -> PhraseSets:
        """What was read, with equal sets found."""
        empty = np.empty(0, np.int64)
        hashes = np.concatenate([np.empty(0, np.uint64), *self._hashes])
        self._hashes.clear()
        sizes = np.concatenate([empty, *self._sizes])
        words = np.concatenate([empty, *self._words])
        first = np.array(self._first, np.int64)
        shape_of, kept = _same_sets(hashes, sizes)
        is_kept = np.zeros(len(sizes), bool)
        is_kept[kept] = True
        return PhraseSets(
            shape=shape_of[first],
            starts=np.concatenate([[0], np.cumsum(sizes[kept])]).astype(np.int64),
            hashes=hashes[np.repeat(is_kept, sizes)],
            words=words[first],
            common=self._common_share(words)[first],
        )

    def _common_share(self, words: Ints, commonest: int = 150) -> NDArray[np.float64]:
        if not len(words):
            return np.empty(0)
        tokens = np.concatenate(self._tokens)
        counts = np.bincount(tokens, minlength=len(self._vocabulary))
        common = np.zeros(len(counts), bool)
        common[np.argsort(-counts, kind="stable")[:commonest]] = True
        held = np.bincount(np.repeat(np.arange(len(words)), words), weights=common[tokens], minlength=len(words))
        with np.errstate(invalid="ignore"):
            return np.asarray(held / np.where(words > 0, words, np.nan))


def read_phrases(texts: Iterable[str]) -> PhraseSets:
    """All of ``texts`` at once."""
    reader = PhraseReader()
    reader.read(texts)
    return reader.finish()


def _squeezed(text: str) -> bytes:
    return blake2b("".join(text.split()).encode("utf-8", "surrogatepass"), digest_size=16).digest()


def _phrases(tokens: NDArray[np.int32], owner: Ints, is_end: NDArray[np.bool_], texts: int) -> tuple[Hashes, Ints]:
    """The phrases of each text, sorted and each once, and how many each has."""
    sentence = (np.cumsum(is_end) + owner)[~is_end]  # rises at each end of a sentence and of a text
    words, owner = tokens[~is_end].astype(np.uint64) + np.uint64(1), owner[~is_end]
    n = len(words)
    if not n:
        return np.empty(0, np.uint64), np.zeros(texts, np.int64)
    following = np.zeros((PHRASE_WORDS - 1, n), np.uint64)
    for step in range(1, PHRASE_WORDS):
        within = sentence[step:] == sentence[: n - step]
        following[step - 1, : n - step] = np.where(within, words[step:], 0)
    begins = np.concatenate([[True], sentence[1:] != sentence[:-1]])
    # The last two words of a sentence begin no phrase, unless it has no more than these.
    whole = following[-1] > 0
    kept = whole | begins
    with np.errstate(over="ignore"):
        hashes = _mixed(words * _MIX[0] + following[0] * _MIX[1] + following[1] * _MIX[2])[kept]
    return _sets(hashes, owner[kept], texts)


def _mixed(values: Hashes) -> Hashes:
    """The finisher of splitmix64 (Steele et al. 2014)."""
    values = (values ^ (values >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    values = (values ^ (values >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return np.asarray(values ^ (values >> np.uint64(31)))


def _sets(hashes: Hashes, owner: Ints, texts: int) -> tuple[Hashes, Ints]:
    order = np.lexsort((hashes, owner))
    hashes, owner = hashes[order], owner[order]
    new = np.concatenate([[True], (hashes[1:] != hashes[:-1]) | (owner[1:] != owner[:-1])])
    return hashes[new], np.bincount(owner[new], minlength=texts)


def _same_sets(hashes: Hashes, sizes: Ints) -> tuple[Ints, Ints]:
    """The shape of each set, and for each shape the first set that has it. Sets without phrases are alone."""
    rows = len(sizes)
    starts = np.cumsum(sizes) - sizes
    filled = sizes > 0
    sums, mixes = np.zeros(rows, np.uint64), np.zeros(rows, np.uint64)
    if filled.any():
        with np.errstate(over="ignore"):
            sums[filled] = np.add.reduceat(hashes, starts[filled])
            mixes[filled] = np.bitwise_xor.reduceat(_mixed(hashes + _MIX[0]), starts[filled])
    sums[~filled] = np.flatnonzero(~filled)
    keys = np.rec.fromarrays([sizes, sums, mixes])
    _, first, shape = np.unique(keys, return_index=True, return_inverse=True)
    # Numbered as they come, so that the same corpus is always numbered alike.
    rank = np.argsort(np.argsort(first))
    return rank[shape].astype(np.int64), np.sort(first)
