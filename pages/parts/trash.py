"""The trash and the curation log on the Documents page: restore, delete for good, empty."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import psycopg
import streamlit as st

from pages.parts import curate_log, explore_state
from pages.parts.confirmation import Act, confirm, show_refusal
from pages.parts.notices import notify
from pages.parts.session import connect
from pages.parts.words import ago, count, plain, show_error, size
from rag.curation.curation_log import list_acts
from rag.curation.trash import KEPT_DAYS, Trashed, delete_for_good, empty_trash, list_trash, restore_documents
from rag.errors import CorpuscopeError
from rag.records import Collection

_MOST = 100


def show(collection: Collection) -> None:
    """Two closed sections under the documents: the trash where something is in it, the log where something was done."""
    show_refusal()
    with connect() as conn:
        lying = list_trash(conn, collection.id)
        curated = bool(list_acts(conn, collection.id, limit=1))
    if lying:
        with st.expander(f"Trash · {count(len(lying), 'document')}", icon=":material/delete:", key="trash"):
            _list(collection, lying)
    if curated:
        with st.expander("Curation log", icon=":material/history:", key="curation-log"):
            curate_log.show(collection)


def _list(collection: Collection, lying: Sequence[Trashed]) -> None:
    with st.container(horizontal=True, vertical_alignment="center"):
        st.caption(
            f"{size(sum(one.size for one in lying))}, deleted for good {KEPT_DAYS} days after they came here. "
            "Until then they count towards the limits on storage.",
            width="stretch",
        )
        if st.button("Restore all", icon=":material/restore_from_trash:", key="trash_restore_all", type="tertiary"):
            _restore(lying)
        if st.button("Empty trash", icon=":material/delete_forever:", key="trash_empty", type="tertiary"):
            _ask(collection, lying, lambda conn: empty_trash(conn, collection.id))
    for one in lying[:_MOST]:
        with st.container(horizontal=True, vertical_alignment="center", key=f"trashed-{one.id}"):
            st.markdown(
                f"{plain(one.name)}  \n:small[:gray[{count(one.passages, 'passage')} · deleted {ago(one.trashed_at)}"
                f" · goes on {one.goes_at.day} {one.goes_at:%b}]]",
                width="stretch",
            )
            if st.button(
                "Restore", icon=":material/restore_from_trash:", key=f"trash_restore_{one.id}", type="tertiary"
            ):
                _restore([one])
            if st.button(
                "Delete for good", icon=":material/delete_forever:", key=f"trash_gone_{one.id}", type="tertiary"
            ):
                _delete(collection, one)
    if len(lying) > _MOST:
        st.caption(f"and {len(lying) - _MOST:,} more")


def _delete(collection: Collection, one: Trashed) -> None:
    _ask(collection, [one], lambda conn: delete_for_good(conn, collection.id, [one.id]))


def _restore(documents: Sequence[Trashed]) -> None:
    try:
        with connect() as conn:
            done = restore_documents(conn, [one.id for one in documents])
    except CorpuscopeError as error:
        show_error(error)
        return
    explore_state.renew()
    notify(f"{count(done, 'document')} restored.", icon="restore_from_trash")
    st.rerun()


def _ask(
    collection: Collection, documents: Sequence[Trashed], deed: Callable[[psycopg.Connection[Any]], object]
) -> None:
    what = f"**{plain(documents[0].name)}**" if len(documents) == 1 else f"**{count(len(documents), 'document')}**"
    confirm(
        Act(
            "Delete for good",
            [
                f"{what} of {plain(collection.name)} {'goes' if len(documents) == 1 else 'go'} for good.",
                "There is no way back.",
            ],
            "Delete for good",
            deed,
            "Deleted for good.",
            icon="delete_forever",
        )
    )
