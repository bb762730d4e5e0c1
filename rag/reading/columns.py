"""Columns whose lines a PDF stores row by row, put back into reading order: all of the left one, then the right one.

Most producers store a column as a whole, which needs no help; tables are stored row by row too and must stay so.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

_MIN_LINES = 5
_MIN_GUTTER = 4.0
_MIN_CHARS = 20
_MIN_WORDS = 3
_PROSE_SHARE = 0.8


@dataclass(frozen=True)
class Gap:
    """The widest gap within a line: where in its text, and between which x coordinates in points."""

    place: int
    start: float
    end: float


@dataclass(frozen=True)
class Line:
    """A line of a page: letter size in points (in halves; 0 when unknown), edges of its first and last letter.

    pdfium joins a word that is hyphenated at the end of a line, so one line can span two of the page's.
    """

    text: str
    size: float = 0.0
    top: float = 0.0
    last_top: float = 0.0
    bold: bool = False
    left: float = 0.0
    right: float = 0.0
    gap: Gap | None = None


def in_reading_order(lines: list[Line]) -> list[Line]:
    """The same lines, with each run of side-by-side prose split at its gutter and the left side put first."""
    ordered: list[Line] = []
    place = 0
    while place < len(lines):
        run, gutter = _run(lines, place)
        if gutter and _is_prose(run):
            ordered += _sides(run, gutter)
            place += len(run)
        else:
            ordered.append(lines[place])
            place += 1
    return ordered


def _run(lines: list[Line], start: int) -> tuple[list[Line], tuple[float, float] | None]:
    """The lines from ``start`` that leave one common gutter free; lines on one side only belong to it too."""
    first = lines[start].gap
    if first is None:
        return [], None
    low, high = first.start, first.end
    run = [lines[start]]
    for line in lines[start + 1 :]:
        narrow_low = max(low, line.gap.start) if line.gap else low
        narrow_high = min(high, line.gap.end) if line.gap else high
        beside = line.gap is not None or line.right <= high or line.left >= low
        if not beside or narrow_high - narrow_low < _MIN_GUTTER or line.top > run[-1].top + 1:
            break
        low, high = narrow_low, narrow_high
        run.append(line)
    return run, (low, high)


def _is_prose(run: list[Line]) -> bool:
    """Both sides hold sentences, not cells."""
    sides = [side for line in run if line.gap for side in (line.text[: line.gap.place], line.text[line.gap.place :])]
    if len(sides) < 2 * _MIN_LINES or any(_is_rtl(side) for side in sides):
        return False
    long = sum(len(side) >= _MIN_CHARS and len(side.split()) >= _MIN_WORDS for side in sides)
    digits = sum(char.isdigit() for side in sides for char in side)
    return long >= _PROSE_SHARE * len(sides) and digits * 5 < sum(map(len, sides))


def _is_rtl(text: str) -> bool:
    return any("\u0590" <= char <= "\u08ff" for char in text)


def _sides(run: list[Line], gutter: tuple[float, float]) -> list[Line]:
    left: list[Line] = []
    right: list[Line] = []
    for line in run:
        if line.gap:
            left.append(replace(line, text=line.text[: line.gap.place].rstrip(), last_top=line.top, gap=None))
            right.append(replace(line, text=line.text[line.gap.place :].lstrip(), gap=None))
        else:
            (left if line.right <= gutter[1] else right).append(line)
    return left + right
