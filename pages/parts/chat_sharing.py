"""The dialog that shares a conversation: who is in it, who could be, and the link to it.

Acts run in callbacks, before the dialog is drawn again, so that it shows what is true afterwards.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from html import escape
from typing import Any
from uuid import UUID

import streamlit as st

from pages.parts.chat_presence import badge
from pages.parts.copy_link import copy_link
from pages.parts.guests import is_guest
from pages.parts.notices import notify
from pages.parts.product import settings
from pages.parts.session import connect, require_user
from pages.parts.words import count, guarded, plain, show_error
from rag.chat.chat_records import Chat
from rag.chat.participants import (
    Candidate,
    Participant,
    leave_chat,
    list_candidates,
    participants,
    share_chat,
    unshare_chat,
)
from rag.errors import CorpuscopeError

#: The conversation that the open dialog is about. It stays open when the page runs again.
_OPEN = "chat_sharing"
_PROBLEM = "chat_sharing_problem"
_DONE = "chat_sharing_done"
_WANTED = "chat_candidates"
_LEAVING = "chat_leaving"


def share_button(chat: Chat) -> None:
    """Beside the conversation's menu; not where there is one person only, and not for guests, who share nothing."""
    if settings().auth == "none" or is_guest():
        return
    owned = chat.is_owner
    st.button(
        "Share" if owned else "People",
        icon=":material/group_add:" if owned else ":material/group:",
        key="share_chat",
        on_click=_open,
        args=(chat.id,),
        help="Who is in this conversation" if not owned else "Let others into this conversation",
    )
    if st.session_state.get(_OPEN) == chat.id:
        title = "Share this conversation" if owned else "People in this conversation"
        st.dialog(title, icon=":material/group:", on_dismiss=_close)(show_chat_sharing)(chat)
    else:
        _close()  # it was open at another conversation, which was left without closing it


def say_if_gone() -> None:
    """Where no conversation is shown: why, if the address names one."""
    if "chat" in st.query_params:
        st.info(
            "The conversation of this address was deleted, or it isn't shared with you (any more).",
            icon=":material/forum:",
        )


def sharing_is_open() -> bool:
    """Whether the dialog is open. A page that follows an answer meanwhile would keep it from doing anything."""
    return _OPEN in st.session_state


def _open(chat_id: UUID) -> None:
    _forget()
    st.session_state[_OPEN] = chat_id


def _close() -> None:
    _forget()
    st.session_state.pop(_OPEN, None)


def _forget() -> None:
    for key in (_PROBLEM, _DONE, _WANTED, _LEAVING):
        st.session_state.pop(key, None)


@guarded
def show_chat_sharing(chat: Chat) -> None:
    """What is in the dialog. Everything is read anew at each of its runs."""
    if problem := st.session_state.get(_PROBLEM):
        show_error(problem)
    if done := st.session_state.get(_DONE):
        st.success(done, icon=":material/check_circle:")
    with connect() as conn:
        people = participants(conn, chat.id)
        candidates = list_candidates(conn, chat.id) if chat.is_owner else []
    if chat.is_owner:
        _invite(chat, candidates, alone=len(people) < 2)
    _list_people(chat, people)
    if st.session_state.get(_LEAVING):
        _ask_to_leave(chat)
    with st.container(horizontal=True, vertical_alignment="center", gap="small"):
        copy_link("chat_link")
        st.caption("It opens for the people above, and for nobody else.", width="content")


def _invite(chat: Chat, candidates: Sequence[Candidate], *, alone: bool) -> None:
    st.caption(
        "Everybody in it sees all questions and answers, can ask, and can stop an answer. Answers are made only from "
        "what all of you may read."
    )
    if not candidates:
        if alone:
            st.info(
                "Nobody else has access to all that this conversation asks. An owner of the collection lets people in: "
                "**Documents**, then **Collection**, then **Share**.",
                icon=":material/person_off:",
            )
        else:
            st.caption("Everybody with access to its collections is in it.")
        return
    names = {str(one.user_id): one.label for one in candidates}
    with st.container(horizontal=True, vertical_alignment="bottom", gap="small"):
        st.multiselect(
            "Add people",
            list(names),
            format_func=lambda key: names.get(key, ""),
            key=_WANTED,
            placeholder="Members of its collections",
            width="stretch",
        )
        st.button(
            "Add",
            type="primary",
            icon=":material/person_add:",
            key="add_to_chat",
            on_click=_add,
            args=(chat.id, names),
        )


def _add(chat_id: UUID, names: dict[str, str]) -> None:
    wanted = [UUID(key) for key in st.session_state.get(_WANTED, ()) if key in names]
    if not wanted:
        return
    said = plain(names[str(wanted[0])]) if len(wanted) == 1 else count(len(wanted), "person", "people")
    _act(share_chat, f"{said} can open it now: it is among their chats.", chat_id, wanted)
    st.session_state[_WANTED] = []


def _list_people(chat: Chat, people: Sequence[Participant]) -> None:
    me = require_user().user_id
    with st.container(border=True, gap="small", key="chat-people"):
        for one in people:
            with st.container(horizontal=True, vertical_alignment="center", gap="small"):
                name = f"<b>{escape(one.name)}{' (you)' if one.user_id == me else ''}</b>"
                st.html(f'<div class="cs-person cs-bare">{badge(one.user_id, one.name)}{name}</div>', width="stretch")
                if not one.sees_it:
                    st.caption("has lost access to a collection", width="content")
                if one.is_owner:
                    st.caption("began it", width="content")
                elif one.user_id == me:
                    st.button("Leave", key="leave_chat", type="tertiary", on_click=_begin_leaving)
                elif chat.is_owner:
                    st.button(
                        "Remove",
                        key=f"remove-{one.user_id}",
                        type="tertiary",
                        on_click=_act,
                        args=(unshare_chat, f"{plain(one.name)} can't open it any more.", chat.id, one.user_id),
                    )


def _begin_leaving() -> None:
    st.session_state[_LEAVING] = True


def _ask_to_leave(chat: Chat) -> None:
    with st.container(border=True, key="chat-leaving"):
        st.markdown(
            "**Leave this conversation?**  \nYour questions stay in it. You can't open it until you are added again."
        )
        with st.container(horizontal=True, horizontal_alignment="right"):
            st.button("Stay", key="stay_in_chat", on_click=lambda: st.session_state.pop(_LEAVING, None))
            leave = st.button("Leave", key="leave_chat_now", type="primary", icon=":material/logout:")
    if not leave:
        return
    with connect() as conn:
        leave_chat(conn, chat.id)
    _close()
    st.query_params.pop("chat", None)
    notify(f"You left “{plain(chat.title)}”.", icon="logout")
    st.rerun()


def _act(do: Callable[..., Any], said: str, *args: object) -> None:
    """Callback: do it, and keep what came of it until the next act."""
    for key in (_PROBLEM, _DONE):
        st.session_state.pop(key, None)
    try:
        with connect() as conn:
            do(conn, *args)
    except CorpuscopeError as problem:
        st.session_state[_PROBLEM] = problem
    else:
        st.session_state[_DONE] = said
