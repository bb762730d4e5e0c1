"""What can be quoted of passages: sentences, items, rows and blocks that make sense where they are shown alone."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from rag.chat.sentences import Kind, Unit, find_units, words
from rag.chat.word_forms import Wording

#: What leads to a list is quoted with as much of it as fits into so many characters.
_MAX_LIST_CHARS = 700
_ASKS = re.compile(r"[?？؟][\"'”’»)*_]*\Z")
_LEADS_ON = (":", "：")
#: The line between the first row of a table and the others.
_UNDER_HEADER = re.compile(r"\s*\|?[\s|:+-]*-{2,}[\s|:+-]*\s*\Z")


@dataclass(frozen=True, slots=True)
class Source:
    """A numbered passage; ``start`` is its offset in the document's text, ``similarity`` that to the question.

    ``own`` is what was retrieved of ``text`` (from, to), where that holds its neighbours as well; None: all of it.
    """

    number: int
    start: int
    text: str
    similarity: float | None = None
    language: str = "en"
    own: tuple[int, int] | None = None

    @property
    def whole(self) -> Quote:
        """All that was retrieved."""
        start, end = self.own or (0, len(self.text))
        return Quote(self.number, self.start + start, self.start + end, self.text[start:end])

    def quote(self, unit: Unit, kind: str | None = None) -> Quote:
        """The words of ``unit``."""
        words_of_it = self.text[unit.start : unit.end]
        return Quote(self.number, self.start + unit.start, self.start + unit.end, words_of_it, kind or unit.kind)


@dataclass(frozen=True, slots=True)
class Quote:
    """Words of passage ``number`` at ``start``:``end`` of its document's text."""

    number: int
    start: int
    end: int
    text: str
    kind: str = "sentence"


@dataclass(frozen=True, slots=True)
class Candidate:
    """Something to quote. ``reads`` is what it says with the header of its table; ``header`` is that header.

    ``before`` is where the sentence begins that it goes on from, in the same paragraph, if there is one.
    """

    source: Source
    unit: Unit
    reads: str
    wording: Wording
    header: Unit | None = None
    before: int | None = None

    @property
    def text(self) -> str:
        """Its own words."""
        return self.source.text[self.unit.start : self.unit.end]


def find_candidates(sources: Sequence[Source]) -> list[Candidate]:
    """All of them in order, each wording once: overlapping passages and repeated documents say the same."""
    seen: dict[str, Candidate] = {}
    for source in sources:
        for candidate in _candidates(source):
            seen.setdefault(" ".join(candidate.text.casefold().split()), candidate)
    return list(seen.values())


def _candidates(source: Source) -> Iterator[Candidate]:
    header: Unit | None = None
    last: Unit | None = None
    for unit in _answer_questions(source.text, find_units(source.text, source.language)):
        between = source.text[last.end : unit.start] if last else "\n\n"
        if unit.kind == "row":
            header = _header(header, last, between)
        reads = source.text[unit.start : unit.end]
        if header and unit.kind == "row":
            reads = f"{source.text[header.start : header.end]}\n{reads}"
        elif last and last.kind == "title" and unit.kind == "sentence" and not between.strip(" \t\n#=*_"):
            reads = f"{source.text[last.start : last.end]}\n{reads}"
        follows = last is not None and not between.strip() and between.count("\n") < 2
        before = last.start if last and follows and unit.kind == last.kind == "sentence" else None
        in_table = header if unit.kind == "row" else None
        wording = Wording(frozenset(words(reads)), source.language)
        yield Candidate(source, unit, reads, wording, in_table, before)
        last = unit


def _header(known: Unit | None, last: Unit | None, between: str) -> Unit | None:
    """The header above a row: the row before it, where a line parts the two, or what that one had."""
    if last is None or last.kind != "row" or "\n\n" in between:
        return None
    return last if _UNDER_HEADER.match(between.strip("\n|") + "\n") and "-" in between else known


def _answer_questions(text: str, units: Sequence[Unit]) -> Iterator[Unit]:
    """Units, a question together with the sentence that answers it: alone it repeats what somebody wants to know."""
    asked: Unit | None = None
    for unit in units:
        if asked is not None:
            if unit.kind in ("sentence", "item") and text[asked.end : unit.start].count("\n") < 3:
                unit = Unit(asked.start, unit.end, unit.kind)
            asked = None
        if unit.kind in ("sentence", "title") and _ASKS.search(text[unit.start : unit.end]):
            asked = unit
        else:
            yield unit


def with_its_list(candidate: Candidate) -> tuple[Unit, str]:
    """What ends with a colon says nothing without the list, table or code that it leads to; its span and kind."""
    unit, end = candidate.unit, candidate.unit.end
    if candidate.text.endswith(_LEADS_ON):
        for following in find_units(candidate.source.text, candidate.source.language):
            if following.start < end:
                continue
            if following.kind not in ("item", "row", "code") or following.end - unit.start > _MAX_LIST_CHARS:
                break
            end = following.end
    kind: Kind = unit.kind
    return Unit(unit.start, end, kind), "list" if end > unit.end else kind
