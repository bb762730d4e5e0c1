"""What the Search lab finds for a question, and the list of it with what people do to hits."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any
from uuid import UUID

import psycopg
import streamlit as st

from pages.parts.addresses import span_query
from pages.parts.guests import is_guest
from pages.parts.highlights import Span
from pages.parts.hit_actions import Action
from pages.parts.hit_cards import Look, cards_html
from pages.parts.lab_desk import Desk
from pages.parts.lab_state import forget, keep
from pages.parts.product import product
from pages.parts.session import connect
from pages.parts.words import plain
from rag.corpus.indexes import SearchedIndex
from rag.errors import CorpuscopeError
from rag.evaluation.judgements import Judgement, judge_hit, verdicts
from rag.records import ChunkRow, Hit
from rag.retrieval.profiles import RetrievalProfile
from rag.retrieval.retrieving import retrieve
from rag.retrieval.search import mark_matches, neighbours, question_lexemes
from rag.retrieval.similarities import Histogram, count_similarities

#: Cards that are drawn at most; the download has all.
MOST_CARDS = 100
_OPENED = "opened_neighbours"
_SHOWN = "lab_shown"
#: What a thumb up says: it answers the question.
_GRADES = {"up": 1, "down": 0}


@dataclass(frozen=True)
class Found:
    """The hits of one side; ``waiting`` says that words alone were searched for want of the model."""

    hits: Sequence[Hit]
    took: float
    profile: RetrievalProfile
    vector: Any
    waiting: bool


def find(desk: Desk, question: str, profile: RetrievalProfile, index: SearchedIndex | None) -> Found:
    """Search under the profile; the question is embedded once for each model."""
    began = time.perf_counter()
    vector, waiting = embed(question, profile, index)
    if waiting:
        profile = replace(profile, mode="lexical", threshold=None)
    documents = list(desk.documents) or None
    hits = retrieve(
        connect,
        desk.collection.id,
        question,
        vector,
        profile,
        documents,
        index.id if index else None,
        scope=desk.scope.id if desk.scope else None,
    )
    return Found(hits, time.perf_counter() - began, profile, vector, waiting)


def embed(question: str, profile: RetrievalProfile, index: SearchedIndex | None) -> tuple[Any, bool]:
    """The question's vector where the profile needs one, and whether it is missing for want of the model."""
    if index is None or (profile.mode == "lexical" and profile.threshold is None):
        return None, False
    encoder = product().encoder_for(index.model)
    if encoder is None:
        return None, True
    key = ("vector", question, index.model.provider, index.model.name)
    return keep(key, lambda: encoder.embed_question(question)), False


def count_all(desk: Desk, question: str, index: SearchedIndex, vector: Any) -> Histogram:
    """The histogram of the question over the index, or what of it is selected, counted once a question."""
    scope = desk.scope.id if desk.scope else None

    def look() -> Histogram:
        with connect() as conn:
            return count_similarities(conn, desk.collection.id, vector, index.id, scope)

    return keep(("histogram", question, index.id, desk.progress.embedded_total, scope), look)


def show_hits(desk: Desk, question: str, found: Found) -> None:
    """The cards."""
    hits = found.hits[:MOST_CARDS]
    opened: set[int] = st.session_state.setdefault(_OPENED, set())
    with connect() as conn:
        marks = find_marks(conn, hits, question, desk.languages())
        judged = _read_verdicts(conn, desk, question)
        near = {hit.chunk_id: _read_near(conn, hit) for hit in hits if hit.chunk_id in opened}
    look = Look(marks, near, grade_hits(hits, judged), desk.baseline, refuse_judging(desk), _is_fused(found.profile))
    with st.container(key="results"):
        st.html(cards_html(hits, look))
        if len(found.hits) > MOST_CARDS:
            st.caption(f"These are the first {MOST_CARDS} of {len(found.hits):,}; the download has all of them.")


def _is_fused(profile: RetrievalProfile) -> bool:
    return profile.mode == "hybrid"


