"""The dialog that changes limits, and says beside its fields what the change will mean."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from uuid import UUID

import psycopg
import streamlit as st

from pages.parts.confirmation import Act, close_dialog, open_dialog, perform
from pages.parts.limits_words import SCOPES, Held, Limits, foresee, merge, parse_size, write_size
from pages.parts.words import plain, show_error
from rag.auth.administration import Scope, set_limits
from rag.errors import InvalidInput

_FILES, _SPACE, _QUESTIONS = "limit_files", "limit_space", "limit_questions"
_MOST = 2**31 - 1


def change_limits(
    scope: Scope, subject: UUID | None, name: str, before: Limits, usual: Limits, held: Sequence[Held]
) -> None:
    """Open the dialog for the limits of ``name``, or without ``subject`` for the default of all.

    ``usual`` is the default; ``held`` is what those use to whom the limits apply.
    """
    st.session_state[_FILES] = before.files
    st.session_state[_SPACE] = write_size(before.bytes)
    st.session_state[_QUESTIONS] = before.questions_per_day
    title = f"Limits of {plain(name)}" if subject else f"Limits: {SCOPES[scope].lower()}"
    open_dialog(title, "data_usage", lambda: show_limits_form(scope, subject, name, before, usual, held))


def show_limits_form(
    scope: Scope, subject: UUID | None, name: str, before: Limits, usual: Limits, held: Sequence[Held]
) -> None:
    """Three fields and what they would do."""
    empty = "the default" if subject else "no limit"
    hint = dict(zip((_FILES, _SPACE, _QUESTIONS), _placeholders(usual, bool(subject)), strict=True))
    files = st.number_input(
        "Files", 0, _MOST, key=_FILES, step=1, value=None, placeholder=hint[_FILES], disabled=scope == "guest"
    )
    space = st.text_input(
        "Space, as in 500 MB or 2 GB", key=_SPACE, placeholder=hint[_SPACE], disabled=scope == "guest"
    )
    questions = st.number_input(
        "Questions a day", 0, _MOST, key=_QUESTIONS, step=1, value=None, placeholder=hint[_QUESTIONS]
    )
    guests = " Guests store nothing." if scope == "guest" else ""
    st.caption(f"An empty field means {empty}. Days end at midnight UTC.{guests}")
    try:
        after = Limits(files, parse_size(space or ""), questions)
    except InvalidInput as problem:
        show_error(problem)
        after = before
    _offer(scope, subject, name, before, after, usual, held)


def _placeholders(usual: Limits, own: bool) -> list[str]:
    if not own:
        return ["No limit"] * 3
    shown = (
        None if usual.files is None else f"{usual.files:,}",
        write_size(usual.bytes) or None,
        None if usual.questions_per_day is None else f"{usual.questions_per_day:,}",
    )
    return [f"Default: {one or 'no limit'}" for one in shown]


def _offer(
    scope: Scope, subject: UUID | None, name: str, before: Limits, after: Limits, usual: Limits, held: Sequence[Held]
) -> None:
    changes = foresee_for(subject, before, after, usual, held)
    if changes:
        with st.container(border=True, key="limits-review", gap="small"):
            st.markdown("\n".join(f"- {change}" for change in changes))
    with st.container(horizontal=True, horizontal_alignment="right"):
        st.button("Keep as it is", key="limits_keep", on_click=close_dialog)
        st.button(
            "Set limits",
            key="limits_set",
            type="primary",
            disabled=not changes,
            on_click=perform,
            args=(setting(scope, subject, name, before, after),),
        )


def foresee_for(subject: UUID | None, before: Limits, after: Limits, usual: Limits, held: Sequence[Held]) -> list[str]:
    """What changes, in terms of what counts: for one's own limits empty fields are the default."""
    if before == after:
        return []
    if not subject:
        return foresee(before, after, held, nothing="no limit")
    changes = foresee(merge(before, usual), merge(after, usual), held, nothing="no limit")
    return changes or ["What counts stays the same as now."]


def setting(scope: Scope, subject: UUID | None, name: str, before: Limits, after: Limits) -> Act:
    """The act of setting them, with the way back."""
    whose = plain(name) if subject else SCOPES[scope].lower()
    return Act(
        "",
        [],
        "Set limits",
        partial(_set, scope=scope, subject=subject, limits=after),
        f"The limits of {whose} were changed.",
        partial(_set, scope=scope, subject=subject, limits=before),
    )


def _set(conn: psycopg.Connection[object], *, scope: Scope, subject: UUID | None, limits: Limits) -> None:
    set_limits(conn, scope, subject, files=limits.files, bytes=limits.bytes, questions_per_day=limits.questions_per_day)
