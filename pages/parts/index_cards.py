"""The indexes of a collection, one card each: what it is, how far it has come, and what can be done with it."""

from __future__ import annotations

import time
from collections.abc import Sequence

import streamlit as st

from pages.parts.downloads import file_name, handing_out, to_csv
from pages.parts.index_actions import index_actions
from pages.parts.index_words import (
    CSV_COLUMNS,
    csv_row,
    describe_chunking,
    describe_model,
    describe_size,
    describe_work,
    share_done,
    state_of,
)
from pages.parts.session import connect
from pages.parts.words import clock, count, guarded, plain
from rag.corpus.indexes import IndexRow, get_index, list_indexes
from rag.corpus.progress import RateMeter, read_worker_status
from rag.records import Collection

_METERS = "index_meters"


def show_indexes(collection: Collection) -> None:
    """All cards, the active one first; dropped ones by name under them."""
    with connect() as conn:
        indexes = list_indexes(conn, collection.id)
    active = next((index for index in indexes if index.state == "active"), None)
    for index in indexes:
        if index.state != "retired":
            _card(collection, index, active)
    if active is not None and len(indexes) == 1:
        st.caption(
            "Another chunking or another model can be tried without a gap: it is built beside this one, compared on"
            " your questions, and swapped in when you say so."
        )
    _footer(collection, indexes)


def _card(collection: Collection, index: IndexRow, active: IndexRow | None) -> None:
    name, color, meaning = state_of(index)
    with st.container(border=True, key=f"index-{index.id}", gap="small"):
        with st.container(horizontal=True, vertical_alignment="center"):
            st.markdown(f"**Index {index.id}**", width="content")
            st.badge(name, color=color, help=meaning)  # type: ignore[arg-type]
            st.markdown(plain(describe_model(index)), width="stretch")
            st.caption(_dates(index), width="content")
        st.caption(describe_chunking(index.chunking))
        if index.problem:
            st.warning(f"{plain(index.problem)} {plain(index.problem_hint or '')}".strip(), icon=":material/error:")
        if index.unfinished and not index.paused:
            st.fragment(_live, run_every=2, key=f"live-index-{index.id}")(collection, index)
        else:
            st.markdown(describe_size(index))
            if index.paused and index.unfinished:
                st.progress(share_done(index), text=describe_work(index, None))
        index_actions(collection, index, active)


def _dates(index: IndexRow) -> str:
    if index.answered_until is not None:
        return f"Active until {clock(index.answered_until)}"
    return f"Made {clock(index.created_at)}"


@guarded
def _live(collection: Collection, before: IndexRow) -> None:
    """A look every two seconds; what can be done changes with the state, so then the page starts over."""
    with connect() as conn:
        index = get_index(conn, collection.id, before.id)
        worker = read_worker_status(conn)
    if (index.state, index.paused, index.complete, index.problem, index.unfinished) != (
        before.state,
        before.paused,
        before.complete,
        before.problem,
        before.unfinished,
    ):
        st.rerun()
    if not worker.alive:
        st.warning("**No worker is running.** Start one with `corpuscope worker`.", icon=":material/pause_circle:")
    meters: dict[int, RateMeter] = st.session_state.setdefault(_METERS, {})
    meter = meters.setdefault(index.id, RateMeter())
    meter.feed(time.monotonic(), index.embedded)
    st.progress(share_done(index), text=describe_work(index, meter.rate if worker.alive else None))
    st.markdown(describe_size(index))


def _footer(collection: Collection, indexes: Sequence[IndexRow]) -> None:
    dropped = [index for index in indexes if index.state == "retired"]
    with st.container(horizontal=True, vertical_alignment="center"):
        if dropped:
            with st.popover(f"{count(len(dropped), 'dropped index', 'dropped indexes')}", type="tertiary"):
                for index in dropped:
                    st.markdown(
                        f"**Index {index.id}** · {plain(describe_model(index))}  \n"
                        f"{describe_chunking(index.chunking)} · made {clock(index.created_at)}"
                    )
        rows = [csv_row(index) for index in indexes]
        st.download_button(
            "CSV",
            handing_out(collection.id, "the list of indexes", lambda conn: to_csv(rows, CSV_COLUMNS), rows=len(rows)),
            file_name=file_name(collection.name, "indexes"),
            mime="text/csv",
            icon=":material/download:",
            type="tertiary",
            on_click="ignore",
            key="indexes_csv",
            help="This list as a CSV file",
        )
