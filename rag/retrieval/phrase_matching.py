"""Finding a phrase in a text as a reader would: whatever its line breaks, hyphens, quotation marks, case and forms."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

from rapidfuzz import fuzz

from rag.errors import InvalidInput

#: ``exact``: letter by letter. ``spelled``: the same letters and digits, otherwise written. ``approximate``: nearly.
Likeness = Literal["exact", "spelled", "approximate"]

#: A longer phrase is a text of its own; what is pasted beyond this is refused.
MAX_PHRASE = 2000
#: Share of letters that must agree for "approximately", of 100: a wrong word in eight passes, another sentence doesn't.
_ALIKE = 80.0
#: Letters that a phrase needs before something can be approximately it.
_LEAST = 8
#: Letters of the phrase by which the database looks for documents; more make its pattern slow and find no less.
_PATTERN_LETTERS = 120

_BREAK_IN_WORD = re.compile(r"\w[-\u00ad\u2010\u2011]\s+\w|\w\u00ad\w")
_QUOTES = re.compile(r"[\"'\u2018-\u201f\u00ab\u00bb\u2039\u203a`\u00b4]")


@dataclass(frozen=True, slots=True)
class Occurrence:
    """Where a phrase stands in a text: code points, end exclusive. ``alike`` is the share of equal letters, 0 to 1."""

    start: int
    end: int
    likeness: Likeness
    alike: float
    differences: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Folded:
    """A text as its letters, digits and marks in one form; ``origins[i]`` is where the i-th stood."""

    letters: str
    origins: list[int]


def check_phrase(phrase: str) -> str:
    """The phrase without what surrounds it; :class:`InvalidInput` where there is nothing to look for."""
    plain = " ".join(phrase.replace("\x00", " ").encode("utf-8", "ignore").decode("utf-8").split())
    if not fold(plain).letters:
        raise InvalidInput("Paste a phrase with letters or digits.")
    if len(plain) > MAX_PHRASE:
        raise InvalidInput(f"A phrase has at most {MAX_PHRASE:,} characters.", hint="Paste one sentence of it.")
    return plain


def fold(text: str) -> Folded:
    """Letters, digits and marks under NFKC, caseless; all that separates them is left out."""
    letters: list[str] = []
    origins: list[int] = []
    for position, character in enumerate(text):
        if character.isascii():
            if character.isalnum():
                letters.append(character.lower())
                origins.append(position)
            continue
        for part in unicodedata.normalize("NFKC", character).casefold():
            if part.isalnum() or unicodedata.category(part).startswith("M"):
                letters.append(part)
                origins.append(position)
    return Folded("".join(letters), origins)


def find_phrase(text: str, phrase: str, limit: int = 20) -> list[Occurrence]:
    """Where the phrase stands, in text order, at most ``limit`` times; where it stands nowhere, the place most like it.

    ``phrase`` comes from :func:`check_phrase`.
    """
    folded, wanted = fold(text), fold(phrase).letters
    whole: list[Occurrence] = []
    within: list[Occurrence] = []
    at = folded.letters.find(wanted)
    while at >= 0 and len(whole) < limit:
        start, end = folded.origins[at], folded.origins[at + len(wanted) - 1] + 1
        if not _cuts(text, start, end, str.isdigit):
            (within if _cuts(text, start, end, str.isalpha) else whole).append(_compare(text, start, end, phrase))
        at = folded.letters.find(wanted, at + 1)
    if not whole and not within and (near := _nearest(text, folded, wanted)) is not None:
        return [near]
    return whole or within[:limit]


def _cuts(text: str, start: int, end: int, same: Callable[[str], bool]) -> bool:
    """Whether the span begins or ends inside a run: "27 months" in "127 months", "art" in "party"."""
    before = start > 0 and same(text[start - 1]) and same(text[start])
    after = end < len(text) and same(text[end - 1]) and same(text[end])
    return before or after


def _compare(text: str, start: int, end: int, phrase: str) -> Occurrence:
    passage = text[start:end]
    core = phrase.strip("".join({character for character in phrase if not character.isalnum()}))
    if passage in (core, phrase):
        return Occurrence(start, end, "exact", 1.0)
    return Occurrence(start, end, "spelled", 1.0, describe_differences(passage, core))


def describe_differences(passage: str, phrase: str) -> tuple[str, ...]:
    """In which respects the two are written differently, given that their letters are the same."""
    found = []
    if _BREAK_IN_WORD.search(passage) or _BREAK_IN_WORD.search(phrase):
        found.append("hyphenation")
    elif _squeeze(passage).count("-") != _squeeze(phrase).count("-"):
        found.append("hyphens")
    if passage.split() != " ".join(passage.split(" ")).split(" ") or "\n" in passage:
        found.append("line breaks" if "\n" in passage else "spaces")
    if _QUOTES.findall(passage) != _QUOTES.findall(phrase):
        found.append("quotation marks")
    if _letters(passage) != _letters(phrase):
        same_case = _letters(passage).lower() == _letters(phrase).lower()
        found.append("capitals" if same_case else "forms of letters")
    return tuple(found or ["spaces or punctuation"])


def _squeeze(text: str) -> str:
    return re.sub(r"[\u2010-\u2015]", "-", text)


def _letters(text: str) -> str:
    return "".join(character for character in text if character.isalnum())


def _nearest(text: str, folded: Folded, wanted: str) -> Occurrence | None:
    if len(wanted) < _LEAST or len(folded.letters) < len(wanted) // 2:
        return None
    place = fuzz.partial_ratio_alignment(wanted, folded.letters, score_cutoff=_ALIKE)
    if place is None or place.dest_end <= place.dest_start:
        return None
    start, end = folded.origins[place.dest_start], folded.origins[place.dest_end - 1] + 1
    while start > 0 and text[start - 1].isalnum() and not _is_unspaced(text[start - 1]):
        start -= 1
    while end < len(text) and text[end].isalnum() and not _is_unspaced(text[end]):
        end += 1
    return Occurrence(start, end, "approximate", place.score / 100)


def _is_unspaced(character: str) -> bool:
    """Of a script without spaces between words, where a word's end can't be seen."""
    return character >= "\u0e00" and unicodedata.category(character) == "Lo"


def pattern_of(phrase: str) -> str:
    """A regular expression of Postgres, for ``~*``, that each text matches in which the phrase stands as it is spelled.

    Measured: 100 MB of text a second, against 13 for taking all but the letters out of it first.
    """
    letters = [c for c in phrase if c.isalnum() or unicodedata.category(c).startswith("M")]
    return "[^[:alnum:]]*".join(letters[:_PATTERN_LETTERS])
