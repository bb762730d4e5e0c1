"""Documents: put files in, watch them become searchable, and act on them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any
from uuid import UUID

import psycopg
import streamlit as st

from pages.parts import trash
from pages.parts.collection_dialogs import collection_form, try_sample
from pages.parts.document_actions import act_on_all, document_actions, open_document
from pages.parts.document_table import CSV_COLUMNS, MOST_ROWS, csv_rows, document_table
from pages.parts.downloads import file_name, handing_out, to_csv
from pages.parts.empty import empty_state
from pages.parts.guests import is_guest, nothing_public
from pages.parts.live import feed_position, listen_live
from pages.parts.notices import notify
from pages.parts.picker import collection_menu, page_header
from pages.parts.progress_bar import progress_bar, rate_of
from pages.parts.session import connect, require_database, require_user
from pages.parts.uploads import FORMATS, upload_form
from pages.parts.words import count, guarded, plain
from rag.corpus.documents import list_documents
from rag.corpus.progress import STAGES, Progress, read_progress
from rag.records import FINAL_STAGES, Collection, DocumentRow, Stage

#: Seconds between two looks without any hint, while something goes on and while nothing does: hints may fail, and a
#: worker that dies gives none.
BUSY_S, IDLE_S = 4.0, 30.0
_LISTED = "documents_listed"

_UNREADY = tuple(stage for stage in STAGES if stage != "ready")
#: What the toolbar can show, each with the stages it stands for; None for all.
_GROUPS: dict[str, Sequence[Stage] | None] = {
    "All": None,
    "Ready": ("ready",),
    "In work": tuple(stage for stage in STAGES if stage not in FINAL_STAGES),
    "Failed": ("failed", "cancelled"),
}


def show_first_steps() -> None:
    if is_guest():
        nothing_public()
        return
    with empty_state(
        "Look inside your corpus",
        "A collection holds the documents that you search and ask together. Try the sample, or make your own.",
        icon="library_books",
        key="collections",
    ):
        if st.button("Try the sample corpus", type="primary", icon=":material/play_circle:", key="sample"):
            try_sample()
        st.caption("or", width="content")
        with st.container(border=True, width=420):
            st.markdown("**Make a collection**")
            collection_form()


def show_empty_collection(collection: Collection) -> None:
    with empty_state(
        f"{plain(collection.name)} has no documents yet",
        f"Upload files above: {FORMATS}. Each is read, cut into chunks and embedded; then you can search it."
        if collection.role != "viewer"
        else "Its owners and editors can add some.",
        icon="note_add",
        key="documents",
    ):
        if not is_guest() and st.button("Try the sample corpus", icon=":material/play_circle:", key="sample"):
            try_sample()


def show_documents(collection: Collection) -> None:
    """What seldom changes is drawn by the page; the progress and the table draw themselves again when they change.

    Each element of a tick is a message to each browser, so the fragment holds no more than these.
    """
    position = feed_position()
    with connect() as conn:
        progress = read_progress(conn, collection.id)
        unready = list_documents(conn, collection.id, stages=_UNREADY)
    if progress.documents:
        _toolbar(collection, unready, progress.documents)
    view = st.fragment(live_view, run_every=BUSY_S if progress.active else IDLE_S, key="live-documents")
    view(collection, progress.active, bool(progress.documents), position)


@guarded
def live_view(collection: Collection, was_active: bool, had_documents: bool, position: int) -> None:
    listen_live("documents-feed", [f"documents:{collection.id}"], after=position)
    with connect() as conn:
        progress = read_progress(conn, collection.id)
        documents = _list_again(conn, collection, progress)
    if bool(progress.documents) != had_documents:
        st.rerun()
    _tick_at_the_right_pace(progress, was_active)
    if not progress.documents:
        show_empty_collection(collection)
        return
    hint = " · Select rows to retry, cancel or delete them." if collection.role != "viewer" else ""
    progress_bar(progress, rate_of(collection, progress), hint=hint)
    selected = document_table(documents, open_document)
    document_actions(collection, selected)


def _toolbar(collection: Collection, unready: list[DocumentRow], total: int) -> None:
    """The filter on the left; what can be done with all documents on the right."""
    with st.container(horizontal=True, vertical_alignment="center", key="document-toolbar"):
        st.segmented_control(
            "Show", list(_GROUPS), default="All", required=True, key="document_filter", label_visibility="collapsed"
        )
        st.text_input(
            "Name contains",
            key="document_name",
            placeholder="Filter by name",
            label_visibility="collapsed",
            icon=":material/filter_list:",
            width=220,
            type="search",
        )
        with st.container(horizontal=True, horizontal_alignment="right", width="stretch"):
            if collection.role != "viewer":
                act_on_all(unready)
            st.download_button(
                "CSV",
                handing_out(
                    collection.id,
                    "the table of documents",
                    lambda conn: to_csv(csv_rows(list_documents(conn, collection.id)), CSV_COLUMNS),
                    rows=total,
                ),
                file_name=file_name(collection.name, "documents"),
                mime="text/csv",
                icon=":material/download:",
                type="tertiary",
                on_click="ignore",
                key="documents_csv",
                help="This table as a CSV file",
            )


def _list_again(conn: psycopg.Connection[Any], collection: Collection, progress: Progress) -> list[DocumentRow]:
    """The documents that the toolbar asks for, one more than are drawn; those of the last look while nothing changed.

    They are kept in the session: what one person may see is no matter for another.
    """
    group = st.session_state.get("document_filter") or "All"
    name_part = st.session_state.get("document_name") or ""
    look = (collection.id, progress.stamp, group, name_part)
    known: tuple[tuple[UUID, str, str, str], list[DocumentRow]] | None = st.session_state.get(_LISTED)
    if known is None or known[0] != look:
        stages, most = _GROUPS[group], MOST_ROWS + 1
        known = look, list_documents(conn, collection.id, stages=stages, name_part=name_part, limit=most)
        st.session_state[_LISTED] = known
    return known[1]


def _tick_at_the_right_pace(progress: Progress, was_active: bool) -> None:
    """A fragment's pace is fixed by the run that made it: start over when work began or ended."""
    if progress.active == was_active:
        return
    if was_active and progress.documents:
        failed = progress.stages["failed"]
        words = f"{count(progress.stages['ready'], 'document')} ready" + (f", {failed:,} failed" if failed else "")
        notify(words, icon="error" if failed else "check_circle")
    st.rerun()


require_user()
require_database()
chosen = page_header("Documents", collection_menu)
if chosen is None:
    show_first_steps()
else:
    if chosen.role != "viewer":
        upload_form(chosen, expanded=not chosen.document_count)
    show_documents(chosen)
    if chosen.role != "viewer":
        trash.show(chosen)
