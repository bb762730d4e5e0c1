"""Text becomes units that can be quoted on their own: sentences, list items, table rows, code blocks, titles."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

import sentencex

#: A longer unit is cut at a clause or a blank: Thai has no full stops, and some files have no line ends.
MAX_UNIT_CHARS = 500

Kind = Literal["sentence", "item", "row", "code", "title"]

_FENCE = re.compile(r"\s{0,12}(?:`{3,}|~{3,})")
_HEADING = re.compile(r"\s{0,3}(?:#{1,6}|(?:=[ ]?){1,6}(?=.*=\s*\Z))\s+")
_BULLET = re.compile(r"\s*(?:[-*+•‣◦▪●–]|\(?\d{1,3}[.)]|\(?[a-z][.)])\s+")
_CLOSING_MARKS = re.compile(r"\s+[=#][=#\s]*\Z")
_RULE = re.compile(r"[\s=\-_*|:+#~.]+")
_CELLS = re.compile(r"\||\t")
_STOP = re.compile(r"[.!?。！？؟।…:;；：][\"'”’»」』)\]]*\Z")
_DATA = re.compile(r"[{}\[\]();=<>,\"_\\/]")
#: A longer one is looked at again: one stray quotation mark or apostrophe makes segmenters run sentences together.
_LONG = 200
_INNER_STOP = re.compile(
    r"(?P<last>[^\W\d_]{3,}|\d{3,}|[)\]%\"'”’»])\s?[.!?…]+[\"'”’»)\]]*\s+(?=[\"'“‘«¿¡(]*(?P<next>\w))"
)
_ABBREVIATED = frozenset(
    "approx bzw capt col corp dept env etc evtl gen gov hon inc ltd prof rep rev sen sept usw vol".split()  # noqa: SIM905
)
_CUT = re.compile(r"[;；,，、:：]\s*|\s+")
# Scripts written without blanks between words: Han, kana, Thai, Lao, Khmer, Myanmar.
_UNSPACED = "\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff\u3040-\u30ff\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff"
_WORD = re.compile(rf"[{_UNSPACED}]+|[^\W_{_UNSPACED}]+(?:[.,'’-]\d+)*")


@dataclass(frozen=True, slots=True)
class Unit:
    """A span of a text, in code points, end exclusive, without surrounding blanks."""

    start: int
    end: int
    kind: Kind


def find_units(text: str, language: str = "en") -> list[Unit]:
    """The quotable units of ``text`` in order; rules, blank lines and fence marks belong to none."""
    return [cut for unit in _blocks(text, language) if (fit := _trim(text, unit)) for cut in _cut(text, fit)]


def words(text: str) -> list[str]:
    """Case-folded words; text of scripts without blanks gives its bigrams."""
    found: list[str] = []
    for word in _WORD.findall(text.casefold()):
        if re.match(rf"[{_UNSPACED}]", word):
            found += [word[at : at + 2] for at in range(max(len(word) - 1, 1))]
        else:
            found.append(word)
    return found


def same_word(one: str, other: str) -> bool:
    """True for equal words and for what are likely forms of one word: a shared start of 70 % of the longer one."""
    if one == other:
        return True
    shared = max(4, -(-7 * max(len(one), len(other)) // 10))
    return min(len(one), len(other)) >= shared and one[:shared] == other[:shared]


def _blocks(text: str, language: str) -> Iterator[Unit]:
    start, end, kind = 0, 0, None  # the paragraph, item or code block that is open
    for line_start, line_end in _lines(text):
        line = text[line_start:line_end]
        if kind == "code" or _FENCE.match(line):
            if not _FENCE.match(line):
                end = line_end
                continue
            if kind is not None:
                yield from _close(text, start, end, kind, language)
            start, end, kind = line_end, line_end, None if kind == "code" else "code"
            continue
        own, skip = _own_line(line)
        bullet = _BULLET.match(line)
        if kind is not None and (own is not None or bullet or skip):
            yield from _close(text, start, end, kind, language)
            kind = None
        if own is not None:
            yield Unit(line_start + (heading.end() if (heading := _HEADING.match(line)) else 0), line_end, own)
        elif bullet:
            start, end, kind = line_start + bullet.end(), line_end, "item"
        elif not skip:
            start, end, kind = (start if kind else line_start), line_end, kind or "sentence"
    if kind is not None:
        yield from _close(text, start, end, kind, language)


def _lines(text: str) -> Iterator[tuple[int, int]]:
    at = 0
    for line in text.split("\n"):
        yield at, at + len(line)
        at += len(line) + 1


def _own_line(line: str) -> tuple[Kind | None, bool]:
    """The kind of a line that stands for itself, and whether the line only parts others."""
    if not line.strip() or _RULE.fullmatch(line):
        return None, True
    if _HEADING.match(line):
        return "title", False
    return ("row" if len(_CELLS.findall(line.strip())) >= 2 else None), False


def _close(text: str, start: int, end: int, kind: str, language: str) -> Iterator[Unit]:
    if kind == "code":
        yield Unit(start, end, "code")
        return
    if kind == "sentence" and (title := _opening_title(text[start:end])):
        yield Unit(start, start + title, "title")
        start += title
    block = text[start:end]
    if kind == "sentence" and "\n" not in block and len(block) <= 90 and not _STOP.search(block.rstrip()):
        yield Unit(start, end, "title")
    elif "\n" in block and len(_DATA.findall(block)) > 0.1 * len(block):
        yield from (Unit(start + one, start + other, "row") for one, other in _lines(block))
    else:
        yield from _sentences(block, start, "item" if kind == "item" else "sentence", language)


def _opening_title(block: str) -> int:
    """The length of a first line that heads the paragraph: short beside the next one, which begins with a capital."""
    first, newline, rest = block.partition("\n")
    second = rest.split("\n", 1)[0].strip()
    is_short = 0 < len(first.strip()) <= 60 and 2 * len(first.strip()) < len(second)
    if (
        not (newline and is_short and second[0].isupper())
        or _STOP.search(first.rstrip())
        or first.rstrip()[-1] in ",-–"
    ):
        return 0
    return len(first) + 1


def _sentences(block: str, offset: int, kind: Kind, language: str) -> Iterator[Unit]:
    at = 0
    for sentence in sentencex.segment(language, block):
        found = block.find(sentence, at)
        if found < 0:  # the library normalised something: the rest stays one unit rather than a wrong span
            yield Unit(offset + at, offset + len(block), kind)
            return
        at = found + len(sentence)
        yield from _apart(block, found, at, offset, kind)


def _apart(block: str, start: int, end: int, offset: int, kind: Kind) -> Iterator[Unit]:
    """A long sentence cut where a full stop stands before a capital."""
    if end - start > _LONG:
        for stop in list(_INNER_STOP.finditer(block, start, end)):
            if stop["next"].isupper() and stop["last"].casefold() not in _ABBREVIATED:
                yield Unit(offset + start, offset + stop.end(), kind)
                start = stop.end()
    yield Unit(offset + start, offset + end, kind)


def _trim(text: str, unit: Unit) -> Unit | None:
    piece = text[unit.start : unit.end]
    if unit.kind == "title":  # "== Name ==", "## Name ##"
        piece = _CLOSING_MARKS.sub("", piece)
        unit = Unit(unit.start, unit.start + len(piece), unit.kind)
    start, end = unit.start + len(piece) - len(piece.lstrip()), unit.end - len(piece) + len(piece.rstrip())
    return Unit(start, end, unit.kind) if any(letter.isalnum() for letter in piece) else None


def _cut(text: str, unit: Unit) -> Iterator[Unit]:
    start = unit.start
    while unit.end - start > MAX_UNIT_CHARS:
        window = text[start : start + MAX_UNIT_CHARS]
        stops = [cut.end() for cut in _CUT.finditer(window) if cut.end() > MAX_UNIT_CHARS // 2]
        end = start + (stops[-1] if stops else MAX_UNIT_CHARS)
        if piece := _trim(text, Unit(start, end, unit.kind)):
            yield piece
        start = end
    if piece := _trim(text, Unit(start, unit.end, unit.kind)):
        yield piece
