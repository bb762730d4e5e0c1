"""Which language a text is in, offline; and how Postgres is to segment each language."""

from __future__ import annotations

import re
import threading
from typing import Protocol

#: ISO 639-1 code → (English name, Postgres text search configuration). ``simple`` splits words without stemming;
#: ``bigram`` is for scripts without spaces between words, which Postgres does not segment.
LANGUAGES: dict[str, tuple[str, str]] = {
    "ar": ("Arabic", "arabic"),
    "hy": ("Armenian", "armenian"),
    "eu": ("Basque", "basque"),
    "ca": ("Catalan", "catalan"),
    "da": ("Danish", "danish"),
    "nl": ("Dutch", "dutch"),
    "en": ("English", "english"),
    "fi": ("Finnish", "finnish"),
    "fr": ("French", "french"),
    "de": ("German", "german"),
    "el": ("Greek", "greek"),
    "hi": ("Hindi", "hindi"),
    "hu": ("Hungarian", "hungarian"),
    "id": ("Indonesian", "indonesian"),
    "ga": ("Irish", "irish"),
    "it": ("Italian", "italian"),
    "lt": ("Lithuanian", "lithuanian"),
    "ne": ("Nepali", "nepali"),
    "no": ("Norwegian", "norwegian"),
    "pt": ("Portuguese", "portuguese"),
    "ro": ("Romanian", "romanian"),
    "ru": ("Russian", "russian"),
    "sr": ("Serbian", "serbian"),
    "es": ("Spanish", "spanish"),
    "sv": ("Swedish", "swedish"),
    "ta": ("Tamil", "tamil"),
    "tr": ("Turkish", "turkish"),
    "yi": ("Yiddish", "yiddish"),
    "bg": ("Bulgarian", "simple"),
    "bn": ("Bengali", "simple"),
    "cs": ("Czech", "simple"),
    "et": ("Estonian", "simple"),
    "fa": ("Persian", "simple"),
    "he": ("Hebrew", "simple"),
    "hr": ("Croatian", "simple"),
    "ka": ("Georgian", "simple"),
    "lv": ("Latvian", "simple"),
    "pl": ("Polish", "simple"),
    "sk": ("Slovak", "simple"),
    "sl": ("Slovenian", "simple"),
    "uk": ("Ukrainian", "simple"),
    "ur": ("Urdu", "simple"),
    "vi": ("Vietnamese", "simple"),
    "zh": ("Chinese", "bigram"),
    "ja": ("Japanese", "bigram"),
    "ko": ("Korean", "bigram"),
    "th": ("Thai", "bigram"),
    "lo": ("Lao", "bigram"),
    "km": ("Khmer", "bigram"),
    "my": ("Burmese", "bigram"),
}

#: Scripts that one language (of those above) is written in, so that counting letters is enough.
_SCRIPTS: dict[str, re.Pattern[str]] = {
    "kana": re.compile(r"[\u3041-\u309f\u30a0-\u30ff\uff66-\uff9d]"),
    "han": re.compile(r"[\u3400-\u9fff\uf900-\ufaff\U00020000-\U0003134f]"),
    "ko": re.compile(r"[\uac00-\ud7a3\u1100-\u11ff\u3130-\u318f]"),
    "th": re.compile(r"[\u0e01-\u0e4e]"),
    "lo": re.compile(r"[\u0e81-\u0ede]"),
    "km": re.compile(r"[\u1780-\u17d3]"),
    "my": re.compile(r"[\u1000-\u1049]"),
    "el": re.compile(r"[\u0370-\u03ff\u1f00-\u1fff]"),
    "hy": re.compile(r"[\u0531-\u0587]"),
    "ka": re.compile(r"[\u10a0-\u10ff]"),
    "ta": re.compile(r"[\u0b80-\u0bff]"),
    "bn": re.compile(r"[\u0980-\u09ff]"),
}
_LETTERS = re.compile(r"[^\W\d_]")
_YIDDISH = re.compile("[\u05f0-\u05f2]|\u05d9\u05d9|\u05d0\u05b7|\u05d0\u05b8")
_HEBREW = re.compile(r"[\u05d0-\u05ea]")
_NOISE = re.compile(r"(https?://\S+|[^\s@]{1,64}@\S+|[|#*=_`~<>\[\]{}\\^\s]+|-{2,}|\d+)+")
#: Detection looks at this many characters, taken from five places of a long text.
SAMPLE_CHARS = 4000
_MIN_LETTERS = 12
_SURE = 0.6


class _Identifier(Protocol):
    def rank(self, text: str) -> list[tuple[str, float]]: ...


_lock = threading.Lock()
_identifier: _Identifier | None = None


def detect_language(text: str) -> str | None:
    """ISO 639-1 code of the main language, or None when the text is too short or mixed to be sure.

    Costs about a millisecond whatever the length; the first call loads the model (about a second).
    """
    sample = _NOISE.sub(" ", _sample(text))
    letters = len(_LETTERS.findall(sample))
    if not letters:
        return None
    by_script = _by_script(sample, letters)
    if by_script:
        return by_script
    if letters < _MIN_LETTERS:
        return None
    code, probability = _most_probable(sample)
    return code if probability >= _SURE else None


def language_name(code: str | None) -> str:
    """The English name of a code, "Unknown" for None and the code itself when it is not in the table."""
    if code is None:
        return "Unknown"
    return LANGUAGES[code][0] if code in LANGUAGES else code


def text_search_configuration(code: str | None) -> str:
    """The Postgres configuration for a language; ``simple`` when the language is unknown."""
    return LANGUAGES[code][1] if code in LANGUAGES else "simple"


def rank_languages(text: str) -> list[tuple[str, float]]:
    """All 140 languages that the model knows, most probable first, with probabilities."""
    ranked = [(str(code), float(probability)) for code, probability in _load().rank(text)]
    return [("no" if code == "nn" else code, probability) for code, probability in ranked]


def _most_probable(text: str) -> tuple[str, float]:
    """The best language of the table and its share of the table's probability.

    Open choice among all languages takes short English for Pidgin and abstracts for Latin.
    """
    known = [(code, probability) for code, probability in rank_languages(text) if code in LANGUAGES]
    total = sum(probability for _, probability in known)
    code, probability = known[0]
    return code, probability / total if total > 0 else 0.0


def _load() -> _Identifier:
    global _identifier
    with _lock:
        if _identifier is None:
            from py3langid.langid import MODEL_FILE, LanguageIdentifier

            _identifier = LanguageIdentifier.from_model_file(MODEL_FILE, norm_probs=True)
        return _identifier


def _sample(text: str) -> str:
    if len(text) <= SAMPLE_CHARS:
        return text
    size = SAMPLE_CHARS // 5
    step = (len(text) - size) // 4
    return "\n".join(text[part * step : part * step + size] for part in range(5))


def _by_script(sample: str, letters: int) -> str | None:
    counts = {code: len(pattern.findall(sample)) for code, pattern in _SCRIPTS.items()}
    kana, han = counts.pop("kana"), counts.pop("han")
    # A word in Chinese or Japanese is about two letters long, an English one five: weigh them alike.
    if (kana + han) * 2.5 > letters - kana - han and kana + han > counts["ko"]:
        return "ja" if kana * 8 > han else "zh"
    code = max(counts, key=lambda code: counts[code])
    if counts[code] * 2 > letters:
        return code
    hebrew = len(_HEBREW.findall(sample))
    if hebrew * 2 > letters:
        return "yi" if len(_YIDDISH.findall(sample)) * 12 > hebrew else "he"
    return None
