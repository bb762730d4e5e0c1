"""Does a decoded text look written? The letters of each language, to tell a right encoding from a wrong one."""

from __future__ import annotations

import re
import unicodedata
from collections import Counter

from rag.reading.languages import rank_languages

#: Letters outside ASCII in lower case. Languages written only in ASCII take the loanword letters of English.
_LATIN = {
    "en": "éèêëïîöüäçñáàâóôíúåøæœ", "de": "äöüßéèêàáâçñôëï", "fr": "àâæçéèêëîïôœùûüÿñö", "es": "áéíñóúüçàïòº",
    "it": "àèéìîòóùçëöü", "pt": "áâãàçéêíóôõúüñº", "nl": "áéëèêïíóöúüçâàôû", "da": "æøåéäöüèàê", "sv": "åäöéüèàæøáç",
    "no": "æøåéèêóòôäöüà", "fi": "äöåšžéü", "hu": "áéíóöőúüűä", "ro": "ăâîșțşţéèöüá", "pl": "ąćęłńóśźżéöü",
    "cs": "áčďéěíňóřšťúůýžäöü", "sk": "áäčďéíĺľňóôŕšťúýžěř", "sl": "čšžćđéö", "hr": "čćđšžéö", "et": "äöõüšžé",
    "lv": "āčēģīķļņšūžōŗö", "lt": "ąčęėįšųūžéöü", "tr": "çğıöşüâîûİ", "ca": "àçèéíïòóúüñ·", "eu": "ñçüáéíóú",
    "ga": "áéíóúàèöü", "id": "éèêáóñ", "sq": "ëçé", "is": "áðéíóúýþæö", "gl": "áéíóúñüç", "af": "êëéèôöûïîáóí",
    "eo": "ĉĝĥĵŝŭé", "mt": "ċġħżàèìòù", "cy": "âêîôûŵŷïëäöáéíóúàèìòùẁẃỳ", "oc": "áàçéèíïóòúü", "lb": "äëéüöèêôûâîï",
    "br": "ñùêéüôâà",
    "vi": "àáảãạăằắẳẵặâầấẩẫậđèéẻẽẹêềếểễệìíỉĩịòóỏõọôồốổỗộơờớởỡợùúủũụưừứửữựỳýỷỹỵ\u0300\u0301\u0303\u0309\u0323",
}  # fmt: skip
_RUSSIAN = "абвгдежзийклмнопрстуфхцчшщъыьэюяё"
_CYRILLIC = {
    "ru": _RUSSIAN, "bg": "абвгдежзийклмнопрстуфхцчшщъьюяѝ", "uk": "абвгґдеєжзиіїйклмнопрстуфхцчшщьюя",
    "sr": "абвгдђежзијклљмнњопрстћуфхцчџш", "be": "абвгдеёжзійклмнопрстуўфхцчшыьэюя",
    "mk": "абвгдѓежзѕијклљмнњопрстќуфхцчџшѐѝ",
}  # fmt: skip
_ALPHABETS = {code: frozenset(s + s.upper()) for code, s in (_LATIN | _CYRILLIC).items()}
_WESTERN = frozenset[str]().union(*(_ALPHABETS[code] for code in ("de", "fr", "es", "it", "pt", "nl", "da", "sv")))
#: A language without a row above can still be written with what its western neighbours use.
_UNKNOWN = frozenset[str]()
#: What a text in several western languages gets at most, so that one clear language always wins.
_MIXED = 0.9
#: Scripts whose letters all count, whatever the language: their encodings do not overlap in a plausible way.
_WHOLE_SCRIPTS = re.compile(
    r"[\u0386-\u03ce\u05d0-\u05ea\u05b0-\u05c7\u05f0-\u05f4\u0621-\u0652\u0660-\u066d\u067e\u0686\u0688\u0691\u0698"
    r"\u06a9\u06af\u06ba\u06be\u06c1\u06cc\u06d2\u06f0-\u06f9\u060c\u061b\u061f\u0640\u0e01-\u0e5b"
    r"\u0900-\u0dff\u0e80-\u0eff\u1000-\u109f\u10a0-\u10ff\u0531-\u0589\u1780-\u17ff"
    r"\u3000-\u30ff\u3105-\u312f\u4e00-\u9fff\uac00-\ud7a3\uff01-\uff60\uffe0-\uffe6\u1100-\u11ff\u3130-\u318f]"
)
_EAST_ASIAN = re.compile(
    r"[\u3040-\u30ff\u3400-\u9fff\uac00-\ud7a3\uff61-\uff9f\u2500-\u25ff\u2000-\u206f\u3000-\u303f\uff01-\uff60]"
)
_PUNCTUATION = frozenset(
    "\u00a0\u00ad¡§©«®°±²³´·¹º»¼½¾¿×÷€£¥†‡•…‰‹›–—―‘’‚“”„™№−→←↔⇒✓●■◆★☆\u2009\u202f\u200b\u200c\u200d\u200e\u200fµ‐‑"
    "\u2028\u2029"
)
_OPENING = frozenset("‚„")
_AFTER_NO_LETTER = frozenset("‡†•‰‹¿¡")
_INSIDE_WORDS = frozenset("’‘\u00ad·\u200b‐‑–—\u00a0\u2009\u202f")
#: A text whose letters are mostly one and the same is filler, not language.
_MONOTONE_FROM = 100
#: Only so many characters are looked at.
_LOOK = 20_000


