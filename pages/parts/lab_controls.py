"""The sliders and choices of the Search lab: every setting of a profile, the common ones in sight."""

from __future__ import annotations

import streamlit as st

from pages.parts.asking import describe_baseline
from pages.parts.lab_desk import Desk
from pages.parts.lab_state import read_controls
from pages.parts.product import settings
from rag.retrieval.profiles import MAX_NEIGHBOURS, MAX_RERANK_DEPTH, Fusion, Mode, RetrievalProfile
from rag.retrieval.reranking import offered_rerankers

MODES: dict[Mode, str] = {"hybrid": "Hybrid", "dense": "Meaning", "lexical": "Words"}
_FUSIONS: dict[Fusion, str] = {"convex": "Weighted scores", "rrf": "Ranks (RRF)"}

HELP = {
    "mode": "**Meaning** compares embeddings, **Words** matches the words themselves (BM25), **Hybrid** combines both.",
    "k": "How many passages come at most (top-k). Fewer are the beginning of more.",
    "dense_weight": "Of a hybrid score, how much is similarity of meaning; the rest is matching words (BM25).",
    "fusion": "How a hybrid search joins its two lists: by their scores, or by their ranks alone "
    "(reciprocal rank fusion).",
    "rrf_k": "The constant of reciprocal rank fusion: the larger, the less the first ranks stand out.",
    "diversity": "Maximal marginal relevance: 0 orders by relevance alone, 1 only avoids what repeats passages above.",
    "neighbours": "Chunks before and after each passage that a chat model reads with it. They change no ranking.",
    "ef_search": "How far the vector index (HNSW) looks. More finds more of what is really nearest, and takes longer.",
    "rerank": "A cross encoder that reads question and passage together and orders the best ones anew: "
    "a model's name or folder. Slow, often better.",
    "rerank_depth": "How many of the best passages the reranker reads.",
}


def ask_row() -> None:
    """The question, the method, and the button that touch screens and Ctrl+Enter use."""
    with st.container(horizontal=True, vertical_alignment="bottom", key="search-controls"):
        st.text_input(
            "Question",
            key="q",
            placeholder="What would you like to find?",
            type="search",
            icon=":material/search:",
            max_chars=2000,
        )
        st.segmented_control(
            "Method", list(MODES), required=True, format_func=MODES.__getitem__, key="mode", help=HELP["mode"]
        )
        st.button("Search", type="primary", icon=":material/search:", shortcut="Ctrl+Enter", key="run")


def sliders(desk: Desk) -> RetrievalProfile:
    """The common settings, and the others folded away; returns what they all say."""
    now = read_controls()
    st.slider("Passages", 1, max(50, now.k), key="k", help=HELP["k"])
    st.slider(
        "Least similarity",
        0.0,
        1.0,
        step=0.01,
        key="threshold",
        help="Passages whose embedding is less similar to the question are left out; a higher value never adds one. "
        f"0 keeps all.\n\n{describe_baseline(desk.baseline)}",
    )
    weighted = now.mode == "hybrid" and now.fusion == "convex"
    st.slider(
        "Meaning against words",
        0.0,
        1.0,
        step=0.05,
        key="dense_weight",
        disabled=not weighted,
        help=HELP["dense_weight"],
    )
    with st.expander("More settings", icon=":material/tune:", key="lab-more"):
        _more(desk, now)
    return read_controls()


def _more(desk: Desk, now: RetrievalProfile) -> None:
    st.segmented_control(
        "Fusion",
        list(_FUSIONS),
        required=True,
        format_func=_FUSIONS.__getitem__,
        key="fusion",
        disabled=now.mode != "hybrid",
        help=HELP["fusion"],
    )
    ranked = now.mode == "hybrid" and now.fusion == "rrf"
    st.slider("RRF constant", 1, max(200, now.rrf_k), key="rrf_k", disabled=not ranked, help=HELP["rrf_k"])
    st.slider("Diversity", 0.0, 1.0, step=0.05, key="diversity", help=HELP["diversity"])
    st.slider("Neighbours for chat", 0, MAX_NEIGHBOURS, key="neighbours", help=HELP["neighbours"])
    st.slider(
        "Reach of the vector index",
        1,
        1000,
        key="ef_search",
        disabled=now.mode == "lexical",
        help=f"ef_search. {HELP['ef_search']}",
    )
    known, anything = _rerankers(desk)
    st.selectbox(
        "Reranker",
        list(dict.fromkeys(["", *known, *([now.rerank] if now.rerank else [])])),
        format_func=lambda name: name or "Off",
        key="rerank",
        accept_new_options=anything,
        disabled=not (known or anything or now.rerank),
        help=HELP["rerank"],
    )
    st.slider(
        "Passages to rerank",
        1,
        MAX_RERANK_DEPTH,
        key="rerank_depth",
        disabled=not now.rerank,
        help=HELP["rerank_depth"],
    )


def _rerankers(desk: Desk) -> tuple[list[str], bool]:
    """Those that the installation offers or a profile has, and whether any other may be named: the search refuses."""
    offered = offered_rerankers(settings())
    saved = {one.profile.rerank for one in desk.stored if one.profile.rerank}
    return offered + sorted(saved - set(offered)), not offered and settings().auth == "none"
