"""The words of a text that can stand for what it is about, in the forms that it uses, for many languages.

Left out are markup, addresses, numbers and what a language uses everywhere (stop words). Forms of one word share a key,
its stem. Scripts without blanks between words give runs of characters: what recurs among those is a word.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache

import Stemmer
import stopwordsiso

#: Stemmers are to be had for these, by ISO 639-1.
_STEMMERS = {
    "ar": "arabic", "hy": "armenian", "eu": "basque", "ca": "catalan", "cs": "czech", "da": "danish", "nl": "dutch",
    "en": "english", "eo": "esperanto", "et": "estonian", "fi": "finnish", "fr": "french", "de": "german",
    "el": "greek", "hi": "hindi", "hu": "hungarian", "id": "indonesian", "ga": "irish", "it": "italian",
    "lt": "lithuanian", "ne": "nepali", "no": "norwegian", "fa": "persian", "pl": "polish", "pt": "portuguese",
    "ro": "romanian", "ru": "russian", "sr": "serbian", "es": "spanish", "sv": "swedish", "ta": "tamil",
    "tr": "turkish", "yi": "yiddish",
}  # fmt: skip
#: The lists take these for common words of English; as what a cluster is about they mean something.
_TELLING = """
area bill computer data edu face fill fire goods group home information interest internet invention ltd member mine net
network organization patent research room site state states system test thick thin web work world young
"""
#: Left of sentences and files everywhere.
_JUNK = """
al amp com edu eq et fig figs gif gt href htm html http https ibid img jpg lt nbsp pdf php png pp px quot svg tab vol
www
"""
_MARKUP = re.compile(
    r"https?://\S+|www\.\S+|\S+@\S+\.\w+|<[^<>]{0,200}>|&#?\w{1,8};|\]\([^()\s]*\)|\\[a-zA-Z]+|(?<!\S)[\w.~:-]*(?:[\\/][\w.-]+){2,}"
)
_HAN = "\u3005\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff\U00020000-\U0003fffd"
_KANA = "\u3041-\u30ff\u31f0-\u31ff"
_LAO_TO_BURMESE = "\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff"
#: Vowels of Indic scripts and accents are no letters to Python.
_MARK = "".join(chr(code) for code in range(0x300, 0xFFFF) if unicodedata.category(chr(code)) in ("Mn", "Mc"))
_LETTER = rf"[^\W\d_{_HAN}{_KANA}{_LAO_TO_BURMESE}]"
_TOKEN = re.compile(
    rf"[{_HAN}{_KANA}]+|[{_LAO_TO_BURMESE}]+|{_LETTER}(?:{_LETTER}|[{_MARK}])*(?:[’']{_LETTER}+)*"
    r"|[\d_]\w*|[^\w\s-]|\n\s*\n"
)
_JAPANESE = re.compile(rf"[{_HAN}]{{2,8}}|[\u30a1-\u30fa\u30fc]{{3,}}")
_HAN_RUN = re.compile(rf"[{_HAN}]+")
_SYLLABLE = re.compile(
    r"[\u0e40-\u0e44\u0ec0-\u0ec4]?[\u0e01-\u0e2e\u0e81-\u0eae\u1000-\u102a\u1780-\u17b3]"
    r"[\u0e2f-\u0e3a\u0e45-\u0e4e\u0eb0-\u0ebd\u0ec6-\u0ecd\u102b-\u103e\u17b4-\u17d3]*"
)
_POINTS = re.compile(r"[\u0640\u064b-\u065f\u0670\u0591-\u05bd\u05bf\u05c1\u05c2\u00ad]+")
#: Particles, pronouns and the like of Chinese: words end there.
_PARTICLES = re.compile(
    "[的了是在和也就都而及与與或有这這那不我你他她它们們着著过過吗嗎呢吧啊于於之以为為被把從从對对將将等個个其]"
)
#: Articles and prepositions that French, Italian, Catalan and Irish tie to a word.
_LONGEST_ELISION = 5
_LONGEST = 30


@dataclass(frozen=True, slots=True)
class Words:
    """A text's words in order: ``forms`` as they stand, ``keys`` their stems, None where a word or a clause ends."""

    forms: list[str]
    keys: list[str | None]

    def kinds(self) -> set[str]:
        """The keys, each once."""
        return {key for key in self.keys if key is not None}


