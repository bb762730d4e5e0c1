"""The Documents table: one row a document, and what each column says."""

from __future__ import annotations

import zlib
from collections.abc import Callable, Sequence
from datetime import UTC, tzinfo
from typing import Any

import pyarrow as pa
import streamlit as st

from pages.parts.words import browser_zone, size
from rag.reading.languages import language_name
from rag.records import FINAL_STAGES, DocumentRow, Stage

OnOpen = Callable[[Sequence[DocumentRow]], None]

#: Rows that are drawn; more would make each tick heavy, and nobody scrolls through thousands.
MOST_ROWS = 300
_DRAWN = "documents_drawn"

STATUS_WORDS: dict[Stage, str] = {
    "stored": "Waiting",
    "parsing": "Reading",
    "chunking": "Chunking",
    "embedding": "Embedding",
    "ready": "Ready",
    "failed": "Failed",
    "cancelled": "Cancelled",
}
#: What went wrong stands beside the status, where it is seen without scrolling.
_ORDER = ("open", "name", "status", "problem", "progress", "chunks", "pages", "language", "size", "added")
_COLORS = {
    "Waiting": "gray",
    "Reading": "blue",
    "Chunking": "blue",
    "Embedding": "blue",
    "Ready": "green",
    "Failed": "red",
    "Cancelled": "gray",
    "Paused": "orange",
}


def status_of(document: DocumentRow) -> str:
    """The stage as a word."""
    return "Paused" if document.paused and document.stage not in FINAL_STAGES else STATUS_WORDS[document.stage]


def chunks_of(document: DocumentRow) -> str:
    """``12`` when all chunks are embedded, ``5 of 12`` while they are not."""
    if document.embedded_count >= document.chunk_count:
        return f"{document.chunk_count:,}" if document.chunk_count else ""
    return f"{document.embedded_count:,} of {document.chunk_count:,}"


def document_table(documents: Sequence[DocumentRow], on_open: OnOpen) -> list[DocumentRow]:
    """Draw the table and return the selected documents.

    The key holds which documents are shown: a selection is by row number and must not move to another document.
    """
    shown = documents[:MOST_ROWS]
    key = f"documents-{zlib.crc32(b''.join(document.id.bytes for document in shown))}"
    state = st.dataframe(
        _table_again(shown),
        key=key,
        on_select="rerun",
        selection_mode="multi-row",
        hide_index=True,
        column_order=_ORDER if any(document.error for document in shown) else [c for c in _ORDER if c != "problem"],
        height=min(38 + 35 * max(len(shown), 1), 560),
        row_height=35,
        placeholder="",
        column_config=_columns(shown, on_open),
        alt="Documents of the collection with their state",
    )
    if len(documents) > MOST_ROWS:
        st.caption(f"The newest {MOST_ROWS:,} documents are shown; filter to see others.")
    rows = state.selection.rows
    return [shown[row] for row in rows if row < len(shown)]


def _table_again(shown: Sequence[DocumentRow]) -> pa.Table:
    """The table; the session's own of the last look while the rows are the same ones."""
    drawn = (browser_zone() or UTC, shown)
    known: tuple[tuple[tzinfo, Sequence[DocumentRow]], pa.Table] | None = st.session_state.get(_DRAWN)
    if known is None or known[0] != drawn:
        known = drawn, _table(shown, drawn[0])
        st.session_state[_DRAWN] = known
    return known[1]


def _table(documents: Sequence[DocumentRow], zone: tzinfo) -> pa.Table:
    """Arrow at once: by way of pandas it takes five times as long, and this is drawn each second for each viewer."""
    text = pa.string()
    columns: dict[str, pa.Array] = {
        "open": pa.array(["Open"] * len(documents), text),
        "name": pa.array([document.name for document in documents], text),
        "status": pa.array([[status_of(document)] for document in documents], pa.list_(text)),
        "progress": pa.array([_share(document) for document in documents], pa.float64()),
        "chunks": pa.array([chunks_of(document) for document in documents], text),
        "pages": pa.array([document.page_count for document in documents], pa.int64()),
        "language": pa.array([language_name(row.language) if row.language else "" for row in documents], text),
        "size": pa.array([size(document.size) for document in documents], text),
        "added": pa.array([document.created_at for document in documents], pa.timestamp("ms", str(zone))),
        "problem": pa.array([_problem(document) for document in documents], text),
    }
    return pa.table(columns)


def _share(document: DocumentRow) -> float | None:
    if document.stage == "ready":
        return 1.0
    if document.stage in FINAL_STAGES and not document.chunk_count:
        return None
    return document.embedded_count / document.chunk_count if document.chunk_count else 0.0


def _problem(document: DocumentRow) -> str:
    return " ".join(part for part in (document.error, document.error_hint) if part)


def _columns(shown: Sequence[DocumentRow], on_open: OnOpen) -> dict[str, Any]:
    config = st.column_config
    return {
        "open": config.ButtonColumn(
            "", type="tertiary", width=64, on_click=on_open, args=(shown,), key="open_document", pinned=True
        ),
        "name": config.TextColumn("Name"),
        "status": config.MultiselectColumn(
            "Status", options=list(_COLORS), color=list(_COLORS.values()), width=104, disabled=True
        ),
        "progress": config.ProgressColumn("Embedded", min_value=0, max_value=1, format="percent", width=116),
        "chunks": config.TextColumn("Chunks", width=84, alignment="right"),
        "pages": config.NumberColumn("Pages", width=64),
        "language": config.TextColumn("Language", width=84),
        "size": config.TextColumn("Size", width=76, alignment="right"),
        "added": config.DatetimeColumn("Added", format="D MMM, HH:mm", width=110),
        "problem": config.TextColumn("Problem", width=430),
    }


def csv_rows(documents: Sequence[DocumentRow]) -> list[dict[str, Any]]:
    """The same table for a download."""
    return [
        {
            "name": document.name,
            "title": document.title,
            "status": status_of(document),
            "chunks": document.chunk_count,
            "embedded": document.embedded_count,
            "pages": document.page_count,
            "language": language_name(document.language),
            "bytes": document.size,
            "added": document.created_at.isoformat(timespec="seconds"),
            "problem": _problem(document),
        }
        for document in documents
    ]


CSV_COLUMNS = ("name", "title", "status", "chunks", "embedded", "pages", "language", "bytes", "added", "problem")
