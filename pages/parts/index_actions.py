"""What can be done with an index: make it active, pause, resume and drop it; each says first what it will do."""

from __future__ import annotations

from typing import Any

import psycopg
import streamlit as st

from pages.parts.confirmation import Act, Deed, confirm
from pages.parts.index_words import describe_chunking, describe_model
from pages.parts.lab_address import lab_query
from pages.parts.notices import notify
from pages.parts.session import connect
from pages.parts.words import count, plain, show_error
from rag.corpus.indexes import IndexRow, activate_index, pause_index, resume_index, retire_index
from rag.errors import CorpuscopeError
from rag.records import Collection


def index_actions(collection: Collection, index: IndexRow, active: IndexRow | None) -> None:
    """The row of buttons under one index; for those who may edit the collection, and links for everybody."""
    edits = collection.role in ("editor", "owner")
    with st.container(horizontal=True, vertical_alignment="center"):
        if edits and active is not None and index.state in ("building", "ready") and index.complete:
            key = f"activate-{index.id}"
            again = index.answered_until is not None
            label, icon = ("Go back to this one", "undo") if again else ("Make active", "swap_horiz")
            if st.button(label, icon=f":material/{icon}:", key=key, type="secondary" if again else "primary"):
                confirm(_swap(index, active))
        if edits and index.state in ("building", "ready"):
            _pause_button(index)
        if index.embedded and index.state != "retired":
            _links(collection, index)
        if (
            edits
            and index.state in ("building", "ready")
            and st.button("Drop", icon=":material/delete:", key=f"drop-{index.id}", type="tertiary")
        ):
            confirm(_drop(index))


def _pause_button(index: IndexRow) -> None:
    if index.paused:
        if st.button("Resume", icon=":material/play_arrow:", key=f"resume-{index.id}"):
            _do(lambda conn: resume_index(conn, index.id), "It goes on.")
    elif index.unfinished and st.button(
        "Pause", icon=":material/pause:", key=f"pause-{index.id}", help="What it has stays."
    ):
        _do(lambda conn: pause_index(conn, index.id), "Paused. What it has stays.")
    if index.failed and not index.paused:
        failed = count(index.failed, "failed chunk")
        if st.button(f"Try {failed} again", icon=":material/refresh:", key=f"retry-{index.id}"):
            _do(lambda conn: resume_index(conn, index.id), f"{failed} taken up again.")


def _links(collection: Collection, index: IndexRow) -> None:
    st.page_link(
        "pages/search.py",
        label="Search in it",
        icon=":material/search:",
        query_params=lab_query(collection.id, "", index_id=None if index.state == "active" else index.id),
    )
    if index.state != "active":
        st.page_link(
            "pages/evaluate.py",
            label="Compare with the active one",
            icon=":material/compare_arrows:",
            query_params={"collection": str(collection.id), "section": "Runs"},
            help="Run your questions over both, then compare the two runs.",
        )


def _do(deed: Deed, done: str) -> None:
    try:
        with connect() as conn:
            deed(conn)
    except CorpuscopeError as error:
        show_error(error)
        return
    notify(done)
    st.rerun()


def _swap(index: IndexRow, active: IndexRow) -> Act:
    def to(chosen: IndexRow) -> Deed:
        def deed(conn: psycopg.Connection[Any]) -> None:
            activate_index(conn, chosen.id)

        return deed

    effects = [
        "From the next question on, search, chat and evaluations of this collection use"
        f" **{plain(describe_model(index))}**, {_lower(describe_chunking(index.chunking))}.",
        f"So far they use **{plain(describe_model(active))}**, {_lower(describe_chunking(active.chunking))}.",
        "Both are swapped in one step: no search fails or sees half of each.",
        "The one that answers now stays ready and in step with edits, so that you can go back the same way.",
    ]
    if index.model_id != active.model_id:
        effects.insert(
            2, "Similarities of another model mean something else: look at the thresholds of your profiles afterwards."
        )
    if index.failed:
        effects.append(f"{count(index.failed, 'chunk')} of it could not be embedded and won't be found by meaning.")
    return Act(
        title=f"Make index {index.id} active?",
        effects=effects,
        verb="Make active",
        do=to(index),
        done=f"Index {index.id} answers now; index {active.id} stays ready.",
        undo=to(active),
        icon="swap_horiz",
    )


def _drop(index: IndexRow) -> Act:
    def deed(conn: psycopg.Connection[Any]) -> None:
        retire_index(conn, index.id)

    effects = [
        f"Its {count(index.chunks, 'chunk')} and their vectors are deleted.",
        "Documents, corrections and marks stay, and so do the results of evaluations over it.",
        "This can't be undone. It can be built again, which takes as long as it did.",
    ]
    if index.answered_until is not None:
        effects.append("It has been the active one: without it, there is nothing to go back to.")
    return Act(
        title=f"Drop index {index.id}?",
        effects=effects,
        verb="Drop it",
        do=deed,
        done=f"Index {index.id} is dropped.",
        icon="delete",
    )


def _lower(words: str) -> str:
    return words[0].lower() + words[1:]
