"""Search results as cards: where a passage is, what each method says of it, its text with matches marked.

The cards of a list are one piece of HTML: a widget each for opening, judging and neighbours would cost more than the
search. Their buttons carry ``data-act`` and ``data-chunk``, which :mod:`pages.parts.hit_actions` listens to.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from html import escape
from typing import Any
from urllib.parse import urlencode

from pages.parts.addresses import span_query
from pages.parts.highlights import Span, mark_spans
from rag.corpus.baselines import Baseline
from rag.records import ChunkRow, Hit

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
    "fused",
    "fused rank",
    "reranked",
)


@dataclass(frozen=True)
class Look:
    """What cards show beside the hits themselves.

    ``marks`` are spans of each hit's text, ``near`` the neighbours of those that were opened, by the hit's chunk, and
    ``grades`` what was judged of it. ``refusal`` is why the person may not judge, empty for those who may.
    """

    marks: Mapping[int, Sequence[Span]] = field(default_factory=dict)
    near: Mapping[int, Sequence[ChunkRow]] = field(default_factory=dict)
    grades: Mapping[int, int] = field(default_factory=dict)
    baseline: Baseline | None = None
    refusal: str = ""
    fused: bool = True


def cards_html(hits: Sequence[Hit], look: Look) -> str:
    """One card a hit, best first."""
    strongest = max((hit.lexical or 0.0 for hit in hits), default=0.0)
    return "".join(
        f'<article class="cs-hit" aria-label="Passage {hit.rank}">{_head(hit)}{scores_html(hit, strongest, look)}'
        f"{_body(hit, look)}{_actions(hit, look)}</article>"
        for hit in hits
    )


def _head(hit: Hit) -> str:
    where = [f"page {hit.page}"] if hit.page else []
    where += [" › ".join(hit.heading_path)] if hit.heading_path else []
    named = "" if hit.title in (None, hit.document, *hit.heading_path[:1]) else hit.title
    quiet = " · ".join(escape(part) for part in [named, *where] if part)
    return (
        f'<div class="cs-head"><span class="cs-rank">{hit.rank}</span><b>{escape(hit.document)}</b>'
        f'<span class="cs-quiet">{quiet}</span></div>'
    )


def scores_html(hit: Hit, strongest: float, look: Look) -> str:
    """Each stage's own score and rank; the tick in the similarity bar is what unrelated passages score."""
    parts = []
    if hit.similarity is not None:
        mean = look.baseline.mean if look.baseline else None
        tick = "" if mean is None else f'<u style="left:{_percent(mean)}" title="unrelated passages"></u>'
        parts.append(_score("Similarity", f"{hit.similarity:.3f}", hit.similarity, hit.dense_rank, tick))
    if hit.lexical is not None:
        share = hit.lexical / strongest if strongest else 0.0
        parts.append(_score("Words", f"{hit.lexical:.2f}", share, hit.lexical_rank, ""))
    if look.fused or hit.fused_rank not in (None, hit.rank):
        parts.append(_plain_score("Fused", f"{hit.score:.3f}", hit.fused_rank))
    if hit.rerank_score is not None:
        parts.append(_plain_score("Reranked", f"{hit.rerank_score:.3f}", None))
    return f'<div class="cs-scores">{"".join(parts)}</div>'


def _plain_score(name: str, shown: str, rank: int | None) -> str:
    place = f" <small>no. {rank}</small>" if rank else ""
    return f'<span class="cs-score cs-plain"><span>{name}</span><span>{shown}{place}</span></span>'


def _score(name: str, shown: str, share: float, rank: int | None, tick: str) -> str:
    place = f"<small>no. {rank}</small>" if rank else "<small>not among its best</small>"
    return (
        f'<span class="cs-score"><span>{name}</span>'
        f'<span class="cs-bar"><i style="width:{_percent(share)}"></i>{tick}</span>'
        f"<span>{shown} {place}</span></span>"
    )


def _percent(share: float) -> str:
    return f"{100 * min(1.0, max(0.0, share)):.1f}%"


def _body(hit: Hit, look: Look) -> str:
    near = [chunk for chunk in look.near.get(hit.chunk_id, ()) if chunk.start != hit.start]
    before = "".join(_near(chunk.text) for chunk in near if chunk.start < hit.start)
    after = "".join(_near(chunk.text) for chunk in near if chunk.start > hit.start)
    text = mark_spans(hit.text, look.marks.get(hit.chunk_id, ()))
    return f'{before}<div class="cs-text" dir="auto">{text}</div>{after}'


def _near(text: str) -> str:
    return f'<div class="cs-text cs-near cs-quiet" dir="auto">{escape(text)}</div>'


def _actions(hit: Hit, look: Look) -> str:
    opened = hit.chunk_id in look.near
    near = _button("near", hit.chunk_id, "Hide neighbours" if opened else "Show neighbours")
    return f'<div class="cs-acts">{open_link(hit, "Open in the document")}{near}{_thumbs(hit, look)}</div>'


def open_link(hit: Hit, label: str) -> str:
    """A link to the passage in its document; a plain click on it is taken up without loading the app anew."""
    address = escape(f"/document?{urlencode(span_query(hit.document_id, hit.start, hit.end))}", quote=True)
    return (
        f'<a class="cs-act" target="_self" href="{address}" data-act="open" data-chunk="{hit.chunk_id}"'
        f' title="Opens {escape(hit.document, quote=True)} at this passage">{escape(label)}</a>'
    )


def _button(act: str, chunk: int, label: str) -> str:
    return f'<button type="button" class="cs-act" data-act="{act}" data-chunk="{chunk}">{label}</button>'


def _thumbs(hit: Hit, look: Look) -> str:
    grade = look.grades.get(hit.chunk_id)
    said = "" if grade is None else f'<span class="cs-quiet">{"Answers it" if grade else "Doesn’t answer it"}</span>'
    up = _thumb("up", hit.chunk_id, "This answers the question", bool(grade), look.refusal)
    down = _thumb("down", hit.chunk_id, "This doesn’t answer it", grade == 0, look.refusal)
    return f'<span class="cs-thumbs">{said}{up}{down}</span>'


def _thumb(act: str, chunk: int, label: str, pressed: bool, refusal: str) -> str:
    off = " disabled" if refusal else ""
    return (
        f'<button type="button" class="cs-act cs-thumb" data-act="{act}" data-chunk="{chunk}"{off}'
        f' aria-pressed="{str(pressed).lower()}" aria-label="{label}" title="{escape(refusal or label, quote=True)}">'
        f'<span class="cs-icon" aria-hidden="true">thumb_{act}</span></button>'
    )


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
            "fused": hit.score,
            "fused rank": hit.fused_rank,
            "reranked": hit.rerank_score,
        }
        for hit in hits
    ]
