"""Search results as cards: where a passage is, what each method says of it, its text with matches marked."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape
from typing import Any

import streamlit as st

from pages.parts.addresses import span_query
from pages.parts.highlights import Span, mark_spans
from pages.parts.session import connect
from pages.parts.words import plain
from rag.corpus.baselines import Baseline
from rag.records import ChunkRow, Hit
from rag.retrieval.search import neighbours

_OPENED = "opened_neighbours"

CSV_COLUMNS = (
    "rank",
    "document",
    "title",
    "page",
    "heading",
    "start",
    "end",
    "text",
    "similarity",
    "similarity rank",
    "lexical",
    "lexical rank",
    "score",
)


def hit_cards(hits: Sequence[Hit], marks: Sequence[Sequence[Span]], baseline: Baseline | None) -> None:
    """One card a hit, best first; ``marks`` are the spans of each hit's text to mark."""
    strongest = max((hit.lexical or 0.0 for hit in hits), default=0.0)
    with st.container(key="results"):
        for hit, spans in zip(hits, marks, strict=True):
            with st.container(border=True, gap="small"):
                st.html(_head(hit) + scores_html(hit, strongest, baseline))
                _body(hit, spans)


def _head(hit: Hit) -> str:
    where = [f"page {hit.page}"] if hit.page else []
    where += [" › ".join(hit.heading_path)] if hit.heading_path else []
    named = "" if hit.title in (None, hit.document, *hit.heading_path[:1]) else hit.title
    quiet = " · ".join(escape(part) for part in [named, *where] if part)
    return (
        f'<div class="cs-head"><span class="cs-rank">{hit.rank}</span><b>{escape(hit.document)}</b>'
        f'<span class="cs-quiet">{quiet}</span></div>'
    )


def scores_html(hit: Hit, strongest: float, baseline: Baseline | None) -> str:
    """Each method's own score and rank; the tick in the similarity bar is what unrelated passages score."""
    parts = []
    if hit.similarity is not None:
        tick = f'<u style="left:{_percent(baseline.mean)}" title="unrelated passages"></u>' if baseline else ""
        parts.append(_score("Similarity", f"{hit.similarity:.3f}", hit.similarity, hit.dense_rank, tick))
    if hit.lexical is not None:
        share = hit.lexical / strongest if strongest else 0.0
        parts.append(_score("Words", f"{hit.lexical:.2f}", share, hit.lexical_rank, ""))
    parts.append(f'<span class="cs-score"><span>Score</span><span>{hit.score:.3f}</span></span>')
    return f'<div class="cs-scores">{"".join(parts)}</div>'


def _score(name: str, shown: str, share: float, rank: int | None, tick: str) -> str:
    place = f"<small>no. {rank}</small>" if rank else "<small>not among its best</small>"
    return (
        f'<span class="cs-score"><span>{name}</span>'
        f'<span class="cs-bar"><i style="width:{_percent(share)}"></i>{tick}</span>'
        f"<span>{shown} {place}</span></span>"
    )


def _percent(share: float) -> str:
    return f"{100 * min(1.0, max(0.0, share)):.1f}%"


def _body(hit: Hit, spans: Sequence[Span]) -> None:
    opened: set[int] = st.session_state.setdefault(_OPENED, set())
    near = _read_neighbours(hit) if hit.chunk_id in opened else []
    before = "".join(_near(chunk.text) for chunk in near if chunk.start < hit.start)
    after = "".join(_near(chunk.text) for chunk in near if chunk.start > hit.start)
    st.html(f'{before}<div class="cs-text" dir="auto">{mark_spans(hit.text, spans)}</div>{after}')
    with st.container(horizontal=True, vertical_alignment="center", gap="medium"):
        st.page_link(
            "pages/document.py",
            label="Open in the document",
            icon=":material/article:",
            query_params=span_query(hit.document_id, hit.start, hit.end),
            help=f"Opens {plain(hit.document)} at this passage",
        )
        st.button(
            "Hide neighbours" if hit.chunk_id in opened else "Show neighbours",
            icon=":material/unfold_less:" if hit.chunk_id in opened else ":material/unfold_more:",
            key=f"near-{hit.chunk_id}",
            type="tertiary",
            on_click=_toggle,
            args=(hit.chunk_id,),
        )


def _toggle(chunk_id: int) -> None:
    st.session_state.setdefault(_OPENED, set()).symmetric_difference_update({chunk_id})


def _read_neighbours(hit: Hit) -> list[ChunkRow]:
    with connect() as conn:
        found = neighbours(conn, hit.chunk_id, 1, 1)
    return [chunk for chunk in found if chunk.start != hit.start]


def _near(text: str) -> str:
    return f'<div class="cs-text cs-near cs-quiet" dir="auto">{escape(text)}</div>'


def csv_rows(hits: Sequence[Hit]) -> list[dict[str, Any]]:
    """The same results for a download."""
    return [
        {
            "rank": hit.rank,
            "document": hit.document,
            "title": hit.title,
            "page": hit.page,
            "heading": " › ".join(hit.heading_path),
            "start": hit.start,
            "end": hit.end,
            "text": hit.text,
            "similarity": hit.similarity,
            "similarity rank": hit.dense_rank,
            "lexical": hit.lexical,
            "lexical rank": hit.lexical_rank,
            "score": hit.score,
        }
        for hit in hits
    ]
