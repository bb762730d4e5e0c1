"""What was done in a collection, newest first, and the same as a file."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any
from uuid import UUID

import pandas as pd
import streamlit as st

from pages.parts.downloads import file_name, handing_out, to_csv
from pages.parts.session import connect, require_user
from pages.parts.words import clock
from rag.corpus.audit import AuditEntry, describe, list_entries, who
from rag.records import Collection

#: Entries that are shown at first and added by each "Show older".
PAGE = 100
#: The most that one file holds.
MOST_ROWS = 20_000

CSV_COLUMNS = ("at", "who", "action", "what", "collection", "subject", "detail")


def show_activity(collection: Collection) -> None:
    """A table of the collection's latest entries."""
    most = st.session_state.get(_shown(collection.id), PAGE)
    with connect() as conn:
        entries = list_entries(conn, collection=collection.id, limit=most + 1)
    if collection.role != "owner":
        st.caption("You see what you did here yourself; owners see what everybody did.")
    if not entries:
        st.caption("Nothing yet.")
        return
    me = require_user().user_id
    rows = [{"When": clock(entry.at), "What": describe(entry, me)} for entry in entries[:most]]
    st.dataframe(
        pd.DataFrame(rows),
        key=f"activity-{collection.id}",
        hide_index=True,
        height=min(37 + 35 * len(rows), 430),
        row_height=35,
        column_config={
            "When": st.column_config.TextColumn(width=100),
            "What": st.column_config.TextColumn(width=600),
        },
        alt="What was done in the collection",
    )
    with st.container(horizontal=True, vertical_alignment="center"):
        if len(entries) > most:
            st.button("Show older", key="older", icon=":material/history:", on_click=_show_more, args=(collection.id,))
        st.download_button(
            "CSV",
            handing_out(
                collection.id,
                "the list of activity",
                lambda conn: to_csv(
                    csv_rows(list_entries(conn, collection=collection.id, limit=MOST_ROWS)), CSV_COLUMNS
                ),
            ),
            file_name=file_name(collection.name, "activity"),
            mime="text/csv",
            icon=":material/download:",
            type="tertiary",
            on_click="ignore",
            key="activity_csv",
            help="All of it as a CSV file",
        )


def csv_rows(entries: Sequence[AuditEntry]) -> list[dict[str, Any]]:
    """The same for a file, with the parts that the sentence is made of."""
    return [
        {
            "at": entry.at.isoformat(timespec="seconds"),
            "who": who(entry),
            "action": entry.action,
            "what": describe(entry),
            "collection": entry.collection_name,
            "subject": entry.subject,
            "detail": ", ".join(f"{key}: {value}" for key, value in entry.detail.items()),
        }
        for entry in entries
    ]


def _shown(collection_id: UUID) -> str:
    return f"activity_shown-{collection_id}"


def _show_more(collection_id: UUID) -> None:
    key = _shown(collection_id)
    st.session_state[key] = st.session_state.get(key, PAGE) + PAGE
