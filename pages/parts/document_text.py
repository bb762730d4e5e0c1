"""The Text view of a document: a window of its text, a selection, and what can be done with that."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import streamlit as st

from pages.parts.addresses import span_query
from pages.parts.reading import cut_segments, cut_windows, window_of
from pages.parts.span_actions import Span, correct_dialog, exclude, tag_dialog
from pages.parts.viewer import selected_span, show_text
from pages.parts.words import plain
from rag.records import ChunkRow, DocumentText, SpanMark

_SELECTED = "selected_span"


def show_document_text(
    text: DocumentText, chunks: Sequence[ChunkRow], marks: Sequence[SpanMark], focus: Span | None, *, may_edit: bool
) -> None:
    """Windows with a pager; the one that holds ``focus`` first."""
    windows = cut_windows(len(text.text), text.page_starts, [chunk.start for chunk in chunks])
    identity = f"{text.document_id}-{text.revision}-{focus}"
    number = 0
    if len(windows) > 1:
        with st.container(horizontal=True, vertical_alignment="center"):
            first = window_of(windows, focus[0]) + 1 if focus else 1
            number = st.pagination(len(windows), default=first, key=f"window-{identity}") - 1
            st.caption(windows[number].label.capitalize(), width="content")
    _selection_bar(text, marks, focus, identity, may_edit=may_edit)
    segments = cut_segments(text.text, windows[number], chunks, marks, text.page_starts, focus)
    with st.container(border=True, key="document-text"):
        show_text(segments, key=f"viewer-{identity}-{number}", on_select=_remember(identity))


def _remember(identity: str) -> Callable[[str], None]:
    def remember(key: str) -> None:
        st.session_state[_SELECTED] = (identity, selected_span(key))

    return remember


def _current(identity: str) -> Span | None:
    owner, span = st.session_state.get(_SELECTED, (None, None))
    return span if owner == identity else None


def _selection_bar(
    text: DocumentText, marks: Sequence[SpanMark], focus: Span | None, identity: str, *, may_edit: bool
) -> None:
    span = _current(identity) or focus
    with st.container(horizontal=True, vertical_alignment="center", key="selection-bar"):
        if span is None:
            hint = "Select text, or click a chunk's name, to leave it out of search, tag it or correct it."
            st.caption(hint if may_edit else "Select text to get a link to it.", width="content")
            return
        excerpt = " ".join(text.text[span[0] : span[1]].split())
        shown = excerpt if len(excerpt) <= 60 else f"{excerpt[:40]} … {excerpt[-15:]}"
        st.markdown(f"**“{plain(shown)}”**", width="content")
        if may_edit:
            known = sorted({mark.tag for mark in marks if mark.tag})
            if st.button("Leave out of search", icon=":material/visibility_off:", key="exclude_span"):
                exclude(text.document_id, [span])
            if st.button("Tag", icon=":material/label:", key="tag_span"):
                tag_dialog(text.document_id, [span], known)
            if st.button("Correct", icon=":material/edit:", key="correct_span"):
                correct_dialog(text, span)
        if span != focus and st.button(
            "Link", icon=":material/link:", key="link_span", help="Put this span into the address"
        ):
            st.query_params.from_dict(span_query(text.document_id, *span))
            st.rerun()