class TermReader:
    """Reads texts; remembers the words that it met. Not for several threads at once."""

    def __init__(self) -> None:
        self._known: dict[str | None, dict[str, list[tuple[str, str | None]]]] = {}

    def read(self, text: str, language: str | None) -> Words:
        """The words of ``text``; ``language`` is an ISO 639-1 code, None where it isn't known."""
        code = language.split("-")[0].lower() if language else None
        known = self._known.setdefault(code, {})
        found = Words([], [])
        for token in _TOKEN.findall(_MARKUP.sub(" \n\n ", text)):
            met = known.get(token)
            if met is None:
                met = known[token] = list(_terms(token, code))
            for form, key in met:
                found.forms.append(form)
                found.keys.append(key)
        return found


def _terms(token: str, language: str | None) -> Iterator[tuple[str, str | None]]:
    if re.match(rf"[{_HAN}{_KANA}]", token):
        yield from _east_asian(token, language)
    elif re.match(rf"[{_LAO_TO_BURMESE}]", token):
        yield from _runs(_SYLLABLE.findall(token), 2, 5, language)
    else:
        form = _bare(token)
        yield form, _key(form, language)


def _bare(token: str) -> str:
    """Without an elided article before it or an 's after it."""
    head, mark, tail = token.replace("’", "'").partition("'")
    if not mark:
        return token
    return head if len(tail) <= 2 else tail if len(head) <= _LONGEST_ELISION else head


def _key(form: str, language: str | None) -> str | None:
    plain = _POINTS.sub("", form).casefold()
    if not form[:1].isalpha() or len(plain) > _LONGEST or plain in _JUNK.split() or _too_short(form, plain):
        return None
    if plain in stop_words(language):
        return None
    return _stem(plain, language)


def _too_short(form: str, plain: str) -> bool:
    """Two letters are an abbreviation in capitals (EU, AI), or a word where not all letters are English ones (Öl)."""
    alphabetic = plain[0] < "\u0590"
    return len(plain) < (2 if form.isupper() or not alphabetic or not plain.isascii() else 3)


def _stem(plain: str, language: str | None) -> str:
    name = _STEMMERS.get(language or "en" if plain.isascii() else language or "")
    return str(_stemmer(name).stemWord(plain)) if name else plain


@lru_cache
def _stemmer(name: str) -> Stemmer.Stemmer:
    return Stemmer.Stemmer(name)


@lru_cache
def stop_words(language: str | None) -> frozenset[str]:
    """What a language uses everywhere, case-folded; English is everywhere as well."""
    english = frozenset(stopwordsiso.stopwords("en")) - frozenset(_TELLING.split())
    if language in (None, "en") or not stopwordsiso.has_lang(language):
        return english
    return english | frozenset(word.casefold() for word in stopwordsiso.stopwords(language))


def _east_asian(token: str, language: str | None) -> Iterator[tuple[str, str | None]]:
    """Japanese writes words in runs of Chinese characters or katakana; Chinese gives all runs of two to four."""
    if language == "ja" or re.search(rf"[{_KANA}]", token):
        for word in _JAPANESE.findall(token):
            yield word, None if word in stop_words("ja") else word
            yield "", None
        return
    for run in _HAN_RUN.findall(_PARTICLES.sub(" ", token)):
        yield from _runs(list(run), 2, 4, "zh")


def _runs(units: list[str], shortest: int, longest: int, language: str | None) -> Iterator[tuple[str, str | None]]:
    common = stop_words(language)
    for size in range(shortest, longest + 1):
        for at in range(len(units) - size + 1):
            run = "".join(units[at : at + size])
            if run not in common:
                yield run, run
                yield "", None  # runs lie over one another: no two of them make a pair
