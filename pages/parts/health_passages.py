"""Passages and documents that stand out: a table to select in, and what can be done with them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import pandas as pd
import streamlit as st

from pages.parts.addresses import span_address
from pages.parts.explore_address import explore_query
from pages.parts.health_acts import keep_as_is, leave_out, throw_away
from pages.parts.health_words import ListName
from pages.parts.words import count
from rag.health.duplicates import Member
from rag.health.health_lists import LostDocument, Passage, PassageFinding
from rag.reading.languages import language_name
from rag.records import Collection

_VALUES: dict[PassageFinding, str] = {
    "outlier": "Distance",
    "short": "Words",
    "long": "Words",
    "language": "Language",
}
#: Passages whose numbers still fit an address.
_MOST_LINKED = 500


def show_passages(
    collection: Collection, finding: PassageFinding, passages: Sequence[Passage], *, editable: bool
) -> None:
    """The passages of one list."""
    chosen = [passages[row] for row in _table(finding, [_passage_row(finding, one) for one in passages])]
    some = chosen or list(passages)
    with st.container(horizontal=True, vertical_alignment="center"):
        if editable:
            if st.button(
                _label("Leave out of search", chosen, passages), icon=":material/visibility_off:", key="health_exclude"
            ):
                verb = "is" if len(some) == 1 else "are"
                leave_out(collection, some, f"{count(len(some), 'passage')} {verb}", f"health: {finding}")
            if st.button(_label("Fine as it is", chosen, passages), icon=":material/done_all:", key="health_fine"):
                keep_as_is(collection, finding, some)
        _map_link(collection, chunks=[one.chunk_id for one in some])


def show_lost(collection: Collection, lost: Sequence[LostDocument], *, editable: bool) -> None:
    """The documents that no question found."""
    chosen = [lost[row] for row in _table("unretrieved", [_lost_row(one) for one in lost])]
    some = chosen or list(lost)
    with st.container(horizontal=True, vertical_alignment="center"):
        if editable:
            if st.button(_label("Fine as it is", chosen, lost), icon=":material/done_all:", key="health_fine"):
                whole = [Member(0, one.document_id, 0, max(1, one.characters)) for one in some]
                keep_as_is(collection, "unretrieved", whole)
            if st.button(
                "Put in the trash" if not chosen else f"Put {count(len(chosen), 'document')} in the trash",
                icon=":material/delete:",
                key="health_trash",
                disabled=not chosen,
                help=None if chosen else "Select documents first.",
            ):
                throw_away(collection, [one.document_id for one in chosen])
        st.page_link(
            "pages/explore.py",
            label="On the map",
            icon=":material/scatter_plot:",
            query_params=explore_query(collection.id, documents=[one.document_id for one in some[:_MOST_LINKED]]),
        )


def _label(verb: str, chosen: Sequence[object], all_of_them: Sequence[object]) -> str:
    return f"{verb}: {len(chosen):,} selected" if chosen else f"{verb}: all {len(all_of_them):,}"


def _map_link(collection: Collection, *, chunks: list[int]) -> None:
    st.page_link(
        "pages/explore.py",
        label="On the map",
        icon=":material/scatter_plot:",
        query_params=explore_query(collection.id, chunks=chunks[:_MOST_LINKED]),
    )


def _passage_row(finding: PassageFinding, passage: Passage) -> dict[str, object]:
    value: object = language_name(passage.note) if finding == "language" else passage.value
    return {
        "Open": span_address(passage.document_id, passage.start, passage.end),
        "Document": passage.document,
        _VALUES[finding]: value,
        "Text": " ".join(passage.text.split())[:400],
    }


def _lost_row(lost: LostDocument) -> dict[str, object]:
    return {
        "Open": span_address(lost.document_id, 0, 1),
        "Document": lost.document,
        "Characters": lost.characters,
        "Best rank": lost.best_rank,
    }


def _table(name: ListName | Literal["unretrieved"], rows: list[dict[str, object]]) -> list[int]:
    """Draw it; the rows that are selected."""
    event = st.dataframe(
        pd.DataFrame(rows),
        key=f"health_rows_{name}",
        hide_index=True,
        on_select="rerun",
        selection_mode="multi-row",
        column_config={
            "Open": st.column_config.LinkColumn("", display_text=":material/open_in_new:", width=40),
            "Document": st.column_config.TextColumn(width="medium"),
            "Distance": st.column_config.NumberColumn(
                format="%.2f", width=90, help="Mean cosine distance to its ten nearest passages."
            ),
            "Words": st.column_config.NumberColumn(width=80),
            "Language": st.column_config.TextColumn(width=110),
            "Text": st.column_config.TextColumn(width="large"),
            "Characters": st.column_config.NumberColumn(width=110),
            "Best rank": st.column_config.NumberColumn(
                width=100, help="Where its best passage stood in any run, beyond what was returned; empty: nowhere."
            ),
        },
        alt="What this list holds",
    )
    picked = event.get("selection", {}).get("rows", []) if event else []
    return [row for row in picked if row < len(rows)]
