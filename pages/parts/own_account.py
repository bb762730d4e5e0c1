"""One's own account: name, password, and the sessions that one is signed in with."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from html import escape

import streamlit as st

from pages.parts.confirmation import Act, confirm
from pages.parts.guard import entrance
from pages.parts.notices import notify
from pages.parts.product import product, settings
from pages.parts.session import connect, require_user
from pages.parts.session_list import list_sessions
from pages.parts.words import count, show_error
from rag.auth.administration import SessionRow, end_sessions, set_my_name
from rag.auth.administration import list_sessions as read_sessions
from rag.errors import CorpuscopeError, InvalidInput

_TRIES = "password_tries"
_PROBLEM = "password_problem"


def show_identity() -> None:
    """Who this is, and the form that changes the name."""
    identity = require_user()
    with st.container(border=True, key="identity"):
        st.markdown("**You**")
        role = "Administrator" if identity.is_administrator else "Member"
        st.html(
            '<div class="cs-facts">'
            f"<span>E-mail address</span><b>{escape(identity.email)}</b><span>Role</span><b>{role}</b></div>"
        )
        with st.form("name", border=False):
            name = st.text_input(
                "Name that others see", value=identity.name, max_chars=200, placeholder="Empty: your e-mail address"
            )
            submitted = st.form_submit_button("Save name")
        if submitted:
            _rename(name or "")


def _rename(name: str) -> None:
    try:
        with connect() as conn:
            set_my_name(conn, name)
    except CorpuscopeError as problem:
        show_error(problem)
        return
    notify("Your name was changed." if name.strip() else "Others see your e-mail address now.")
    st.rerun()


def show_password(others: int) -> None:
    """The form that changes the password; ``others`` are the sessions that would end."""
    with st.container(border=True, key="password", height="stretch"):
        st.markdown("**Password**")
        if settings().auth not in ("local", "supabase"):
            st.caption("You sign in with a provider, which has your password. Nothing of it is kept here.")
            return
        if problem := st.session_state.pop(_PROBLEM, None):
            show_error(problem)
        # Other fields after each try, so that nothing that was typed stays in the session's state.
        tries = st.session_state.get(_TRIES, 0)
        with st.form(f"password-{tries}", border=False):
            old = _field("Present password", "current-password", f"old-{tries}")
            new = _field("New password", "new-password", f"new-{tries}")
            again = _field("New password again", "new-password", f"again-{tries}")
            end = f"Your {count(others, 'other session')} will end." if others else "You stay signed in."
            st.caption(f"10 characters or more. {end}")
            submitted = st.form_submit_button("Change password")
        if submitted:
            st.session_state[_TRIES] = tries + 1
            _change(old, new, again, others)
            st.rerun()
        if settings().auth == "supabase":
            st.caption(
                "It is the Supabase project's. If you have none, sign out and choose one by “Forgot your password?”."
            )


def _field(label: str, purpose: str, key: str) -> str:
    return st.text_input(label, type="password", autocomplete=purpose, key=key) or ""


def _change(old: str, new: str, again: str, others: int) -> None:
    try:
        if new != again:
            raise InvalidInput("The new password was not typed the same way twice.")
        _change_where_it_is(old, new)
    except CorpuscopeError as problem:
        st.session_state[_PROBLEM] = problem
        return
    ended = f" {count(others, 'other session')} ended." if others else ""
    notify(f"Your password was changed.{ended}")


def _change_where_it_is(old: str, new: str) -> None:
    if settings().auth == "supabase":
        entrance().project_door.change_password(require_user(), old, new)
        return
    from rag.auth.signing_in import change_password  # hashing needs a library that AUTH=none does without

    database = product().database
    assert database is not None
    change_password(database, require_user(), old, new)


def show_sessions(sessions: Sequence[SessionRow]) -> None:
    """Where one is signed in, and the ways out."""
    others = sum(not session.is_this for session in sessions)
    with st.container(horizontal=True, vertical_alignment="center"):
        st.subheader("Sessions", anchor=False, width="stretch")
        if others and st.button("Sign out everywhere else", key="end_others", icon=":material/logout:"):
            confirm(ending_others(others))
        if st.button("Sign out everywhere", key="end_all", icon=":material/power_settings_new:"):
            confirm(ending_all(len(sessions)))
    list_sessions(sessions)


def my_sessions() -> list[SessionRow]:
    """One's own, the latest used first."""
    with connect() as conn:
        return read_sessions(conn)


def ending_others(others: int) -> Act:
    """Sign out everywhere but here."""
    end = "session ends" if others == 1 else "sessions end"
    return Act(
        "Sign out everywhere else?",
        [
            f"{others:,} other {end} at once, also in pages that are open there.",
            "You stay signed in here.",
            "If you don't know one of them, change your password too.",
        ],
        "Sign out there",
        partial(end_sessions, keep=require_user().session_id),
        f"{count(others, 'other session')} ended.",
        icon="logout",
    )


def ending_all(number: int) -> Act:
    """Sign out everywhere, here too."""
    end = "session ends" if number == 1 else "sessions end"
    return Act(
        "Sign out everywhere?",
        [f"{number:,} {end} at once: **this one too**, so that you have to sign in again.", "Nothing else changes."],
        "Sign out everywhere",
        end_sessions,
        "You are signed out.",
        icon="power_settings_new",
    )
