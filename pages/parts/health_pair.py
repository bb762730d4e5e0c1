"""Two passages side by side with what differs marked, as HTML; one above the other where there is no room."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape

from pages.parts.addresses import span_address
from pages.parts.highlights import Span, cut_around, mark_spans
from rag.health.differences import Differences
from rag.health.health_lists import Passage

_MOST = 1400


def pair_html(first: Passage, second: Passage, differences: Differences) -> str:
    """The one that stays on the left, the other one on the right."""
    left = _side("Stays", first, differences.first)
    right = _side("Copy", second, differences.second)
    return f'<div class="cs-pair">{left}{right}</div>'


def _side(role: str, passage: Passage, spans: Sequence[Span]) -> str:
    text, inside = cut_around(passage.text, spans, most=_MOST)
    where = f"page {passage.page} · " if passage.page else ""
    address = escape(span_address(passage.document_id, passage.start, passage.end))
    return (
        f'<section><div class="cs-head"><span class="cs-badge">{role}</span><b>{escape(passage.document)}</b>'
        f'<span class="cs-quiet">{where}<a href="{address}" target="_self">open</a></span></div>'
        f'<div class="cs-text">{mark_spans(text, inside)}</div></section>'
    )
