"""Search: a question, how to look for it, and the ranked passages with what each method says of them."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any
from uuid import UUID

import psycopg
import streamlit as st

from pages.parts.asking import describe_baseline, encode, wait_for_model
from pages.parts.downloads import file_name, handing_out, to_csv
from pages.parts.empty import no_documents, not_ready, sample_questions
from pages.parts.highlights import Span
from pages.parts.hit_cards import CSV_COLUMNS, csv_rows, hit_cards
from pages.parts.picker import page_header
from pages.parts.session import connect, require_database, require_user
from pages.parts.words import count
from rag.corpus.baselines import Baseline, read_baseline
from rag.corpus.documents import list_documents
from rag.corpus.progress import Progress, read_progress
from rag.records import Collection, DocumentRow, Hit
from rag.retrieval.profiles import Mode, RetrievalProfile
from rag.retrieval.retrieving import retrieve
from rag.retrieval.search import mark_matches, question_lexemes
from rag.retrieval.stored_profiles import load_profile

_MODES: dict[Mode, str] = {"hybrid": "Hybrid", "dense": "Meaning", "lexical": "Words"}
_MODE_HELP = (
    "**Meaning** compares embeddings, **Words** matches the words themselves (BM25), **Hybrid** combines both scores."
)


@dataclass(frozen=True)
class Asked:
    """What the page's controls say."""

    question: str
    profile: RetrievalProfile
    documents: list[UUID] | None


def controls(
    collection: Collection, documents: Sequence[DocumentRow], profile: RetrievalProfile, baseline: Baseline | None
) -> Asked:
    """The row of controls; all of them live in the address."""
    with st.container(horizontal=True, vertical_alignment="bottom", key="search-controls"):
        question = st.text_input(
            "Question",
            key="q",
            bind="query-params",
            placeholder="What would you like to find?",
            type="search",
            icon=":material/search:",
            max_chars=2000,
        )
        mode = st.segmented_control(
            "Method",
            list(_MODES),
            default=profile.mode,
            required=True,
            format_func=_MODES.__getitem__,
            key="mode",
            bind="query-params",
        )
        with st.popover("Options", icon=":material/tune:"), st.container(width=380):
            k, threshold, picked = _options(collection, documents, profile, baseline)
        st.button("Search", type="primary", icon=":material/search:", shortcut="Ctrl+Enter", key="run")
    chosen = replace(profile, mode=mode, k=k, threshold=threshold)
    return Asked((question or "").strip(), chosen, picked)


def _options(
    collection: Collection, documents: Sequence[DocumentRow], profile: RetrievalProfile, baseline: Baseline | None
) -> tuple[int, float | None, list[UUID] | None]:
    st.caption(_MODE_HELP)
    k = st.slider("Passages", 1, 50, min(profile.k, 50), key="k", bind="query-params", help="How many at most.")
    threshold = st.slider(
        "Least similarity",
        0.0,
        1.0,
        float(profile.threshold or 0.0),
        0.01,
        key="threshold",
        bind="query-params",
        help="Passages whose embedding is less similar to the question are left out. 0 keeps all.",
    )
    st.caption(describe_baseline(baseline))
    names = {str(document.id): document.name for document in documents}
    picked = st.multiselect(
        "Only in these documents",
        list(names),
        format_func=lambda key: names.get(key, ""),
        key=f"only-{collection.id}",
        placeholder="All documents",
        persist_state="session",
    )
    return k, threshold or None, [UUID(key) for key in picked] or None


def show_results(
    collection: Collection,
    asked: Asked,
    progress: Progress,
    documents: Sequence[DocumentRow],
    baseline: Baseline | None,
) -> None:
    began = time.perf_counter()
    encoded = encode(asked.question, asked.profile)
    hits = retrieve(connect, collection.id, asked.question, encoded.vector, encoded.profile, asked.documents)
    took = time.perf_counter() - began
    with connect() as conn:
        marks = find_marks(conn, hits, asked.question, {document.id: document.language for document in documents})
    if encoded.waiting:
        wait_for_model()
    if not hits:
        show_nothing_found(asked, progress)
        return
    with st.container(horizontal=True, vertical_alignment="center", key="result-line"):
        st.caption(_summary(hits, took, progress), width="stretch")
        st.download_button(
            "CSV",
            handing_out(
                collection.id, "search results", lambda conn: to_csv(csv_rows(hits), CSV_COLUMNS), rows=len(hits)
            ),
            file_name=file_name(collection.name, asked.question[:40]),
            mime="text/csv",
            icon=":material/download:",
            type="tertiary",
            on_click="ignore",
            key="hits_csv",
            help="These results as a CSV file",
        )
    hit_cards(hits, marks, baseline)


def find_marks(
    conn: psycopg.Connection[Any], hits: Sequence[Hit], question: str, languages: dict[UUID, str | None]
) -> list[list[Span]]:
    """What to mark in each hit: the words that the lexical leg matched, or would have."""
    spoken = sorted({languages.get(hit.document_id) or "" for hit in hits})
    fallback: list[str] = []
    if any(not hit.matched for hit in hits):
        fallback = question_lexemes(conn, question, [code or None for code in spoken])
    return [mark_matches(conn, hit.text, hit.matched or fallback, languages.get(hit.document_id)) for hit in hits]


def _summary(hits: Sequence[Hit], took: float, progress: Progress) -> str:
    documents = len({hit.document_id for hit in hits})
    words = f"{count(len(hits), 'passage')} from {count(documents, 'document')} in {took * 1000:.0f} ms"
    if progress.unfinished:
        words += f" · {count(progress.unfinished, 'document')} still being read, so this may grow"
    return words


def ask_this(question: str) -> None:
    """Callback of the sample questions."""
    st.session_state["q"] = question


def show_nothing_found(asked: Asked, progress: Progress) -> None:
    advice = []
    if asked.profile.threshold:
        advice.append(f"lower the least similarity, which is {asked.profile.threshold:.2f}")
    if asked.documents:
        advice.append("look in all documents")
    if asked.profile.mode == "lexical":
        advice.append("try the method Meaning, which finds other words for the same thing")
    if progress.unfinished:
        advice.append(f"wait for the {count(progress.unfinished, 'document')} still being read")
    st.info(
        f"Nothing was found. You could {', or '.join(advice) or 'put it in other words'}.", icon=":material/search_off:"
    )


require_user()
require_database()
chosen = page_header("Search")
if chosen is None or not chosen.document_count:
    no_documents("search", chosen)
else:
    with connect() as conn:
        available = list_documents(conn, chosen.id)
        now = read_progress(conn, chosen.id)
        default_profile = load_profile(conn, chosen.id)
        unrelated = read_baseline(conn, chosen.id)
    wanted = controls(chosen, available, default_profile, unrelated)
    if not now.embedded_total:
        not_ready(chosen)
    elif wanted.question:
        show_results(chosen, wanted, now, available, unrelated)
    else:
        sample_questions(chosen, key="search", on_click=ask_this)
