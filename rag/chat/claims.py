"""The sentences of an answer that claim something, each with the numbers of the passages that it rests on."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

from rag.chat.citing import settled_spans
from rag.chat.sentences import Kind, Unit, find_units

#: Nobody checks more of one answer.
MAX_CLAIMS = 200

_QUOTE_MARK = re.compile(r"^[ \t]{0,3}(?:>[ \t]?)+", re.MULTILINE)
_EMPHASIS = re.compile(r"(?<![\\\w])\*{1,3}(?=\S)|(?<=[^\s\\])\*{1,3}(?!\w)")
_NEW_BLOCK = re.compile(r"\n[ \t]*\n|\n[ \t]*(?:[-*+•>#|]|\d{1,3}[.)])")
_LEADS_ON = re.compile(r"[:：?？][*_)\"'”»]*\Z")
#: A sentence about what was read claims nothing that a passage could hold.
_SAYS_NOTHING = re.compile(
    r"\b(?:i (?:don['’]t|do not|can['’]t|cannot)|passages?|sources?|documents?|excerpts?|context|information)\b.{0,80}"
    r"(?:\b(?:not|no|nothing|know|none|only|without|lacks?)\b|n['’]t\b)"
    r"|\b(?:no|nothing|none|not)\b.{0,60}\b(?:passages?|sources?|documents?|excerpts?|context|information)\b"
    r"|\Anothing (?:relevant )?(?:was )?found\b"
    r"|\b(?:keine?|nicht|nichts)\b.{0,80}\b(?:textstellen?|passagen?|quellen?|dokumente?n?|angaben?|informationen)\b"
    r"|\b(?:textstellen?|passagen?|quellen?|dokumente?n?)\b.{0,80}\b(?:keine?|nicht|nichts)\b",
    re.IGNORECASE | re.DOTALL,
)


@dataclass(frozen=True, slots=True)
class Claim:
    """``start``:``end`` of an answer's Markdown; ``text`` is what it says, without markers and emphasis.

    ``cited`` are the numbers in the sentence or, where it has none, those of the next sentence of its paragraph that
    has some: people put one number at the end of what it stands for.
    """

    start: int
    end: int
    text: str
    cited: tuple[int, ...]
    kind: Kind = "sentence"


@dataclass(frozen=True, slots=True)
class _Plain:
    """An answer without its markup, and where each letter stood."""

    text: str
    #: The same with code made one word, so that no sentence ends inside of it.
    solid: str
    places: list[int]
    #: (how many letters of ``text`` come before it, the number).
    markers: list[tuple[int, int]]


def find_claims(content: str, language: str = "en") -> list[Claim]:
    """The claims of a filtered answer in order, at most :data:`MAX_CLAIMS`.

    Headings, questions, what leads to a list and what only speaks of the passages are none, unless they cite.
    """
    plain = _strip(content)
    units = [unit for unit in find_units(plain.solid, language) if unit.kind != "code"]
    own = _assign(units, plain.markers, plain.text)
    claims: list[Claim] = []
    for at, unit in enumerate(units):
        numbers = own[at] or _borrow(at, units, own, plain.text)
        text = plain.text[unit.start : unit.end]
        start, end = _with_marks(content, plain.places[unit.start], plain.places[unit.end - 1] + 1)
        if own[at] or _claims_something(content[start:end], text, unit.kind):
            claims.append(Claim(start, end, text, tuple(dict.fromkeys(numbers)), unit.kind))
    return claims[:MAX_CLAIMS]


def _claims_something(marked: str, text: str, kind: Kind) -> bool:
    if kind in ("title", "row") or _LEADS_ON.search(text) or len(text.split()) < 3 <= len(text) / 4:
        return False
    if re.fullmatch(r"\*[^*].*\*", marked.strip(), re.DOTALL):  # a remark of ours
        return False
    return _SAYS_NOTHING.search(text) is None


def _with_marks(content: str, start: int, end: int) -> tuple[int, int]:
    """With the emphasis and code marks that open or close it."""
    while start and content[start - 1] in "*`\\":
        start -= 1
    while end < len(content) and content[end] in "*`":
        end += 1
    return start, end


def _strip(content: str) -> _Plain:
    """Leave out markers with the blanks before them, emphasis, backticks, escapes and the marks of quotes."""
    drop = bytearray(len(content))
    solid = list(content)
    markers: list[tuple[int, int]] = []
    inside = bytearray(len(content))
    for start, end, number in settled_spans(content):
        inside[start:end] = b"\1" * (end - start)
        if number is not None:
            drop[start:end] = b"\1" * (end - start)
            while start and content[start - 1] in " \t":
                start -= 1
                drop[start] = 1
            markers.append((end, number))
        elif content[start] == "\\":
            drop[start] = 1
        elif "\n" not in content[start:end]:
            ticks = len(content[start:end]) - len(content[start:end].lstrip("`"))
            drop[start : start + ticks] = drop[end - ticks : end] = b"\1" * ticks
            solid[start:end] = ["x" if not letter.isalnum() else letter for letter in solid[start:end]]
    for pattern in (_QUOTE_MARK, _EMPHASIS):
        for found in pattern.finditer(content):
            if not inside[found.start()]:
                drop[found.start() : found.end()] = b"\1" * (found.end() - found.start())
    places = [at for at in range(len(content)) if not drop[at]]
    before = [0]
    for dropped in drop:
        before.append(before[-1] + (not dropped))
    return _Plain(
        "".join(content[at] for at in places),
        "".join(solid[at] for at in places),
        places,
        [(before[end], number) for end, number in markers],
    )


def _assign(units: Sequence[Unit], markers: Sequence[tuple[int, int]], text: str) -> list[list[int]]:
    """The numbers of each unit: those inside of it or right after it; one that opens a line goes with what follows."""
    own: list[list[int]] = [[] for _ in units]
    for place, number in markers:
        before = [at for at, unit in enumerate(units) if unit.start < place]
        if before and "\n" not in text[units[before[-1]].end : place]:
            own[before[-1]].append(number)
        elif len(before) < len(units) and "\n" not in text[place : units[len(before)].start]:
            own[len(before)].append(number)
    return own


def _borrow(at: int, units: Sequence[Unit], own: Sequence[list[int]], text: str) -> list[int]:
    for later in range(at + 1, len(units)):
        if _NEW_BLOCK.search(text[units[later - 1].end : units[later].start + 1]):
            return []
        if own[later]:
            return own[later]
    return []
