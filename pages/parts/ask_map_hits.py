"""The hits of a question as a list beside the map: rank, similarity, in or cut off, and why."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from html import escape
from pathlib import Path
from typing import Any

import streamlit as st

from pages.parts import explore_state
from pages.parts.addresses import span_address, span_query
from pages.parts.ask_map_marks import number_of, shown_hits
from pages.parts.words import count
from rag.mapping.asking import Asked, MapHit
from rag.retrieval.profiles import RetrievalProfile

#: Characters of a passage in the list, which shows one line of them.
_EXCERPT = 160
_KEY = "ask_map_list"
#: Where the latest click waits for the run that it leads to: a chunk.
CLICKED = "ask_map_clicked"


def show_list(asked: Asked, profile: RetrievalProfile, cited: Collection[int]) -> None:
    """The hits in order, with a line where k cuts; ``cited`` are the chunks that the answer quotes.

    What the pointer is on in it is shown on the map; a link opens its passage.
    """
    clicked = st.session_state.pop(CLICKED, None)
    for hit in shown_hits(asked):
        if hit.hit.chunk_id == clicked:
            explore_state.remember()
            passage = hit.hit
            query = span_query(passage.document_id, passage.start, passage.end)
            st.switch_page("pages/document.py", query_params=query)
    with st.container(key="ask-map-hits"):
        st.html(list_html(asked, profile, cited))
        _component()(key=_KEY, on_open_change=_note, height="content")


@st.cache_resource(show_spinner=False)
def _component() -> Any:
    return st.components.v2.component(
        "corpuscope_ask_map_list",
        html="<span hidden></span>\n",
        js=Path(__file__).with_name("ask_map_hits.js").read_text(),
        isolate_styles=False,
    )


def _note() -> None:
    said = st.session_state.get(_KEY, {}).get("open")
    chunk = said.get("chunk") if isinstance(said, dict) else None
    st.session_state[CLICKED] = chunk if isinstance(chunk, int) else None


def summarise(asked: Asked, profile: RetrievalProfile) -> str:
    """``6 passages come back · 4 of the first 10 are below 0.35 · more beyond 10`` in one sentence."""
    below = sum(hit.state == "below_threshold" for hit in asked.hits)
    words = [f"{count(len(asked.returned), 'passage')} {'comes' if len(asked.returned) == 1 else 'come'} back"]
    if below:
        of_k = min(profile.k, len(asked.hits))
        words.append(f"{below:,} of the first {of_k:,} {'is' if below == 1 else 'are'} cut by the least similarity")
    if any(hit.state == "beyond_k" for hit in asked.hits):
        words.append(f"others stand beyond {profile.k:,}")
    return " · ".join(words)


def explain(hit: MapHit, profile: RetrievalProfile) -> str:
    """Why a hit is cut off, and why it is not on the map; empty for one that is neither."""
    reasons = []
    if hit.state == "beyond_k":
        reasons.append(f"beyond the first {profile.k:,}" if profile.k > 1 else "beyond the first")
    if hit.state == "below_threshold" and hit.similarity is None:
        reasons.append("without a vector it has no similarity")
    elif hit.lacking is not None:
        reasons.append(f"{_lacking(hit.lacking)} below {profile.threshold:.2f}")
    if hit.point is None:
        reasons.append("not on the map yet")
    return " and ".join(reasons[:2]) + (f", {reasons[2]}" if len(reasons) > 2 else "")


def _lacking(value: float) -> str:
    return f"{value:.3f}" if value >= 0.0005 else "a hair"


def off_map(asked: Asked) -> str:
    """Says how many of the hits that come back have no point; empty where all have."""
    missing = sum(hit.point is None for hit in asked.returned)
    if not missing:
        return ""
    which = "One of them is" if missing == 1 else f"{missing:,} of them are"
    return f"{which} not on the map yet: newer than its last update."


def list_html(asked: Asked, profile: RetrievalProfile, cited: Collection[int]) -> str:
    """The same as HTML."""
    return f'<ol class="cs-asked">{"".join(_items(shown_hits(asked), profile, cited))}</ol>'


def _items(hits: Sequence[MapHit], profile: RetrievalProfile, cited: Collection[int]) -> Iterator[str]:
    for number, hit in enumerate(hits):
        if hit.state == "beyond_k" and (number == 0 or hits[number - 1].state != "beyond_k"):
            words = f"the first {profile.k:,} end here" if profile.k > 1 else "the first ends here"
            yield f'<li class="cs-asked-line" aria-hidden="true"><span>{words}</span></li>'
        yield _item(hit, profile, hit.hit.chunk_id in cited)


def _item(hit: MapHit, profile: RetrievalProfile, cited: bool) -> str:
    passage = hit.hit
    kind = ("in" if hit.state == "in" else "cut") + (" cs-asked-ringed" if cited else "")
    point = "" if hit.point is None else f' data-place="{hit.point.place}"'
    address = escape(span_address(passage.document_id, passage.start, passage.end))
    score = "" if hit.similarity is None else f'<span class="cs-asked-score">{hit.similarity:.3f}</span>'
    page = f' <span class="cs-quiet">p. {passage.page}</span>' if passage.page else ""
    ring = ' <span class="cs-badge cs-cited">cited</span>' if cited else ""
    why = explain(hit, profile)
    return (
        f'<li class="cs-asked-hit cs-asked-{kind}"{point}><span class="cs-asked-rank">{number_of(hit)}</span>'
        f'<div><div class="cs-asked-head"><a target="_self" data-chunk="{passage.chunk_id}"'
        f' href="{address}">'
        f"{escape(passage.title or passage.document)}</a>{page}{ring}{score}</div>"
        f'<div class="cs-asked-text" dir="auto">{escape(" ".join(passage.text.split())[:_EXCERPT])}</div>'
        + (f'<div class="cs-asked-why">{escape(why[0].upper() + why[1:])}</div>' if why else "")
        + "</div></li>"
    )
