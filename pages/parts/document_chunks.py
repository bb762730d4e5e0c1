"""The Chunks and Marks views of a document: the text view as tables, for reading by row and by keyboard."""

from __future__ import annotations

from collections.abc import Sequence

import pandas as pd
import streamlit as st

from pages.parts.addresses import span_query
from pages.parts.downloads import file_name, handing_out, to_csv
from pages.parts.span_actions import exclude, remove, tag_dialog
from pages.parts.words import count, plain
from rag.records import ChunkRow, DocumentRow, DocumentText, SpanMark

CSV_COLUMNS = ("chunk", "page", "heading", "text", "tokens", "start", "end", "in search", "embedded")


def show_chunks(document: DocumentRow, chunks: Sequence[ChunkRow], *, may_edit: bool) -> None:
    """One row a chunk; selected rows can be shown in the text, left out of search or tagged."""
    if not chunks:
        st.caption("This document has no chunks in the active index yet.")
        return
    rows = [chunk_row(chunk) for chunk in chunks]
    state = st.dataframe(
        pd.DataFrame(rows),
        key=f"chunks-{document.id}-{document.text_revision}-{len(chunks)}",
        on_select="rerun",
        selection_mode="multi-row",
        hide_index=True,
        height=min(38 + 35 * len(chunks), 560),
        column_order=("chunk", "page", "heading", "text", "tokens", "in search", "embedded"),
        column_config={
            "chunk": st.column_config.NumberColumn("Chunk", width=64, pinned=True),
            "page": st.column_config.NumberColumn("Page", width=60),
            "heading": st.column_config.TextColumn("Heading", width="medium"),
            "text": st.column_config.TextColumn("Text", width="large"),
            "tokens": st.column_config.NumberColumn("Tokens", width=70),
            "in search": st.column_config.CheckboxColumn("In search", width=80),
            "embedded": st.column_config.CheckboxColumn("Embedded", width=84),
        },
        alt="Chunks of the document",
    )
    picked = [chunks[row] for row in state.selection.rows if row < len(chunks)]
    with st.container(horizontal=True, vertical_alignment="center"):
        _actions(document, picked, may_edit=may_edit)
        st.download_button(
            "CSV",
            handing_out(
                document.collection_id,
                f"the chunks of “{document.name}”",
                lambda conn: to_csv(rows, CSV_COLUMNS),
                rows=len(rows),
            ),
            file_name=file_name(document.name, "chunks"),
            mime="text/csv",
            icon=":material/download:",
            type="tertiary",
            on_click="ignore",
            key="chunks_csv",
        )


def _actions(document: DocumentRow, picked: Sequence[ChunkRow], *, may_edit: bool) -> None:
    if not picked:
        st.caption("Select chunks to leave them out of search or tag them.", width="content")
        return
    spans = [(chunk.start, chunk.end) for chunk in picked]
    st.markdown(f"**{count(len(picked), 'chunk')} selected**", width="content")
    if len(picked) == 1:
        st.button(
            "Show in the text",
            icon=":material/article:",
            key="show_chunk",
            on_click=_show_in_text,
            args=(document, spans[0]),
        )
    if may_edit:
        if st.button("Leave out of search", icon=":material/visibility_off:", key="exclude_chunks"):
            exclude(document.id, spans)
        if st.button("Tag", icon=":material/label:", key="tag_chunks"):
            tag_dialog(document.id, spans, [])


def _show_in_text(document: DocumentRow, span: tuple[int, int]) -> None:
    st.query_params.from_dict(span_query(document.id, *span))
    st.session_state["document_view"] = "text"


def chunk_row(chunk: ChunkRow) -> dict[str, object]:
    """One row of the table and of its CSV."""
    return {
        "chunk": chunk.ordinal + 1,
        "page": chunk.page,
        "heading": " › ".join(chunk.heading_path),
        "text": chunk.text,
        "tokens": chunk.token_count,
        "start": chunk.start,
        "end": chunk.end,
        "in search": not chunk.excluded,
        "embedded": chunk.embedded,
    }


def show_marks(text: DocumentText, marks: Sequence[SpanMark], *, may_edit: bool) -> None:
    """Exclusions and tags in text order, each with its excerpt and a button that takes it away."""
    if not marks:
        st.caption("Nothing is left out or tagged here. Select something in the text to do so.")
        return
    for mark in marks:
        with st.container(horizontal=True, vertical_alignment="center", border=True):
            if mark.kind == "tag":
                st.badge(plain(mark.tag or ""), icon=":material/label:", color="green")
            else:
                st.badge("Left out", icon=":material/visibility_off:", color="gray")
            excerpt = " ".join(text.text[mark.start : mark.end].split())
            st.markdown(
                plain(excerpt if len(excerpt) <= 160 else f"{excerpt[:120]} … {excerpt[-30:]}"), width="stretch"
            )
            st.page_link(
                "pages/document.py",
                label="Show",
                icon=":material/article:",
                query_params=span_query(text.document_id, mark.start, mark.end),
            )
            if may_edit and st.button("Remove", icon=":material/close:", key=f"mark-{mark.id}", type="tertiary"):
                remove(mark)
