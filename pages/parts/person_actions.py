"""One person as an administrator sees them: the account, its sessions, and what can be done about it."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from html import escape

import streamlit as st

from pages.parts.confirmation import Act, close_dialog, confirm, open_dialog
from pages.parts.limits_overview import change_own_limits
from pages.parts.limits_words import Held, effective, say_use
from pages.parts.one_time_links import link_address, show_link
from pages.parts.people_table import SIGN_IN, role_of
from pages.parts.product import settings
from pages.parts.session import connect, require_user
from pages.parts.session_list import list_sessions
from pages.parts.words import ago, count, plain, show_error
from rag.auth import administration as acts
from rag.auth.administration import LimitRow, PersonRow, Removal
from rag.errors import CorpuscopeError

_COLORS = {"Administrator": "blue", "Member": "gray", "Closed": "red"}
#: Collections that are named before the rest are counted.
_NAMED = 5


def show_person(person: PersonRow, people: Sequence[PersonRow]) -> None:
    """The panel under the table."""
    with connect() as conn:
        sessions = acts.list_sessions(conn, person.user_id)
        limits = acts.list_limits(conn)
    with st.container(border=True, key="person"):
        _header(person, limits)
        _actions(person, people, limits)
        st.markdown("**Sessions**")
        list_sessions(sessions, person.label)


def _header(person: PersonRow, limits: Sequence[LimitRow]) -> None:
    role = role_of(person)
    with st.container(horizontal=True, vertical_alignment="center"):
        address = f'<span class="cs-quiet">{escape(person.email)}</span>' if person.name else ""
        st.html(f'<div class="cs-head"><b>{escape(person.label)}</b>{address}</div>', width="content")
        st.badge(role, color=_COLORS[role])  # type: ignore[arg-type]
        if _is_me(person):
            st.badge("You", color="green")
    seen = f"seen {ago(person.last_seen_at)}" if person.last_seen_at else "never seen"
    use = say_use(_use(person), effective(limits, "person", person.user_id))
    st.caption(f"Sign-in: {SIGN_IN[person.sign_in].lower()} · account since {ago(person.created_at)} · {seen} · {use}")


def _actions(person: PersonRow, people: Sequence[PersonRow], limits: Sequence[LimitRow]) -> None:
    """Each button is there only when it would do something, and opens a dialog that says what."""
    with st.container(horizontal=True, key="person-actions"):
        if person.is_administrator:
            _offer("Take administration away", "remove_moderator", "unmake", lambda: unmaking(person, people))
        elif person.is_open:
            _offer("Make administrator", "add_moderator", "make", lambda: making(person))
        if not person.is_open:
            _offer("Open account", "lock_open", "open", lambda: opening(person))
        elif not _is_me(person):
            _offer("Close account", "lock", "close", lambda: closing(person))
        if (
            person.sign_in == "password"
            and settings().auth == "local"
            and person.is_open
            and st.button("Password link", icon=":material/key:", key="person_reset")
        ):
            open_dialog(f"A new password for {plain(person.label)}", "key", lambda: show_reset(person))
        if person.sessions:
            _offer("Sign out everywhere", "logout", "sign_out", lambda: signing_out(person))
        if st.button("Limits", icon=":material/data_usage:", key="person_limits"):
            change_own_limits("person", person.user_id, limits, {("person", person.user_id): _use(person)})
        if not _is_me(person):
            _offer("Delete account", "delete", "delete", lambda: _deleting(person))


def _offer(label: str, icon: str, key: str, make: object) -> None:
    if st.button(label, icon=f":material/{icon}:", key=f"person_{key}"):
        assert callable(make)
        confirm(make())


def _use(person: PersonRow) -> Held:
    return Held(person.label, person.files, person.bytes, person.questions_today)


def _is_me(person: PersonRow) -> bool:
    return person.user_id == require_user().user_id


def making(person: PersonRow) -> Act:
    """Make somebody administrator."""
    name = plain(person.label)
    return Act(
        f"Make {name} administrator?",
        [
            f"{name} sees all people, sizes, counts and the whole list of activity.",
            "They can invite people, close and delete accounts, set limits, and make and unmake administrators: "
            "**you too**.",
            "They don't see documents or chats of others; those stay with whom they are shared.",
        ],
        "Make administrator",
        partial(acts.set_administrator, user_id=person.user_id, administrator=True),
        f"{name} is administrator now.",
        partial(acts.set_administrator, user_id=person.user_id, administrator=False),
        icon="add_moderator",
    )


def unmaking(person: PersonRow, people: Sequence[PersonRow]) -> Act:
    """Make an administrator an ordinary member again."""
    name = plain(person.label)
    left = sum(one.is_administrator and one.is_open and one.user_id != person.user_id for one in people)
    effects = [
        "This page is closed to them at once; whoever they invited and did not come yet needs a new invitation.",
        f"Their {count(person.collections, 'collection')} and everything in them stay theirs.",
        f"{count(left, 'administrator is', 'administrators are')} left."
        if left
        else "**Nobody** would be left, so that this will be refused: make somebody else administrator first.",
    ]
    if _is_me(person):
        effects.insert(0, "That is **you**: only another administrator can make you one again.")
    undo = None if _is_me(person) else partial(acts.set_administrator, user_id=person.user_id, administrator=True)
    return Act(
        f"Take administration away from {name}?",
        effects,
        "Take it away",
        partial(acts.set_administrator, user_id=person.user_id, administrator=False),
        f"{name} is an ordinary member now.",
        undo,
        icon="remove_moderator",
    )


def closing(person: PersonRow) -> Act:
    """Close an account."""
    name = plain(person.label)
    return Act(
        f"Close the account of {name}?",
        [
            _sessions_end(person.sessions),
            "They can't sign in any more, by whatever way.",
            f"Nothing is deleted: {count(person.collections, 'collection')} and {count(person.files, 'file')} stay, "
            "also for those they are shared with.",
            "The account can be opened again at any time.",
        ],
        "Close account",
        partial(acts.set_account_open, user_id=person.user_id, open=False),
        f"The account of {name} is closed.",
        partial(acts.set_account_open, user_id=person.user_id, open=True),
        icon="lock",
    )


def opening(person: PersonRow) -> Act:
    """Open a closed account again."""
    name = plain(person.label)
    rights = " as administrator" if person.is_administrator else ""
    return Act(
        f"Open the account of {name} again?",
        [
            f"{name} can sign in again{rights}; sessions from before stay ended.",
            f"They have {count(person.collections, 'collection')} and {count(person.files, 'file')} as before.",
        ],
        "Open account",
        partial(acts.set_account_open, user_id=person.user_id, open=True),
        f"The account of {name} is open again.",
        partial(acts.set_account_open, user_id=person.user_id, open=False),
        icon="lock_open",
    )


def signing_out(person: PersonRow) -> Act:
    """End all sessions of somebody."""
    name = plain(person.label)
    effects = [_sessions_end(person.sessions), "They can sign in again at once."]
    if _is_me(person):
        effects.insert(0, "That is **you**: this page ends too.")
    return Act(
        f"Sign {name} out everywhere?",
        effects,
        "Sign out everywhere",
        partial(acts.end_sessions, user_id=person.user_id),
        f"{name} is signed out everywhere.",
        icon="logout",
    )


def _deleting(person: PersonRow) -> Act:
    with connect() as conn:
        return deleting(person, acts.describe_removal(conn, person.user_id))


def deleting(person: PersonRow, gone: Removal) -> Act:
    """Delete an account, with what goes, what passes on and what stays."""
    name = plain(person.label)
    effects = [_sessions_end(gone.sessions)]
    if gone.chats:
        verb = "is" if gone.chats == 1 else "are"
        effects.append(f"{count(gone.chats, 'chat')} of theirs {verb} deleted, with all answers.")
    if gone.passed_chats:
        verb = "passes" if gone.passed_chats == 1 else "pass"
        effects.append(f"{count(gone.passed_chats, 'shared chat')} of theirs {verb} to somebody who takes part.")
    if gone.inherited_collections:
        number = len(gone.inherited_collections)
        owned = f"{count(number, 'collection')} that nobody else owns {'passes' if number == 1 else 'pass'} to **you**"
        effects.append(f"{owned}: {_listed(gone.inherited_collections)}.")
    if gone.left_collections:
        effects.append(f"They lose {count(gone.left_collections, 'other collection')}, which others own.")
    if gone.files:
        stay = "stays in its collection" if gone.files == 1 else "stay in their collections"
        effects.append(f"{count(gone.files, 'file')} that they uploaded {stay}.")
    if gone.invitations:
        stop = "stops" if gone.invitations == 1 else "stop"
        effects.append(f"{count(gone.invitations, 'invitation')} of theirs that nobody used {stop} working.")
    if settings().auth == "supabase":
        effects.append("Their account at the Supabase project is deleted too, for every application that uses it.")
    effects.append("What they did stays in the list of activity. **This can't be undone**; closing the account can.")
    return Act(
        f"Delete the account of {name}?",
        effects,
        "Delete for good",
        partial(acts.delete_person, user_id=person.user_id),
        f"The account of {name} was deleted.",
        icon="delete",
    )


def _sessions_end(number: int) -> str:
    if not number:
        return "They are not signed in anywhere now."
    verb = "ends" if number == 1 else "end"
    return f"{count(number, 'session')} {verb} at once, also in pages that are open."


def _listed(names: Sequence[str]) -> str:
    named = ", ".join(plain(name) for name in names[:_NAMED])
    return named + (f" and {len(names) - _NAMED:,} more" if len(names) > _NAMED else "")


def show_reset(person: PersonRow) -> None:
    """Inside the dialog: what the link does, then in its place the link."""
    place = st.empty()
    with place.container():
        end = "session ends" if person.sessions == 1 else "sessions end"
        st.markdown(
            f"- Whoever opens the link chooses a new password for **{plain(person.email)}**, once, within a day: give "
            "it to nobody else.\n"
            f"- The password stays as it is until then; at that moment their {person.sessions:,} {end}.\n"
            "- Links made before stop working now."
        )
        with st.container(horizontal=True, horizontal_alignment="right"):
            st.button("Keep as it is", key="reset_keep", on_click=close_dialog)
            wanted = st.button("Make the link", key="reset_make", type="primary", icon=":material/key:")
    if wanted:
        try:
            with connect() as conn:
                token = acts.make_password_reset(conn, person.user_id)
        except CorpuscopeError as problem:
            show_error(problem)
            return
        with place.container():
            show_link(
                link_address("reset", token),
                whom=person.email,
                words="It works once, for a day.",
                email=person.email,
                subject="A new password for Corpuscope",
                letter="With this link you choose a new password. It works once, for a day.",
            )
