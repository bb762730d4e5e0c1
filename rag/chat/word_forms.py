"""Which words of a question a text has, in whatever form: accents folded, endings cut, shared beginnings."""

from __future__ import annotations

import threading
import unicodedata
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from functools import lru_cache

import numpy as np
import Stemmer
import stopwordsiso
from numpy.typing import NDArray

from rag.chat.sentences import same_word

#: Snowball's stemmers, by ISO 639-1.
_STEMMERS = {
    "ca": "catalan", "da": "danish", "de": "german", "el": "greek", "en": "english", "es": "spanish", "et": "estonian",
    "fi": "finnish", "fr": "french", "hu": "hungarian", "it": "italian", "nl": "dutch", "no": "norwegian",
    "pt": "portuguese", "ro": "romanian", "ru": "russian", "sv": "swedish", "tr": "turkish",
}  # fmt: skip
_OWN = threading.local()  # Snowball's stemmers are not for several threads
#: What a word that is everywhere counts beside one that says what is asked about.
_COMMON = 0.3


@dataclass(frozen=True, slots=True)
class Wording:
    """The words of one text, case-folded, and its language (ISO 639-1)."""

    words: frozenset[str]
    language: str


@dataclass(slots=True)
class _Vocabulary:
    """The words of many texts of one language, to be found by their first letters and by their stems."""

    by_start: dict[str, set[str]] = field(default_factory=lambda: defaultdict(set))
    by_stem: dict[str, set[str]] = field(default_factory=lambda: defaultdict(set))

    def forms(self, word: str, language: str) -> set[str]:
        """The words that are likely forms of ``word``."""
        folded = fold(word)
        alike = {other for other in self.by_start.get(folded[:4], ()) if same_word(folded, fold(other))}
        return alike | self.by_stem.get(stem(folded, language), set())


@lru_cache(maxsize=20_000)
def fold(word: str) -> str:
    """The word without accents."""
    if word.isascii():
        return word
    return "".join(letter for letter in unicodedata.normalize("NFKD", word) if not unicodedata.combining(letter))


def stem(word: str, language: str) -> str:
    """What Snowball leaves of a word; the word itself in a language that it doesn't know."""
    name = _STEMMERS.get(language)
    if name is None:
        return word
    stemmers: dict[str, Stemmer.Stemmer] = _OWN.__dict__
    if name not in stemmers:
        stemmers[name] = Stemmer.Stemmer(name)
    return str(stemmers[name].stemWord(word))


@lru_cache(maxsize=32)
def _everywhere(language: str) -> frozenset[str]:
    return frozenset(stopwordsiso.stopwords(language)) if stopwordsiso.has_lang(language) else frozenset()


def find_words(asked: Sequence[str], texts: Sequence[Wording]) -> NDArray[np.bool_]:
    """[texts, asked]: which of the asked words each text has in some form."""
    found = np.zeros((len(texts), len(asked)), bool)
    vocabularies: dict[str, _Vocabulary] = defaultdict(_Vocabulary)
    for text in texts:
        _learn(vocabularies[text.language], text)
    for language, vocabulary in vocabularies.items():
        forms = [vocabulary.forms(word, language) for word in asked]
        for row, text in enumerate(texts):
            if text.language == language:
                found[row] = [not text.words.isdisjoint(alike) for alike in forms]
    return found


def _learn(vocabulary: _Vocabulary, text: Wording) -> None:
    for word in text.words:
        folded = fold(word)
        vocabulary.by_start[folded[:4]].add(word)
        vocabulary.by_stem[stem(folded, text.language)].add(word)


def weigh_words(asked: Sequence[str], found: NDArray[np.bool_], languages: Iterable[str]) -> NDArray[np.float64]:
    """What each asked word counts: the more, the fewer texts have it; little where it is common in a language."""
    common = frozenset[str]().union(*(_everywhere(language) for language in {"en", *languages}))
    telling = [1.0 if word not in common or any(map(str.isdigit, word)) else _COMMON for word in asked]
    rarity = np.log1p(len(found) / (found.sum(axis=0) + 0.5))
    return np.asarray(rarity * np.array(telling), dtype=np.float64)


def share_words(asked: Sequence[str], texts: Sequence[Wording]) -> NDArray[np.float64]:
    """The share of the asked words, by weight, that each text has, in 0…1."""
    if not asked or not texts:
        return np.zeros(len(texts))
    found = find_words(asked, texts)
    weights = weigh_words(asked, found, {text.language for text in texts})
    return np.asarray((found * weights).sum(axis=1) / max(weights.sum(), 1e-9), dtype=np.float64)
