"""A document cut into chunks as it would be, beside how the active index cuts it. Nothing is stored."""

from __future__ import annotations

from collections.abc import Sequence
from uuid import UUID

import pandas as pd
import streamlit as st

from pages.parts.product import product
from pages.parts.reading import cut_segments, cut_windows
from pages.parts.session import connect
from pages.parts.viewer import show_text
from pages.parts.words import count
from rag.chunks.chunking import Chunk, ChunkSettings
from rag.chunks.previews import Preview, histogram, preview_chunks
from rag.chunks.tokens import ModelTokens
from rag.corpus.documents import list_documents
from rag.corpus.indexes import IndexRow
from rag.corpus.texts import read_text
from rag.errors import InvalidInput, ModelError
from rag.records import ChunkRow, Collection, DocumentRow, DocumentText

_NEW, _OLD = "New", "Active"


def show_preview(collection: Collection, settings: ChunkSettings, tokens: ModelTokens, active: IndexRow | None) -> None:
    """Pick a document; see its chunks under the new settings and under the active index's."""
    with connect() as conn:
        documents = [document for document in list_documents(conn, collection.id) if document.text_revision > 0]
    st.subheader("How a document would be cut", anchor=False)
    if not documents:
        st.caption("No document has text yet.")
        return
    document = _pick(documents)
    with connect() as conn:
        text = read_text(conn, document.id)
    previews = {_NEW: _preview(document, text, settings, tokens)}
    if (old := _preview_active(document, text, active)) is not None:
        previews[_OLD] = old
    _figures(previews)
    _draw(text, previews)


def _pick(documents: Sequence[DocumentRow]) -> DocumentRow:
    by_id = {document.id: document for document in documents}
    longest_first: list[UUID] = sorted(by_id, key=lambda id: -(by_id[id].char_count or 0))
    chosen = st.selectbox(
        "Document", longest_first, format_func=lambda id: by_id[id].name, key="preview-document", width=420
    )
    return by_id[chosen]


def _preview(document: DocumentRow, text: DocumentText, settings: ChunkSettings, tokens: ModelTokens) -> Preview:
    return preview_chunks(
        text.text, title=document.title or "", page_starts=text.page_starts, settings=settings, tokenizer=tokens
    )


def _preview_active(document: DocumentRow, text: DocumentText, active: IndexRow | None) -> Preview | None:
    if active is None:
        return None
    try:
        settings = ChunkSettings.from_json(active.chunking)
        return _preview(document, text, settings, product().tokens_for(active.model_row))
    except (InvalidInput, ModelError):
        return None


def _figures(previews: dict[str, Preview]) -> None:
    one = next(iter(previews.values()))
    with st.grid(4, min_column_width=150):
        for name, preview in previews.items():
            st.metric(f"{name}: chunks", f"{len(preview.chunks):,}", border=True)
            st.metric(f"{name}: median tokens", f"{preview.median_tokens:,}", border=True)
    if one.is_part:
        st.caption(f"This document is long: of its {one.total:,} characters the first {one.length:,} are cut here.")
    edges, counts = histogram(list(previews.values()))
    width = edges[1] - edges[0] if len(edges) > 1 else edges[0] + 1
    rows = [
        {"Tokens": f"{edge}–{edge + width - 1}", "from": edge, "Chunks": n, "Index": name}
        for name, row in zip(previews, counts, strict=True)
        for edge, n in zip(edges, row, strict=True)
    ]
    st.vega_lite_chart(
        pd.DataFrame(rows),
        {
            "height": 200,
            "mark": {"type": "bar", "cornerRadiusEnd": 2, "tooltip": True},
            "encoding": {
                "x": {"field": "Tokens", "type": "nominal", "sort": {"field": "from"}, "axis": {"labelAngle": 0}},
                "xOffset": {"field": "Index", "sort": [_NEW, _OLD]},
                "y": {"field": "Chunks", "type": "quantitative", "axis": {"tickMinStep": 1}},
                "color": {
                    "field": "Index",
                    "scale": {"domain": [_NEW, _OLD], "range": ["#2a78d6", "#98a2b3"]},
                    "legend": {"orient": "top", "title": None},
                },
            },
        },
        width="stretch",
        key="preview-histogram",
        alt="Chunks of this document by their number of tokens, under the new settings and in the active index",
    )


def _draw(text: DocumentText, previews: dict[str, Preview]) -> None:
    with st.container(horizontal=True, vertical_alignment="center"):
        name = st.segmented_control(
            "Show",
            list(previews),
            default=_NEW,
            required=True,
            key="preview-side",
            label_visibility="collapsed",
            help="Whose chunks are drawn",
        )
        preview = previews.get(name, previews[_NEW])
        windows = cut_windows(preview.length, text.page_starts, [chunk.start for chunk in preview.chunks])
        number = 0
        if len(windows) > 1:
            number = st.pagination(len(windows), key=f"preview-window-{text.document_id}") - 1
        number = min(number, len(windows) - 1)
        st.caption(windows[number].label.capitalize(), width="content")
    segments = cut_segments(
        text.text[: preview.length],
        windows[number],
        [_row(chunk) for chunk in preview.chunks],
        [],
        [start for start in text.page_starts if start < preview.length],
        None,
    )
    repeats = sum(later.start < earlier.end for earlier, later in zip(preview.chunks, preview.chunks[1:], strict=False))
    if repeats:
        st.caption(f"{count(repeats, 'chunk')} begin before the one above ends: a border marks where each begins.")
    with st.container(border=True, key="preview-text", height=520):
        show_text(segments, key=f"preview-{text.document_id}-{name}-{number}", on_select=_ignore)


def _ignore(_key: str) -> None:
    """A selection in a preview does nothing."""


def _row(chunk: Chunk) -> ChunkRow:
    return ChunkRow(
        id=chunk.ordinal,
        ordinal=chunk.ordinal,
        start=chunk.start,
        end=chunk.end,
        page=chunk.page,
        heading_path=list(chunk.heading_path),
        text=chunk.text,
        token_count=chunk.token_count,
        excluded=False,
        embedded=True,
    )
