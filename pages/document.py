"""Document: one document's text as search sees it, at a span if the address names one."""

from __future__ import annotations

from datetime import timedelta

import streamlit as st

from pages.parts.addresses import read_span, read_uuid
from pages.parts.document_actions import delete_dialog
from pages.parts.document_chunks import show_chunks, show_marks
from pages.parts.document_page_view import page_switch, show_page
from pages.parts.document_quotation import cited_words, show_gone, show_since
from pages.parts.document_table import chunks_of, status_of
from pages.parts.document_text import show_document_text
from pages.parts.empty import empty_state
from pages.parts.explore_address import explore_query
from pages.parts.guests import guest_note
from pages.parts.notices import show_notices
from pages.parts.session import connect, require_database, require_user
from pages.parts.span_actions import language_picker
from pages.parts.words import count, guarded, plain, show_error, size
from rag.chat.quotations import Quotation, Whereabouts
from rag.corpus.collections import get_collection
from rag.corpus.documents import get_document
from rag.corpus.marks import list_marks
from rag.corpus.texts import list_chunks, read_text
from rag.errors import NotFound
from rag.records import FINAL_STAGES, Collection, DocumentRow
from rag.web.files import address

Cited = tuple[Quotation, Whereabouts]

_COLORS = {"Ready": "green", "Failed": "red", "Cancelled": "gray", "Paused": "orange", "Waiting": "gray"}


def show_nothing() -> None:
    with empty_state(
        "No document chosen",
        "Open one from the Documents page, a search result or a citation.",
        icon="article",
        key="document",
    ):
        st.page_link("pages/documents.py", label="Go to Documents", icon=":material/arrow_back:")


def show_header(document: DocumentRow, collection: Collection) -> None:
    query = {"collection": str(collection.id)}
    st.page_link("pages/documents.py", label=plain(collection.name), icon=":material/arrow_back:", query_params=query)
    guest_note()
    with st.container(horizontal=True, vertical_alignment="center", key="page-header"):
        st.title(plain(document.name), anchor=False, width="stretch")
        words = f"The file as it was uploaded, {size(document.size)}"
        st.html(
            f'<a class="cs-button" target="_self" download href="{address(document.id)}" title="{words}">'
            '<span class="cs-icon" aria-hidden="true">download</span>Original</a>',
            width="content",
        )
        if document.chunk_count:
            st.page_link(
                "pages/explore.py",
                label="On the map",
                icon=":material/scatter_plot:",
                query_params=explore_query(collection.id, documents=[document.id]),
                help="Where the passages of this document lie among the others",
            )
        if collection.role != "viewer" and st.button("Delete", icon=":material/delete:", key="delete_this"):
            delete_dialog(collection.id, [document.id], [document.name])
    show_notices()
    status = status_of(document)
    facts = [
        document.title if document.title and document.title != document.name else "",
        count(document.page_count, "page") if document.page_count else "",
        f"{document.char_count:,} characters" if document.char_count else "",
        f"{chunks_of(document)} chunks" if document.chunk_count else "",
        f"revision {document.text_revision}" if document.text_revision > 1 else "",
    ]
    with st.container(horizontal=True, vertical_alignment="center"):
        st.badge(status, color=_COLORS.get(status, "blue"))  # type: ignore[arg-type]
        st.caption(" · ".join(plain(fact) for fact in facts if fact), width="content")


@guarded
def watch(document: DocumentRow) -> None:
    """While work goes on, looks again each second and redraws when the stage or a counter moved."""
    with connect() as conn:
        now = get_document(conn, document.id)
    if (now.stage, now.text_revision, now.chunk_count, now.paused) != (
        document.stage,
        document.text_revision,
        document.chunk_count,
        document.paused,
    ):
        st.rerun()
    if now.chunk_count:
        share = now.embedded_count / now.chunk_count
        st.progress(min(1.0, share), text=f"{status_of(now)}: {now.embedded_count:,} of {now.chunk_count:,} chunks")
    else:
        st.caption(f":shimmer[{status_of(now)}…]")


def show_document(document: DocumentRow, collection: Collection, cited: Cited | None) -> None:
    show_header(document, collection)
    if cited is not None:
        show_since(*cited)
    if document.error:
        hint = f"  \n{plain(document.error_hint)}" if document.error_hint else ""
        st.error(f"{plain(document.error)}{hint}", icon=":material/error:")
    if document.stage not in FINAL_STAGES:
        st.fragment(watch, run_every=timedelta(seconds=1), key="watch-document")(document)
    if not document.text_revision:
        return
    with connect() as conn:
        text = read_text(conn, document.id)
        chunks = list_chunks(conn, document.id)
        marks = list_marks(conn, document.id)
    may_edit = collection.role != "viewer"
    focus = read_span(len(text.text)) if cited is None else cited[1].span
    views = {"text": "Text", "chunks": f"Chunks {len(chunks):,}", "marks": f"Marks {len(marks):,}"}
    with st.container(horizontal=True, vertical_alignment="bottom", horizontal_alignment="distribute"):
        view = st.segmented_control(
            "View",
            list(views),
            default="text",
            required=True,
            format_func=views.__getitem__,
            key="document_view",
            label_visibility="collapsed",
        )
        beside = view == "text" and page_switch(document, text, wanted=focus is not None)
        language_picker(document, disabled=not may_edit)
    if view == "chunks":
        show_chunks(document, chunks, may_edit=may_edit)
    elif view == "marks":
        show_marks(text, marks, may_edit=may_edit)
    elif beside:
        with st.container(key="document-both"):
            left, right = st.columns([11, 9], gap="medium")
            with left:
                show_document_text(text, chunks, marks, focus, may_edit=may_edit)
            with right:
                show_page(document, text, focus)
    else:
        show_document_text(text, chunks, marks, focus, may_edit=may_edit)


require_user()
require_database()
quoted = cited_words()
wanted = read_uuid("document") if quoted is None else quoted[0].document_id
if quoted is not None and quoted[1].since == "gone":
    show_gone(quoted[0])
elif wanted is None:
    st.title("Document", anchor=False)
    show_notices()
    show_nothing()
else:
    try:
        with connect() as conn:
            found = get_document(conn, wanted)
            home = get_collection(conn, found.collection_id)
    except NotFound as error:
        st.title("Document", anchor=False)
        show_error(error)
        st.page_link("pages/documents.py", label="Go to Documents", icon=":material/arrow_back:")
    else:
        show_document(found, home, quoted)
