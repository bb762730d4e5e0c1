"""A document's text cut into what the viewer draws: windows, and segments that carry marks and borders. Pure."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

from rag.records import ChunkRow, SpanMark

#: Characters that one window of the viewer shows, roughly.
WINDOW = 12_000


@dataclass(frozen=True)
class Window:
    """Characters ``start`` to ``end`` (exclusive) of the text, and how the window is called."""

    start: int
    end: int
    label: str


def cut_windows(
    length: int, page_starts: Sequence[int], chunk_starts: Sequence[int], size: int = WINDOW
) -> list[Window]:
    """Windows of about ``size`` characters that begin where a page does, else a chunk, else anywhere."""
    borders = sorted({at for at in (page_starts or chunk_starts) if 0 < at < length})
    starts = [0]
    while length - starts[-1] > size * 3 // 2:
        target = starts[-1] + size
        at = bisect_right(borders, target)
        candidate = borders[at - 1] if at else 0
        if candidate <= starts[-1] + size // 4:
            candidate = borders[at] if at < len(borders) and borders[at] < target + size else target
        starts.append(candidate)
    ends = [*starts[1:], length]
    return [Window(a, b, _label(a, b, page_starts)) for a, b in zip(starts, ends, strict=True)]


def _label(start: int, end: int, page_starts: Sequence[int]) -> str:
    if not page_starts:
        return f"characters {start + 1:,} to {end:,}"
    first, last = max(1, bisect_right(page_starts, start)), max(1, bisect_right(page_starts, end - 1))
    return f"page {first}" if first == last else f"pages {first} to {last}"


def window_of(windows: Sequence[Window], offset: int) -> int:
    """The number, from 0, of the window that holds ``offset``."""
    return max(0, bisect_right([window.start for window in windows], offset) - 1)


def cut_segments(
    text: str,
    window: Window,
    chunks: Sequence[ChunkRow],
    marks: Sequence[SpanMark],
    page_starts: Sequence[int],
    focus: tuple[int, int] | None,
) -> list[dict[str, Any]]:
    """Runs of text between any two borders in the window, in order.

    Each has ``text``, ``start`` and, where they apply: ``focus``, ``excluded``, ``tags``, ``page`` (a page starts
    here) and ``chunk`` (a chunk starts here: its number, span, heading, and whether search leaves it out).
    """
    pages = {at: number for number, at in enumerate(page_starts, 1) if window.start <= at < window.end}
    starts = {chunk.start: chunk for chunk in chunks if window.start <= chunk.start < window.end}
    spans = [(mark.start, mark.end) for mark in marks] + ([focus] if focus else [])
    edges = {edge for span in spans for edge in span if window.start < edge < window.end}
    borders = sorted({window.start, window.end, *edges, *pages, *starts})
    segments = []
    for start, end in pairwise(borders):
        segment: dict[str, Any] = {"text": text[start:end], "start": start}
        if focus and focus[0] <= start < focus[1]:
            segment["focus"] = True
        here = [mark for mark in marks if mark.start <= start < mark.end]
        if any(mark.kind == "exclusion" for mark in here):
            segment["excluded"] = True
        if tags := [mark.tag for mark in here if mark.tag]:
            segment["tags"] = tags
        if start in pages:
            segment["page"] = pages[start]
        if start in starts:
            segment["chunk"] = _describe(starts[start])
        segments.append(segment)
    return segments


def _describe(chunk: ChunkRow) -> dict[str, Any]:
    return {
        "number": chunk.ordinal + 1,
        "start": chunk.start,
        "end": chunk.end,
        "heading": " › ".join(chunk.heading_path),
        "tokens": chunk.token_count,
        "excluded": chunk.excluded,
        "embedded": chunk.embedded,
    }
