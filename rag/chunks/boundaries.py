"""Where a text may be cut, and how bad each place is: headings, paragraphs, sentences, lines, words."""

from __future__ import annotations

import re
import unicodedata
from bisect import bisect_right
from dataclasses import dataclass

#: What a cut costs, in units of chunking's objective (1 is the cost of a chunk with next to nothing in it).
HEADING, PARAGRAPH, LINE_SENTENCE, SENTENCE, LINE, WORD, ANYWHERE = -0.3, 0.05, 0.08, 0.15, 0.3, 2.0, 4.0

_FENCE = re.compile(r"^[ \t]{0,3}(?:```|~~~)", re.MULTILINE)
# Markdown "## Title" and wiki "== Title ==" (WikiText corpora write "= = Title = ="). Bounded, so that a hostile
# line costs linear time.
_HEADING = re.compile(r"^[ \t]{0,3}(?P<mark>#{1,6}|=(?:[ ]?=){0,5})[ \t]+(?P<title>[^\s=][^\n]{0,300})$", re.MULTILINE)
_CLOSING = r"[\"'”’»)\]」』”）]*+"
_BREAK = re.compile(
    r"(?P<paragraph>\n[ \t\r]*+\n\s*+)"
    rf"|(?P<line_sentence>[.!?…:;。！？；।؟۔]{_CLOSING}[ \t\r]*+\n[ \t]*+)"
    r"|(?P<line>\n[ \t]*+)"
    rf"|(?P<sentence>(?<![.!?…])[.!?…]++{_CLOSING}[ \t]++(?![\r\n])|[。！？；।]{_CLOSING}[ \t]*+|[؟۔][ \t]*+)"
)
#: How far back a place between words is looked for before a word is cut.
_WORD_REACH = 40
_JOINERS = frozenset("\u200d\ufe0e\ufe0f\u20e3")
_COSTS = {"paragraph": PARAGRAPH, "line_sentence": LINE_SENTENCE, "line": LINE, "sentence": SENTENCE}


@dataclass(frozen=True, slots=True)
class Heading:
    """A heading line: ``text[start:end]``, and where what it heads begins."""

    start: int
    end: int
    body: int
    level: int
    title: str


def find_headings(text: str) -> list[Heading]:
    """Headings in order; lines inside fenced code are none."""
    fences = [match.start() for match in _FENCE.finditer(text)]
    found = []
    for match in _HEADING.finditer(text):
        title, is_wiki = match["title"].rstrip(), match["mark"][0] == "="
        if bisect_right(fences, match.start()) % 2 or (is_wiki and not title.endswith("=")):
            continue
        title = " ".join(title.rstrip("= " if is_wiki else "# ").split())
        if title:
            level = match["mark"].count("=" if is_wiki else "#")
            found.append(Heading(match.start(), match.end(), _skip_space(text, match.end()), level, title))
    return found


def find_breaks(text: str, headings: list[Heading]) -> dict[int, float]:
    """Position where a chunk may begin → what that costs. A heading is never parted from what follows it."""
    breaks = {match.end(): _COSTS[match.lastgroup or ""] for match in _BREAK.finditer(text)}
    for heading in headings:
        for position in range(heading.start + 1, heading.body + 1):
            breaks.pop(position, None)
    for heading in headings:
        breaks[heading.start] = HEADING
    return breaks


def _skip_space(text: str, position: int) -> int:
    while position < len(text) and text[position].isspace():
        position += 1
    return position


def place_between(text: str, lowest: int, wanted: int) -> tuple[int, float]:
    """The nearest place at or before ``wanted`` (and not before ``lowest``) between words, else between characters."""
    floor = max(lowest, wanted - _WORD_REACH)
    for position in range(wanted, floor, -1):
        if text[position - 1].isspace() and not text[position].isspace():
            return position, WORD
    position = wanted
    while position > floor and _joined(text[position - 1], text[position]):
        position -= 1
    return (position if position > floor else wanted), ANYWHERE


def _joined(before: str, after: str) -> bool:
    """Whether two characters make one sign: marks, joiners, variation selectors, skin tones, flags."""
    return (
        bool(unicodedata.combining(after))
        or after in _JOINERS
        or before == "\u200d"
        or "\U0001f3fb" <= after <= "\U0001f3ff"
        or ("\U0001f1e6" <= before <= "\U0001f1ff" and "\U0001f1e6" <= after <= "\U0001f1ff")
        or before == "\r"
    )
