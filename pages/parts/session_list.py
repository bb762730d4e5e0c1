"""The browsers that somebody is signed in with, and ways to end that."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape

import streamlit as st

from pages.parts.confirmation import Act, confirm
from pages.parts.words import ago, plain
from rag.auth.administration import SessionRow, end_session

#: Sessions that are listed; whoever has more wants to end them all.
MOST = 12
_ICONS = {"password": "devices", "oidc": "devices", "supabase": "devices", "guest": "person_off"}


def list_sessions(sessions: Sequence[SessionRow], whose: str = "") -> None:
    """One row a session, the latest used first. ``whose`` names somebody else than the person who looks."""
    if not sessions:
        st.caption("Not signed in anywhere." if whose else "Nobody signs in here.")
        return
    with st.container(border=True, gap="small", key="sessions"):
        for session in sessions[:MOST]:
            _row(session, whose)
        if len(sessions) > MOST:
            st.caption(f"and {len(sessions) - MOST:,} more, used longer ago")


def _row(session: SessionRow, whose: str) -> None:
    with st.container(horizontal=True, vertical_alignment="center", gap="small"):
        st.markdown(f":material/{_ICONS.get(session.kind, 'devices')}:", width="content")
        place = f'<span class="cs-quiet">{escape(session.address)}</span>' if session.address else ""
        st.html(f'<div class="cs-head"><b>{escape(describe(session))}</b>{place}</div>', width="stretch")
        if session.is_this:
            st.badge("This one", color="green")
        seen = "now" if session.is_this else ago(session.last_seen_at)
        st.caption(f"seen {seen}, since {ago(session.created_at)}", width="content")
        if not session.is_this and st.button("End", key=f"end-{session.id}", type="tertiary"):
            confirm(_ending(session, whose))


def describe(session: SessionRow) -> str:
    """The device in words."""
    return session.device or "Unknown device"


def _ending(session: SessionRow, whose: str) -> Act:
    device = plain(describe(session))
    owner = f"{plain(whose)} is" if whose else "You are"
    return Act(
        "End this session?",
        [
            f"{owner} signed out on **{device}** at once, also in pages that are open there.",
            f"It was used {ago(session.last_seen_at)} for the last time. Signing in again is possible.",
        ],
        "End it",
        lambda conn: end_session(conn, session.id),
        f"The session on {device} has ended.",
        icon="logout",
    )
