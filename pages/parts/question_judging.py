"""Judging by hand: a passage that is pasted and looked up, or a whole document."""

from __future__ import annotations

from html import escape
from uuid import UUID

import streamlit as st

from pages.parts.notices import notify
from pages.parts.session import connect
from pages.parts.words import count, plain, show_error
from rag.corpus.documents import list_documents
from rag.errors import CorpuscopeError
from rag.evaluation.judged_passages import FoundPassage, find_passages, judge
from rag.evaluation.question_sets import Question
from rag.records import Collection

_MOST_NAMES = 2000
_ANY = "Any document"
_GENERATION = "judging_generation"


def judge_more(collection: Collection, question: Question) -> None:
    """The form and, once it was sent, the places where the phrase stands."""
    generation = st.session_state.setdefault(_GENERATION, 0)
    with connect() as conn:
        documents = list_documents(conn, collection.id, limit=_MOST_NAMES)
    names = {str(document.id): document.name for document in sorted(documents, key=lambda one: one.name.lower())}
    with st.container(horizontal=True, vertical_alignment="bottom", key="judge-row"):
        phrase = st.text_input(
            "Add an answer",
            key=f"phrase-{question.id}-{generation}",
            placeholder="Paste the passage that answers it, or choose a document",
            max_chars=5000,
        )
        chosen = st.selectbox(
            "In",
            ["", *names],
            format_func=lambda key: names.get(key, _ANY),
            key=f"whole-{question.id}-{generation}",
            width=240,
        )
        st.button("Look it up", key="find_phrase", icon=":material/search:", disabled=not (phrase or chosen))
    document = UUID(chosen) if chosen else None
    if phrase and phrase.strip():
        _show_places(collection, question, phrase, document)
    elif document is not None and st.button(
        f"All of {plain(names[chosen])} answers it", key="judge_document", icon=":material/check:"
    ):
        with connect() as conn:
            judge(conn, question.id, document, grade=2)
        notify(f"{plain(names[chosen])} was judged as an answer.")
        _start_over()


def _show_places(collection: Collection, question: Question, phrase: str, document: UUID | None) -> None:
    try:
        with connect() as conn:
            places = find_passages(conn, collection.id, phrase, document)
    except CorpuscopeError as error:
        show_error(error)
        return
    if not places:
        st.caption(
            ":orange[No document has these words.] Copy them from the page of the document, or paste fewer of them."
        )
        return
    st.caption(f"{count(len(places), 'place')} with these words: choose the one that answers.")
    for number, place in enumerate(places):
        with st.container(horizontal=True, vertical_alignment="center", key=f"place-{number}"):
            st.html(f'<div class="cs-quiet"><b>{escape(place.document)}</b><br>{_in_context(place)}</div>')
            if st.button("This answers", key=f"judge-place-{number}", icon=":material/check:"):
                with connect() as conn:
                    judge(conn, question.id, place.document_id, place.start, place.end, grade=3)
                notify("The passage was judged as the best answer.")
                _start_over()


def _start_over() -> None:
    """With empty fields: a widget keeps what is in it as long as its key is the same."""
    st.session_state[_GENERATION] += 1
    st.rerun()


def _in_context(place: FoundPassage) -> str:
    text = place.text if len(place.text) <= 300 else f"{place.text[:300]}…"
    return f"…{escape(place.before)}<mark>{escape(text)}</mark>{escape(place.after)}…"
