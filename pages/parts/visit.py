"""Who is at this tab: the session that the gate let in, looked up again on every run, and what is shown at its end."""

from __future__ import annotations

import time
from dataclasses import dataclass
from uuid import UUID

import streamlit as st

from pages.parts.guard import entrance, is_guarded
from pages.parts.product import product
from pages.parts.words import plain
from rag.auth.identity import LOCAL_IDENTITY, Identity

#: How old the look at a session may be while one run goes on, or a fragment ticks.
_FRESH_S = 1.5
_KNOWN = "visit"
_HEADER = "X-Corpuscope-Session"


@dataclass(frozen=True, slots=True)
class _Known:
    """What this tab knows of its session: the gate's signed word for which it is, and what the last look found."""

    word: str
    identity: Identity | None = None
    looked_at: float = 0.0


def find_identity(*, again: bool = False) -> Identity | None:
    """The person of this tab; None once the session has ended.

    With ``again``, once at the beginning of a run, the database is asked in any case, and the run counts as a visit; a
    page that only ticks doesn't keep a session from ending.
    """
    if not is_guarded():
        return LOCAL_IDENTITY
    known = st.session_state.get(_KNOWN)
    # A tab that lost its connection comes back through the gate, maybe with another session.
    word = st.context.headers.get(_HEADER) or (known.word if isinstance(known, _Known) else "")
    now = time.monotonic()
    if isinstance(known, _Known) and known.word == word and not again and now - known.looked_at < _FRESH_S:
        return known.identity
    identity = _look(word, touch=again)
    before = known.identity if isinstance(known, _Known) else None
    if before is not None and (identity is None or identity.user_id != before.user_id):
        # Nothing that the pages kept of one person is left for the next, or for whoever looks at the screen now.
        st.session_state.clear()
    st.session_state[_KNOWN] = _Known(word, identity, now)
    return identity


def _look(word: str, *, touch: bool) -> Identity | None:
    """The person of the session that the gate's word names, as the database knows them now."""
    from rag.auth.sessions import find_session

    shared, door = product(), entrance()
    named = door.signer("tab").unsign(word) if word else None
    if named is None or shared.database is None:
        return None
    with shared.database.as_accounts() as conn:
        found = find_session(conn, UUID(named), idle=door.idle, touch=touch)
    session = door.keep_fresh(found)
    return session.identity if session is not None else None


def knock(word: str) -> None:
    """Take the gate's word for this tab from somewhere else than the request: for tests, which have no socket."""
    st.session_state[_KNOWN] = _Known(word)


def show_ended() -> None:
    """What a tab shows whose session has ended, instead of anything else."""
    with st.container(border=True, key="session-ended", width=480):
        st.title("Your session has ended")
        st.write(_why() or "You were signed out, here or elsewhere, or nothing was done for too long.")
        st.html(f'<a class="cs-button" target="_self" href="{_sign_in_address()}">Sign in again</a>')


def _why() -> str:
    from rag.auth.sessions import end_reason

    known = st.session_state.get(_KNOWN)
    shared, door = product(), entrance()
    named = door.signer("tab").unsign(known.word) if isinstance(known, _Known) else None
    if named is None or shared.database is None:
        return ""
    with shared.database.as_accounts() as conn:
        reason = end_reason(conn, UUID(named))
    return f"Reason: {plain(reason)}." if reason else ""


def _sign_in_address() -> str:
    from urllib.parse import urlsplit

    from rag.web.origins import local_goal, with_goal

    parts = urlsplit(st.context.url or "/")
    return with_goal("/sign-in", local_goal(f"{parts.path}?{parts.query}" if parts.query else parts.path))
