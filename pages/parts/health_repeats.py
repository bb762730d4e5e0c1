"""Boilerplate: each text that documents repeat, how often, and what can be done about it."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape

import streamlit as st

from pages.parts.explore_address import explore_query
from pages.parts.health_acts import keep_as_is, leave_out
from pages.parts.session import connect
from pages.parts.words import count
from rag.health.health_lists import RepeatedSpan, RepeatedText, repeated_spans
from rag.records import Collection

_MOST_LINKED = 150


def show_repeats(
    collection: Collection, check_id: int, repeats: Sequence[RepeatedText], total: int, *, editable: bool
) -> None:
    """The texts, those first that take most room."""
    with st.container(horizontal=True, vertical_alignment="center"):
        shown = "" if total <= len(repeats) else f" · the {len(repeats)} that take most room are shown"
        st.caption(f"{count(total, 'text')}{shown}", width="stretch")
        if (
            editable
            and len(repeats) > 1
            and st.button("Leave all of these out", icon=":material/visibility_off:", key="health_repeats_all")
        ):
            spans = [span for one in repeats for span in _places(check_id, one.number)]
            leave_out(collection, spans, f"{count(len(repeats), 'repeated text')} are", "health: boilerplate")
    for repeat in repeats:
        _repeat(collection, check_id, repeat, editable=editable)


def _repeat(collection: Collection, check_id: int, repeat: RepeatedText, *, editable: bool) -> None:
    with st.container(border=True, key=f"health-repeat-{repeat.number}", gap="small"):
        st.markdown(f"In **{count(repeat.documents, 'document')}**, {count(repeat.times, 'time')}")
        st.html(f'<div class="cs-text cs-quote">{escape(repeat.text.strip())}</div>')
        st.caption(_effect(repeat))
        with st.container(horizontal=True, vertical_alignment="center"):
            if editable:
                if st.button(
                    "Leave out everywhere", icon=":material/visibility_off:", key=f"health_out_{repeat.number}"
                ):
                    spans = _places(check_id, repeat.number)
                    leave_out(
                        collection, spans, f"{count(len(spans), 'place')} of that text are", "health: boilerplate"
                    )
                if st.button("Fine as it is", icon=":material/done_all:", key=f"health_fine_{repeat.number}"):
                    keep_as_is(collection, "repeat", _places(check_id, repeat.number))
            _map_link(collection, check_id, repeat)


def _map_link(collection: Collection, check_id: int, repeat: RepeatedText) -> None:
    documents = list(dict.fromkeys(span.document_id for span in _places(check_id, repeat.number)))
    st.page_link(
        "pages/explore.py",
        label="On the map",
        icon=":material/scatter_plot:",
        query_params=explore_query(collection.id, documents=documents[:_MOST_LINKED]),
    )


def _effect(repeat: RepeatedText) -> str:
    """What leaving it out does: a passage leaves search when at least half of it is excluded."""
    if not repeat.passages:
        return "No passage consists mostly of it: leaving it out marks it in the documents, and search stays as it is."
    verb = "consists" if repeat.passages == 1 else "consist"
    return f"{count(repeat.passages, 'passage')} {verb} mostly of it and would leave search."


def _places(check_id: int, number: int) -> list[RepeatedSpan]:
    with connect() as conn:
        return repeated_spans(conn, check_id, number)
