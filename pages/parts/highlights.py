"""Text with marked spans as HTML. Everything is escaped; the only tags are the ones made here."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from html import escape

Span = tuple[int, int]

#: Blank lines between paragraphs take half a line in cards, so that more of them fit a screen.
_BLANK_LINES = re.compile(r"\n[ \t]*(?:\n[ \t]*)+")


def mark_spans(text: str, spans: Iterable[Span]) -> str:
    """``text`` as HTML with ``spans`` (code points, end exclusive, may overlap or reach beyond it) in ``<mark>``."""
    out, at = [], 0
    for start, end in merge_spans(spans, len(text)):
        out.append(f"{escape(text[at:start])}<mark>{escape(text[start:end])}</mark>")
        at = end
    out.append(escape(text[at:]))
    return _BLANK_LINES.sub('\n<span class="cs-gap"></span>', "".join(out))


def merge_spans(spans: Iterable[Span], length: int) -> list[Span]:
    """Spans in order, cut to ``length``, overlapping ones joined, empty ones left out."""
    merged: list[Span] = []
    for start, end in sorted((max(0, start), min(end, length)) for start, end in spans):
        if end <= start:
            continue
        if merged and start <= merged[-1][1]:
            merged[-1] = (merged[-1][0], max(end, merged[-1][1]))
        else:
            merged.append((start, end))
    return merged


def cut_around(text: str, spans: Sequence[Span], *, most: int = 900) -> tuple[str, list[Span]]:
    """At most about ``most`` characters of ``text`` around its first span, cut between words, and the spans in it."""
    if len(text) <= most:
        return text, list(spans)
    first = spans[0][0] if spans else 0
    start = max(0, min(first - most // 4, len(text) - most))
    start = text.rfind(" ", max(0, start - 40), start) + 1 if start else 0
    end = text.find(" ", start + most)
    end = len(text) if end < 0 or end > start + most + 40 else end
    lead, tail = ("… " if start else ""), (" …" if end < len(text) else "")
    shift = len(lead) - start
    inside = [(max(a, start) + shift, min(b, end) + shift) for a, b in spans if a < end and b > start]
    return f"{lead}{text[start:end]}{tail}", inside
