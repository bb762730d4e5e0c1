"""A question about a passage without a chat model: what a sentence says of its subject, or the heading. Pure."""

from __future__ import annotations

import re
from dataclasses import dataclass

from rag.chat.sentences import Unit, find_units, words

#: "The warranty period of the pump is 27 months." asks "What is the warranty period of the pump?"
_STATEMENT = re.compile(
    r"(?P<subject>The\s(?:[\w-]+\s?){1,8}?)\s(?P<verb>is|are|was|were|costs|cost|weighs|weigh|lasts|last)\s.{8,}",
    re.DOTALL,
)
#: A verb or a second clause in what was taken for the subject.
_NO_SUBJECT = re.compile(
    r"\b(?:that|which|who|if|when|and|or|not|has|have|had|will|may|can|must|shall|should|would|could)\b"
)
_PLAIN_HEADINGS = {
    "introduction",
    "contents",
    "overview",
    "summary",
    "conclusion",
    "references",
    "appendix",
    "abstract",
}
_SHORTEST, _LONGEST = 40, 320


@dataclass(frozen=True, slots=True)
class Phrased:
    """A question and the characters of the passage that answer it; grade 3 for a sentence, 2 for the whole passage."""

    question: str
    start: int
    end: int
    grade: int


def phrase_question(text: str, *, document: str, headings: list[str], language: str | None) -> Phrased | None:
    """A question that ``text`` answers; None where there is nothing in it to ask about.

    English sentences become "What is …?"; else the heading is asked for; else the most telling sentence is given with
    its most telling word left out. Offsets are of ``text``.
    """
    sentences = [
        unit
        for unit in find_units(text, language or "en")
        if unit.kind in ("sentence", "item") and _SHORTEST <= unit.end - unit.start <= _LONGEST
    ]
    sentences.sort(key=lambda unit: -_telling(text[unit.start : unit.end]))
    if language in (None, "en"):
        for unit in sentences:
            if asked := _ask_for_subject(text[unit.start : unit.end]):
                return Phrased(asked, unit.start, unit.end, 3)
        if (heading := _last_heading(headings)) and sentences:
            return Phrased(f"What does {document} say about {heading}?", 0, len(text), 2)
    for unit in sentences:
        if asked := _leave_out(text, unit):
            return Phrased(asked, unit.start, unit.end, 3)
    return None


def _ask_for_subject(sentence: str) -> str | None:
    found = _STATEMENT.match(" ".join(sentence.split()))
    if found is None:
        return None
    subject, verb = found["subject"].strip(), found["verb"]
    if len(words(subject)) < 3 or _NO_SUBJECT.search(subject):
        return None
    subject = f"the {subject[4:]}"
    if verb in ("is", "are", "was", "were"):
        return f"What {verb} {subject}?"
    does = "does" if verb.endswith("s") else "do"
    how = "long" if verb.startswith("last") else "much"
    return f"How {how} {does} {subject} {verb.removesuffix('s')}?"


def _last_heading(headings: list[str]) -> str | None:
    heading = re.sub(r"^[\d.\s]+", "", headings[-1]).strip() if headings else ""
    return heading if 4 <= len(heading) <= 90 and heading.lower() not in _PLAIN_HEADINGS else None


def _telling(sentence: str) -> float:
    """How much of a sentence are figures, names and long words: these tell passages apart."""
    found = re.findall(r"\w+", sentence)
    if not found:
        return 0.0
    return sum(1.0 + any(c.isdigit() for c in word) for word in found[1:] if _weight(word) > 1) / (len(found) + 5)


def _weight(word: str) -> float:
    return len(word) / 4 + 2 * any(c.isdigit() for c in word) + 1.5 * word[:1].isupper()


def _leave_out(text: str, unit: Unit) -> str | None:
    """The sentence with its most telling word, not the first, left out."""
    sentence = " ".join(text[unit.start : unit.end].split())
    found = list(re.finditer(r"\w[\w.,-]*\w|\w", sentence))[1:]
    if len(found) < 5:
        return None
    word = max(found, key=lambda match: (_weight(match.group()), match.start()))
    return f"{sentence[: word.start()]}…{sentence[word.end() :]}"
