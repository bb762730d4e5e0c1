"""The members of a collection in the dialog "Share": their roles, and the acts that are asked about first.

Acts run in callbacks, before the dialog is drawn again, so that it shows what is true afterwards.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from html import escape
from typing import Any, Literal
from uuid import UUID

import psycopg
import streamlit as st

from pages.parts.notices import notify
from pages.parts.session import connect, require_user
from pages.parts.words import count, plain, show_error
from rag.corpus.sharing import Member, change_role, leave, list_people_of, remove, set_public, transfer
from rag.errors import CorpuscopeError
from rag.records import Collection, Role

Question = Literal["remove", "leave", "transfer", "public", "private"]

ROLES: dict[Role, str] = {"viewer": "Viewer", "editor": "Editor", "owner": "Owner"}
#: Members that are listed at once; a filter finds the others.
MOST = 30

#: Set when the person has no business here any more: the dialog closes.
LEFT = "sharing_left"
_ASKED = "sharing_asks"
_DONE = "sharing_done"
_PROBLEM = "sharing_problem"


def list_members(collection: Collection, members: Sequence[Member], *, may_share: bool) -> None:
    """One row a person: who it is, the role, and what can be done about it."""
    st.caption(f"{count(len(members), 'person has', 'people have')} access")
    shown = _filtered(members) if len(members) > MOST else members
    owners = sum(member.role == "owner" for member in members)
    with st.container(border=True, gap="small", key="members"):
        for member in shown[:MOST]:
            with st.container(horizontal=True, vertical_alignment="center", gap="small"):
                _name(member)
                if member.user_id == require_user().user_id:
                    _own_controls(collection, member, others=len(members) > 1, sole_owner=owners == 1)
                elif may_share:
                    _controls(collection, member)
                else:
                    st.caption(ROLES[member.role], width="content")
        if len(shown) > MOST:
            st.caption(f"and {len(shown) - MOST:,} more: filter to see them.")


def _filtered(members: Sequence[Member]) -> list[Member]:
    wanted = st.text_input(
        "Filter people", placeholder="Filter by name or e-mail", key="member_filter", label_visibility="collapsed"
    )
    part = (wanted or "").casefold().strip()
    return [member for member in members if part in f"{member.name} {member.email}".casefold()]


def _name(member: Member) -> None:
    # HTML, since Markdown would make a link of an e-mail address, or code of one that is escaped.
    you = " (you)" if member.user_id == require_user().user_id else ""
    address = f'<span class="cs-quiet">{escape(member.email)}</span>' if member.name and member.email else ""
    st.html(f'<div class="cs-head"><b>{escape(member.label)}{you}</b>{address}</div>', width="stretch")


def _own_controls(collection: Collection, member: Member, *, others: bool, sole_owner: bool) -> None:
    st.caption(ROLES[member.role], width="content")
    if member.role == "owner" and others:
        st.button("Pass on", key="ask_transfer", type="tertiary", on_click=ask_first, args=("transfer", collection.id))
    if member.role != "owner" or not sole_owner:
        st.button("Leave", key="ask_leave", type="tertiary", on_click=ask_first, args=("leave", collection.id))


def _controls(collection: Collection, member: Member) -> None:
    key = f"role-{member.user_id}"
    st.session_state[key] = member.role
    st.selectbox(
        f"Role of {member.label}",
        list(ROLES),
        format_func=ROLES.__getitem__,
        key=key,
        label_visibility="collapsed",
        width=120,
        on_change=_change_role,
        args=(collection.id, member, key),
    )
    st.button(
        "Remove", key=f"ask_remove-{member.user_id}", type="tertiary", on_click=ask_first, args=("remove", member)
    )


def _change_role(collection_id: UUID, member: Member, key: str) -> None:
    role: Role = st.session_state[key]
    act(change_role, f"{plain(member.label)} is {role} now.", collection_id, member.user_id, role)


def act(do: Callable[..., Any], said: str, *args: object) -> None:
    """Callback: do it as the session's person, and keep for the next drawing what came of it."""
    st.session_state.pop(_ASKED, None)
    try:
        with connect() as conn:
            do(conn, *args)
    except CorpuscopeError as problem:
        st.session_state[_PROBLEM] = problem
    else:
        st.session_state[_DONE] = said