def plausibility(text: str) -> float:
    """Share in 0…1 of the characters outside ASCII that belong where they stand; 1 when there are none.

    A letter belongs when the text's own language (by py3langid) writes it; wrong letter case inside a word, symbols
    inside a word and East Asian characters between Latin letters do not.
    """
    text = text[:_LOOK]
    foreign = [(place, char) for place, char in enumerate(text) if char > "\x7f"]
    if not foreign:
        return 1.0
    _, most = Counter(char for _, char in foreign).most_common(1)[0]
    if most > _MONOTONE_FROM and most * 3 > len(foreign) * 2:
        return 0.0
    needs_language = any(_alphabetic(char) for _, char in foreign)
    ranked = rank_languages(text)[:3] if needs_language else [("en", 1.0)]
    shares = [
        _share(text, foreign, _ALPHABETS.get(code, _UNKNOWN)) - 0.04 * behind for behind, (code, _) in enumerate(ranked)
    ]
    return max([*shares, _MIXED * _share(text, foreign, _WESTERN)])


def _alphabetic(char: str) -> bool:
    return "\u00c0" <= char < "\u0530" and char.isalpha() and not _WHOLE_SCRIPTS.match(char)


def _share(text: str, foreign: list[tuple[int, str]], alphabet: frozenset[str]) -> float:
    good = sum(_belongs(text, place, char, alphabet) for place, char in foreign)
    return good / len(foreign)


def _belongs(text: str, place: int, char: str, alphabet: frozenset[str]) -> bool:
    before = text[place - 1] if place else " "
    after = text[place + 1] if place + 1 < len(text) else " "
    in_script = bool(_WHOLE_SCRIPTS.match(char))
    beside_latin = _is_latin(before) or _is_latin(after)
    if beside_latin and char >= "\u0370" and not _is_latin(char) and (in_script or char.isalpha()):
        # Chinese may touch a Latin word on one side; a lone such letter at the end of one is a wrong reading.
        return bool(_EAST_ASIAN.match(char)) and bool(_EAST_ASIAN.match(before) or _EAST_ASIAN.match(after))
    if char in alphabet:
        return not (char.isupper() and before.islower())
    if in_script:
        return True
    if char in _OPENING:
        return not after.isspace() and not before.isalpha()
    if char in _AFTER_NO_LETTER:
        return not before.isalpha()
    if char in _PUNCTUATION:
        return char in _INSIDE_WORDS or not (before.isalpha() and after.isalpha())
    return unicodedata.category(char) == "So" and char > "\u2190" and not (before.isalpha() and after.isalpha())


def _is_latin(char: str) -> bool:
    return (char < "\u0250" or "\u1e00" <= char < "\u1f00") and char.isalpha()
