"""How much of what each word is in: shares of texts by class, and c-TF-IDF over them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from rag.mapping.terms import Words

#: A word of a class is so many times as frequent in it as elsewhere.
_LEAST_LIFT = 1.5
#: A word that so much of the other classes has half as often as this one is nobody's.
_EVERYWHERE = 0.5
#: In how many texts, and in what share of a class, a word has to be.
_LEAST_TEXTS = 2
_LEAST_SHARE = 0.03

Shares = NDArray[np.float32]


@dataclass(frozen=True)
class WordTable:
    """``shares`` [classes, words] says in what share of a class's texts each of ``words`` is; ``sizes`` weigh them."""

    words: list[str]
    shares: Shares
    sizes: NDArray[np.float64]

    @classmethod
    def count(cls, classes: Sequence[Sequence[Words]], sizes: Sequence[float]) -> WordTable:
        """Count the texts of each class that have a word; what only one text has is left out.

        ``sizes`` are how many texts the classes really have, of which these may be samples.
        """
        counts = [Counter(key for text in texts for key in text.kinds()) for texts in classes]
        total: Counter[str] = Counter()
        for one in counts:
            total.update(one)
        texts = [max(len(one), 1) for one in classes]
        fewest = _LEAST_TEXTS if sum(texts) > 8 else 1
        words = [word for word, count in total.items() if count >= fewest]
        column = {word: at for at, word in enumerate(words)}
        shares = np.zeros((len(classes), len(words)), np.float32)
        for row, one in enumerate(counts):
            held = [(column[word], count) for word, count in one.items() if word in column]
            if held:
                at, number = zip(*held, strict=True)
                shares[row, list(at)] = np.array(number, np.float32) / texts[row]
        return cls(words, shares, np.maximum(np.asarray(sizes, np.float64), 1))

    def grouped(self, groups: Sequence[Sequence[int]]) -> WordTable:
        """The table of ``groups`` of classes instead of classes, each class counting by its size."""
        weights = np.zeros((len(groups), len(self.sizes)), np.float32)
        for row, classes in enumerate(groups):
            weights[row, list(classes)] = self.sizes[list(classes)]
        sizes = weights.sum(axis=1)
        return WordTable(self.words, (weights / sizes[:, None]) @ self.shares, sizes.astype(np.float64))

    def scores(self) -> Shares:
        """[classes, words]: c-TF-IDF (Grootendorst 2022, BERTopic), 0 where a word doesn't tell a class from the rest.

        W = tf · log(1 + A / f), with tf the share of a class's texts that have the word rather than its count, so that
        one text can't say it for all; f sums tf over classes and A is the average sum of a class.
        """
        frequency = self.shares.sum(axis=0)
        average = float(self.shares.sum()) / len(self.shares)
        scores: Shares = self.shares * np.log1p(average / np.maximum(frequency, 1e-9))
        scores[self.shares < _LEAST_SHARE] = 0
        if len(self.shares) > 1:
            scores[self._elsewhere() * _LEAST_LIFT > self.shares] = 0
            scores[self._everywhere()] = 0
        return scores

    def _elsewhere(self) -> Shares:
        """The share of the texts outside of each class that have each word."""
        held = self.shares * self.sizes[:, None].astype(np.float32)
        outside = (self.sizes.sum() - self.sizes)[:, None].astype(np.float32)
        found: Shares = (held.sum(axis=0) - held) / np.maximum(outside, 1)
        return found

    def _everywhere(self) -> NDArray[np.bool_]:
        """Words that most of the other classes have about as often."""
        if len(self.shares) < 4:
            return np.zeros(self.shares.shape, bool)
        found = np.empty(self.shares.shape, bool)
        for row, shares in enumerate(self.shares):
            others = (self.shares >= shares / 2).sum(axis=0) - 1
            found[row] = others > _EVERYWHERE * (len(self.shares) - 1)
        return found
