"""People with an account: the table, and the one who is picked."""

from __future__ import annotations

import streamlit as st

from pages.parts.invitations import invite_button
from pages.parts.people_table import matching, people_table, summary
from pages.parts.person_actions import show_person
from pages.parts.session import connect
from rag.auth.administration import list_people


def show_people() -> None:
    """The tab."""
    with connect() as conn:
        people = list_people(conn)
    with st.container(horizontal=True, vertical_alignment="center"):
        st.caption(summary(people), width="stretch")
        wanted = st.text_input(
            "Name contains",
            key="people_filter",
            placeholder="Filter by name or e-mail",
            label_visibility="collapsed",
            icon=":material/filter_list:",
            width=240,
            type="search",
        )
        invite_button("invite")
    picked = people_table(matching(people, wanted or ""))
    if picked is None:
        st.caption("Select a row to see somebody's sessions and limits, and what you can do.")
    else:
        show_person(picked, people)
