"""What can be done with selected documents: open, retry, pause, resume, cancel, delete."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any
from uuid import UUID

import psycopg
import streamlit as st

from pages.parts.curate_deeds import take_back
from pages.parts.explore_address import explore_query
from pages.parts.notices import notify, offer_undo
from pages.parts.session import connect
from pages.parts.words import count, guarded, plain, show_error
from rag.corpus.documents import (
    cancel_documents,
    describe_deletion,
    pause_documents,
    resume_documents,
    retry_documents,
)
from rag.curation.acts import trash_documents
from rag.curation.trash import KEPT_DAYS
from rag.errors import CorpuscopeError
from rag.records import FINAL_STAGES, Collection, DocumentRow

Action = Callable[[psycopg.Connection[Any], Sequence[UUID]], int]


def open_document(shown: Sequence[DocumentRow]) -> None:
    """Callback of the table's Open buttons: remembers which; the page switches on this run."""
    row = st.session_state["open_document"]["row"]
    if row < len(shown):
        st.session_state["opening"] = str(shown[row].id)


def document_actions(collection: Collection, selected: Sequence[DocumentRow]) -> None:
    """The row of buttons under the table while rows are selected; each is there only when it would do something."""
    if opening := st.session_state.pop("opening", None):
        st.switch_page("pages/document.py", query_params={"document": opening})
    if collection.role == "viewer" or not selected:
        return
    unfinished = [document for document in selected if document.stage not in FINAL_STAGES]
    with st.container(horizontal=True, vertical_alignment="center", key="document-actions"):
        st.markdown(f"**{len(selected):,} selected**", width="content")
        _offer("Retry", "refresh", retry_documents, [d for d in selected if d.stage in ("failed", "cancelled")])
        _offer("Pause", "pause", pause_documents, [d for d in unfinished if not d.paused])
        _offer("Resume", "play_arrow", resume_documents, [d for d in unfinished if d.paused])
        _offer("Cancel", "cancel", cancel_documents, unfinished)
        if any(document.chunk_count for document in selected):
            st.page_link(
                "pages/explore.py",
                label="Show on the map",
                icon=":material/scatter_plot:",
                query_params=explore_query(collection.id, documents=[document.id for document in selected]),
            )
        if st.button("Delete", icon=":material/delete:", key="delete_selected"):
            delete_dialog(
                collection.id, [document.id for document in selected], [document.name for document in selected]
            )


def act_on_all(documents: Sequence[DocumentRow]) -> None:
    """Buttons for all documents of the collection."""
    failed = [document for document in documents if document.stage == "failed"]
    unfinished = [document for document in documents if document.stage not in FINAL_STAGES]
    _offer("Retry all failed", "refresh", retry_documents, failed)
    _offer("Pause all", "pause", pause_documents, [document for document in unfinished if not document.paused])
    _offer("Resume all", "play_arrow", resume_documents, [document for document in unfinished if document.paused])


_DONE = {"Retry": "taken up again", "Pause": "paused", "Resume": "going on", "Cancel": "cancelled"}


def _offer(label: str, icon: str, action: Action, documents: Sequence[DocumentRow]) -> None:
    if not documents:
        return
    if st.button(label, icon=f":material/{icon}:", key=f"act_{label}"):
        try:
            with connect() as conn:
                done = action(conn, [document.id for document in documents])
        except CorpuscopeError as error:
            show_error(error)
            return
        notify(f"{count(done, 'document')} {_DONE[label.split()[0]]}.")
        st.rerun()


@st.dialog("Delete documents")
@guarded
def delete_dialog(collection_id: UUID, ids: Sequence[UUID], names: Sequence[str]) -> None:
    """Says what goes to the trash with the documents and asks once."""
    with connect() as conn:
        gone = describe_deletion(conn, ids)
    if len(names) == 1:
        st.markdown(f"**{plain(names[0])}** goes to the trash, and with it:")
    else:
        st.markdown(f"**{count(len(names), 'document')}** go to the trash, and with them:")
    st.markdown("\n".join(_losses(gone)) or "- nothing else")
    if len(names) > 1:
        listed = ", ".join(plain(name) for name in names[:8])
        st.caption(listed + (f" and {len(names) - 8:,} more" if len(names) > 8 else ""))
    st.caption(f"Restore from the trash on the Documents page within {KEPT_DAYS} days; after that it is for good.")
    with st.container(horizontal=True, horizontal_alignment="right"):
        keep = st.button("Keep", key="keep_documents")
        delete = st.button("Put in the trash", key="delete_documents", type="primary", icon=":material/delete:")
    if keep:
        st.rerun()
    if delete:
        with connect() as conn:
            act = trash_documents(conn, collection_id, ids)
        offer_undo(f"{plain(act.words)}.", lambda: take_back(act.id))
        if st.query_params.get("document"):
            st.switch_page("pages/documents.py")
        st.rerun()


def _losses(gone: dict[str, int]) -> list[str]:
    lines = []
    if gone["documents"]:
        one = gone["documents"] == 1
        lines.append(f"- the original {'file' if one else 'files'} and the text read from {'it' if one else 'them'}")
    if gone["chunks"]:
        lines.append(f"- {count(gone['chunks'], 'chunk')}: searches won't find them any more")
    if gone["marks"]:
        lines.append(f"- {count(gone['marks'], 'exclusion or tag', 'exclusions and tags')}")
    if gone["judgements"]:
        lines.append(f"- {count(gone['judgements'], 'judgement')} of questions on the Evaluate page")
    if gone["citations"]:
        lines.append(f"- the source of {count(gone['citations'], 'citation')} in your chats; the quotes stay")
    return lines