def show_outcome() -> None:
    """What the latest act came to, once."""
    if problem := st.session_state.pop(_PROBLEM, None):
        show_error(problem)
    if done := st.session_state.pop(_DONE, None):
        st.success(done, icon=":material/check_circle:")


def ask_first(question: Question, about: UUID | Member) -> None:
    """Callback: ask before doing it."""
    st.session_state[_ASKED] = (question, about)


def show_confirmation(collection: Collection) -> None:
    """The question that is open, what it would mean, and two ways on."""
    asked: tuple[Question, UUID | Member] | None = st.session_state.get(_ASKED)
    if asked is None:
        return
    question, about = asked
    with st.container(border=True, key="sharing-question"):
        heading, meaning, verb = _WORDS[question]
        who = plain(about.label) if isinstance(about, Member) else plain(collection.name)
        st.markdown(f"**{heading.format(who)}**  \n{meaning}")
        heir = _pick_heir(collection) if question == "transfer" else None
        with st.container(horizontal=True, horizontal_alignment="right"):
            st.button("Keep as it is", key="sharing_keep", on_click=_keep)
            st.button(
                verb,
                key="sharing_confirm",
                type="primary",
                on_click=_confirm,
                args=(collection, question, about if isinstance(about, Member) else heir),
            )


#: What is asked, what it means, and the button that does it.
_WORDS: dict[Question, tuple[str, str, str]] = {
    "remove": (
        "Take access away from {}?",
        "It is gone at once, also in pages that are open. What this person added stays.",
        "Take access away",
    ),
    "leave": (
        "Leave {}?",
        "You can't open it any more until an owner shares it with you again. What you added stays.",
        "Leave",
    ),
    "transfer": ("Pass {} on?", "Somebody else becomes owner in your place; you stay as editor.", "Pass on"),
    "public": (
        "Make {} public?",
        "Everybody who reaches this installation, guests without an account too, can read, search, ask and download "
        "all of its documents. They can't change anything, and don't see who its members are.",
        "Make public",
    ),
    "private": (
        "Make {} private?",
        "Only its members can open it then. Everybody else loses it at once, also in pages that are open.",
        "Make private",
    ),
}


def _pick_heir(collection: Collection) -> Member | None:
    me = require_user().user_id
    with connect() as conn:
        others = {str(one.user_id): one for one in list_people_of(conn, collection.id) if one.user_id != me}
    picked = st.selectbox("New owner", list(others), format_func=lambda key: others[key].label, key="heir")
    return others.get(picked or "")


def _keep() -> None:
    st.session_state.pop(_ASKED, None)


def _confirm(collection: Collection, question: Question, member: Member | None) -> None:
    name = plain(collection.name)
    if question == "remove" and member:
        act(remove, f"{plain(member.label)} has no access any more.", collection.id, member.user_id)
    elif question == "transfer" and member:
        act(transfer, f"{plain(member.label)} is owner now, and you are editor.", collection.id, member.user_id)
    elif question == "public":
        act(set_public, f"{name} is public now.", collection.id, True)
    elif question == "private":
        act(set_public, f"{name} is private now.", collection.id, False)
    elif question == "leave":
        act(_leave, "", collection)


def _leave(conn: psycopg.Connection[Any], collection: Collection) -> None:
    leave(conn, collection.id)
    st.session_state[LEFT] = True
    notify(f"You left {plain(collection.name)}.", icon="logout")


def forget_question() -> None:
    """Nothing is asked and nothing is said; for a dialog that opens."""
    for key in (_ASKED, _DONE, _PROBLEM, LEFT):
        st.session_state.pop(key, None)
