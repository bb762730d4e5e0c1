"""What a corrected text changed, and where that moves offsets. Pure; offsets count code points, end exclusive."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from difflib import SequenceMatcher


@dataclass(frozen=True, slots=True)
class Edit:
    """Characters ``start`` to ``end`` of the old text gave way to ``length`` characters."""

    start: int
    end: int
    length: int

    @property
    def growth(self) -> int:
        return self.length - (self.end - self.start)


def find_edits(old: str, new: str) -> list[Edit]:
    """The edits, in order and apart, that make ``new`` of ``old``: by line, then trimmed to the characters."""
    whole = _trim(old, new, 0)
    if whole is None:
        return []
    before, after = old[whole.start : whole.end], new[whole.start : whole.start + whole.length]
    if "\n" not in before or "\n" not in after:
        return [whole]
    return _edits_by_line(before, after, whole.start)


def _edits_by_line(before: str, after: str, offset: int) -> list[Edit]:
    old_lines, new_lines = before.splitlines(keepends=True), after.splitlines(keepends=True)
    edits = []
    position = 0  # of the old line where the next opcode starts
    for kind, a1, a2, b1, b2 in SequenceMatcher(None, old_lines, new_lines, autojunk=False).get_opcodes():
        lines = "".join(old_lines[a1:a2])
        if kind != "equal" and (edit := _trim(lines, "".join(new_lines[b1:b2]), offset + position)):
            edits.append(edit)
        position += len(lines)
    return edits


def _trim(old: str, new: str, offset: int) -> Edit | None:
    """One edit without what both begin and end with; None when they are equal."""
    if old == new:
        return None
    room = min(len(old), len(new))
    head = _longest(room, lambda n, m: old[n:m] == new[n:m])
    a, b = len(old), len(new)
    tail = _longest(room - head, lambda n, m: old[a - m : a - n] == new[b - m : b - n])
    return Edit(offset + head, offset + a - tail, b - head - tail)


def _longest(limit: int, equal: Callable[[int, int], bool]) -> int:
    """By bisection, the largest n up to ``limit`` for which everything in [0, n) is equal: slices compare fast."""
    low, high = 0, limit
    while low < high:
        middle = (low + high + 1) // 2
        if equal(low, middle):
            low = middle
        else:
            high = middle - 1
    return low


def move_span(start: int, end: int, edits: Sequence[Edit]) -> tuple[int, int] | None:
    """Where a mark's span lies after ``edits``; None when nothing of it is left. Text added at its edge stays out."""
    moved = _move(start, edits, right=True), _move(end, edits, right=False)
    return moved if moved[0] < moved[1] else None


def move_pages(page_starts: Sequence[int], edits: Sequence[Edit]) -> list[int]:
    """Where pages start after ``edits``; text added where a page starts becomes that page's."""
    return [_move(start, edits, right=False) for start in page_starts]


def _move(offset: int, edits: Sequence[Edit], *, right: bool) -> int:
    """``right`` says on which side of text added at exactly this offset it ends up."""
    shift = 0
    for edit in edits:
        if offset < edit.start or (offset == edit.start and not (right and edit.start == edit.end)):
            break
        if offset < edit.end:
            return edit.start + shift + min(offset - edit.start, edit.length)
        shift += edit.growth
    return offset + shift
