"""The map as a table, for keyboards, screen readers and spreadsheets: the same filters, the same selection."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import pandas as pd
import psycopg
import streamlit as st

from pages.parts import explore_state
from pages.parts.addresses import span_query
from pages.parts.downloads import file_name, handing_out, to_csv
from pages.parts.explore_colours import NO_CLUSTER, TITLES, Colouring, Places, cluster_of_each, clusters_at
from pages.parts.explore_desk import Desk
from pages.parts.explore_selection import mask_of
from pages.parts.session import connect
from rag.mapping.channel_values import Bytes
from rag.mapping.map_listing import PointRow, list_points

#: The id of the element to which the map points those who can't use it.
TABLE_ID = "explore-as-a-table"
_ROWS = 100
#: Rows of a download: as many as a spreadsheet holds with ease.
_MOST_CSV = 100_000
_CSV_CHARS = 2000
_CSV = (
    "place",
    "document",
    "title",
    "page",
    "heading",
    "start",
    "end",
    "text",
    "cluster",
    "tags",
    "excluded",
)
_PAGE = "explore_table_page"
_OPEN = "explore_open"
_OPENING = "explore_opening"


def places_of(desk: Desk, colouring: Colouring, matches: Bytes | None) -> Places:
    """The places that are neither hidden nor dimmed, of the selection where there is one."""
    look = explore_state.look()
    mask = colouring.visible(look.hidden)
    if matches is not None:
        mask = mask & (matches[: len(mask)] == 1)
    selected = mask_of(desk, look.selection, len(mask)) if look.selection else None
    if selected is not None:
        mask = mask & selected
    return np.flatnonzero(mask)


def show_table(desk: Desk, places: Places) -> None:
    """Closed until it is wanted: rows are read for those who look at them."""
    st.html(f'<span id="{TABLE_ID}" tabindex="-1"></span>')
    table = st.expander("The same as a table", icon=":material/table_rows:", key="explore_table", on_change="rerun")
    if opening := st.session_state.pop(_OPENING, None):
        st.switch_page("pages/document.py", query_params=opening)
    if not table.open:
        return
    with table:
        pages = max(1, -(-len(places) // _ROWS))
        with st.container(horizontal=True, vertical_alignment="center", key="explore-table-head"):
            st.caption(_describe(desk, len(places)), width="stretch")
            page = _pick_page(pages) if pages > 1 else 1
            _download(desk, places)
        shown = places[(page - 1) * _ROWS : page * _ROWS]
        with connect() as conn:
            rows = list_points(conn, desk.map.id, shown.tolist())
        if rows:
            _draw(desk, rows)


def _describe(desk: Desk, shown: int) -> str:
    look = explore_state.look()
    total = desk.version.points if desk.version else 0
    parts = [f"{shown:,} of {total:,} passages"]
    if look.selection:
        parts.append("within the selection")
    if look.text:
        parts.append(f"with “{look.text}”")
    if look.hidden:
        parts.append(f"without what the legend hides ({TITLES[look.colour].lower()})")
    return " · ".join(parts)


def _pick_page(pages: int) -> int:
    if st.session_state.get(_PAGE, 1) > pages:
        st.session_state[_PAGE] = 1
    words = f"Page of {pages:,}"
    return int(st.number_input(words, 1, pages, key=_PAGE, width=130, label_visibility="collapsed", help=words))


def _draw(desk: Desk, rows: Sequence[PointRow]) -> None:
    names = _cluster_names(desk)
    st.dataframe(
        pd.DataFrame(
            [
                {
                    "open": "Open",
                    "document": row.title or row.document,
                    "page": row.page,
                    "words": " ".join(row.words.split()),
                    "cluster": names(row.place),
                    "tags": row.tags,
                    "search": "left out" if row.excluded else "",
                }
                for row in rows
            ]
        ),
        hide_index=True,
        row_height=32,
        height=36 + 32 * min(len(rows), 12),
        placeholder="",
        key="explore_rows",
        alt="The passages that the map shows",
        column_config={
            "open": st.column_config.ButtonColumn(
                "", type="tertiary", width=64, on_click=_opening, args=(rows,), key=_OPEN, pinned=True
            ),
            "document": st.column_config.TextColumn("Document", width="medium"),
            "page": st.column_config.NumberColumn("Page", width=60),
            "words": st.column_config.TextColumn("Begins with", width="large"),
            "cluster": st.column_config.TextColumn("Cluster", width="medium"),
            "tags": st.column_config.ListColumn("Tags", width="small"),
            "search": st.column_config.TextColumn("Search", width=80),
        },
    )


def _opening(rows: Sequence[PointRow]) -> None:
    """Callback of the Open buttons: the page switches on the run that follows."""
    row = st.session_state[_OPEN]["row"]
    if row < len(rows):
        st.session_state[_OPENING] = span_query(rows[row].document_id, rows[row].start, rows[row].end)


def _cluster_names(desk: Desk) -> Callable[[int], str]:
    level = explore_state.look().level
    groups = cluster_of_each(desk, level)
    labels = {one.number: one.label for one in clusters_at(desk, level)}
    return lambda place: labels.get(int(groups[place]), "") if groups[place] != NO_CLUSTER else ""


def _download(desk: Desk, places: Places) -> None:
    names, wanted, map_id = _cluster_names(desk), places[:_MOST_CSV].tolist(), desk.map.id

    def make(conn: psycopg.Connection[Any]) -> bytes:
        rows = list_points(conn, map_id, wanted, _CSV_CHARS)
        return to_csv((_csv_row(row, names(row.place)) for row in rows), _CSV)

    cut = f"; the first {_MOST_CSV:,} of them" if len(places) > _MOST_CSV else ""
    st.download_button(
        "CSV",
        handing_out(desk.collection.id, "passages of the map", make, rows=len(wanted)),
        file_name=file_name(desk.collection.name, "map"),
        mime="text/csv",
        icon=":material/download:",
        type="tertiary",
        on_click="ignore",
        key="explore_csv",
        help=f"These passages as a CSV file{cut}",
    )


def _csv_row(row: PointRow, cluster: str) -> dict[str, Any]:
    return {
        "place": row.place,
        "document": row.document,
        "title": row.title,
        "page": row.page,
        "heading": " › ".join(row.heading_path),
        "start": row.start,
        "end": row.end,
        "text": row.words,
        "cluster": cluster,
        "tags": ", ".join(row.tags),
        "excluded": row.excluded,
    }