def _read_verdicts(conn: psycopg.Connection[Any], desk: Desk, question: str) -> list[Judgement]:
    key = ("verdicts", desk.collection.id, question)
    return keep(key, lambda: verdicts(conn, desk.collection.id, question))


def _read_near(conn: psycopg.Connection[Any], hit: Hit) -> list[ChunkRow]:
    return keep(("near", hit.chunk_id), lambda: neighbours(conn, hit.chunk_id, 1, 1))


def find_marks(
    conn: psycopg.Connection[Any], hits: Sequence[Hit], question: str, languages: Mapping[UUID, str | None]
) -> dict[int, list[Span]]:
    """What to mark in each hit: the words that the lexical leg matched, or would have. Kept for each question."""
    known: dict[tuple[int, str], list[Span]] = keep(("marks", question), dict)
    new = [hit for hit in hits if (hit.chunk_id, hit.text) not in known]
    spoken = sorted({languages.get(hit.document_id) or "" for hit in new})
    fallback: list[str] = []
    if any(not hit.matched for hit in new):
        fallback = question_lexemes(conn, question, [code or None for code in spoken])
    for hit in new:
        language = languages.get(hit.document_id)
        known[hit.chunk_id, hit.text] = mark_matches(conn, hit.text, hit.matched or fallback, language)
    return {hit.chunk_id: known[hit.chunk_id, hit.text] for hit in hits}


def grade_hits(hits: Sequence[Hit], judged: Sequence[Judgement]) -> dict[int, int]:
    """What is judged of each hit: of exactly its characters, else of some of them or of the whole document."""
    grades = {}
    for hit in hits:
        of_it = [one for one in judged if one.document_id == hit.document_id and _overlaps(one, hit)]
        exact = [one for one in of_it if (one.start, one.end) == (hit.start, hit.end)]
        if exact or of_it:
            grades[hit.chunk_id] = exact[0].grade if exact else max(one.grade for one in of_it)
    return grades


def _overlaps(judgement: Judgement, hit: Hit) -> bool:
    if judgement.start is None or judgement.end is None:
        return True
    return judgement.start < hit.end and hit.start < judgement.end


def refuse_judging(desk: Desk) -> str:
    """Why the person can't judge hits, empty for those who can."""
    if desk.may_edit:
        return ""
    return "Guests can’t judge passages." if is_guest() else "Editors of this collection can judge passages."


def note_shown(question: str, hits: Sequence[Hit]) -> None:
    """Keep which hits are on the page: a click names one of them by its chunk."""
    st.session_state[_SHOWN] = (question, {hit.chunk_id: hit for hit in hits})


def act_on(desk: Desk, action: Action) -> None:
    """Do what a button or link on a card says, before anything is drawn."""
    question, shown = st.session_state.get(_SHOWN, ("", {}))
    hit = shown.get(action.chunk)
    if hit is None:
        return
    if action.act == "near":
        st.session_state.setdefault(_OPENED, set()).symmetric_difference_update({hit.chunk_id})
    elif action.act == "open":
        st.switch_page("pages/document.py", query_params=span_query(hit.document_id, hit.start, hit.end))
    else:
        judge(desk, question, hit, _GRADES[action.act])


def judge(desk: Desk, question: str, hit: Hit, grade: int) -> None:
    """Record the verdict, or take it back where it is the same already."""
    if refusal := refuse_judging(desk):
        st.toast(refusal, icon=":material/block:")
        return
    try:
        with connect() as conn:
            exact = [
                one.grade
                for one in verdicts(conn, desk.collection.id, question)
                if (one.document_id, one.start, one.end) == (hit.document_id, hit.start, hit.end)
            ]
            same = bool(exact) and bool(exact[0]) == bool(grade)
            judge_hit(conn, None, question, hit, None if same else grade, desk.collection.id)
    except CorpuscopeError as problem:
        st.toast(plain(f"{problem} {problem.hint}".strip()), icon=":material/error:")
    forget("verdicts")
